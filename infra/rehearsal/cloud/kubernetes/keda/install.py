"""KEDA's two programs and its resource definitions, built from the Go modules that `source/keda` pins: kept in the
user's cache by version, checksums and platform. Optional: nothing else here needs it."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.kubernetes.binaries import INSTALL, SOURCE, read_pin
from infra.rehearsal.cloud.kubernetes.build import can_build, compile_module, find_cache
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import hold_lock
from modelpack.progress import Progress, Silent

MODULE = "github.com/kedacore/keda/v2"
OPERATOR, ADAPTER = "operator", "adapter"
"""KEDA's own names: what decides between none and one, and what the API server asks for external metrics."""
INSTALL_KEDA = f"{INSTALL} --keda"


def install_folder(cache: Path) -> Path:
    """The folder that an install fills with `bin/` and `definitions/`."""
    digest = hashlib.sha256((SOURCE / "keda" / "go.sum").read_bytes()).hexdigest()[:12]
    kind = f"{sys.platform}-{platform.machine()}"
    return cache / "kubernetes" / f"keda-{read_pin('keda', MODULE)}-{digest}-{kind}"


def find(cache: Path) -> Path | None:
    """That folder; None where nothing was installed."""
    folder = install_folder(cache)
    return folder if folder.is_dir() else None


def require(cache: Path) -> Path:
    """As `find`. Raises BadInput, with what to type, where there is none."""
    if (folder := find(cache)) is None:
        raise BadInput("KEDA is not installed here", hint=INSTALL_KEDA)
    return folder


def build(cache: Path, progress: Progress) -> Path:
    """That folder, filled where it is not there; whoever comes meanwhile waits.

    Raises:
        BadInput: there is no Go.
        EcomdeployError: the module was not had, or not built; Go's last words are in the message.
    """
    folder = install_folder(cache)
    if folder.is_dir():
        return folder
    if not can_build():
        raise BadInput("KEDA is built from source, which needs Go", hint="https://go.dev/doc/install")
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    with hold_lock(lock, lambda: progress.note("Waiting for another build of the same")):
        if not folder.is_dir():
            _build(folder, progress)
    return folder


def _build(folder: Path, progress: Progress) -> None:
    progress.step(f"Building KEDA {read_pin('keda', MODULE)} from source")
    progress.note("The first time this takes about three minutes on two cores; it is kept for good.")
    with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
        fresh = Path(parent) / "keda"
        (fresh / "bin").mkdir(parents=True)
        commands = [f"{MODULE}/cmd/{name}" for name in (OPERATOR, ADAPTER)]
        compile_module("keda", commands, "-s -w", fresh / "bin", progress)
        shutil.copytree(_find_module() / "config" / "crd" / "bases", fresh / "definitions")
        for each in (fresh / "definitions", *(fresh / "definitions").iterdir()):
            each.chmod(
                0o755 if each.is_dir() else 0o644
            )  # Go's own copy is read-only, and would stay for good
        fresh.rename(folder)


def _find_module() -> Path:
    """Where Go keeps the module's files, whose checksums it has verified."""
    words = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", MODULE]
    found = subprocess.run(words, cwd=SOURCE / "keda", capture_output=True, text=True, check=False)
    if found.returncode:
        raise EcomdeployError(
            f"{MODULE} is not to be had: {found.stderr.strip()[-300:]}", hint="go env GOPROXY"
        )
    return Path(found.stdout.strip())


def load_definitions(folder: Path) -> list[dict[str, Any]]:
    """The resource definitions that an install keeps."""
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=False)
    return [reader.load(file.read_bytes()) for file in sorted((folder / "definitions").glob("*.yaml"))]


def main() -> None:
    """`python -m infra.rehearsal.cloud.kubernetes.keda.install`: fill the user's cache. Needs no package."""
    print(build(find_cache(), Silent()) if can_build() else "no go: KEDA is not built")


if __name__ == "__main__":
    main()
