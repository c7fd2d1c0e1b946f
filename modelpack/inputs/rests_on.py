"""What a result rests on: the code that making it may run, ours and a plug-in's, and the libraries of others.

Read from the sources, so that nobody keeps a list: from the files in which making it begins every import is followed,
inside functions too, and every package that an import passes through; so is a module named in a string, as in
`python -m`. Imports for type checkers are not: they do not run. A catalogue finds plug-ins by scanning a folder, which
is no import here: the plug-in that is used is one of the files to begin in.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from importlib.util import resolve_name
from os.path import isfile
from pathlib import Path

import modelpack
from modelpack.digests import installed_version, source_digest

HOME = Path(modelpack.__file__).parents[1]
IN_QUOTES = re.compile(rb"""["']([A-Za-z_]\w*(?:\.\w+)+)["']""")
LONG_STRING = re.compile(r"(\"{3}|'{3}).*?\1", re.DOTALL)
FOR_CHECKERS = ("if TYPE_CHECKING:", "if typing.TYPE_CHECKING:")
IMPORT = re.compile(r"^ *(?:from (\S+) import (\([^)]*\)|[^\n]*)|import ([^\n]*))", re.MULTILINE)
COMMENT = re.compile(r"#[^\n]*")
UNUSUAL = re.compile(r"\\\n|[;:] *(?:import|from) ")
"""What ruff leaves of no import: a line that goes on, a statement that shares its line."""
NAMED = {"google.protobuf": "protobuf"}
"""Distributions by what is imported."""
BEHIND = {"torch": ("onnxscript",), "pandas": ("pyarrow",), "keras": ("tensorflow", "tf2onnx")}
"""Libraries that work behind another: torch and Keras export through them, pandas reads through pyarrow."""


@dataclass(frozen=True)
class Code:
    """`files` are Python sources, `libraries` the names that others' packages are imported by."""

    files: frozenset[Path]
    libraries: frozenset[str]

    @property
    def digest(self) -> str:
        """Names the sources by their content."""
        return source_digest(self.files)

    @property
    def versions(self) -> dict[str, str | None]:
        """The libraries by version; None: not installed."""
        names = {*self.libraries, *(one for name in self.libraries for one in BEHIND.get(name, ()))}
        return {name: version_of(name) for name in sorted(names)}


def rests_on(modules: Iterable[str] = (), plug_ins: Iterable[object] = ()) -> Code:
    """The code of these modules of ours and of these plug-ins' classes, with all that they import."""
    kinds = [type(one) for one in plug_ins]
    tops = {**dict(map(top_of, kinds)), modelpack.__name__: HOME}
    classes = [each for kind in kinds for each in own_classes(kind)]
    waiting = [Path(inspect.getfile(each)) for each in classes]
    names = {*modules, *(each.__module__ for each in classes)}
    waiting += [file for name in names for file in locate(name, tops)]
    files: set[Path] = set()
    while waiting:
        if (file := waiting.pop()) in files:
            continue
        files.add(file)
        new = names_in(file, tops) - names
        names |= new
        waiting += [found for name in new for found in locate(name, tops)]
    others = {name for name in names if name.partition(".")[0] not in tops.keys() | sys.stdlib_module_names}
    return Code(frozenset(files), frozenset(map(library_of, others)))


def library_of(module: str) -> str:
    """The name that its library is told by: the first part, or two where many libraries share the first."""
    return next((name for name in NAMED if f"{module}.".startswith(f"{name}.")), module.partition(".")[0])


def names_in(file: Path, tops: Mapping[str, Path]) -> set[str]:
    """The full names of what a file imports, and of what it quotes of our own or the plug-ins'."""
    content = file.read_bytes()
    imported = {
        resolve_name(name, package_of(file, tops)) if name.startswith(".") else name
        for name in (read_imports if is_ours(file) else imported_names)(content)
    }
    return imported | {name for name in quoted_names(content) if name.partition(".")[0] in tops}


def own_classes(kind: type) -> list[type]:
    """A class and those it builds on, without Python's own."""
    return [one for one in kind.__mro__ if one.__module__.partition(".")[0] not in sys.stdlib_module_names]


def top_of(kind: type) -> tuple[str, Path]:
    """The name of the package that a class belongs to, and the folder in which that package lies."""
    file, parts = Path(inspect.getfile(kind)), kind.__module__.split(".")
    return parts[0], file.parents[len(parts) - (file.name != "__init__.py")]


def locate(name: str, tops: Mapping[str, Path]) -> list[Path]:
    """The files of a module and of the packages above it; those of the module it is a name in, where it is none."""
    parts = name.split(".")
    if parts[0] not in tops:
        return []
    path, found = str(tops[parts[0]]), []
    for part in parts:
        path = f"{path}/{part}"
        found += [file for file in (f"{path}/__init__.py", f"{path}.py") if isfile(file)][:1]
    return [Path(file) for file in found]


def package_of(file: Path, tops: Mapping[str, Path]) -> str:
    """The package that relative imports in a file begin from; empty outside of any."""
    above = [folder for top, folder in tops.items() if folder / top in file.parents]
    return ".".join(file.parent.relative_to(above[0]).parts) if above else ""


@cache
def imported_names(content: bytes) -> frozenset[str]:
    """What a source imports, by full name; a relative import keeps its dots."""
    return frozenset(name for node in statements(ast.parse(content).body) for name in names_of(node))


def is_ours(file: Path) -> bool:
    """Whether it is one of the sources that this repository formats."""
    return str(file).startswith(f"{HOME / modelpack.__name__}/")


@cache
def read_imports(content: bytes) -> frozenset[str]:
    """The same as `imported_names` of a source that ruff has formatted, in a tenth of the time."""
    if UNUSUAL.search(content.decode()):
        return imported_names(content)
    text = drop_checkers(LONG_STRING.sub("", content.decode()))
    names: set[str] = set()
    for module, members, plain in IMPORT.findall(text):
        listed = [
            each.split(" as ")[0].strip()
            for each in COMMENT.sub("", members or plain).strip("() \n").split(",")
            if each.strip()
        ]
        if not module:
            names.update(listed)
            continue
        dot = "" if module.endswith(".") else "."
        names.update([module, *(f"{module}{dot}{each}" for each in listed)])
    return frozenset(names)


def drop_checkers(text: str) -> str:
    """The lines of a source, without those that are there for type checkers only."""
    kept, depth = [], -1
    for line in text.split("\n"):
        statement = line.lstrip(" ")
        indent = len(line) - len(statement)
        if depth >= 0 and (not statement or indent > depth):
            continue
        depth = indent if statement in FOR_CHECKERS else -1
        if depth < 0:
            kept.append(line)
    return "\n".join(kept)


@cache
def quoted_names(content: bytes) -> frozenset[str]:
    """What could be a module's name among the strings of a source."""
    return frozenset(found.decode() for found in IN_QUOTES.findall(content))


def statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All statements, those within others too, but nothing that is there for type checkers only."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and for_type_checkers(node.test):
            yield from statements(node.orelse)
            continue
        for within in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, within, ()))


def for_type_checkers(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def names_of(node: ast.AST) -> list[str]:
    """The modules that an import statement names, and what it takes out of them: that may be a module too."""
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        dot = "." if node.module else ""
        return [module, *(f"{module}{dot}{one.name}" for one in node.names)]
    return []


def version_of(library: str) -> str | None:
    """The installed version of what is imported by that name, whatever its distribution is called. Looking through all
    distributions takes as long as the rest of a digest, so those that ours need are told."""
    if (plain := installed_version(NAMED.get(library, library))) is not None:
        return plain
    distributions = sorted(packages_distributions().get(library, ()))
    return ", ".join(f"{one} {installed_version(one)}" for one in distributions) or None
