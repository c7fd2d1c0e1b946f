"""The collaborators of `cloud: local`: as on AWS, but the account is the local cloud's, and the records lie in the
project's folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.placed.aws import AwsWiring
from cli.placed.base import PlacedProject

if TYPE_CHECKING:
    from infra.preflight.base import Looked
    from infra.rehearsal.cloud.client import LocalCloud
    from stacks.adapters.images import RegistryImages
    from stacks.collaborators import Collaborators, Parameters
    from stacks.history.read import Records
    from stacks.pulumi_driver.automation import AutomationDriver
    from stacks.records.owner import Owner
    from stacks.records.store import RecordStore
    from stacks.wanted import Wanted


@dataclass(frozen=True)
class LocalWiring(AwsWiring):
    """One project in one environment of the local cloud, which is started where it is asked anything."""

    @cached_property
    def cloud(self) -> LocalCloud:
        from infra.rehearsal.cloud.client import LocalCloud

        return LocalCloud(self.home)

    def variables(self) -> dict[str, str]:
        """Credentials, addresses and region. Starts the local cloud."""
        region, cloud = self.spec.environment.region, self.cloud
        cloud.ensure(self.progress)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        cluster = self.cluster_variables() if self.target.on_cluster else {}
        return {**kept, **cloud.environment(), "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **cluster}

    def cluster_variables(self) -> dict[str, str]:
        """Where the local cloud's Kubernetes is, which is started."""
        access = self.cloud.ensure_kubernetes(self.progress)
        return {
            "KUBECONFIG": str(access.kubeconfig),
            "ECOMDEPLOY_GATEWAY": access.gateway,
            "ECOMDEPLOY_PROMETHEUS": access.prometheus,
            "ECOMDEPLOY_PACE": str(self.cloud.pace()),
            "ECOMDEPLOY_NAMESPACE": self.spec.environment.namespace,
        }

    def find_metrics(self) -> dict[str, Any]:
        """Where the local Kubernetes' autoscaler asks for the load; nothing where AWS's own scales."""
        if not self.target.on_cluster:
            return {}
        pace = float(self.environment["ECOMDEPLOY_PACE"])
        return {"prometheus": self.environment["ECOMDEPLOY_PROMETHEUS"], "pace": pace}

    def preflight(self, wanted: Wanted) -> tuple[Looked, ...]:
        """What the local Kubernetes lacks for it. KEDA is started where it is asked for."""
        from infra.rehearsal.cloud.kubernetes.addons.keda.examine import examine_keda

        return examine_keda(self.cloud, self.target, wanted.spec.scale, self.progress)

    def platform_preflight(self, wanted: Wanted) -> tuple[Looked, ...]:
        """What this machine lacks for pools of Karpenter's."""
        from infra.rehearsal.cloud.kubernetes.addons.karpenter.examine import examine_karpenter

        return examine_karpenter(self.home, wanted.spec.platform)

    @cached_property
    def store(self) -> RecordStore:
        from stacks.records.store import FolderStore

        return FolderStore(self.state)

    @property
    def platform_store(self) -> RecordStore:
        """One for all services of this user's local cloud."""
        from stacks.records.store import FolderStore

        return FolderStore(self.home.root / "platforms" / self.spec.environment.name)

    @property
    def images(self) -> RegistryImages:
        from stacks.adapters.images import RegistryImages

        login = self.cloud.folder.registry_login
        return RegistryImages(self.home, "http", lambda host: login)

    @property
    def published(self) -> Records | None:
        """What the bucket has; None where the local cloud does not run."""
        return super().published if self.cloud.running() else None

    @property
    def parameters(self) -> Parameters:
        """Where the values of secrets are kept."""
        from infra.kubernetes.client import KubernetesClient
        from stacks.adapters.parameters import ClusterParameters

        if not self.target.on_cluster:
            return super().parameters
        kubeconfig = Path(self.environment["KUBECONFIG"])
        return ClusterParameters(
            lambda: KubernetesClient(kubeconfig), self.spec.environment.namespace, self.spec.name
        )

    @property
    def look_every(self) -> float:
        return 0.5

    @property
    def generation(self) -> Callable[[], str]:
        """Another one after a reset or an older snapshot."""
        return self.cloud.generation

    def collaborators(self) -> Collaborators:
        return replace(
            super().collaborators(),
            preflight=self.preflight,
            platform_preflight=self.platform_preflight,
            find_metrics=self.find_metrics,
        )

    def stands(self, owner: Owner) -> bool | None:
        return PlacedProject.stands(self, owner)  # each folder here is an owner of its own

    def prepare(self) -> None:
        """Nothing: the records lie in a folder."""

    def driver(self) -> AutomationDriver:
        """What talks to Pulumi for this environment."""
        from cli.placed.drivers import make_driver

        return make_driver(self.spec, self.state / "pulumi", self.session, ("", ""))
