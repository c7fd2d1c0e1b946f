"""Add-ons of the local Kubernetes, built from the Go modules that `source` pins: their programs and their resource
definitions, kept in the user's cache by version, checksums and platform. Optional: nothing else here needs one."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.rehearsal.cloud.kubernetes.binaries import INSTALL, SOURCE, read_pin
from infra.rehearsal.cloud.kubernetes.build import can_build, compile_module
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import hold_lock
from modelpack.progress import Progress


@dataclass(frozen=True, kw_only=True)
class AddonSource:
    """Where an add-on comes from. `name`: its folder of SOURCE; `title`: as it calls itself; `commands` and
    `definitions`: folders of the module; `takes`: what the first build does, in words."""

    name: str
    title: str
    module: str
    commands: tuple[str, ...]
    definitions: tuple[str, ...]
    takes: str

    @property
    def hint(self) -> str:
        """What to type to have it."""
        return f"{INSTALL} --{self.name}"

    @property
    def version(self) -> str:
        return read_pin(self.name, self.module)

    def folder(self, cache: Path) -> Path:
        """The folder that an install fills with `bin/` and `definitions/`."""
        digest = hashlib.sha256((SOURCE / self.name / "go.sum").read_bytes()).hexdigest()[:12]
        kind = f"{sys.platform}-{platform.machine()}"
        return cache / "kubernetes" / f"{self.name}-{self.version}-{digest}-{kind}"

    def find(self, cache: Path) -> Path | None:
        """That folder; None where nothing was installed."""
        folder = self.folder(cache)
        return folder if folder.is_dir() else None

    def require(self, cache: Path) -> Path:
        """As `find`. Raises BadInput, with what to type, where there is none."""
        if (folder := self.find(cache)) is None:
            raise BadInput(f"{self.title} is not installed here", hint=self.hint)
        return folder

    def build(self, cache: Path, progress: Progress) -> Path:
        """That folder, filled where it is not there; whoever comes meanwhile waits.

        Raises:
            BadInput: there is no Go.
            EcomdeployError: the module was not had, or not built; Go's last words are in the message.
        """
        folder = self.folder(cache)
        if folder.is_dir():
            return folder
        if not can_build():
            what = f"{self.title} is built from source, which needs Go"
            raise BadInput(what, hint="https://go.dev/doc/install")
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock")
        with hold_lock(lock, lambda: progress.note("Waiting for another build of the same")):
            if not folder.is_dir():
                self._build(folder, progress)
        return folder

    def _build(self, folder: Path, progress: Progress) -> None:
        progress.step(f"Building {self.title} {self.version} from source")
        progress.note(f"The first time this takes about {self.takes} on two cores; it is kept for good.")
        with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
            fresh = Path(parent) / self.name
            for each in (fresh / "bin", fresh / "definitions"):
                each.mkdir(parents=True)
            commands = [f"{self.module}/{command}" for command in self.commands]
            compile_module(self.name, commands, "-s -w", fresh / "bin", progress)
            files = self._find_module()
            for each in (file for one in self.definitions for file in (files / one).glob("*.yaml")):
                shutil.copyfile(each, fresh / "definitions" / each.name)
            fresh.rename(folder)

    def _find_module(self) -> Path:
        """Where Go keeps the module's files, whose checksums it has verified."""
        words = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", self.module]
        found = subprocess.run(words, cwd=SOURCE / self.name, capture_output=True, text=True, check=False)
        if found.returncode:
            raise EcomdeployError(
                f"{self.module} is not to be had: {found.stderr.strip()[-300:]}", hint="go env GOPROXY"
            )
        return Path(found.stdout.strip())


def load_definitions(folder: Path) -> list[dict[str, Any]]:
    """The resource definitions that an install keeps."""
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=False)
    return [reader.load(file.read_bytes()) for file in sorted((folder / "definitions").glob("*.yaml"))]


KEDA = AddonSource(
    name="keda",
    title="KEDA",
    module="github.com/kedacore/keda/v2",
    commands=("cmd/operator", "cmd/adapter"),
    definitions=("config/crd/bases",),
    takes="three minutes",
)
KARPENTER = AddonSource(
    name="karpenter",
    title="Karpenter",
    module="sigs.k8s.io/karpenter",
    commands=("kwok",),
    definitions=("pkg/apis/crds", "kwok/apis/crds"),
    takes="a minute and a half",
)
"""Its core with the provider of pretended machines that it is tested with itself; the one for AWS takes an account."""
SOURCES = (KEDA, KARPENTER)
