"""Property values: protobuf Struct, checkpoint JSON and event JSON <-> Python.

The signatures are Pulumi's (sdk/go/common/resource/properties.go, asset.go, archive.go). Inside the engine
a value is JSON-like plus `Secret`, `Reference`, `UNKNOWN`, `Asset` and `Archive`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf import struct_pb2

from infra.rehearsal.engine.provider import UNKNOWN, Archive, Asset, Values

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a public marker
ASSET: Final = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE: Final = "0def7320c3a5731c473e5ecbe6d01bc7"
REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
BLINDED: Final = "[secret]"
LARGEST_WHOLE: Final = 2**53
"""Above this a double no longer holds every whole number, so it stays a float."""


class BadValue(Exception):
    """A value that the engine does not carry; the text says which."""


@dataclass(frozen=True)
class Secret:
    """A value that must not be seen: encrypted in the state, "[secret]" in events."""

    value: Any


@dataclass(frozen=True)
class Reference:
    """A resource passed as a value. Providers get its id (its URN for a component)."""

    urn: str
    id: Any = None


def from_wire(struct: struct_pb2.Struct, folder: Path) -> Values:
    """A request's properties. `folder` is what relative asset paths start from."""
    return {name: _from_value(value, folder) for name, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value, folder: Path) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_TEXT else value.string_value
    if kind == "number_value":
        return fold(value.number_value)
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_from_value(item, folder) for item in value.list_value.values]
    if kind == "struct_value":
        fields = {name: _from_value(item, folder) for name, item in value.struct_value.fields.items()}
        return _rebuild(fields, folder) if SIGNATURE in fields else fields
    return None


def fold(number: float) -> int | float:
    """Pulumi's wire makes every number a double; whole ones become int again."""
    return int(number) if number.is_integer() and abs(number) < LARGEST_WHOLE else number


def _rebuild(fields: dict[str, Any], folder: Path) -> Any:
    """The value behind a signature, from the wire."""
    signature = fields[SIGNATURE]
    if signature == SECRET:
        return Secret(fields["value"])
    if signature == REFERENCE:
        return Reference(fields["urn"], fields.get("id"))
    if signature == OUTPUT:
        value = fields.get("value", UNKNOWN)
        return Secret(value) if fields.get("secret") else value
    if "uri" in fields:
        raise BadValue(
            "remote assets and archives are not available in the embedded engine: use the Pulumi CLI"
        )
    if signature == ASSET:
        return _asset(fields, folder)
    if signature == ARCHIVE:
        return _archive(fields, folder)
    raise BadValue(f"unknown property signature {signature}")


def _asset(fields: dict[str, Any], folder: Path) -> Asset:
    if "text" in fields:
        return Asset(hashlib.sha256(fields["text"].encode()).hexdigest(), text=fields["text"])
    path = folder / fields["path"]
    if not path.is_file():
        raise BadValue(f"asset file {path} does not exist")
    return Asset(_hash_file(path), path=path)


