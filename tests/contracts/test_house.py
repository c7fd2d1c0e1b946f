"""The walls of the house: which file may know which, and how many things may lie in one room.

Imports are read from the sources, those under TYPE_CHECKING and inside functions too: an arrow is an arrow.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import grimp
import networkx
import pytest

ROOMS = ("cli", "stacks", "infra", "modelpack")
ROOT = pathlib.Path(__file__).resolve().parents[2]
MOST_FILES = 20


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph(*ROOMS, cache_dir=None)


def folders() -> Iterator[pathlib.Path]:
    for room in ROOMS:
        yield from (
            ROOT / room,
            *(path for path in (ROOT / room).rglob("*") if path.is_dir() and path.name != "__pycache__"),
        )


def entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.iterdir() if path.name != "__pycache__"]


def is_program(path: pathlib.Path) -> bool:
    """Pulumi programs are run by their path and never imported."""
    return path.relative_to(ROOT).parts[:2] == ("stacks", "programs")


def ties(imports: grimp.ImportGraph, circle: set[str]) -> list[str]:
    """What ties the files of a circle together: each arrow with its line."""
    return [
        f"{source}:{detail['line_number']}  {detail['line_contents']}"
        for source in sorted(circle)
        for target in sorted(imports.find_modules_directly_imported_by(source) & circle)
        for detail in imports.get_import_details(importer=source, imported=target)
    ]


def test_no_import_circle_between_files(imports: grimp.ImportGraph) -> None:
    arrows = networkx.DiGraph(
        (source, target)
        for source in imports.modules
        for target in imports.find_modules_directly_imported_by(source)
    )
    circles = [one for one in networkx.strongly_connected_components(arrows) if len(one) > 1]
    assert [ties(imports, one) for one in circles] == []


def test_every_file_is_seen(imports: grimp.ImportGraph) -> None:
    """A folder without `__init__.py` is a package to Python and nothing at all to what reads the arrows."""
    unseen = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name not in imports.modules and not is_program(path):
                unseen.append(name)
    assert unseen == []


def test_no_folder_is_crowded() -> None:
    full = {
        str(folder.relative_to(ROOT)): count
        for folder in folders()
        if (count := sum(path.is_file() for path in entries(folder))) > MOST_FILES
    }
    assert full == {}


def test_the_top_level_of_modelpack_is_short() -> None:
    assert len(entries(ROOT / "modelpack")) <= MOST_FILES
