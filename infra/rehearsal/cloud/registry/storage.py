"""What the registry keeps on disk, and the lock that its changes are made under."""

from __future__ import annotations

import threading
from pathlib import Path

from infra.rehearsal.cloud.registry.blobs import Blobs, Uploads
from infra.rehearsal.cloud.registry.holdings import Holdings
from infra.rehearsal.cloud.registry.repositories import Repositories


class Storage:
    """Blobs, which repository holds which of them, uploads on their way, and who owns the repositories."""

    def __init__(self, root: Path, repositories: Repositories) -> None:
        self.blobs = Blobs(root)
        self.holdings = Holdings(root, self.blobs)
        self.uploads = Uploads(root)
        self.repositories = repositories
        self.lock = threading.RLock()
