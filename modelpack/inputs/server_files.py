"""The model server's files, as the image of a use case holds them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import modelpack
from modelpack.errors import BadInput
from modelpack.usecases.optional.serving import handler_of

SERVED = ("__init__.py", "server/**/*.py")
HANDLERS = "server/handlers"


def app(usecase: object) -> dict[str, Path]:
    """The server's files and the use case's own handler's, by their path below the image's app folder."""
    handler = handler_of(usecase)
    own = dict(package_files(handler.module.rpartition(".")[0])) if handler else {}
    return dict(sorted({**server(), **own}.items()))


def server() -> dict[str, Path]:
    """The files that every image holds."""
    own = Path(modelpack.__file__).parent
    files = {path for pattern in SERVED for path in own.glob(pattern) if own / HANDLERS not in path.parents}
    return {f"modelpack/{path.relative_to(own).as_posix()}": path for path in sorted(files)}


def package_files(package: str) -> Iterator[tuple[str, Path]]:
    """The Python files of a package, and what makes the packages above it importable. Raises BadInput when it is not
    installed."""
    found = find_spec(package) if package else None
    if found is None or not found.submodule_search_locations:
        raise BadInput(
            f"the handler's package {package!r} is not importable", hint="install it beside ecomdeploy"
        )
    folder, names = Path(found.submodule_search_locations[0]), package.split(".")
    for path in folder.rglob("*.py"):
        yield f"{'/'.join(names)}/{path.relative_to(folder).as_posix()}", path
    for depth in range(1, len(names)):
        above = folder.parents[len(names) - depth - 1] / "__init__.py"
        if above.is_file():
            yield f"{'/'.join(names[:depth])}/__init__.py", above
