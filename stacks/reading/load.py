"""Parse and validate: `ecomdeploy.yaml` for one environment -> Spec, or every problem at once.

`environments.<name>` overrides the file key by key; what neither says has the dataclass's default, and what that leaves
to the use case (its passes, training, gate) is completed where it is used, in `modelpack/build.py`. Every environment
of the file is checked, so that a slip in `prod` is found while working in `local`. pydantic checks types over the plain
dataclasses, in strict JSON mode ("3" is not a number); rules across keys live in `stacks/reading/rules.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from modelpack.errors import BadInput, Problem
from stacks.reading.document import Value, join, merge, read
from stacks.reading.rules import cross_check, nearest
from stacks.reading.shorthand import describe, write_out
from stacks.reading.wording import say
from stacks.spec import OVERLAYS, Environment, KnownNames, Spec

MOST_PROBLEMS = 100
FILE_WORDS = {"start": "from", "end": "to", "host_image": "ami", "blue_green": "blue-green", "source": "from"}
"""Field names that are other words in the file: `from` and dashes are not Python's, `ami` is one target's word."""

CONFIG = ConfigDict(
    extra="forbid", strict=True, allow_inf_nan=False, alias_generator=lambda name: FILE_WORDS.get(name, name)
)


def load(file: Path, environment: str, known: KnownNames) -> Spec:
    """The complete Spec of one environment.

    Args:
        file: path of `ecomdeploy.yaml`; problems name it as given here.
        environment: a key of `environments` ("local" exists even when the file does not say so).
        known: names that the catalogs know.

    Raises:
        BadInput: every problem found, each with `file:line`, dotted path, what was expected, the nearest key.
    """
    document, problems = read(file)
    where = str(file)
    environments = environments_of(document)
    found = list(problems)
    chosen: Spec | None = None
    if environment not in environments:
        near = nearest(environment, environments) or f"known: {', '.join(sorted(environments))}"
        found.append(
            Problem(
                f"no environment {environment!r}",
                place(where, document, "environments"),
                "environments",
                near,
            )
        )
    for name in sorted(environments, key=lambda each: each != environment):
        merged = merge_layers(document, name, environments[name])
        spec, wrong = validate(merged, where)
        spec = fill_in(spec, merged, known)
        found += [*wrong, *cross_check(merged, name, known, where)]
        chosen = chosen or (spec if name == environment else None)
    if found or chosen is None:
        in_order = sorted(dict.fromkeys(found), key=line_of)
        if len(in_order) > MOST_PROBLEMS:
            more = Problem(f"and {len(in_order) - MOST_PROBLEMS:,} more", where)
            in_order = [*in_order[:MOST_PROBLEMS], more]
        raise BadInput(in_order, hint=f"mend {where} and type the same command again")
    return chosen


def environments_of(document: Value) -> dict[str, Value]:
    """The environments of the file; `local` is always one of them."""
    given = document.at("environments")
    path = "environments.local"
    local = {"local": Value({"cloud": Value("local", 0, f"{path}.cloud")}, 0, path)}
    return {**local, **given.data} if given and isinstance(given.data, dict) else local


def merge_layers(document: Value, name: str, environment: Value) -> Value:
    """File and overlay as one document, with the environment's own keys under `environment`."""
    merged = Value({key: value for key, value in document.data.items() if key != "environments"}, 1, "")
    if "environment" in merged.data:  # our own word, not the file's: the blank makes it an unknown key
        merged.data["environment "] = merged.data.pop("environment")
    if not isinstance(environment.data, dict):
        merged.data["environment"] = environment
        return merged
    own = {key: value for key, value in environment.data.items() if key not in OVERLAYS}
    if "name" in own:
        own["name "] = own.pop("name")
    own["name"] = Value(name, environment.line, environment.path)
    overlay = {key: value for key, value in environment.data.items() if key in OVERLAYS}
    merged = write_out(merge(merged, Value(overlay, 1, "")))
    merged.data["environment"] = Value(own, environment.line, environment.path)
    return merged


def fill_in(spec: Spec | None, merged: Value, known: KnownNames) -> Spec | None:
    """What a file that names no instance gets: its target's own."""
    target = known.targets.get(spec.serve.target) if spec else None
    if spec is None or target is None or merged.at("serve", "instance") or not target.hosts().default:
        return spec
    return replace(spec, serve=replace(spec.serve, instance=target.hosts().default))


