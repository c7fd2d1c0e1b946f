"""A YAML document whose every value remembers its line and path, so that an error can point at it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from modelpack.errors import BadInput, Problem

MOST_BYTES = 1_000_000
MOST_VALUES, DEEPEST, LONGEST_NUMBER = 5_000, 20, 50
PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "map", "seq")
)
NUMBERS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float"))
TOO_DEEP = f"is nested deeper than {DEEPEST} levels"
TIMESTAMP = "tag:yaml.org,2002:timestamp"


@dataclass(frozen=True)
class Value:
    """A scalar, mapping or sequence of Values; `line` counts from 1 (0: from no file), `path` is dotted."""

    data: Any
    line: int
    path: str

    def plain(self) -> Any:
        """The same without places."""
        if isinstance(self.data, dict):
            return {key: value.plain() for key, value in self.data.items()}
        if isinstance(self.data, list):
            return [value.plain() for value in self.data]
        return self.data

    def at(self, *keys: str | int) -> Value | None:
        """The value under these keys, or None."""
        here: Value | None = self
        for key in keys:
            inside = here.data if here is not None else None
            if isinstance(inside, dict):
                here = inside.get(key)
            elif isinstance(inside, list) and isinstance(key, int) and key < len(inside):
                here = inside[key]
            else:
                return None
        return here


def items(value: Value | None) -> list[Value]:
    """Of a sequence; of anything else none."""
    return value.data if value and isinstance(value.data, list) else []


def merge(below: Value, above: Value) -> Value:
    """Deep merge: mappings key by key, anything else is replaced by what is `above`."""
    if not (isinstance(below.data, dict) and isinstance(above.data, dict)):
        return above
    merged = dict(below.data)
    for key, value in above.data.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return replace(above, data=merged)


def read(file: Path) -> tuple[Value, tuple[Problem, ...]]:
    """Read one YAML file.

    Returns the document (a mapping) and what is wrong in it that does not stop the reading: duplicate keys,
    aliases, tags, keys that are not words.

    Raises:
        BadInput: there is no such file, it cannot be read, or it is not YAML.
    """
    where = str(file)
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise BadInput(
            f"there is no {file.name} here", where=where, hint="ecomdeploy init recommendation shop"
        ) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=where) from None
    if len(raw) > MOST_BYTES:
        raise BadInput(f"is {len(raw):,} bytes; a spec has at most {MOST_BYTES:,}", where=where)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadInput("is not UTF-8 text here", where=f"{where}:{line}", hint="save it as UTF-8") from None
    reader = NodeReader(where)
    node = reader.compose(text)
    if not isinstance(node, MappingNode):
        raise BadInput("expected keys and values, like `service: shop`", where=f"{where}:1", hint=STARTER)
    return reader.value(node, ""), tuple(reader.problems)


STARTER = "`ecomdeploy init recommendation shop` writes a commented example"


class NodeReader:
    """Turns ruamel's nodes into Values, and collects problems on the way."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[Problem] = []
        self.seen: set[int] = set()
        self.yaml = YAML(typ="safe", pure=True)

    def compose(self, text: str) -> Any:
        try:
            return self.yaml.compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{self.where}:{mark.line + 1}" if mark else self.where
            what = " ".join(part for part in (error.problem, error.context) if part)
            tab = "\\t" in what
            hint = "indent with spaces" if tab else "check the indentation and the colons around this line"
            raise BadInput(f"not valid YAML: {what}", where=place, hint=hint) from None
        except YAMLError as error:
            raise BadInput(f"not valid YAML: {str(error).splitlines()[0]}", where=self.where) from None
        except RecursionError:
            raise BadInput(TOO_DEEP, where=self.where) from None

    def complain(self, node: Any, path: str, what: str, hint: str = "") -> None:
        self.problems.append(Problem(what, f"{self.where}:{node.start_mark.line + 1}", path, hint))

    def value(self, node: Any, path: str, depth: int = 0) -> Value:
        line = node.start_mark.line + 1
        if depth > DEEPEST:
            raise BadInput(TOO_DEEP, where=f"{self.where}:{line}")
        if len(self.seen) > MOST_VALUES:
            raise BadInput(
                f"has more than {MOST_VALUES:,} values", where=f"{self.where}:{line}", hint=STARTER
            )
        if id(node) in self.seen:
            self.complain(node, path, "aliases (*name) are not read here", "write the value out")
            return Value(None, line, path)
        self.seen.add(id(node))
        if node.tag not in PLAIN_TAGS and node.tag != TIMESTAMP:
            self.complain(node, path, f"the tag {node.tag} is not read here")
            return Value(None, line, path)
        if isinstance(node, MappingNode):
            return Value(self.mapping(node, path, depth), line, path)
        if isinstance(node, SequenceNode):
            inside = [self.value(each, f"{path}[{at}]", depth + 1) for at, each in enumerate(node.value)]
            return Value(inside, line, path)
        if node.tag in NUMBERS and len(node.value) > LONGEST_NUMBER:
            self.complain(node, path, f"a number of {len(node.value):,} characters is not read here")
            return Value(None, line, path)
        return Value(self.scalar(node), line, path)

    def mapping(self, node: MappingNode, path: str, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for key, inside in node.value:
            if not isinstance(key, ScalarNode) or not isinstance(key.value, str):
                self.complain(key, path, "a key must be a word")
                continue
            name, here = key.value, join(path, key.value)
            if name in found:
                self.complain(key, here, f"is there twice; the first is in line {found[name].line}")
                continue
            value = self.value(inside, here, depth + 1)
            found[name] = replace(value, line=key.start_mark.line + 1)
        return found

    def scalar(self, node: ScalarNode) -> Any:
        """Dates stay text: pydantic reads them, with their UTC offset."""
        if node.tag == TIMESTAMP:
            return node.value
        return self.yaml.constructor.construct_object(node, deep=True)


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
