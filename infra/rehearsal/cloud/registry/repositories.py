"""What the registry asks of, and tells, whoever owns the repositories (ECR in the local cloud)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Push:
    """One manifest as it was stored. `tags` are all tags that name it now.

    `size` counts the manifest and what it lists, bytes.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    size: int
    media_type: str
    artifact_type: str
    subject: str
    """Digest of the manifest this one refers to, or "" (an image refers to nothing)."""
    pushed_at: datetime
    manifest: bytes = field(repr=False)


class Repositories(Protocol):
    """Called from the registry's threads, without its lock; must be thread-safe."""

    def exists(self, name: str) -> bool:
        """Whether pushes and pulls of this repository are accepted (else 404 NAME_UNKNOWN)."""
        ...

    def immutable_tags(self, name: str) -> bool:
        """Whether a tag, once given, may not move to another digest."""
        ...

    def on_push(self, push: Push) -> None:
        """A manifest was stored, or a stored one got another tag."""
        ...

    def on_delete(self, repository: str, digest: str, tags: tuple[str, ...]) -> None:
        """`tags` were taken off; whether the manifest itself is gone too, `RegistryServer.has` tells."""
        ...


@dataclass
class FakeRepositories:
    """The fake: the names it knows, and what it was told."""

    names: set[str] = field(default_factory=set)
    immutable: set[str] = field(default_factory=set)
    pushed: list[Push] = field(default_factory=list)
    deleted: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)

    def exists(self, name: str) -> bool:
        return name in self.names

    def immutable_tags(self, name: str) -> bool:
        return name in self.immutable

    def on_push(self, push: Push) -> None:
        self.pushed.append(push)

    def on_delete(self, repository: str, digest: str, tags: tuple[str, ...]) -> None:
        self.deleted.append((repository, digest, tags))
