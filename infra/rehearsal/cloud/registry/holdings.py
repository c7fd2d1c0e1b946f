"""What the registry knows of each repository, on disk: which blobs it holds, manifests, tags, referrers.

repositories/<name>/_blobs/<hex>        empty file: this repository holds the blob
repositories/<name>/_manifests/<hex>    JSON, the `ManifestEntry`
repositories/<name>/_tags/<tag>         the digest
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from infra.rehearsal.cloud.registry.blobs import Blobs
from infra.rehearsal.cloud.registry.repositories import Push
from modelpack.home import write_atomically
from modelpack.image.oci.descriptor import DIGEST


@dataclass(frozen=True, kw_only=True)
class ManifestEntry:
    """One stored manifest. `size` counts the manifest and everything it lists, bytes."""

    digest: str
    media_type: str
    size: int
    artifact_type: str = ""
    subject: str = ""
    pushed_at: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


class Holdings:
    """Callers hold the registry's lock around anything that writes."""

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._root = root / "repositories"
        self._blobs = blobs

    def _folder(self, name: str, kind: str) -> Path:
        return self._root / name / kind

    def repositories(self) -> tuple[str, ...]:
        """Names that hold at least one blob or manifest."""
        if not self._root.is_dir():
            return ()
        folders = {path.parent for kind in ("_manifests", "_blobs") for path in self._root.rglob(kind)}
        return tuple(sorted(str(folder.relative_to(self._root)) for folder in folders))

    def link(self, name: str, digest: str) -> None:
        """The repository holds this blob from now on."""
        folder = self._folder(name, "_blobs")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / digest.removeprefix("sha256:")).touch()

    def unlink(self, name: str, digest: str) -> None:
        (self._folder(name, "_blobs") / digest.removeprefix("sha256:")).unlink(missing_ok=True)

    def holds(self, name: str, digest: str) -> bool:
        """Whether the blob is stored and may be read through this repository."""
        return (self._folder(name, "_blobs") / digest.removeprefix("sha256:")).is_file() and self._blobs.has(
            digest
        )

    def put(self, name: str, entry: ManifestEntry) -> None:
        path = self._folder(name, "_manifests") / entry.digest.removeprefix("sha256:")
        write_atomically(path, json.dumps(asdict(entry), sort_keys=True).encode())

    def get(self, name: str, digest: str) -> ManifestEntry | None:
        try:
            text = (self._folder(name, "_manifests") / digest.removeprefix("sha256:")).read_text()
        except FileNotFoundError:
            return None
        return ManifestEntry(**json.loads(text))

    def entries(self, name: str) -> tuple[ManifestEntry, ...]:
        """All manifests of a repository, by digest."""
        folder = self._folder(name, "_manifests")
        if not folder.is_dir():
            return ()
        found = (
            self.get(name, path.name) for path in sorted(folder.iterdir()) if not path.name.startswith(".")
        )
        return tuple(entry for entry in found if entry)

    def drop(self, name: str, digest: str) -> None:
        (self._folder(name, "_manifests") / digest.removeprefix("sha256:")).unlink(missing_ok=True)

    def tag(self, name: str, tag: str, digest: str) -> None:
        write_atomically(self._folder(name, "_tags") / tag, digest.encode())

    def untag(self, name: str, tag: str) -> None:
        (self._folder(name, "_tags") / tag).unlink(missing_ok=True)

    def tags(self, name: str) -> dict[str, str]:
        """Tag -> digest, sorted by tag."""
        folder = self._folder(name, "_tags")
        if not folder.is_dir():
            return {}
        return {
            path.name: path.read_text() for path in sorted(folder.iterdir()) if not path.name.startswith(".")
        }

    def resolve(self, name: str, reference: str) -> ManifestEntry | None:
        """The manifest that a tag or a digest names."""
        if reference.startswith("sha256:"):
            return self.get(name, reference) if DIGEST.fullmatch(reference) else None
        digest = self.tags(name).get(reference)
        return self.get(name, digest) if digest else None

    def push(self, name: str, entry: ManifestEntry) -> Push:
        """The entry as told to the owner of the repositories."""
        return Push(
            repository=name,
            digest=entry.digest,
            tags=tuple(tag for tag, digest in self.tags(name).items() if digest == entry.digest),
            size=entry.size,
            media_type=entry.media_type,
            artifact_type=entry.artifact_type,
            subject=entry.subject,
            pushed_at=datetime.fromisoformat(entry.pushed_at).astimezone(UTC),
            manifest=self._blobs.read(entry.digest),
        )

    def forget(self, name: str) -> None:
        """Drop all a repository holds (not the folders of repositories below it)."""
        for kind in ("_manifests", "_tags", "_blobs"):
            shutil.rmtree(self._folder(name, kind), ignore_errors=True)

    def collect(self) -> int:
        """Delete blobs that no repository holds; returns how many."""
        kept = {
            path.name
            for name in self.repositories()
            for kind in ("_blobs", "_manifests")
            if (folder := self._folder(name, kind)).is_dir()
            for path in folder.iterdir()
        }
        dead = [digest for digest in self._blobs.every() if digest.removeprefix("sha256:") not in kept]
        for digest in dead:
            self._blobs.remove(digest)
        return len(dead)
