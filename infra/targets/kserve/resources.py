"""What Pulumi owns on a cluster: an InferenceService per release, the values of secrets, one HTTPRoute."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from infra.component import Component, require
from infra.tags import Tags
from infra.targets.base import Declared, Provisioned, Service
from infra.targets.initial import initial_release
from infra.targets.kserve import alarms, manifests, scaling
from infra.targets.kserve.hosts import hosts
from infra.targets.kserve.names import secret_name

if TYPE_CHECKING:
    from pulumi_kubernetes.apiextensions import CustomResource
    from pulumi_kubernetes.core.v1 import ConfigMap, Secret, ServiceAccount
    from pulumi_kubernetes.policy.v1 import PodDisruptionBudget
    from pulumi_kubernetes.rbac.v1 import Role, RoleBinding


@dataclass(frozen=True, kw_only=True)
class ClusterReleaseResources:
    """What a ClusterRelease is made of. `budget`: where there are two pods to choose from; `scaler`: where KServe's own
    autoscaler does not do."""

    service: CustomResource
    budget: PodDisruptionBudget | None
    scaler: CustomResource | None


class ClusterRelease(Component):
    """One release, dark: an InferenceService that a route can send traffic to."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        service: Service,
        release: Declared,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            f"Release {release.key}",
            {
                f"image: must be given by digest (...@sha256:...), got {release.image}": "@sha256:"
                not in release.image,
                f"count: at least 1, got {release.count}": release.count < 1,
            },
        )
        wanted = manifests.inference_service(service, release, hosts())
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.revision: str = wanted["metadata"]["name"]
        self.resources = self._create(service, release, wanted)
        self.register_outputs({"revision": self.revision})

    def _create(
        self, service: Service, release: Declared, wanted: manifests.Object
    ) -> ClusterReleaseResources:
        from pulumi_kubernetes.policy.v1 import PodDisruptionBudget

        made = custom_resource(self, "service", wanted)
        budget = None
        if service.scale.min >= 2 and not release.stopped:
            asked = manifests.disruption_budget(service, self.revision)
            budget = PodDisruptionBudget(
                self.child("budget"), metadata=asked["metadata"], spec=asked["spec"], opts=self.options()
            )
        scaler = None
        if scaling.needs_keda(service.scale) and not release.stopped:
            asked = scaling.scaled_object(service, release, manifests.labels(service))
            scaler = custom_resource(self, "scaler", asked, depends_on=[made])
        return ClusterReleaseResources(service=made, budget=budget, scaler=scaler)


@dataclass(frozen=True, kw_only=True)
class ClusterSecretsResources:
    """What ClusterSecrets is made of."""

    secrets: tuple[Secret, ...]


