"""The collaborators of `cloud: cluster`: a context of the user's kubeconfig and a registry of his. Nothing here is
AWS's."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cli.placed.base import PlacedProject
from cli.who import now, who
from modelpack.errors import BadInput, EcomdeployError

if TYPE_CHECKING:
    from infra.ground.residents import Resident
    from infra.ground.survey import Offer, Standing
    from infra.hosting import ServingNetwork
    from infra.kubernetes.client import KubernetesClient
    from infra.preflight.base import ClusterNeeds, Looked
    from infra.quotas.quota import QuotaDemand, QuotaReading
    from modelpack.home import Home
    from stacks.adapters.builder import PackBuilder
    from stacks.adapters.config_maps import ClusterRecords
    from stacks.adapters.images import RegistryImages
    from stacks.collaborators import Collaborators
    from stacks.pulumi_driver.driver import Driver
    from stacks.records.lease import OneWriter
    from stacks.records.store import FolderStore
    from stacks.wanted import Wanted

PLAIN = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
"""Registries on this machine, whole names, speak plain HTTP, as Docker takes it, too."""


@dataclass(frozen=True)
class ClusterWiring(PlacedProject):
    """One project in one environment of `cloud: cluster`. `default`: where its state lies if
    the spec names no folder."""

    default: Path
    home: Home
    builder: PackBuilder

    @property
    def state(self) -> Path:
        """Of the records and of Pulumi."""
        given = self.spec.environment.state
        return self.folder / Path(given).expanduser() / self.spec.name if given else self.default

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """The user's variables (what his kubeconfig runs for a token may need any of them), and where the cluster
        is."""
        from infra.kubernetes.kubeconfig import find_kubeconfig

        place, given = self.spec.environment, dict(os.environ)
        if place.kubeconfig:
            given["KUBECONFIG"] = str(self.folder / Path(place.kubeconfig).expanduser())
        return {
            **given,
            "KUBECONFIG": str(find_kubeconfig(given, place.context or "").absolute()),
            "ECOMDEPLOY_CONTEXT": place.context or "",
            "ECOMDEPLOY_NAMESPACE": place.namespace,
            "ECOMDEPLOY_PARENT": place.gateway,
            "ECOMDEPLOY_PROMETHEUS": place.prometheus,
        }

    @cached_property
    def client(self) -> KubernetesClient:
        from infra.kubernetes.client import KubernetesClient

        return KubernetesClient(Path(self.environment["KUBECONFIG"]), self.spec.environment.context or "")

    @cached_property
    def store(self) -> FolderStore:
        from stacks.records.store import FolderStore

        return FolderStore(self.state)

    @property
    def records(self) -> ClusterRecords:
        """Copies of what the ledger tells, where everybody who works with the cluster sees them."""
        from stacks.adapters.config_maps import ClusterRecords

        return ClusterRecords(lambda: self.client, self.spec.environment.namespace, self.spec.name)

    @property
    def published(self) -> ClusterRecords:
        """What was copied of the history."""
        return self.records

    @property
    def images(self) -> RegistryImages:
        from modelpack.image.registry.docker_login import find_login
        from stacks.adapters.images import RegistryImages

        host = str(self.spec.environment.registry).partition("/")[0]
        scheme = "http" if PLAIN.fullmatch(host) else "https"
        return RegistryImages(self.home, scheme, lambda host: find_login(host, os.environ))

    def lease(self) -> OneWriter:
        """Of the folder, and of the namespace: others may work with the same cluster from other folders and
        machines."""
        from stacks.adapters.lease_object import LeaseObject
        from stacks.records.lease import EXPIRES, JointLease, Lease
        from stacks.records.process import this_process

        mine = Lease(self.store, who(), this_process(), now, tell=self.progress.note)
        shared = LeaseObject(
            self.client, self.spec.environment.namespace, f"ecomdeploy-{self.spec.name}", EXPIRES
        )
        return JointLease(mine, Lease(shared, who(), this_process(), now, tell=self.progress.note))

    def driver(self) -> Driver:
        """The embedded engine, with its state in the folder; the Pulumi CLI with ECOMDEPLOY_DRIVER=pulumi."""
        from cli.placed.drivers import make_cluster_driver
        from stacks.pulumi_driver.given import GivenBase

        made = make_cluster_driver(self.spec, self.state / "pulumi", self.environment)
        repository = f"{self.spec.environment.registry}/{self.spec.name}"
        return GivenBase(made, {"repository_url": repository, "bucket": ""})

    def generation(self) -> str:
        """Identifies the cluster as it stands: a namespace that was made anew has nothing of what was in the other."""
        from infra.kubernetes.client import KubernetesRefused

        place = self.spec.environment
        try:
            found = self.client.get("v1", "Namespace", place.namespace)
        except KubernetesRefused as refused:
            if refused.status != 403:
                raise
            return f"{place.context}/{place.namespace}"
        return str(found["metadata"]["uid"]) if found else "no namespace"

    def collaborators(self) -> Collaborators:
        from stacks.adapters.parameters import ClusterParameters
        from stacks.adapters.shipped import ShippedPacks
        from stacks.collaborators import Collaborators
        from stacks.pulumi_driver.converged import ConvergedStates
        from stacks.records.lease import Lease
        from stacks.records.process import this_process
        from stacks.records.store import FolderStore

        platform, records, images = FolderStore(self.state / "platform"), self.records, self.images
        space = self.spec.environment.namespace
        return Collaborators(
            builder=replace(self.builder, shipped=ShippedPacks(self.ledger, images)),
            hosts=self.target.hosts(),
            images=images,
            driver=self.driver(),
            converged=ConvergedStates(self.store, self.generation),
            store=self.store,
            ledger=self.ledger,
            lease=self.lease(),
            platform_store=platform,
            platform_lease=Lease(platform, who(), this_process(), now, tell=self.progress.note),
            traffic=self.traffic,
            publisher=records,
            sweeper=records,
            progress=self.progress,
            who=who(),
            parameters=ClusterParameters(lambda: self.client, space, self.spec.name),
            survey=NoPlatform(),
            quotas=NoQuotas(),
            me=self.sign(who()),
            stands=self.stands,
            variables=os.environ,
            preflight=self.preflight,
            takes_rules=self.takes_rules,
            find_metrics=lambda: {"prometheus": self.spec.environment.prometheus},
        )

    def preflight(self, wanted: Wanted) -> tuple[Looked, ...]:
        """What the cluster lacks for it."""
        from infra.preflight.base import examine

        return tuple(examine(self.client, self.needs(wanted)))

    def takes_rules(self) -> bool:
        """Whether its alarms can be objects there."""
        from infra.preflight.rules import find_obstacle

        return not find_obstacle(self.client, self.spec.environment.namespace)

    def needs(self, wanted: Wanted) -> ClusterNeeds:
        from infra.preflight.base import ClusterNeeds
        from modelpack.server.secrets import PREFIX

        place = self.spec.environment
        assert place.cluster is not None, "this is the wiring of one"
        return ClusterNeeds(
            context=place.context or "",
            namespace=place.namespace,
            endpoint=self.spec.name,
            cluster=place.cluster,
            hosts=self.target.hosts(),
            instance=self.spec.serve.instance,
            replicas=max(1, self.spec.scale.min),
            secrets=any(name.startswith(PREFIX) for name in wanted.serving.environment),
            proxied=not self.environment.get("ECOMDEPLOY_GATEWAY"),
            watched=self.spec.rollout.strategy != "all-at-once",
            scaled=self.spec.scale.is_automatic,
            counted=self.spec.scale.target_rps is not None,
        )


class NoQuotas:
    """AWS's quotas of a cluster that has no AWS account: its own are looked at before anything is sent."""

    def read(self, demands: Sequence[QuotaDemand]) -> Sequence[QuotaReading | None]:
        """See Quotas. It knows none."""
        return [None for _ in demands]


class NoPlatform:
    """The survey of a cluster that is there already: nothing is laid out on it.

    Every question raises BadInput.
    """

    def offer(self) -> Offer:
        raise refuse_platform()

    def standing(self, stack: str, cluster: str) -> Standing:
        raise refuse_platform()

    def addons(self, version: str, names: Collection[str]) -> Mapping[str, str]:
        raise refuse_platform()

    def residents(self, network: ServingNetwork) -> tuple[Resident, ...]:
        raise refuse_platform()

    def lacks(self, network: ServingNetwork) -> tuple[str, ...]:
        raise refuse_platform()


def refuse_platform() -> EcomdeployError:
    return BadInput(
        "cloud: cluster is a cluster that is there already: no platform is made on it",
        hint="an environment of cloud: aws has a platform; ecomdeploy doctor tells what this cluster lacks",
    )