@cache
def adapter() -> TypeAdapter[tuple[Spec]]:
    """The validator, built once; in a tuple, or pydantic would not hand CONFIG down to the dataclasses."""
    return TypeAdapter(tuple[Spec], config=CONFIG)


def validate(merged: Value, where: str) -> tuple[Spec | None, list[Problem]]:
    """The Spec, or what pydantic found, in the file's own words."""
    try:
        (spec,) = adapter().validate_json(json.dumps([merged.plain()]))
    except ValidationError as error:
        found = error.errors(include_url=False)
        return None, [translate(merged, where, one) for one in found if is_meant(one) and not is_echo(one)]
    return spec, []


def is_echo(error: Mapping[str, Any]) -> bool:
    """Whether a list is called too short that is long enough: pydantic counts the entries that it took."""
    return error["type"] == "too_short" and len(error["input"]) >= int(error["ctx"]["min_length"])


LITERAL, PLAIN_TEXT = "literal[", "str"
"""What pydantic calls the branches of what may be one thing or another."""


def is_meant(error: Mapping[str, Any]) -> bool:
    """Of what may be a word or keys and values pydantic tells both: the one that it looks like counts."""
    last = str(error["loc"][-1])
    is_keys = isinstance(error["input"], dict)
    is_word = last.startswith(LITERAL) or (last == PLAIN_TEXT and error["type"] == "string_type")
    return not (is_keys if is_word else last in shapes() and not is_keys)


def translate(merged: Value, where: str, error: Mapping[str, Any]) -> Problem:
    """One pydantic error as a Problem: the deepest key that the file has gives the line."""
    branches = (key for key in error["loc"][1:] if isinstance(key, int) or not key.startswith(LITERAL))
    keys = tuple(key for key in branches if key not in shapes())
    depth = next((size for size in range(len(keys), 0, -1) if merged.at(*keys[:size]) is not None), 0)
    if keys[depth:] == (PLAIN_TEXT,):
        keys = keys[:depth]
    at = merged.at(*keys[:depth]) or merged
    path = (
        at.path if depth == len(keys) else join(at.path, ".".join(str(key).strip() for key in keys[depth:]))
    )
    line = f"{where}:{at.line}" if at.line else where
    if error["type"] == "unexpected_keyword_argument" or error["type"] == "extra_forbidden":
        word = str(keys[-1]).strip()
        return Problem("unknown key", line, path, nearest(word, siblings(keys[:-1])))
    return Problem(say(error, at.data), line, path)


@cache
def shapes() -> dict[str, Any]:
    """The JSON schemas of all the dataclasses, by name."""
    found: dict[str, Any] = adapter().json_schema()["$defs"]
    return found


def siblings(keys: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys that a mapping at this place may have."""
    parts = shapes()
    here = parts["Spec"]
    for key in keys:
        among = here.get("additionalProperties") or {}  # of a mapping whose keys are the user's
        here = here.get("items", {}) if isinstance(key, int) else here.get("properties", {}).get(key, among)
        here = next((one for one in here.get("anyOf", ()) if "$ref" in one or "items" in one), here)
        here = parts[here["$ref"].rsplit("/", 1)[1]] if "$ref" in here else here
    names = [name for name in here.get("properties", {}) if name not in ("environment", "line")]
    if not keys:
        return (*names, "environments")
    if keys == ("environment",):
        return (*(one.name for one in fields(Environment) if one.name != "name"), *OVERLAYS)
    return tuple(names)


def line_of(problem: Problem) -> int:
    number = problem.where.rpartition(":")[2]
    return int(number) if number.isdecimal() else 0


def place(where: str, document: Value, *keys: str) -> str:
    at = document.at(*keys)
    return f"{where}:{at.line}" if at and at.line else where


def schema() -> dict[str, Any]:
    """JSON Schema of the file (for editors and docs); an environment may hold any overlay key as well."""
    parts = adapter().json_schema()["$defs"]
    whole = parts.pop("Spec")
    environment = parts["Environment"]
    environment["properties"].pop("name")
    environment["properties"] |= {key: whole["properties"][key] for key in OVERLAYS}
    describe(parts)
    whole["properties"].pop("environment")
    whole["properties"]["environments"] = {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/Environment"},
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "$defs": parts}