class ClusterSecrets(Component):
    """Values that releases refer to, each in a Secret of its own for ever: it is asked for when that is made, and never
    again (immutable, so that a value which is not in hand any more can overwrite none)."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        service: Service,
        releases: Sequence[Declared],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, project_tags=project_tags, opts=opts)
        keys = {
            parameter: key
            for release in releases
            for parameter, key in manifests.secret_keys(release.environment).items()
        }
        self.resources = self._create(service, keys)
        self.register_outputs({})

    def _create(self, service: Service, keys: dict[str, str]) -> ClusterSecretsResources:
        from pulumi_kubernetes.core.v1 import Secret

        made = []
        for parameter, key in sorted(keys.items()):
            name = secret_name(service.endpoint, parameter)
            value = base64.b64encode(service.confidential.get(parameter, "").encode()).decode()
            made.append(
                Secret(
                    self.child(name.rpartition("-")[2]),
                    metadata={
                        "name": name,
                        "namespace": service.namespace,
                        "labels": manifests.labels(service),
                    },
                    type="Opaque",
                    immutable=True,
                    data=pulumi.Output.secret({key: value}),
                    opts=self.options(ignore_changes=["data"]),
                )
            )
        return ClusterSecretsResources(secrets=tuple(made))


@dataclass(frozen=True, kw_only=True)
class RolloutGuardResources:
    """What a RolloutGuard is made of."""

    alarms: ConfigMap
    account: ServiceAccount
    role: Role
    binding: RoleBinding


class RolloutGuard(Component):
    """What a rollout in steps is watched by: the alarms, and whom its guard acts as."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        service: Service,
        releases: Sequence[Declared],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(service, releases)
        self.register_outputs({})

    def _create(self, service: Service, releases: Sequence[Declared]) -> RolloutGuardResources:
        from pulumi_kubernetes.core.v1 import ConfigMap, ServiceAccount
        from pulumi_kubernetes.rbac.v1 import Role, RoleBinding

        told, account = alarms.alarm_map(service, releases), alarms.guard_account(service)
        role, binding = alarms.guard_role(service), alarms.guard_binding(service)
        options = self.options()
        return RolloutGuardResources(
            alarms=ConfigMap(
                self.child("alarms"), metadata=told["metadata"], data=told["data"], opts=options
            ),
            account=ServiceAccount(
                self.child("account"),
                metadata=account["metadata"],
                automount_service_account_token=False,
                opts=options,
            ),
            role=Role(self.child("role"), metadata=role["metadata"], rules=role["rules"], opts=options),
            binding=RoleBinding(
                self.child("binding"),
                metadata=binding["metadata"],
                role_ref=binding["role_ref"],
                subjects=binding["subjects"],
                opts=options,
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ClusterAlarmsResources:
    """What ClusterAlarms is made of. `rule`: None where nothing is watched."""

    rule: CustomResource | None


class ClusterAlarms(Component):
    """The alarms for the cluster's own Prometheus and Alertmanager, which ring outside of rollouts, too."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        service: Service,
        releases: Sequence[Declared],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(alarms.prometheus_rule(service, releases))
        self.register_outputs({})

    def _create(self, wanted: manifests.Object | None) -> ClusterAlarmsResources:
        return ClusterAlarmsResources(rule=custom_resource(self, "rule", wanted) if wanted else None)


@dataclass(frozen=True, kw_only=True)
class TrafficRouteResources:
    """What a TrafficRoute is made of."""

    route: CustomResource


class TrafficRoute(Component):
    """The HTTPRoute. Where it leads is the rollout's: Pulumi sets the first, and no other."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        service: Service,
        revision: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(manifests.http_route(service, revision))
        self.register_outputs({"endpoint": service.endpoint})

    def _create(self, wanted: manifests.Object) -> TrafficRouteResources:
        return TrafficRouteResources(
            route=custom_resource(self, "route", wanted, ignore_changes=["spec.rules"])
        )


def custom_resource(above: Component, name: str, wanted: manifests.Object, **options: Any) -> CustomResource:
    """That object as a resource of the component. `options`: as of `Component.options`."""
    from pulumi_kubernetes.apiextensions import CustomResource

    return CustomResource(
        above.child(name),
        api_version=wanted["apiVersion"],
        kind=wanted["kind"],
        metadata=wanted["metadata"],
        spec=wanted["spec"],
        opts=above.options(**options),
    )


def provision(
    service: Service, releases: Sequence[Declared], opts: pulumi.ResourceOptions | None = None
) -> Provisioned:
    """Declare all releases and, when there is one to serve, the route to it."""
    first = initial_release(releases)
    if first is None:
        return Provisioned(endpoint="", revisions={}, alarms=())
    secret = any(manifests.secret_keys(release.environment) for release in releases)
    tags = service.project_tags
    before = []
    if secret:
        before += [
            ClusterSecrets("secrets", project_tags=tags, service=service, releases=releases, opts=opts)
        ]
    if service.rules:
        ClusterAlarms("alarms", project_tags=tags, service=service, releases=releases, opts=opts)
    watched: tuple[str, ...] = ()
    by_release: dict[str, tuple[str, ...]] = {}
    if service.watched:
        RolloutGuard("guard", project_tags=tags, service=service, releases=releases, opts=opts)
        watched = alarms.names(alarms.alarm_rules(service.endpoint, service.namespace, service.alarms))
        by_release = {
            release.key: alarms.names(alarms.guardrail_rules(service, release))
            for release in releases
            if not release.stopped
        }
    made = {
        release.key: ClusterRelease(
            f"release-{release.key}",
            project_tags=tags,
            service=service,
            release=release,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=before)),
        )
        for release in releases
    }
    # The rollout may have put the route on any of them, so it goes before they do.
    under = pulumi.ResourceOptions(depends_on=[one.resources.service for one in made.values()])
    TrafficRoute(
        "endpoint",
        project_tags=tags,
        service=service,
        revision=made[first.key].revision,
        opts=pulumi.ResourceOptions.merge(opts, under),
    )
    return Provisioned(
        endpoint=service.endpoint,
        revisions={key: one.revision for key, one in made.items()},
        alarms=watched,
        release_alarms=by_release,
    )
