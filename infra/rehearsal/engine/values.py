"""Property values: protobuf Struct, checkpoint JSON and event JSON <-> Python.

The signatures are Pulumi's (sdk/go/common/resource/properties.go, asset.go). Inside the engine a value is
JSON-like plus `Secret`, `ResourceReference` and `UNKNOWN`. Assets and archives are refused, for no type of the table
takes one; output values are not advertised to programs, so none of them comes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from google.protobuf import json_format, struct_pb2

from infra.rehearsal.engine.errors import Unsupported
from infra.rehearsal.engine.provider import UNKNOWN, Values

SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a public marker
REFERENCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
REFUSED: Final = {
    "c44067f5952c0a294b673a41bacd8c17": "an asset",
    "0def7320c3a5731c473e5ecbe6d01bc7": "an archive",
    "d0e6a833031e9bbcd3f4e8bde6ca49a4": "an output value",
}
UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
BLINDED: Final = "[secret]"
LARGEST_WHOLE: Final = 1e21
"""From here on Go writes numbers with an exponent (encoding/json), which JSON's readers take for floats."""


@dataclass(frozen=True)
class Secret:
    """A value that must not be seen: encrypted in the state, "[secret]" in events."""

    value: Any


@dataclass(frozen=True)
class ResourceReference:
    """A resource as a value, `id` for one in a cloud. Providers get that, or else the URN."""

    urn: str
    id: Any = None
    version: str = ""


def from_wire(struct: struct_pb2.Struct) -> Values:
    """A request's properties."""
    found: Values = _decode(json_format.MessageToDict(struct), lambda fields: fields["value"])
    return found


def decode(value: Any, reveal: Callable[[str], str]) -> Any:
    """The inverse of `encode` for checkpoints. `reveal` decrypts one ciphertext to JSON text."""
    return _decode(value, lambda fields: decode(json.loads(reveal(fields["ciphertext"])), reveal))


def _decode(value: Any, inner: Callable[[dict[str, Any]], Any]) -> Any:
    """JSON-like data to values; `inner` gets the decoded fields of what is signed as secret, and says what it hides."""
    if isinstance(value, list):
        return [_decode(item, inner) for item in value]
    if isinstance(value, dict):
        fields = {name: _decode(item, inner) for name, item in value.items()}
        signature = fields.get(SIGNATURE)
        if signature == SECRET:
            return Secret(inner(fields))
        if signature == REFERENCE:
            return ResourceReference(fields["urn"], fields.get("id"), fields.get("packageVersion", ""))
        if signature is not None:
            raise Unsupported(REFUSED.get(signature, f"the property signature {signature}"))
        return fields
    if isinstance(value, float):
        return fold(value)
    return UNKNOWN if value == UNKNOWN_TEXT else value


def fold(number: float) -> int | float:
    """Pulumi's wire makes every number a double; whole ones become int again, with the digits that Go writes."""
    whole = number.is_integer() and abs(number) < LARGEST_WHOLE
    return int(Decimal(repr(number))) if whole else number


def to_wire(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """A response's properties; None is left out, as the SDK reads it."""
    struct = struct_pb2.Struct()
    there = {name: value for name, value in values.items() if value is not None}
    struct.update(encode(there, secret=lambda inner: sign(SECRET, value=inner)))
    return struct


def encode(value: Any, secret: Callable[[Any], Any]) -> Any:
    """JSON-like form with signatures. `secret` gets the encoded inner value and says what stands for it."""
    if isinstance(value, dict):
        return {name: encode(item, secret) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, secret) for item in value]
    if isinstance(value, Secret):
        return secret(encode(value.value, secret=lambda inner: inner))
    if isinstance(value, ResourceReference):
        identity = {} if value.id is None else {"id": encode(value.id, secret)}
        return sign(REFERENCE, urn=value.urn, packageVersion=value.version, **identity)
    return UNKNOWN_TEXT if value is UNKNOWN else value


def sign(signature: str, **fields: Any) -> dict[str, Any]:
    """A map that carries a Pulumi signature."""
    return {SIGNATURE: signature, **fields}


def blind(value: Any) -> Any:
    """JSON for events and people: secrets are "[secret]"."""
    return encode(value, secret=lambda _: BLINDED)


def strip(value: Any) -> Any:
    """What a provider gets: plain values."""
    if isinstance(value, Secret):
        return strip(value.value)
    if isinstance(value, ResourceReference):
        return value.urn if value.id is None else value.id
    if isinstance(value, dict):
        return {name: strip(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [strip(item) for item in value]
    return value


def nodes(value: Any) -> Iterator[Any]:
    """Every node of the tree, secrets themselves and what they hide too."""
    yield value
    if isinstance(value, Secret):
        yield from nodes(value.value)
    elif isinstance(value, ResourceReference):
        yield value.id
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from nodes(item)


def has_unknown(value: Any) -> bool:
    """Whether a preview does not know some part of it."""
    return any(node is UNKNOWN for node in nodes(value))


def has_secret(value: Any) -> bool:
    """Whether some part of it is marked secret."""
    return any(isinstance(node, Secret) for node in nodes(value))


def texts(value: Any) -> Iterator[str]:
    """Every string leaf."""
    return (node for node in nodes(value) if isinstance(node, str))


def differ(one: object, other: object) -> bool:
    """To Python False is 0 and True is 1; in a state they are not."""
    if isinstance(one, Secret) and isinstance(other, Secret):
        return differ(one.value, other.value)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(differ(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(map(differ, one, other))
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def find_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """The properties that are not what they were, in order."""
    return tuple(key for key in sorted({*old, *new}) if differ(old.get(key), new.get(key)))
