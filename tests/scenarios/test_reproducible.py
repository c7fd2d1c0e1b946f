"""Two clean clones at two paths, each with its own home and empty caches: the same digest."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typed import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network]


def clone(target: Path) -> Path:
    """What git has, where git is; else the sources as they stand (an unpacked release has no .git)."""
    if (ROOT / ".git").exists():
        subprocess.run(["git", "clone", "-q", str(ROOT), str(target)], check=True)
        return target
    return Path(shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(".venv", ".git", "*.pyc")))


def pack(code: Path, project: Path, home: Path) -> dict:  # type: ignore[type-arg]
    import json
    import os

    environment = {
        **os.environ,
        "ECOMDEPLOY_HOME": str(home),
        "ECOMDEPLOY_CACHE": str(home / "cache"),
        "PYTHONPATH": str(code),
    }
    line = [sys.executable, "-m", "cli.app", "pack", "--json"]
    done = subprocess.run(line, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict = json.loads(done.stdout)  # type: ignore[type-arg]
    return found


@pytest.mark.nightly(
    like="tests/modelpack/test_build.py::test_another_home_and_path_with_the_same_lock_gives_the_same_image"
)
def test_two_clones_give_the_same_digest(tmp_path: Path) -> None:
    images = []
    lock: Path | None = None
    for name in ("one", "a longer path/two"):
        root = tmp_path / name
        code = clone(root / "code")
        project = root / "shop"
        environment_free = [sys.executable, "-m", "cli.app", "init", "recommendation", str(project)]
        subprocess.run(environment_free, cwd=code, check=True, capture_output=True)
        spec = project / "ecomdeploy.yaml"
        spec.write_text(re.sub(r"epochs: \d+", "epochs: 1, architecture: one-stage", spec.read_text()))
        if lock is not None:
            shutil.copy(lock, project / "pack.lock")
        images.append(pack(code, project, root / "home")["image"])
        lock = project / "pack.lock"
        assert lock.is_file()
    assert images[0] == images[1]
