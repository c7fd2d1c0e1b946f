"""Values of secrets, as far as whoever ships needs them: whether they are there, in SSM or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from infra.kubernetes.base import KubernetesApi
from infra.targets.kserve.names import secret_name

AT_ONCE = 10
"""docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html"""


@dataclass(frozen=True)
class SsmParameters:
    """`client` makes a boto client of SSM. No value is asked for in clear."""

    client: Callable[[], Any]

    def are_there(self, names: Collection[str]) -> bool:
        """See `stacks.collaborators.Parameters`."""
        api = self.client()
        wanted = sorted(names)
        some = (wanted[at : at + AT_ONCE] for at in range(0, len(wanted), AT_ONCE))
        return not any(api.get_parameters(Names=part)["InvalidParameters"] for part in some)


@dataclass(frozen=True)
class ClusterParameters:
    """`client` makes one of the cluster's; each value of the endpoint's is in a Secret of that namespace."""

    client: Callable[[], KubernetesApi]
    namespace: str
    endpoint: str

    def are_there(self, names: Collection[str]) -> bool:
        """See `stacks.collaborators.Parameters`. No value is asked for in clear by this, though the answer holds it."""
        api = self.client()
        return all(api.get("v1", "Secret", secret_name(self.endpoint, one), self.namespace) for one in names)