def _archive(fields: dict[str, Any], folder: Path) -> Archive:
    if "assets" in fields:
        members: dict[str, Asset | Archive] = fields["assets"]
        listed = "".join(f"{name}\0{members[name].hash}\n" for name in sorted(members))
        return Archive(hashlib.sha256(listed.encode()).hexdigest(), members=members)
    path = folder / fields["path"]
    if path.is_file():
        return Archive(_hash_file(path), path=path)
    if not path.is_dir():
        raise BadValue(f"archive {path} does not exist")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = "".join(f"{file.relative_to(path)}\0{_hash_file(file)}\n" for file in files)
    return Archive(hashlib.sha256(listed.encode()).hexdigest(), path=path)


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_wire(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A response's properties; None is left out, as the SDK reads it."""
    struct = struct_pb2.Struct()
    for name, value in values.items():
        if value is not None:
            _fill(struct.fields[name], encode(value, secret=lambda inner: signed(SECRET, value=inner)))
    return struct


def _fill(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = float(value)
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, list):
        target.list_value.SetInParent()
        for item in value:
            _fill(target.list_value.values.add(), item)
    else:
        target.struct_value.SetInParent()
        for name, item in value.items():
            _fill(target.struct_value.fields[name], item)


def encode(value: Any, secret: Callable[[Any], Any]) -> Any:
    """JSON-like form with signatures. `secret` gets the encoded inner value and says what stands for it."""
    if isinstance(value, dict):
        return {name: encode(item, secret) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, secret) for item in value]
    if isinstance(value, Secret):
        return secret(encode(value.value, secret=lambda inner: inner))
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, Asset):
        body = {"text": value.text, "path": None if value.path is None else str(value.path)}
        return signed(ASSET, hash=value.hash, **{key: text for key, text in body.items() if text is not None})
    if isinstance(value, Archive):
        if value.members is not None:
            return signed(ARCHIVE, hash=value.hash, assets=encode(dict(value.members), secret))
        return signed(ARCHIVE, hash=value.hash, **({} if value.path is None else {"path": str(value.path)}))
    if isinstance(value, Reference):
        return signed(
            REFERENCE, urn=value.urn, **({} if value.id is None else {"id": encode(value.id, secret)})
        )
    return value


def decode(value: Any, reveal: Callable[[str], str]) -> Any:
    """The inverse of `encode` for checkpoints. `reveal` decrypts one ciphertext to JSON text."""
    if isinstance(value, list):
        return [decode(item, reveal) for item in value]
    if not isinstance(value, dict):
        return UNKNOWN if value == UNKNOWN_TEXT else value
    signature = value.get(SIGNATURE)
    if signature is None:
        return {name: decode(item, reveal) for name, item in value.items()}
    if signature == SECRET:
        text = value["plaintext"] if "plaintext" in value else reveal(value["ciphertext"])
        return Secret(decode(json.loads(text), reveal))
    if signature == REFERENCE:
        return Reference(value["urn"], value.get("id"))
    path = Path(value["path"]) if "path" in value else None
    if signature == ASSET:
        return Asset(value["hash"], text=value.get("text"), path=path)
    if signature == ARCHIVE:
        members = decode(value["assets"], reveal) if "assets" in value else None
        return Archive(value["hash"], path=path, members=members)
    raise BadValue(f"unknown property signature {signature} in the state")


def signed(signature: str, **fields: Any) -> dict[str, Any]:
    """A map that carries a Pulumi signature."""
    return {SIGNATURE: signature, **fields}


def blind(value: Any) -> Any:
    """JSON for events and people: secrets are "[secret]"."""
    return encode(value, secret=lambda _: BLINDED)


def strip(value: Any) -> Any:
    """What a provider gets: no secret marks, references as ids. Shares what needs no change."""
    if isinstance(value, Secret):
        return strip(value.value)
    if isinstance(value, dict):
        return {name: strip(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strip(item) for item in value]
    if isinstance(value, Reference):
        return value.urn if value.id is None else value.id
    return value


def contains(value: Any, found: Callable[[Any], bool]) -> bool:
    """Whether any node of the tree, secrets opened, satisfies `found`."""
    if found(value):
        return True
    if isinstance(value, dict):
        return any(contains(item, found) for item in value.values())
    if isinstance(value, list):
        return any(contains(item, found) for item in value)
    if isinstance(value, Secret):
        return contains(value.value, found)
    return False


def has_unknown(value: Any) -> bool:
    """Whether a preview does not know some part of it."""
    return contains(value, lambda node: node is UNKNOWN)


def has_secret(value: Any) -> bool:
    """Whether some part of it is marked secret."""
    return contains(value, lambda node: isinstance(node, Secret))


def texts(value: Any) -> Iterator[str]:
    """Every string leaf of a stripped value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, Asset) and value.text is not None:
        yield value.text
