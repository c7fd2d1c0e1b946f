"""The real Pulumi CLI, built from the Go modules that go.mod pins and go.sum verifies, kept in the user's cache.

    python3 tests/reality/pulumi/build.py     # says where it is; builds it first if need be (5 to 10 minutes of CPU)

It needs Go and nothing of ours; without Go it says so and does nothing. A build is named by version, go.sum and
platform, so another checkout with the same pins uses the same one. It appears whole or not at all, and whoever comes
while it is being built waits for it.
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
from pathlib import Path

MODULE = Path(__file__).parent
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
STAMP = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
"""What `pulumi version` prints; the Automation API refuses a CLI that does not know its version."""


def pinned_version() -> str:
    """The CLI's version, "v3.274.1"."""
    found = re.search(r"pulumi/pkg/v3 (v\S+)", (MODULE / "go.mod").read_text())
    assert found, f"{MODULE / 'go.mod'} does not require the Pulumi CLI"
    return found[1]


def place() -> Path:
    """Where the binary is, or will be."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("ECOMDEPLOY_CACHE") or users / "ecomdeploy")
    digest = hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    kind = f"{sys.platform}-{platform.machine()}"
    return cache / "pulumi" / f"{pinned_version()}-{digest}-{kind}" / "bin" / "pulumi"


def build() -> Path:
    """The binary, built first if it is not there.

    Raises:
        subprocess.CalledProcessError: `go build` failed; what it said is on stderr.
        FileNotFoundError: there is no Go.
    """
    binary = place()
    if binary.exists():
        return binary
    binary.parent.mkdir(parents=True, exist_ok=True)
    with (binary.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            with tempfile.TemporaryDirectory(dir=binary.parent) as folder:
                fresh = Path(folder) / "pulumi"
                stamp = f"-s -w -X {STAMP}={pinned_version()}"
                words = [
                    "go",
                    "build",
                    "-mod=readonly",
                    "-trimpath",
                    "-ldflags",
                    stamp,
                    "-o",
                    str(fresh),
                    PACKAGE,
                ]
                subprocess.run(words, cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
                fresh.replace(binary)
    return binary


def has_go() -> bool:
    """Whether the CLI can be built here."""
    return shutil.which("go") is not None


if __name__ == "__main__":
    print(build() if place().exists() or has_go() else "no go: the real Pulumi CLI is not built")
