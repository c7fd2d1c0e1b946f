"""A build of the control plane that fails says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.rehearsal.cloud.kubernetes.build import compile_module
from modelpack.errors import EcomdeployError
from modelpack.progress import Silent


def fake_go(folder: Path, monkeypatch: pytest.MonkeyPatch, build: str) -> None:
    go = folder / "go"
    go.write_text(f"#!/bin/sh\nif [ $1 = build ]; then {build}; fi\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("build", "told", "hint"),
    [
        (
            "echo k8s.io/x: broken >&2; exit 1",
            "etcd was not built:\nk8s.io/x: broken",
            "go version: at least",
        ),
        ("kill -9 $$", "etcd was not built: go was ended by signal 9", "type the same command again"),
    ],
    ids=["fails", "killed"],
)
def test_a_build_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str, told: str, hint: str
) -> None:
    fake_go(tmp_path, monkeypatch, build)
    with pytest.raises(EcomdeployError) as error:
        compile_module("etcd", ["."], "-s", tmp_path / "out", Silent())
    assert (str(error.value), error.value.hint[: len(hint)]) == (told, hint)
