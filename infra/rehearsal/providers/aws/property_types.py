"""What an input of an AWS resource may be: its kind, its spelling in the service's API, and what equals what.

One `Property` describes one input as pulumi-aws names it (camelCase). Nothing here talks to a cloud.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from infra.rehearsal.engine.provider import UNKNOWN, CheckFailure, Values

Kind = Literal[
    "text", "integer", "number", "numbertext", "flag", "flagtext",
    "policy", "map", "dimensions", "list", "set", "object",
]  # fmt: skip
Spelling = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Property:
    """One input. `of` holds the members of an object (or of a list's or set's objects).

    `computed`: left out, the cloud chooses, and leaving it out is never a difference.
    `local`: the API never learns it (or never gives it back); it is kept as the program wrote it.
    `echo`: kept as written when the API is silent about it.
    `output`: a member that only the cloud fills; no program may give it.
    `pair`: the member names of the API's list that a `dimensions` map becomes.
    `replaces`: an exception to `facts.json`; `source` names the terraform-provider-aws file that says so.
    """

    kind: Kind
    of: Mapping[str, Property] = field(default_factory=dict)
    api: str = ""
    cfn: str = ""
    required: bool = False
    default: Any = None
    computed: bool = False
    local: bool = False
    echo: bool = False
    output: bool = False
    pair: tuple[str, str] = ("Name", "Value")
    replaces: bool | None = None
    source: str = ""


Properties = Mapping[str, Property]


text = partial(Property, kind="text")
"""A string; a number or flag given instead is spelled out, as Pulumi's bridge does."""
integer = partial(Property, kind="integer")
number = partial(Property, kind="number")
flag = partial(Property, kind="flag")
flagtext = partial(Property, kind="flagtext")
"""A flag that pulumi-aws types as the text "true" or "false"."""
numbertext = partial(Property, kind="numbertext")
"""A number that pulumi-aws types as a text."""
policy = partial(Property, kind="policy")
"""A JSON document in a string, equal when its content is."""
mapping = partial(Property, kind="map")
dimensions = partial(Property, kind="dimensions")
"""A map that the API wants as a list of name and value (`pair`)."""


def items(of: Properties | None = None, **options: Any) -> Property:
    """An ordered list of texts, or of objects with the members `of`."""
    return Property(kind="list", of=of or {}, **options)


def unordered_list(of: Properties | None = None, **options: Any) -> Property:
    """A list whose order means nothing (a Terraform set)."""
    return Property(kind="set", of=of or {}, **options)


def thing(of: Properties, **options: Any) -> Property:
    """An object."""
    return Property(kind="object", of=of, **options)


def pascal(name: str) -> str:
    return name[:1].upper() + name[1:]


def camel(name: str) -> str:
    return name


def complete(
    properties: Properties, values: Mapping[str, Any], path: str, failures: list[CheckFailure]
) -> Values:
    """`values` with defaults filled in and scalars in their type; what cannot be goes to `failures`."""
    result: Values = {}
    for name, value in values.items():
        if name.startswith("__"):
            continue
        if name not in properties or properties[name].output:
            failures.append(
                CheckFailure(path + name, f'the embedded engine does not know the property "{name}"')
            )
        elif value is not None:
            result[name] = _proper(properties[name], value, path + name, failures)
    for name, shape in properties.items():
        if name not in result and shape.default is not None:
            result[name] = shape.default
        if name not in result and shape.required:
            failures.append(CheckFailure(path + name, "is required"))
    return result


def _proper(shape: Property, value: Any, path: str, failures: list[CheckFailure]) -> Any:
    if value is UNKNOWN:
        return value
    match shape.kind, value:
        case ("object", Mapping()):
            return complete(shape.of, value, path + ".", failures)
        case ("list" | "set", list() | tuple()):
            member = Property(kind="object" if shape.of else "text", of=shape.of)
            return [_proper(member, item, f"{path}[{i}]", failures) for i, item in enumerate(value)]
        case ("map" | "dimensions", Mapping()):
            return {
                key: _proper(Property(kind="text"), item, f"{path}.{key}", failures)
                for key, item in value.items()
            }
        case (("text" | "flagtext"), bool()):
            return "true" if value else "false"
        case ("text", int() | float()):
            return str(value)
        case ("numbertext", str() | int() | float()) if _is_number(value):
            return f"{float(value):g}"
        case ("policy", Mapping()):
            return json.dumps(value)
        case ("integer", bool()) | ("number", bool()):
            pass
        case ("text" | "policy", str()) | ("flag", bool()) | ("flagtext", "true" | "false"):
            return value
        case (("integer" | "number"), int() | float()) if shape.kind == "number" or value == int(value):
            return value if shape.kind == "number" else int(value)
    failures.append(CheckFailure(path, f"must be {_WORDS[shape.kind]}, not {value!r:.60}"))
    return value


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))
    except ValueError:
        return False


_WORDS = {
    "text": "a string", "integer": "a whole number", "number": "a number", "flag": "true or false",
    "flagtext": '"true" or "false"', "numbertext": "a number",
    "policy": "a JSON document", "map": "a map", "dimensions": "a map",
    "list": "a list", "set": "a list", "object": "an object",
}  # fmt: skip


def empty(value: Any) -> bool:
    """Absent, in Terraform's reckoning: no value, or the zero of a text, list, map or flag."""
    return value is None or value is False or (value is not UNKNOWN and value in ("", "false", [], {}))


