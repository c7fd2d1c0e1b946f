"""What each target can and cannot do, as the page says it."""

from __future__ import annotations

import pathlib

import pytest

from infra.capabilities import Capability
from infra.targets.catalog import targets

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "kserve.md"


def table() -> dict[str, dict[str, str]]:
    """The page's cells by capability and target."""
    section = PAGE.read_text().partition("\n## What a target can do\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heading, _, *rows = cells
    return {row[0]: dict(zip(heading[2:], row[2:], strict=True)) for row in rows}


def test_the_page_has_every_target_and_every_capability() -> None:
    assert set(table()) == set(Capability)
    assert all(set(row) == set(targets().names()) for row in table().values())


@pytest.mark.parametrize("name", targets().names())
def test_the_page_says_what_a_spec_is_told(name: str) -> None:
    lacks = targets().get(name).lacks
    assert {capability: lacks.get(capability, "yes") for capability in Capability} == {
        capability: table()[capability][name] for capability in Capability
    }


def test_the_page_says_what_is_held_to_be_the_same() -> None:
    from tests.conformance.targets.test_same_on_both import MEANINGS

    assert meanings() == list(MEANINGS)


def meanings() -> list[str]:
    """First cells of the table of what is the same on both."""
    section = PAGE.read_text().partition("\n## What is the same\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [row.strip("|").split(" | ")[0].strip() for row in rows]
