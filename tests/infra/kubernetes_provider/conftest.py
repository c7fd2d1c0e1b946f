"""A laboratory: programs that use pulumi_kubernetes, on the embedded engine, against a real API server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pod_puppets import PodPuppets

from infra.kubernetes.client import KubernetesClient, Object
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import CreateResponse, ResourceIdentity, Values
from infra.rehearsal.providers.kubernetes.provider import KubernetesProvider
from infra.rehearsal.providers.packages import PackageProviders
from infra.targets.base import Clock
from tests.infra.engine.conftest import Lab
from tests.kubernetes_cluster import Cluster

WRITES = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
WATCHED = ("configmaps", "secrets", "services", "deployments")


class KilledProvider(KubernetesProvider):
    """It creates, and is gone before it has told."""

    def create(self, type: str, who: ResourceIdentity, inputs: Values, *, preview: bool) -> CreateResponse:  # noqa: A002
        made = super().create(type, who, inputs, preview=preview)
        if preview:
            return made
        raise RuntimeError("killed")


@dataclass
class Hours:
    """A clock whose seconds go by when somebody waits."""

    time: float = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class KubernetesLab:
    """One stack, one namespace, and an administrator's client beside them."""

    lab: Lab
    client: KubernetesClient
    namespace: str

    def get(self, api_version: str, kind: str, name: str) -> Object:
        found = self.client.get(api_version, kind, name, self.namespace)
        assert found is not None, f"there is no {kind} {name}"
        return found

    def edit(
        self, api_version: str, kind: str, name: str, change: Object, manager: str = "kubectl-edit"
    ) -> None:
        """As somebody else's tool changes an object."""
        self.client.patch(self.get(api_version, kind, name), change, manager=manager)

    def is_alone(self) -> bool:
        """Whether no namespace of an earlier test is still being emptied, which writes as well."""
        return not any("deletionTimestamp" in one["metadata"] for one in self.client.list("v1", "Namespace"))

    def writes(self) -> int:
        """How many writing calls the API server has had, by its own count, for the kinds that only programs write
        as a whole: with dry runs, without those for subresources."""
        total = 0
        for labels, number in WRITES.findall(self.client.text("/metrics")):
            said = dict(re.findall(r'(\w+)="([^"]*)"', labels))
            whole = said.get("subresource") == "" and said.get("resource") in WATCHED
            if whole and said.get("verb") in ("APPLY", "POST", "PUT", "PATCH", "DELETE"):
                total += int(float(number))
        return total

    def resource(self, name: str) -> dict[str, Any]:
        """A resource as the state has it."""
        return next(one for one in self.lab.deployment["resources"] if one["urn"].rpartition("::")[2] == name)


@pytest.fixture(scope="session")
def puppets(cluster: Cluster) -> Iterator[PodPuppets]:
    """Pods that do as their image says."""
    puppets = PodPuppets(cluster.client)
    puppets.start()
    yield puppets
    puppets.stop()


@pytest.fixture
def kubernetes_lab(cluster: Cluster, puppets: PodPuppets, namespace: str, tmp_path: Path) -> KubernetesLab:
    variables = {"KUBECONFIG": str(cluster.places.kubeconfig)}
    command = EmbeddedPulumiCommand(PackageProviders(), environment=variables)
    return KubernetesLab(Lab(tmp_path, command=command, variables=variables), cluster.client, namespace)


@dataclass
class KilledProviders:
    """A factory of providers that are killed in their first create."""

    made: list[KilledProvider] = field(default_factory=list)

    def __call__(self, package: str, configuration: Any, environment: Any) -> KilledProvider:
        self.made.append(KilledProvider(environment))
        return self.made[-1]