def same(shape: Property, old: Any, new: Any) -> bool:
    """Whether going from `old` to `new` changes nothing. Unknown differs from everything."""
    if old is UNKNOWN or new is UNKNOWN:
        return False
    if new is None and (shape.computed or shape.output):
        return True
    if shape.kind == "object":
        return not differences(shape.of, old or {}, new or {})
    if empty(old) or empty(new):
        return empty(old) and empty(new)
    if shape.kind == "policy":
        return bool(canonical(old) == canonical(new))
    if shape.kind in ("list", "set"):
        return _same_items(shape, old, new)
    return bool(old == new)


def _same_items(shape: Property, old: Sequence[Any], new: Sequence[Any]) -> bool:
    if len(old) != len(new):
        return False
    member = Property(kind="object" if shape.of else "text", of=shape.of)
    if shape.kind == "list":
        return all(same(member, a, b) for a, b in zip(old, new, strict=True))
    left = list(old)
    for wanted in new:
        match = next((i for i, item in enumerate(left) if same(member, item, wanted)), None)
        if match is None:
            return False
        del left[match]
    return True


def differences(properties: Properties, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Dotted paths of the inputs that differ, into objects but not into lists."""
    paths: list[str] = []
    for name, shape in properties.items():
        before, after = old.get(name), new.get(name)
        if same(shape, before, after):
            continue
        inner: tuple[str, ...] = ()
        if shape.kind == "object" and UNKNOWN not in (before, after):
            inner = differences(shape.of, before or {}, after or {})
        paths += [f"{name}.{path}" for path in inner] or [name]
    return tuple(paths)


def canonical(document: Any) -> Any:
    """A policy document reduced to its meaning: a list of one is its member, order in lists is nothing."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return document
    if isinstance(document, dict):
        return {
            key: canonical(value) if not isinstance(value, str) else value for key, value in document.items()
        }
    if isinstance(document, list):
        members = [item if isinstance(item, str) else canonical(item) for item in document]
        return (
            members[0]
            if len(members) == 1
            else sorted(members, key=lambda item: json.dumps(item, sort_keys=True))
        )
    return document


def to_api(properties: Properties, values: Mapping[str, Any], spelling: Spelling) -> Values:
    """The request's members for `values`; what is `local` stays out."""
    return {
        shape.api or spelling(name): _send(shape, values[name], spelling)
        for name, shape in properties.items()
        if values.get(name) is not None and not shape.local
    }


def _send(shape: Property, value: Any, spelling: Spelling) -> Any:
    if shape.kind == "flagtext":
        return value == "true"
    if shape.kind == "numbertext":
        return float(value)
    if shape.kind == "dimensions":
        return [{shape.pair[0]: key, shape.pair[1]: value[key]} for key in sorted(value)]
    if shape.of and shape.kind == "object":
        return to_api(shape.of, value, spelling)
    return [to_api(shape.of, item, spelling) for item in value] if shape.of else value


def from_api(properties: Properties, answer: Mapping[str, Any], spelling: Spelling) -> Values:
    """The inputs that an API's answer stands for. `Property.api` is looked up as one name."""
    found: Values = {}
    for name, shape in properties.items():
        value = answer.get(shape.api or spelling(name))
        if value is not None and not shape.local:
            found[name] = _receive(shape, value, spelling)
    return found


def _receive(shape: Property, value: Any, spelling: Spelling) -> Any:
    if shape.kind == "flagtext":
        return "true" if value else "false"
    if shape.kind == "numbertext":
        return f"{value:g}"
    if shape.kind == "policy" and not isinstance(value, str):
        return json.dumps(value)
    if shape.kind == "dimensions":
        return {pair[shape.pair[0]]: pair[shape.pair[1]] for pair in value}
    if shape.of and shape.kind == "object":
        return from_api(shape.of, value, spelling)
    if shape.kind == "integer":
        return int(value)
    return [from_api(shape.of, item, spelling) for item in value] if shape.of else value


def read_back(properties: Properties, given: Mapping[str, Any], actual: Mapping[str, Any]) -> Values:
    """The inputs as the cloud has them, in the program's own form where both mean the same."""
    result: Values = {key: value for key, value in given.items() if key.startswith("__")}
    for name, shape in properties.items():
        value = _read_back(shape, given.get(name), actual.get(name))
        if value is not None:
            result[name] = value
    return result


def _read_back(shape: Property, given: Any, actual: Any) -> Any:
    if shape.local or (shape.echo and actual is None) or same(shape, actual, given):
        return given
    if given is None:
        return None if empty(actual) or actual == shape.default else actual
    if shape.kind == "object":
        return read_back(shape.of, given, actual or {})
    if shape.kind == "list" and shape.of and actual and len(actual) == len(given):
        return [read_back(shape.of, before, after) for before, after in zip(given, actual, strict=True)]
    return actual


def state(properties: Properties, inputs: Values, others: Values | None, *, whole: bool) -> Values:
    """Outputs: the inputs, and beside them from `others` what was not given (None: not known yet).

    `whole` takes every member from `others`, else only those that the cloud chooses.
    """
    result: Values = {}
    for name, shape in properties.items():
        value = inputs.get(name)
        if value is None:
            if whole or shape.computed or shape.output:
                value = UNKNOWN if others is None else others.get(name)
        elif shape.of and value is not UNKNOWN:
            value = _state_of(shape, value, None if others is None else others.get(name), whole)
        if value is not None:
            result[name] = value
    return result


def _state_of(shape: Property, value: Any, others: Any, whole: bool) -> Any:
    if shape.kind == "object":
        return state(shape.of, value, others, whole=whole)
    rest = others if isinstance(others, list) and len(others) == len(value) else [{} for _ in value]
    if shape.kind == "set" or others is UNKNOWN:
        return value
    return [
        item if item is UNKNOWN else state(shape.of, item, None if others is None else other, whole=whole)
        for item, other in zip(value, rest, strict=True)
    ]
