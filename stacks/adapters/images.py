"""Images from the local store to the registry of the base stack, through our own OCI client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from modelpack.home import Home
from modelpack.progress import Progress, tell_size

if TYPE_CHECKING:
    from modelpack.image.oci.layout import Layout
    from modelpack.image.registry.client import RegistryClient


API_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Registries whose images are named by another host than the one that answers."""


@dataclass(frozen=True)
class RegistryImages:
    """`credentials(host)` gives user and password for a registry (ECR's token), or None.

    `scheme`: http locally.
    """

    home: Home
    scheme: str
    credentials: Callable[[str], tuple[str, str] | None]
    opened: dict[str, RegistryClient] = field(default_factory=dict, repr=False)
    """One client per repository, so that connections and tokens are used again."""

    def is_reachable(self, repository: str) -> bool:
        return self.registry(repository).exists()

    def count_missing(self, repository: str, digest: str) -> int:
        """Bytes to send; all of the image when there is no repository yet."""
        from modelpack.image.registry.push import missing

        layout = self.layout()
        if not repository or not self.is_reachable(repository):
            return layout.size(digest)
        return missing(self.registry(repository), layout, digest)

    def push(self, repository: str, digest: str, progress: Progress) -> int:
        from modelpack.image.registry.push import push

        # a registry takes a manifest only when it has all its blobs, so what it holds need not be here
        held = self.holds(repository, digest)
        if held and not (self.is_stored(digest) and self.count_missing(repository, digest)):
            return 0
        progress.step(f"Pushing to {repository}")
        sent = push(self.registry(repository), self.layout(), digest, tag_of(digest), progress)
        progress.note(f"pushed {tell_size(sent.bytes_sent)}; {sent.blobs_present} layers were there already")
        return sent.bytes_sent

    def fetch(self, image: str, progress: Progress) -> None:
        """Bring `repository@sha256:...` into the local store, with its referrers; what is here is not fetched."""
        from modelpack.image.registry.pull import pull_with_referrers

        repository, _, digest = image.partition("@")
        if not self.is_stored(digest):
            progress.step(f"Pulling from {repository}")
            pull_with_referrers(self.registry(repository), self.layout(), digest, progress)

    def holds(self, repository: str, digest: str) -> bool:
        registry = self.registry(repository)
        return registry.exists() and registry.has_manifest(digest) != ""

    def is_stored(self, digest: str) -> bool:
        return self.layout().complete(digest)

    def read_record(self, digest: str) -> bytes | None:
        from modelpack.image.oci.attachments import attachments
        from modelpack.pack import RECORD

        layout = self.layout()
        return next(iter(attachments(layout, digest, RECORD)), None) if layout.has(digest) else None

    def layout(self) -> Layout:
        from modelpack.image.oci.layout import Layout

        return Layout(self.home.images)

    def registry(self, repository: str) -> RegistryClient:
        """`repository` is host and name, like "127.0.0.1:5001/shop-local"."""
        from modelpack.image.registry.client import RegistryClient

        if repository not in self.opened:
            host, _, name = repository.partition("/")
            url = f"{self.scheme}://{API_HOSTS.get(host, host)}"
            self.opened[repository] = RegistryClient(url, name, self.credentials(host))
        return self.opened[repository]


def tag_of(digest: str) -> str:
    """A tag for people who list the registry; nothing of ours resolves it."""
    return f"pack-{digest.removeprefix('sha256:')[:12]}"
