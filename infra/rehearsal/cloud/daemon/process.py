"""The daemon as a process: which folder, which ports, which pid. Standard library only; client and daemon share it."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.rehearsal.cloud.addresses import LOOPBACK, REGION, Identity, Ports, list_free_ports
from infra.rehearsal.cloud.own_files import claim_folder, read_key, read_own
from modelpack.home import write_atomically


@dataclass(frozen=True)
class Folder:
    """The files of one local cloud."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "daemon.log"

    @property
    def snapshot(self) -> Path:
        return self.root / "snapshot.pickle"

    def read_losses(self) -> tuple[str, ...]:
        """What the daemon could not keep when it last ended, in words."""
        try:
            return tuple(map(str, json.loads(read_own(self.root / "generation.json")).get("lost", ())))
        except (FileNotFoundError, ValueError):
            return ()

    @property
    def aws_config(self) -> Path:
        """An AWS configuration with a profile `default` and nothing in it: SDKs refuse an empty AWS_PROFILE."""
        return self.root / "aws-config"

    @property
    def containers(self) -> Path:
        """A folder with what container tools read before they ask a registry (`config.json`)."""
        return self.root / "containers"

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def kubernetes(self) -> Path:
        return self.root / "kubernetes"

    def ports(self) -> Ports | None:
        """The ports chosen at first start."""
        found = _read(self.root / "cloud.json")
        if not {"aws_port", "registry_port"} <= set(found):
            return None
        return Ports(aws=found["aws_port"], registry=found["registry_port"])

    def keep_ports(self, ports: Ports) -> None:
        _write(self.root / "cloud.json", {"aws_port": ports.aws, "registry_port": ports.registry})
        write_atomically(self.aws_config, f"[default]\nregion = {REGION}\n".encode(), private=True)
        word = base64.b64encode(":".join(self.registry_login).encode()).decode()
        logins = {"auths": {f"{LOOPBACK}:{ports.registry}": {"auth": word}}}
        write_atomically(self.containers / "config.json", json.dumps(logins).encode(), private=True)

    def claim(self) -> None:
        """Make it a folder of this user alone. Raises BadInput when it is somebody else's."""
        claim_folder(self.root)

    def secret(self, purpose: str) -> str:
        """What proves that a caller is this home's owner, 64 hexadecimal digits: "aws", "registry", "admin"; each tells
        nothing of the others. The key behind them is made when first asked for. Raises BadInput for a foreign one."""
        self.claim()
        return hmac.new(read_key(self.root / "key"), purpose.encode(), hashlib.sha256).hexdigest()

    @property
    def registry_login(self) -> tuple[str, str]:
        """User and password at the registry; the user's name is ECR's."""
        return "AWS", self.secret("registry")

    def daemon(self) -> Identity | None:
        """The daemon that runs now; a stale file counts as none."""
        found = _read(self.root / "daemon.json")
        if not {"pid", "started"} <= set(found):
            return None
        identity = Identity(pid=found["pid"], started=found["started"])
        return identity if identity.alive else None

    def keep_daemon(self, identity: Identity | None) -> None:
        path = self.root / "daemon.json"
        if identity is None:
            path.unlink(missing_ok=True)
        else:
            _write(path, asdict(identity))

    @contextmanager
    def lock(self, name: str, *, wait: bool) -> Iterator[bool]:
        """An advisory lock that dies with its holder; yields whether it was got."""
        self.claim()
        descriptor = os.open(self.root / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)


def choose(root: Path, aws: int | None = None) -> Ports:
    """Free ports below the ephemeral range, the same each time for the same folder as long as they are free."""
    candidates = list_free_ports(root)
    first = aws if aws is not None else next(candidates)
    return Ports(aws=first, registry=next(port for port in candidates if port != first))


def _write(path: Path, value: dict[str, int]) -> None:
    write_atomically(path, json.dumps(value).encode(), private=True)


def _read(path: Path) -> dict[str, int]:
    """{} where there is no such file or nothing in it that can be used. Raises BadInput for a foreign one."""
    try:
        found = json.loads(read_own(path))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(part, int) for part in found.values()) else {}
