"""A tool written in Go, built from the modules that a go.mod pins and a go.sum verifies, and kept in the user's cache.

A build is named by version, go.sum and platform, so another checkout with the same pins uses the same one. It appears
whole or not at all, and whoever comes while it is being built waits for it. Nothing but Go is needed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class GoTool:
    """`module`: the folder of go.mod; `package`: of the command; `pinned`: whose version names it; `stamp`: a variable
    of the program that is set to that version, "" for none."""

    name: str
    module: Path
    package: str
    pinned: str
    stamp: str = ""

    def version(self) -> str:
        """As go.mod says it, "v3.274.1"."""
        found = re.search(rf"{self.pinned} (v\S+)", (self.module / "go.mod").read_text())
        assert found, f"{self.module / 'go.mod'} does not require {self.pinned}"
        return found[1]

    def place(self) -> Path:
        """Where the binary is, or will be."""
        users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or users / "ecomdeploy")
        digest = hashlib.sha256((self.module / "go.sum").read_bytes()).hexdigest()[:12]
        kind = f"{sys.platform}-{platform.machine()}"
        return cache / self.name / f"{self.version()}-{digest}-{kind}" / "bin" / self.name

    def can_be_had(self) -> bool:
        """Whether it is built, or can be built here."""
        return self.place().exists() or shutil.which("go") is not None

    def build(self) -> Path:
        """The binary, built first if it is not there.

        Raises:
            subprocess.CalledProcessError: `go build` failed; what it said is on stderr.
            FileNotFoundError: there is no Go.
        """
        binary = self.place()
        if binary.exists():
            return binary
        binary.parent.mkdir(parents=True, exist_ok=True)
        with (binary.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not binary.exists():
                with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
                    fresh = Path(folder) / self.name
                    stamp = f"-s -w -X {self.stamp}={self.version()}" if self.stamp else "-s -w"
                    words = ["-mod=readonly", "-trimpath", "-ldflags", stamp, "-o", str(fresh), self.package]
                    subprocess.run(
                        ["go", "build", *words],
                        cwd=self.module,
                        env={**os.environ, "CGO_ENABLED": "0"},
                        check=True,
                    )
                    fresh.replace(binary)
        return binary
