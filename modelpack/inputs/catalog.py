"""One-file plug-ins: a new pass, runtime or use case is one file, found without an edit elsewhere.

Three places, in this order:

* the catalogue's own package: every module in it, scanned at the first look-up, and every module of a folder in it
  whose `__init__` says `ONE_A_FILE = True`;
* `./file.py:Name`, relative to the user's project;
* entry points of the group `ecomdeploy.plugins`, named `<kind>.<name>` (`usecase.shop`).

Plug-in modules import what is heavy (torch, onnx, pandas) inside functions, so that looking up stays cheap. One that is
asked for by its name is looked for where a source states that name, before all modules are imported.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from modelpack.errors import BadInput
from modelpack.server.from_source import load_source

T = TypeVar("T")
GROUP = "ecomdeploy.plugins"
SKIPPED = ("base", "fakes")
STATED = re.compile(r'^    name(?:: ClassVar\[str\])? = "([^"\n]*)"$', re.MULTILINE)


@dataclass
class Catalog(Generic[T]):
    """Plug-ins of one `kind` ("pass"): the concrete subclasses of `base` in `package`, by their `name`."""

    kind: str
    package: str
    base: Any
    how: str = ""
    """What to write when a class is none of them."""
    _found: dict[str, type[T]] | None = field(default=None, repr=False)

    def names(self) -> tuple[str, ...]:
        """All names known, without those given by path, sorted."""
        return tuple(sorted({*self._scan(), *self._entry_points()}))

    def get(self, name: str, project: Path | None = None) -> T:
        """The plug-in called `name`, newly made.

        Raises BadInput with the nearest known name when there is none, or when its file does not load.
        """
        if is_path(name):
            return make(self._from_file(name, project or Path()), name)
        if (own := self._look_up(name)) is not None:
            return own()
        if name in (points := self._entry_points()):
            return self._check(points[name].load(), points[name].value)()
        near = difflib.get_close_matches(name, self.names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.names())}"
        raise BadInput(f"unknown {self.kind} {name!r}", hint=f"write ./{name}" if ".py" in name else hint)

    def _look_up(self, name: str) -> type[T] | None:
        """The plug-in of the catalogue's own package, from the module that states its name where one does."""
        if self._found is None:
            for module in modules_stating(self.package, name):
                for kind in self._kinds(module):
                    if plug_in_name(kind) == name:
                        return kind
        return self._scan().get(name)

    def _scan(self) -> dict[str, type[T]]:
        if self._found is None:
            self._found = {
                plug_in_name(kind): kind
                for module in modules_of(self.package)
                for kind in self._kinds(module)
            }
        return self._found

    def _kinds(self, module: ModuleType) -> list[type[Any]]:
        """The plug-ins a module (or a package's `__init__`) offers: defined there or right below it."""
        return [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, self.base)
            and kind is not self.base
            and (kind.__module__ + ".").startswith(module.__name__ + ".")
        ]

    def _entry_points(self) -> dict[str, importlib.metadata.EntryPoint]:
        points = entry_points()
        prefix = f"{self.kind.replace(' ', '')}."
        return {point.name.removeprefix(prefix): point for point in points if point.name.startswith(prefix)}

    def _from_file(self, name: str, project: Path) -> type[T]:
        path, _, attribute = name.partition(":")
        file = project / path
        if not file.is_file():
            raise BadInput(f"{self.kind} {name!r}: no such file", where=str(file), hint=beside(file))
        if not attribute:
            raise BadInput(f"{self.kind} {name!r} names no class", hint=f"write {path}:ClassName")
        if file.suffix != ".py":
            raise BadInput(f"{self.kind} {name!r}: not a Python file", where=str(file))
        try:
            module = load_source(file, module_name(file))
        except (Exception, SystemExit) as error:
            what = f"{self.kind} {name!r} does not load: {type(error).__name__}: {error}"
            raise BadInput(what, where=line_of(error, file)) from error
        if not hasattr(module, attribute):
            own = [kind.__name__ for kind in self._kinds(module)]
            near = difflib.get_close_matches(attribute, own or dir(module), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has: {', '.join(own)}" if own else ""
            raise BadInput(f"{path} has no {attribute!r}", where=str(file), hint=hint)
        return self._check(getattr(module, attribute), name)

    def _check(self, kind: Any, name: str) -> type[T]:
        if not (inspect.isclass(kind) and issubclass(kind, self.base)):
            raise BadInput(
                f"{name} is not a {self.kind}",
                hint=self.how or f"subclass {self.base.__module__}.{self.base.__name__}",
            )
        return cast("type[T]", kind)


@dataclass(frozen=True)
class CatalogNames(Collection[str]):
    """The names that a catalogue knows: whether one is among them is read from the package's sources, and `list_all`
    (`Catalog.names`) imports every module only where none states it."""

    package: str
    list_all: Callable[[], tuple[str, ...]]

    def __contains__(self, name: object) -> bool:
        stated = isinstance(name, str) and name in files_stating(self.package)
        return stated or name in self.list_all()

    def __iter__(self) -> Iterator[str]:
        return iter(self.list_all())

    def __len__(self) -> int:
        return len(self.list_all())


@cache
def files_stating(package: str) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """The sources of a package, as parts of their path in it, by the names that classes in them state. Read once."""
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for folder in map(Path, importlib.import_module(package).__path__):
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            if parts[0] not in SKIPPED:
                for name in dict.fromkeys(STATED.findall(file.read_text(encoding="utf-8"))):
                    found[name] = (*found.get(name, ()), parts)
    return found


def modules_stating(package: str, name: str) -> Iterator[ModuleType]:
    """The modules in which a plug-in of that name is looked for first."""
    for parts in files_stating(package).get(name, ()):
        module = importlib.import_module(f"{package}.{parts[0]}")
        if getattr(module, "ONE_A_FILE", False) and len(parts) > 1:
            module = importlib.import_module(f"{package}.{parts[0]}.{parts[1]}")
        yield module


@cache
def entry_points() -> importlib.metadata.EntryPoints:
    """Those of our group, looked for once: all installed distributions are read for it."""
    return importlib.metadata.entry_points(group=GROUP)


def modules_of(package: str) -> Iterator[ModuleType]:
    """The modules in which a package's plug-ins are looked for."""
    for entry in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if entry.name.rpartition(".")[2] in SKIPPED:
            continue
        module = importlib.import_module(entry.name)
        yield module
        if getattr(module, "ONE_A_FILE", False):
            yield from modules_of(entry.name)


def make(kind: type[T], name: str) -> T:
    """One of a user's class. Raises BadInput for methods that it lacks, and for what its making raises."""
    if lacking := sorted(getattr(kind, "__abstractmethods__", ())):
        methods = ", ".join(f"{one}()" for one in lacking)
        raise BadInput(f"{name} lacks {methods}", where=inspect.getfile(kind))
    try:
        return kind()
    except BadInput:
        raise
    except Exception as error:
        file = Path(inspect.getfile(kind))
        what = f"{name} cannot be made: {type(error).__name__}: {error}"
        raise BadInput(what, where=line_of(error, file)) from error


def line_of(error: BaseException, file: Path) -> str:
    """`file:line` of the last line in the file that an error came through; the file alone when there is none."""
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f"{file}:{error.lineno}"
    frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename) == file]
    return f"{file}:{frames[-1].lineno}" if frames else str(file)


def beside(file: Path) -> str:
    """Python files in its folder, for a hint."""
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}"
    names = [one.name for one in sorted(file.parent.glob("*.py"))]
    near = difflib.get_close_matches(file.name, names, n=1)
    return f"did you mean {near[0]}?" if near else "the path is relative to the folder of ecomdeploy.yaml"


def is_path(name: str) -> bool:
    """Whether a plug-in's name is a path ("./shop.py:ShopRecs")."""
    return name.startswith(("./", "../", "/"))


def plug_in_name(kind: type[object]) -> str:
    """The `name` a plug-in's class states."""
    return str(getattr(kind, "name", kind.__name__))


def module_name(file: Path) -> str:
    """A module name for a plug-in's file: by content, so that two files of one name do not meet."""
    return f"ecomdeploy_plugin_{file.stem}_{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
