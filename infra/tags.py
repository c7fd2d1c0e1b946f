"""Tags: whose a resource is."""

from __future__ import annotations

from dataclasses import dataclass

TAG_VALUE_LENGTH = 256
"""AWS's limit for a tag's value."""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """`project`: the service, or "platform"; `stack`: `<Pulumi project>/<Pulumi stack>`."""

    project: str
    stack: str
    environment: str

    def tags(self, resource: str) -> dict[str, str]:
        """Tags for the resource of that Pulumi name: enough to find and adopt it after a kill."""
        return {
            "ecomdeploy:project": self.project,
            "ecomdeploy:stack": self.stack,
            "ecomdeploy:environment": self.environment,
            "ecomdeploy:resource": resource[:TAG_VALUE_LENGTH],
            "ecomdeploy:managed-by": "ecomdeploy",
        }
