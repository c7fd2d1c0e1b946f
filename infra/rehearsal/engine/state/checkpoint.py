"""Where the state lies: Pulumi's layout for file backends, written atomically.

    .pulumi/meta.yaml                                        version: 1
    .pulumi/stacks/<project>/<stack>.json  (.json.bak)       checkpoint v3
    .pulumi/history/<project>/<stack>/<stack>-<ns>.history.json
    .pulumi/locks/organization/<project>/<stack>/<id>.json
    .pulumi/embedded/<project>/<stack>.guard                 ours alone (lock.py)

Source: pulumi/pulumi, pkg/backend/diy (store.go, lock.go, state.go).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from infra.rehearsal.engine.errors import EngineError, Unsupported
from infra.rehearsal.engine.resource import Resource, Snapshot, manifest, resource_to_json
from infra.rehearsal.engine.state.crypt import Vault
from modelpack.home import write_atomically

CHECKPOINT_VERSION: Final = 3


@dataclass(frozen=True)
class StackFiles:
    """The paths of one stack under one backend folder (the one that `file://` names)."""

    root: Path
    project: str
    stack: str
    clock: Callable[[], int] = time.time_ns

    @property
    def checkpoint(self) -> Path:
        return self.root / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"

    @property
    def backup(self) -> Path:
        return self.checkpoint.with_name(self.checkpoint.name + ".bak")

    @property
    def history(self) -> Path:
        return self.root / ".pulumi" / "history" / self.project / self.stack

    @property
    def locks(self) -> Path:
        return self.root / ".pulumi" / "locks" / "organization" / self.project / self.stack

    @property
    def guard(self) -> Path:
        return self.root / ".pulumi" / "embedded" / self.project / f"{self.stack}.guard"

    def exists(self) -> bool:
        """Whether the stack was ever initialised."""
        return self.checkpoint.exists()

    def latest(self) -> Mapping[str, Any]:
        """DeploymentV3 as it lies there, {} where nothing was deployed; raises `EngineError`."""
        try:
            document = json.loads(self.checkpoint.read_text())
        except ValueError as error:
            raise EngineError(f"{self.checkpoint} is not JSON ({error}); {self.remedy()}") from None
        version = document.get("version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > CHECKPOINT_VERSION:
            words = f"{self.checkpoint} is of version {version}, which a newer Pulumi has written: use the Pulumi CLI"
            raise EngineError(f"{words} (ECOMDEPLOY_DRIVER=pulumi), or update ecomdeploy")
        if version != CHECKPOINT_VERSION:
            words = f"{self.checkpoint}: checkpoint version {version}, expected {CHECKPOINT_VERSION}"
            raise EngineError(f"{words}; {self.remedy()}")
        return document["checkpoint"].get("latest") or {}

    def remedy(self) -> str:
        """What to type where the checkpoint cannot be read."""
        if self.backup.exists():
            return f"put the one before back: cp '{self.backup}' '{self.checkpoint}'"
        return "move it away, then make it anew from what is there: ecomdeploy recover"

    def salt(self) -> str:
        """The salt of its secrets, empty in a state that has none."""
        provider = self.latest().get("secrets_providers") or {}
        if provider.get("type", "passphrase") != "passphrase":
            raise Unsupported(f"the secrets provider {provider['type']}")
        return str((provider.get("state") or {}).get("salt", ""))

    def initialise(self, vault: Vault) -> None:
        """A new stack: no resources, but the salt its secrets will use."""
        meta = self.root / ".pulumi" / "meta.yaml"
        if not meta.exists():
            write_atomically(meta, b"version: 1\n")
        CheckpointWriter(self, vault).write(Snapshot(salt=vault.salt_text), durable=True)

    def remove(self) -> None:
        """Forget the stack: checkpoint, backup, history, locks."""
        for path in (self.checkpoint, self.backup):
            path.unlink(missing_ok=True)
        for folder in (self.history, self.locks):
            shutil.rmtree(folder, ignore_errors=True)

    def record(self, update: Mapping[str, Any]) -> None:
        """Number and keep one finished operation, for `stack history`."""
        before = self.records()
        numbered = {**update, "version": len(before) + 1}
        # the order is that of the names: a clock that was put back must not change it
        moment = max([self.clock(), *(nanoseconds(each) + 1 for each in before[:1])])
        path = self.history / f"{self.stack}-{moment}.history.json"
        write_atomically(path, json.dumps(numbered).encode())

    def records(self) -> list[Path]:
        """The files of finished operations, newest first."""
        return sorted(self.history.glob("*.history.json"), key=nanoseconds, reverse=True)


def nanoseconds(record: Path) -> int:
    """Since the epoch, in the name of the file of a finished operation; 0 where there are none."""
    digits = record.name.removesuffix(".history.json").rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


class CheckpointWriter:
    """Puts snapshots on disk. A resource's JSON is made once: a write costs what has changed."""

    def __init__(self, files: StackFiles, vault: Vault) -> None:
        self._files = files
        self._vault = vault
        self._texts: dict[int, tuple[Resource, str]] = {}
        self._backed_up = False

    def write(self, snapshot: Snapshot, durable: bool) -> None:
        """Replace the checkpoint; the first time the one before stays as .bak."""
        if not self._backed_up and self._files.exists():
            shutil.copyfile(self._files.checkpoint, self._files.backup)
        self._backed_up = True
        write_atomically(self._files.checkpoint, self._text(snapshot).encode(), durable=durable)

    def _text(self, snapshot: Snapshot) -> str:
        resources = ",\n".join(self._resource(resource) for resource in snapshot.resources)
        pending = ",\n".join(
            f'{{"type": {json.dumps(one.type)}, "resource": {self._resource(one.resource)}}}'
            for one in snapshot.pending
        )
        secrets = {"type": "passphrase", "state": {"salt": snapshot.salt}}
        name = f"organization/{self._files.project}/{self._files.stack}"
        return (
            f'{{"version": {CHECKPOINT_VERSION}, "checkpoint": {{"stack": {json.dumps(name)}, "latest": {{\n'
            f'"manifest": {json.dumps(manifest())},\n"secrets_providers": {json.dumps(secrets)},\n'
            f'"resources": [{resources}],\n"pending_operations": [{pending}],\n"metadata": {{}}}}}}}}\n'
        )

    def _resource(self, resource: Resource) -> str:
        known = self._texts.get(id(resource))
        if known is None:
            known = (resource, json.dumps(resource_to_json(resource, self._vault)))
            self._texts[id(resource)] = known
        return known[1]
