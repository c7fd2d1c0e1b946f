"""Each scenario on each engine, against what the real CLI did.

The embedded engine runs everywhere; the CLI where `make test-reality` has built it, a sample of them, or all with
ALL=1. `RECORD` writes the golden files anew from the CLI.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.rehearsal.engine.state.crypt import Keyring
from tests.reality import golden_files
from tests.reality.bench import PASSPHRASE, Bench
from tests.reality.catalog import ALL
from tests.reality.compare import compare
from tests.reality.differences import DIFFERENCES, REASONS, REFUSALS, reason_of
from tests.reality.engines import CliEngine, EmbeddedEngine, Engine
from tests.reality.extent import sample
from tests.reality.page import PAGE, page

RECORD = "ECOMDEPLOY_TEST_RECORD"
IN_A_SAMPLE = 8


@pytest.fixture(scope="session")
def embedded() -> tuple[EmbeddedEngine, str]:
    engine = EmbeddedEngine()
    return engine, engine.keyring.fresh_salt(PASSPHRASE)


@pytest.fixture(scope="session")
def cli(
    tmp_path_factory: pytest.TempPathFactory, pulumi_binary: pathlib.Path
) -> Iterator[tuple[CliEngine, str]]:
    engine = CliEngine(pulumi_binary, tmp_path_factory.mktemp("pulumi-home"))
    engine.start()
    yield engine, Keyring().fresh_salt(PASSPHRASE)
    engine.close()


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> tuple[Engine, str]:
    """With the salt that all of its stacks share."""
    return request.getfixturevalue(request.param)


def pairs() -> Iterator[Any]:
    """Every scenario on the embedded engine; on the CLI, where each takes some twenty seconds, a sample of them."""
    for name in ALL:
        yield pytest.param("embedded", name, id=f"embedded-{name}")
    recorded = [name for name, (group, _, _) in ALL.items() if golden_files.place(group, name).exists()]
    for name in ALL if os.environ.get(RECORD) else sample(recorded, IN_A_SAMPLE):
        marks = [pytest.mark.slow, pytest.mark.reality]
        yield pytest.param("cli", name, id=f"cli-{name}", marks=marks)


@pytest.mark.parametrize(("engine", "name"), pairs(), indirect=["engine"])
def test_scenario(name: str, engine: tuple[Engine, str], tmp_path: pathlib.Path) -> None:
    group, _, run = ALL[name]
    bench = Bench(tmp_path, engine[0], salt=engine[1])
    run(bench)
    recorded = golden_files.place(group, name)
    unrecorded = f"{name} has not been recorded on the CLI yet: {RECORD}=1 make test-reality"
    if engine[0].name == "cli":
        if os.environ.get(RECORD):
            golden_files.write(group, name, bench.records)
        if not recorded.exists():
            pytest.skip(unrecorded)
        mismatches = compare(golden_files.read(group, name), bench.records)
        changed = [one for one in mismatches if reason_of(name, one) != "luck"]
        assert not changed, "\n".join(map(str, [*changed, *bench.told]))
        return
    if name in REFUSALS:
        refusal = REFUSALS[name]
        assert any(refusal.words in line for line in bench.told[refusal.at - 1]), bench.told
        return
    if not recorded.exists():
        pytest.skip(unrecorded)
    mismatches = compare(golden_files.read(group, name), bench.records)
    surprising = [one for one in mismatches if reason_of(name, one) is None]
    assert not surprising, "\n".join(map(str, surprising))
    for difference in DIFFERENCES.get(name, ()):
        for place in difference.places:
            there = any(fnmatchcase(one.place, place) for one in mismatches)
            assert there or difference.reason == "luck", f"{place} is no longer different"


def test_the_page_is_what_the_tables_say() -> None:
    if os.environ.get(RECORD):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), (
        f"{RECORD}=1 .venv/bin/python -m pytest tests/reality/test_scenarios.py -k page"
    )


def test_every_reason_is_told_and_used() -> None:
    assert {one.reason for listed in DIFFERENCES.values() for one in listed} == {*REASONS}
    assert {*DIFFERENCES, *REFUSALS} <= {*ALL}
