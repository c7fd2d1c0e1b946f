"""Plain `pulumi up`, typed as docs/pulumi.md says: three stacks on a state of its own, then the driver's state."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import programs
import pytest

from stacks.pulumi_driver.driver import Stack
from tests.reality.driven import Operation
from tests.reality.rig import Rig
from tests.reality.shop import BASE, NAME, PLATFORM, service_settings

HOST = "pulumi-language-python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.reality,
    pytest.mark.skipif(
        shutil.which(HOST) is None,
        reason=f"{HOST} is not on PATH: the CLI's language host has no version among Go's modules",
    ),
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, pulumi_binary: pathlib.Path) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("shell"), pulumi_binary)
    yield made
    made.close()


class Shell:
    """Types `pulumi` in a copy of a program's folder."""

    def __init__(self, rig: Rig, program: str, backend: pathlib.Path, **variables: str) -> None:
        self.folder = rig.folder / "typed" / backend.name / program
        shutil.copytree(programs.ROOT / "stacks" / "programs" / program, self.folder)
        backend.mkdir(exist_ok=True)
        self.environment = {
            **rig.project.variables,
            **rig.place.variables,
            "PATH": f"{pathlib.Path(sys.executable).parent}:{rig.project.variables['PATH']}",
            "PULUMI_BACKEND_URL": backend.as_uri(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            **variables,
        }

    def type(self, *words: str) -> str:
        done = subprocess.run(
            ["pulumi", *words, "--non-interactive"],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"pulumi {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def test_three_stacks_from_preview_to_destroy(rig: Rig) -> None:
    state = rig.folder / "own-state"
    shells = {}

    def bring_up(program: str, name: str, settings: dict[str, Any]) -> None:
        shell = shells[program] = Shell(rig, program, state, PULUMI_CONFIG_PASSPHRASE="a phrase")
        shell.type("stack", "init", name)
        shell.type("config", "set", "settings", json.dumps({**programs.LOCAL, **settings}))
        shell.type("preview")
        shell.type("up", "--yes")
        shell.type("preview", "--expect-no-changes")

    bring_up("base", NAME, BASE)
    assert json.loads(shells["base"].type("stack", "output", "--json"))["repository_name"] == NAME
    bring_up("service", NAME, service_settings([rig.place.push(NAME, "a")]))
    bring_up("platform", "local", PLATFORM)
    for program in ("service", "platform", "base"):
        shells[program].type("destroy", "--yes")
        shells[program].type("stack", "rm", "--yes")
    assert rig.holdings() == frozenset()


def test_the_drivers_own_state(rig: Rig) -> None:
    """What the driver made is what the shell sees: nothing changes, and an edit by either is seen by the other."""
    base = Stack("base", NAME)
    rig.well(Operation("up", base, {**programs.LOCAL, **BASE}))
    phrase = str(rig.state.parent / "passphrase")
    shell = Shell(rig, "base", rig.state, PULUMI_CONFIG_PASSPHRASE_FILE=phrase)
    settings = str(rig.state / "base" / f"Pulumi.{NAME}.yaml")
    shell.type("preview", "--stack", NAME, "--config-file", settings, "--expect-no-changes")
    shell.type("up", "--yes", "--stack", NAME, "--config-file", settings, "--expect-no-changes")
    rig.well(Operation("destroy", base))
    assert rig.holdings() == frozenset()
