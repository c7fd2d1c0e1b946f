"""The control plane's four binaries: the user's own, or those that an install keeps in the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelpack.errors import BadInput

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
SOURCE = Path(__file__).parent / "source"
"""Go modules: `kubernetes`, `etcd` and one an add-on, each a go.mod that pins and a go.sum that verifies."""
INSTALL = "ecomdeploy cloud kubernetes install"


@dataclass(frozen=True)
class Binaries:
    """Where the four are, by name; `found` says where they were found, in words."""

    paths: tuple[tuple[str, str], ...]
    found: str

    @classmethod
    def of(cls, paths: Mapping[str, Path | str], found: str) -> Binaries:
        return cls(tuple((name, str(paths[name])) for name in NAMES), found)

    def path(self, name: str) -> Path:
        return Path(dict(self.paths)[name])


def read_pin(module: str, of: str) -> str:
    """The version that a module of SOURCE requires: read_pin("kubernetes", "k8s.io/kubernetes") is "v1.37.2"."""
    lines = (SOURCE / module / "go.mod").read_text().splitlines()
    words = [line.removeprefix("require").split() for line in lines]
    return next(found[1] for found in words if len(found) == 2 and found[0] == of)


def install_folder(cache: Path) -> Path:
    """The folder that an install fills: named by versions, by what verifies them and by platform."""
    sums = b"".join((SOURCE / module / "go.sum").read_bytes() for module in ("kubernetes", "etcd"))
    digest = hashlib.sha256(sums).hexdigest()[:12]
    kubernetes, etcd = (
        read_pin("kubernetes", "k8s.io/kubernetes"),
        read_pin("etcd", "go.etcd.io/etcd/server/v3"),
    )
    return (
        cache
        / "kubernetes"
        / f"{kubernetes}-etcd-{etcd}-{digest}-{sys.platform}-{platform.machine()}"
        / "bin"
    )


def find(cache: Path, variables: Mapping[str, str] = os.environ) -> Binaries | None:
    """All four from one place: `KUBEBUILDER_ASSETS`, the `PATH`, the user's cache; None where no place has them all."""
    assets, path = variables.get("KUBEBUILDER_ASSETS", ""), variables.get("PATH", "")
    for where, words in (
        (assets, f"KUBEBUILDER_ASSETS={assets}"),
        (path, "PATH"),
        (str(install_folder(cache)), str(install_folder(cache))),
    ):
        found = {name: shutil.which(name, path=where) for name in NAMES} if where else {}
        if found and all(found.values()):
            return Binaries.of({name: os.path.abspath(str(each)) for name, each in found.items()}, words)
    return None


def require(cache: Path, variables: Mapping[str, str] = os.environ) -> Binaries:
    """As `find`. Raises BadInput, with what to type, where there are none."""
    found = find(cache, variables)
    if found is None:
        raise BadInput(
            f"the local Kubernetes needs {', '.join(NAMES)}, and they are not all in one place here",
            hint=INSTALL,
        )
    return found
