"""What differs: between old inputs and new ones, and between an object then and now, in the fields that we send.

A live object holds more than was sent, and spells some of it otherwise ("1000m" becomes "1"). So drift is not what
differs from the inputs, but what differs from the object as it was when it was last seen.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from infra.kubernetes.client import Object
from infra.rehearsal.engine.paths import Path
from infra.rehearsal.engine.provider import UNKNOWN, Values
from infra.rehearsal.engine.values import differ


class Absence(Enum):
    """The mark of a field that is not there, which is not the same as null."""

    MISSING = "missing"


MISSING: Final = Absence.MISSING


def differences(old: Any, new: Any, path: Path = ()) -> Iterator[Path]:
    """The paths that differ, down to where both have something, or to every leaf of what only one has."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from differences(old.get(key, MISSING), new.get(key, MISSING), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            one, other = (side[index] if index < len(side) else MISSING for side in (old, new))
            yield from differences(one, other, (*path, index))
    elif MISSING in (old, new):
        yield from _leaves(new if old is MISSING else old, path)
    elif differ(old, new):
        yield path


def _leaves(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path


def prune(value: Any, shape: Any) -> Any:
    """Of `value` what `shape` has too; lists as they are but for the shape of their items."""
    if isinstance(value, dict) and isinstance(shape, dict):
        return {key: prune(item, shape[key]) for key, item in value.items() if key in shape}
    if isinstance(value, list) and isinstance(shape, list):
        return [prune(item, shape[index]) if index < len(shape) else item for index, item in enumerate(value)]
    return value


def read_inputs(inputs: Values, then: Object, now: Object, fields: Mapping[str, Any]) -> Values:
    """The inputs with what is live `now` wherever it is not what was live `then`.

    `fields`: the tree of all managed fields, which knows the lists whose items have keys."""
    if inputs.get("kind") == "Secret" and isinstance(inputs.get("stringData"), dict):
        return _read_secret(inputs, then, now, fields)
    found: Values = _overlay(inputs, then, now, fields)
    return found


def _overlay(sent: Any, then: Any, now: Any, fields: Mapping[str, Any]) -> Any:
    if sent is UNKNOWN or now is MISSING:
        return sent if then is MISSING else MISSING
    if isinstance(sent, dict) and isinstance(now, dict):
        return _overlay_map(sent, then if isinstance(then, dict) else {}, now, fields)
    if isinstance(sent, list) and isinstance(now, list):
        return _overlay_list(sent, then if isinstance(then, list) else [], now, fields)
    return now if differ(sent if then is MISSING else then, now) else sent


def _overlay_map(
    sent: dict[str, Any], then: dict[str, Any], now: dict[str, Any], fields: Mapping[str, Any]
) -> dict[str, Any]:
    found = {
        key: _overlay(value, then.get(key, MISSING), now.get(key, MISSING), fields.get(f"f:{key}", {}))
        for key, value in sent.items()
    }
    return {key: value for key, value in found.items() if value is not MISSING}


def _overlay_list(sent: list[Any], then: list[Any], now: list[Any], fields: Mapping[str, Any]) -> list[Any]:
    keyed = [json.loads(key[2:]) for key in fields if key.startswith("k:")]
    if keyed and all(isinstance(item, dict) for item in sent):
        found = [
            _overlay(item, _same(item, then, keyed), _same(item, now, keyed), _below(item, fields))
            for item in sent
        ]
        return [item for item in found if item is not MISSING]
    if any(key.startswith("v:") for key in fields):
        return [item for item in sent if item in now or item not in then]
    if not differ(prune(then, sent), prune(now, sent)):
        return sent
    if len(sent) == len(now):
        return [
            _overlay(item, then[index] if index < len(then) else MISSING, now[index], {})
            for index, item in enumerate(sent)
        ]
    return now


def _same(item: dict[str, Any], among: list[Any], keyed: list[dict[str, Any]]) -> Any:
    """The item of another state of the list that has the same keys; a key that we leave to its default counts not."""
    names = {name for one in keyed for name in one} & set(item)
    for other in among:
        if isinstance(other, dict) and names and all(other.get(name) == item[name] for name in names):
            return other
    return MISSING


def _below(item: dict[str, Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    for key, below in fields.items():
        if key.startswith("k:") and isinstance(below, Mapping):
            wanted = json.loads(key[2:])
            if all(item.get(name, value) == value for name, value in wanted.items()):
                return below
    return {}


def _read_secret(inputs: Values, then: Object, now: Object, fields: Mapping[str, Any]) -> Values:
    """`stringData` is written and never read: it is looked for in `data`."""
    texts: dict[str, str] = inputs["stringData"]
    coded = {key: base64.b64encode(str(text).encode()).decode() for key, text in texts.items()}
    joined = {key: value for key, value in inputs.items() if key != "stringData"}
    joined["data"] = {**inputs.get("data", {}), **coded}
    found: Values = _overlay(joined, then, now, fields)
    data = found.pop("data", {})
    read = {key: texts[key] if data[key] == coded[key] else _text(data[key]) for key in texts if key in data}
    found["stringData"] = {key: text for key, text in read.items() if text is not None}
    plain = {key: value for key, value in data.items() if key not in found["stringData"]}
    return found | ({"data": plain} if plain or "data" in inputs else {})


def _text(coded: str) -> str | None:
    try:
        return base64.b64decode(coded).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
