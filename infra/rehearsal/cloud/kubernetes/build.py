"""`ecomdeploy cloud kubernetes install --from-source`: the control plane built from Go modules that a go.mod of ours
pins and a go.sum verifies."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.rehearsal.cloud.kubernetes.binaries import NAMES, SOURCE, Binaries, install_folder, read_pin
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import hold_lock
from modelpack.progress import Progress, Silent

STAMP = "k8s.io/component-base/version.gitVersion"
"""What `kube-apiserver --version` and the API's /version say."""


def can_build() -> bool:
    """Whether there is a Go."""
    return shutil.which("go") is not None


def build(cache: Path, progress: Progress) -> Binaries:
    """The four, built where the cache has them not; whoever comes meanwhile waits.

    Raises:
        BadInput: there is no Go.
        EcomdeployError: `go build` failed; its last words are in the message.
    """
    folder = install_folder(cache)
    if not can_build():
        raise BadInput("building the control plane from source needs Go", hint="https://go.dev/doc/install")
    with hold_lock(folder.parent / ".lock", lambda: progress.note("Waiting for another build of the same")):
        if not folder.is_dir():
            _build(folder, progress)
    return Binaries.of({name: folder / name for name in NAMES}, str(folder))


def _build(folder: Path, progress: Progress) -> None:
    version = read_pin("kubernetes", "k8s.io/kubernetes")
    progress.step(f"Building Kubernetes {version} and etcd from source")
    progress.note("The first time this takes about eight minutes on two cores; it is kept for good.")
    with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
        fresh = Path(parent) / "bin"
        fresh.mkdir()
        compile_module("etcd", ["."], "-s -w", fresh / "etcd", progress)
        commands = [f"k8s.io/kubernetes/cmd/{name}" for name in NAMES[1:]]
        compile_module("kubernetes", commands, f"-s -w -X {STAMP}={version}", fresh, progress)
        fresh.rename(folder)


def compile_module(module: str, packages: Sequence[str], flags: str, out: Path, progress: Progress) -> None:
    """One `go build`, told package by package. Raises EcomdeployError with its last words, or what ended it."""
    own = {**os.environ, "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=readonly -buildvcs=false".strip()}
    listed = subprocess.run(
        ["go", "list", "-deps", *packages],  # noqa: S607 - the user's own Go, by the PATH
        cwd=SOURCE / module,
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    total = listed.stdout.count("\n")
    words = ["go", "build", "-v", "-ldflags", flags, "-o", str(out), *packages]
    said: list[str] = []
    with (
        progress.track(f"Compiling {module}", total, "packages") as advance,
        subprocess.Popen(words, cwd=SOURCE / module, env=own, stderr=subprocess.PIPE, text=True) as running,
    ):
        assert running.stderr is not None, "asked for above"
        for line in running.stderr:
            said.append(line.rstrip())
            advance(1)
    if running.returncode < 0:
        what = f"{module} was not built: go was ended by signal {-running.returncode}"
        raise EcomdeployError(what, hint="type the same command again: what was compiled is kept")
    if running.returncode:
        last = "\n".join(said[-15:] or listed.stderr.splitlines()[-15:])
        raise EcomdeployError(
            f"{module} was not built:\n{last}", hint="go version: at least what go.mod says"
        )


def find_cache() -> Path:
    """The user's cache, as the command line finds it, without any package."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ECOMDEPLOY_CACHE") or users / "ecomdeploy")


def main() -> None:
    """`python -m infra.rehearsal.cloud.kubernetes.build`: fill the user's cache, where Go is. Needs no package."""
    if can_build():
        print(build(find_cache(), Silent()).found)
    else:
        print("no go: the control plane is not built")


if __name__ == "__main__":
    main()
