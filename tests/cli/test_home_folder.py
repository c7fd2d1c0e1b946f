"""Where there is no home folder, or none to write to, every command says so; none is made in the project."""

from __future__ import annotations

import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ordinary_user import ORDINARY, run_as_ordinary_user

from cli.app import list_homes

TYPE = "import sys; from cli.app import run; sys.exit(run(sys.argv[1:]))"
SPEC = """version: 1
service: shop
usecase: recommendation
environments:
  local: {cloud: local}
"""
WRITING = (["up"], ["cloud", "start"])
NAMELESS = 54321
"""A user that has no line in /etc/passwd, as in a container that is started with `--user`."""


@pytest.fixture
def project() -> Iterator[Path]:
    """A project in which everybody may write."""
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-project-") as folder:
        (Path(folder) / "ecomdeploy.yaml").write_text(SPEC)
        Path(folder).chmod(0o777)
        yield Path(folder)


def folder_of(line: list[str], project: Path) -> list[str]:
    return line if line[0] == "cloud" else [*line, "--project", str(project)]


@pytest.mark.parametrize("line", WRITING, ids=" ".join)
@pytest.mark.parametrize("home", ["/", "/proc", "/dev/null", None])
def test_a_home_that_cannot_be_written_to_is_named(home: str | None, line: list[str], project: Path) -> None:
    done = run_as_ordinary_user(TYPE, *folder_of(line, project), home=Path(home) if home else None)
    assert done.returncode == 1, done.stderr
    assert f": {home or pwd.getpwuid(ORDINARY).pw_dir}" in done.stderr
    assert "ECOMDEPLOY_HOME=FOLDER" in done.stderr
    assert "fault in ecomdeploy" not in done.stderr


@pytest.mark.parametrize("line", [["status"], ["cloud", "start"], ["doctor"]], ids=" ".join)
def test_a_user_without_a_home_is_asked_for_one(line: list[str], project: Path) -> None:
    with pytest.raises(KeyError):
        pwd.getpwuid(NAMELESS)
    done = run_as_ordinary_user(TYPE, *folder_of(line, project), home=None, user=NAMELESS)
    assert (done.returncode, "has no home folder" in done.stderr) == (2, True), done.stderr
    assert [each.name for each in project.iterdir()] == ["ecomdeploy.yaml"], "no folder called ~"


def test_doctor_finds_a_home_that_cannot_be_written_to() -> None:
    done = run_as_ordinary_user(TYPE, "doctor", "--project", "/", home=Path("/"))
    assert "this user may not write to /" in done.stdout


def test_a_home_may_be_written_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ECOMDEPLOY_HOME", "~/shop")
    monkeypatch.delenv("ECOMDEPLOY_CACHE", raising=False)
    assert list_homes() == (tmp_path / "shop", tmp_path / "shop" / "cache")
