"""What is known of a local cloud that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.rehearsal.cloud.addresses import Ports


@dataclass(frozen=True, kw_only=True)
class Running:
    """A local cloud that answers. `isolation`: how its model servers are kept apart."""

    aws_url: str
    registry_url: str
    pid: int
    isolation: str

    @classmethod
    def read(cls, health: Mapping[str, Any]) -> Running:
        """From the daemon's answer about its health."""
        ports = Ports(aws=health["aws_port"], registry=health["registry_port"])
        return cls(
            aws_url=ports.aws_url,
            registry_url=ports.registry_url,
            pid=health["pid"],
            isolation=health["isolation"],
        )
