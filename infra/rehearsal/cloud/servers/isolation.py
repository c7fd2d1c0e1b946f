"""How a model server is kept apart from this machine: four ways, each a plan for `launch.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from infra.rehearsal.cloud.servers.host import ServerFailed
from infra.rehearsal.cloud.servers.images import UnpackedImage
from infra.rehearsal.cloud.servers.users import find_spare_user
from modelpack.image.oci.rooted import inside

LAUNCHER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))
NOBODY = (65532, 65532)
"""Whom a server sees itself as whose image asks for root: images here never need it."""
LOADER = "lib64/ld-linux-x86-64.so.2"
LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib")
MOUNTED = ("proc", "sys", "dev", "tmp")

Plan = dict[str, Any]
"""The JSON document that `launch.py` reads, without "control"."""


class Isolation(Protocol):
    """One way to run an image's own interpreter. `name` is what `status` shows."""

    @property
    def name(self) -> str: ...

    def plan(self, tree: UnpackedImage, environment: Mapping[str, str]) -> Plan:
        """How to start the tree's command. Raises ServerFailed for an image that cannot be run this way."""
        ...


@dataclass(frozen=True)
class Namespaces:
    """Processes, network and mounts of its own, the image's files as a read-only root, none of the host's /proc.

    As root the server is a user that nobody else is; with `become`, for anybody, it is the caller, inside a user
    namespace. Without `proc` there is no /proc at all: containers that hide parts of theirs allow no new one.
    """

    become: bool
    proc: bool = True

    @property
    def name(self) -> str:
        return "user namespace" if self.become else "namespaces"

    def plan(self, tree: UnpackedImage, environment: Mapping[str, str]) -> Plan:
        for name in MOUNTED:
            folder = tree.path / name
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise ServerFailed(f"image {tree.digest}: /{name} is no folder")
            folder.mkdir(exist_ok=True)
        spare = None if self.become else find_spare_user()
        return {
            **_plain_plan(tree, environment),
            "user": [spare, spare] if spare else list(tree.user if tree.user[0] else NOBODY),
            "namespaces": True,
            "become": self.become,
            "proc": self.proc,
        }


@dataclass(frozen=True)
class Chroot:
    """The image's files as the root, and a user that nobody else is: what root can do where namespaces are denied."""

    name: str = "chroot"

    def plan(self, tree: UnpackedImage, environment: Mapping[str, str]) -> Plan:
        spare = find_spare_user()
        return {**_plain_plan(tree, environment), "user": [spare, spare]}


@dataclass(frozen=True)
class PlainProcess:
    """No isolation: the image's interpreter through the image's own loader and libraries, as this user."""

    name: str = "plain process"

    def plan(self, tree: UnpackedImage, environment: Mapping[str, str]) -> Plan:
        root = tree.path
        program = inside(root, tree.argv[0])
        libraries = ":".join(str(folder) for part in LIBRARIES if (folder := inside(root, part)).is_dir())
        variables = {
            name: _move(value, root) if name in ("PATH", "PYTHONPATH") else value
            for name, value in tree.environment.items()
        }
        return {
            **_plain_plan(tree, environment),
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
        }


def _plain_plan(tree: UnpackedImage, environment: Mapping[str, str]) -> Plan:
    """The tree's command below its root, as this user."""
    return {
        "argv": list(tree.argv),
        "environment": {**tree.environment, **environment},
        "directory": tree.directory,
        "root": str(tree.path),
        "user": None,
        "namespaces": False,
        "become": False,
        "proc": False,
    }


def _move(value: str, root: Path) -> str:
    """A list of absolute folders, below `root`."""
    return ":".join(f"{root}{part}" if part.startswith("/") else part for part in value.split(":"))


def choices() -> tuple[Isolation, ...]:
    """All ways, the preferred first. Nothing of an image ever runs as root, nor in its name."""
    root = os.geteuid() == 0
    apart = (Namespaces(become=not root), Namespaces(become=not root, proc=False))
    return (*apart, Chroot() if root else PlainProcess())
