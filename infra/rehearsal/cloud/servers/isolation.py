"""How a model server is kept apart from this machine: four ways, each a plan for `launch.py`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from infra.rehearsal.cloud.servers.images import UnpackedImage
from modelpack.image.oci.rooted import inside

LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))
NOBODY = (65532, 65532)
"""User and group of a server whose image asks for root: images here never need it."""
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib")
PROBE_SECONDS = 20

Plan = dict[str, Any]
"""The JSON document that `launch.py` reads, without "parent"."""


class Isolation(Protocol):
    """One way to run an image's own interpreter. `name` is what `status` shows."""

    @property
    def name(self) -> str: ...

    def plan(
        self, tree: UnpackedImage, environment: Mapping[str, str], identifier: str, scratch: Path
    ) -> Plan:
        """How to start the tree's command. `scratch` is a folder of this server's own."""
        ...

    def clean_up(self, identifier: str, scratch: Path) -> None:
        """Clean up after a server, however it ended."""
        ...


@dataclass(frozen=True)
class Chroot:
    """The image's files as the root; as root with another user's rights, else inside a user namespace.

    With `mounts` /proc and /sys are there too: ONNX Runtime reads the CPU's features from them.
    """

    namespace: bool
    mounts: bool = True

    @property
    def name(self) -> str:
        return "user namespace" if self.namespace else "chroot"

    def plan(
        self, tree: UnpackedImage, environment: Mapping[str, str], identifier: str, scratch: Path
    ) -> Plan:
        folders = ["/proc", "/sys"] if self.mounts else []
        for folder in folders:
            (tree.path / folder.strip("/")).mkdir(exist_ok=True)
        return {
            "argv": list(tree.argv),
            "environment": {**tree.environment, **environment},
            "mounts": folders,
            "directory": tree.directory,
            "root": str(tree.path),
            "user": list(tree.user if tree.user[0] else NOBODY),
            "namespace": self.namespace,
            "death_signal": int(signal.SIGKILL),
        }

    def clean_up(self, identifier: str, scratch: Path) -> None:
        return None


@dataclass(frozen=True)
class Runc:
    """A container with its own processes, mounts and names, and the machine's network (loopback)."""

    name: str = "container runtime (runc)"

    def plan(
        self, tree: UnpackedImage, environment: Mapping[str, str], identifier: str, scratch: Path
    ) -> Plan:
        (scratch / "config.json").write_text(json.dumps(bundle(tree, environment)))
        runc = shutil.which("runc") or "runc"
        return {
            "argv": [runc, "--root", str(scratch / "state"), "run", "--bundle", str(scratch), identifier],
            "environment": {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")},
            "directory": str(scratch),
            "root": None,
            "user": None,
            "namespace": False,
            "mounts": [],
            # runc hands SIGTERM to the container; SIGKILL would leave it behind
            "death_signal": int(signal.SIGTERM),
        }

    def clean_up(self, identifier: str, scratch: Path) -> None:
        if (scratch / "state" / identifier).exists():
            command = ["runc", "--root", str(scratch / "state"), "delete", "--force", identifier]
            subprocess.run(command, capture_output=True, timeout=30, check=False)


@dataclass(frozen=True)
class PlainProcess:
    """No isolation: the image's interpreter through the image's own loader and libraries, as this user."""

    name: str = "plain process"

    def plan(
        self, tree: UnpackedImage, environment: Mapping[str, str], identifier: str, scratch: Path
    ) -> Plan:
        root = tree.path
        program = inside(root, tree.argv[0])
        libraries = ":".join(str(folder) for part in LIBRARIES if (folder := inside(root, part)).is_dir())
        variables = {
            name: _move(value, root) if name in ("PATH", "PYTHONPATH") else value
            for name, value in tree.environment.items()
        }
        return {
            "argv": [
                str(inside(root, LOADER)),
                "--library-path",
                libraries,
                "--argv0",
                f"{root}{tree.argv[0]}",
                str(program),
                *tree.argv[1:],
            ],
            "environment": {
                **variables,
                **environment,
                "PYTHONHOME": str(root / "usr"),
                "PYTHONNOUSERSITE": "1",
                "ECOMDEPLOY_ROOT": str(root),
            },
            "directory": str(root),
            "root": None,
            "user": None,
            "namespace": False,
            "mounts": [],
            "death_signal": int(signal.SIGKILL),
        }

    def clean_up(self, identifier: str, scratch: Path) -> None:
        return None


def _move(value: str, root: Path) -> str:
    return ":".join(f"{root}{part}" if part.startswith("/") else part for part in value.split(":"))


def bundle(tree: UnpackedImage, environment: Mapping[str, str]) -> dict[str, Any]:
    """An OCI runtime configuration (runtime spec 1.0): read-only root, no capabilities, own processes."""
    uid, gid = tree.user if tree.user[0] else NOBODY
    variables = {**tree.environment, **environment}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": uid, "gid": gid},
            "args": list(tree.argv),
            "env": [f"{name}={value}" for name, value in variables.items()],
            "cwd": tree.directory,
            "noNewPrivileges": True,
        },
        "root": {"path": str(tree.path), "readonly": True},
        "hostname": "model",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},  # noqa: S108
            {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]},
        ],
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }


def choices() -> tuple[Isolation, ...]:
    """All ways, the preferred first: chroot starts quickest and needs nothing installed."""
    root = os.geteuid() == 0
    ways: list[Isolation] = [Chroot(namespace=False)] if root else []
    ways.append(Chroot(namespace=True))
    if root:
        ways.append(Chroot(namespace=False, mounts=False))
    if shutil.which("runc"):
        ways.append(Runc())
    ways.append(PlainProcess())
    return tuple(ways)


def works(way: Isolation, tree: UnpackedImage, scratch: Path) -> str:
    """Run the image's interpreter once this way; "" when it ran, else why not."""
    scratch.mkdir(parents=True, exist_ok=True)
    probe = UnpackedImage(
        digest=tree.digest,
        path=tree.path,
        argv=(tree.argv[0], "--version"),
        environment=tree.environment,
        directory=tree.directory,
        user=tree.user,
    )
    identifier = f"probe-{os.getpid()}"
    try:
        plan = {**way.plan(probe, {}, identifier, scratch), "parent": os.getpid()}
        done = subprocess.run(
            LAUNCHER,
            input=json.dumps(plan).encode(),
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    finally:
        way.clean_up(identifier, scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
    return "" if done.returncode == 0 else f"status {done.returncode}: {said[-300:]}"
