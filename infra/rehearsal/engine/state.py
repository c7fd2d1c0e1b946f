"""Where the state lies: Pulumi's layout for file backends, written atomically.

    .pulumi/meta.yaml                                        version: 1
    .pulumi/stacks/<project>/<stack>.json  (.json.bak)       checkpoint v3
    .pulumi/history/<project>/<stack>/<stack>-<ns>.history.json
    .pulumi/locks/organization/<project>/<stack>/<id>.json

Source: pulumi/pulumi, pkg/backend/diy (store.go, lock.go, state.go).
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from infra.rehearsal.engine.crypt import Vault
from infra.rehearsal.engine.resource import (
    Operation,
    Resource,
    Snapshot,
    deployment_from_json,
    manifest,
    resource_to_json,
)

CHECKPOINT_VERSION: Final = 3


class StateError(Exception):
    """The state cannot be used; the text is what the CLI would print."""


def write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """All of it or nothing of it, also under `kill -9`; `durable` survives a power cut too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


@dataclass(frozen=True)
class StackFiles:
    """The paths of one stack under one backend folder (the one that `file://` names)."""

    root: Path
    project: str
    stack: str

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
    def selected(self) -> Path:
        return self.root / ".pulumi" / "selected" / self.project

    def exists(self) -> bool:
        """Whether the stack was ever initialised."""
        return self.checkpoint.exists()

    def siblings(self) -> list[StackFiles]:
        """Every stack of the project."""
        return [replace(self, stack=path.stem) for path in sorted(self.checkpoint.parent.glob("*.json"))]

    def document(self) -> dict[str, Any]:
        """The checkpoint as it lies there."""
        try:
            document: dict[str, Any] = json.loads(self.checkpoint.read_text())
        except FileNotFoundError:
            raise StateError(f"no stack named '{self.stack}' found") from None
        except ValueError as error:
            raise StateError(
                f"{self.checkpoint} is not JSON ({error}); {self.backup.name} is the one before"
            ) from None
        if document.get("version") != CHECKPOINT_VERSION:
            raise StateError(f"{self.checkpoint}: checkpoint version {document.get('version')}, expected 3")
        return document

    def salt(self) -> str:
        """The salt of its secrets, empty in a state that has none."""
        latest = self.document()["checkpoint"].get("latest") or {}
        provider = latest.get("secrets_providers") or {}
        if provider.get("type", "passphrase") != "passphrase":
            raise StateError(
                f"secrets provider {provider['type']} is not in the embedded engine: use the Pulumi CLI"
            )
        return str((provider.get("state") or {}).get("salt", ""))

    def load(self, vault: Vault) -> Snapshot:
        """The snapshot; raises `StateError`, `WrongPassphrase`, `BadValue`."""
        return deployment_from_json(self.document()["checkpoint"].get("latest"), vault)

    def save(self, text: str, *, durable: bool = False) -> None:
        """Replace the checkpoint."""
        write_atomically(self.checkpoint, text, durable=durable)

    def keep_backup(self) -> None:
        """Copy the checkpoint to .bak."""
        if self.checkpoint.exists():
            self.backup.unlink(missing_ok=True)
            shutil.copyfile(self.checkpoint, self.backup)

    def initialise(self, snapshot: Snapshot, vault: Vault) -> None:
        """A new stack: no resources, but the salt its secrets will use."""
        meta = self.root / ".pulumi" / "meta.yaml"
        if not meta.exists():
            write_atomically(meta, "version: 1\n")
        self.save(Writer(self, vault).text(snapshot))

    def remove(self) -> None:
        """Forget the stack: checkpoint, backup, history, locks."""
        for path in (self.checkpoint, self.backup):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.history, ignore_errors=True)
        shutil.rmtree(self.locks, ignore_errors=True)

    def record(self, update: Mapping[str, Any]) -> None:
        """One finished operation, for `stack history`."""
        path = self.history / f"{self.stack}-{time.time_ns()}.history.json"
        write_atomically(path, json.dumps(update))

    def records(self) -> Iterator[dict[str, Any]]:
        """Operations, newest first."""
        for path in sorted(self.history.glob("*.history.json"), reverse=True):
            yield json.loads(path.read_text())


class Writer:
    """Snapshot -> checkpoint text. A resource's JSON is made once: a write costs what has changed."""

    def __init__(self, files: StackFiles, vault: Vault) -> None:
        self._files = files
        self._vault = vault
        self._texts: dict[int, tuple[Resource, str]] = {}

    def write(self, snapshot: Snapshot, *, durable: bool) -> None:
        """Put a snapshot on disk."""
        self._files.save(self.text(snapshot), durable=durable)

    def text(self, snapshot: Snapshot) -> str:
        """The checkpoint file of a snapshot."""
        resources = ",\n".join(self._resource(resource) for resource in snapshot.resources)
        pending = ",\n".join(self._operation(operation) for operation in snapshot.pending)
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

    def _operation(self, operation: Operation) -> str:
        return f'{{"type": {json.dumps(operation.type)}, "resource": {self._resource(operation.resource)}}}'
