"""KServe as a target. Stays light: Pulumi and the client of the API server are imported when a side is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from infra.capabilities import Capability
from infra.hosts import Hosts
from infra.targets.base import Declared, Provisioned, Service, Target, Traffic
from modelpack.server.http.metrics import SECONDS

if TYPE_CHECKING:
    from infra.aws_session import AwsSession


class KServe(Target):
    """One HTTPRoute per service. A release's revision is an InferenceService, with pods and a Service of its own.

    A release runs, and is asked, before traffic comes to it, and the one that was live before keeps running: a roll
    back to that one moves a weight and starts nothing. Older ones are stopped, and their pods have to start first.
    In a rollout by steps the command line moves the weights, and a guard in the cluster puts them back without it.
    """

    name = "kserve"
    on_cluster = True
    slowest_ms = 1000 * SECONDS[-1]
    lacks: ClassVar[Mapping[Capability, str]] = {
        Capability.SCALE_TO_ZERO: "nothing there holds a request until a pod has started: first callers would get 503",
        Capability.ALARM_TOPIC: "no SNS is there; Alertmanager tells, by the rules in the ConfigMap <endpoint>-alarms",
        Capability.ROLLING: "all servers of both releases run there before traffic moves; strategy: linear",
        Capability.AUTO: "all servers of both releases run there before traffic moves, whatever is chosen",
        Capability.SCALE_BY_CONCURRENCY: "servers do not tell how many requests are under way; scale.target_rps",
        Capability.SCALE_BY_STEPS: "KEDA holds a load, and knows no steps; scale.target_rps",
        Capability.SERVING_NETWORK: "pods are in the cluster's network",
        Capability.ISOLATION: "that takes a network plugin that holds pods to policies, which not every cluster has",
        Capability.VOLUME_KEYS: "its pods have no volumes; a pool's disks are encrypted",
        Capability.CAPTURE: "that takes a collector of KServe's logger, which ecomdeploy does not set up yet",
        Capability.START_TIMEOUTS: "a pod may take as long as the rollout: rollout.deadline_minutes",
        Capability.HOST_IMAGES: "a cluster's nodes have theirs before a pod comes",
        Capability.AWS_SECRETS: "pods have no AWS credentials yet; {env: NAME} becomes a Secret of the cluster",
        Capability.AWS: "the platform's cluster has neither KServe nor a gateway yet; cloud: local has both",
    }

    def longest_endpoint(self, namespace: str) -> int:
        from infra.targets.kserve.names import longest_endpoint

        return longest_endpoint(namespace)

    def hosts(self) -> Hosts:
        from infra.targets.kserve.hosts import hosts

        return hosts()

    def resources(self, service: Service, releases: Sequence[Declared], opts: Any = None) -> Provisioned:
        from infra.targets.kserve.resources import provision

        return provision(service, releases, opts)

    def traffic(self, environment: Mapping[str, str], session: AwsSession | None = None) -> Traffic:
        from infra.kubernetes.client import KubernetesClient
        from infra.kubernetes.kubeconfig import find_kubeconfig
        from infra.targets.kserve.names import ClusterPlace
        from infra.targets.kserve.traffic import KServeTraffic

        context = environment.get("ECOMDEPLOY_CONTEXT", "")
        return KServeTraffic(
            KubernetesClient(find_kubeconfig(environment, context), context, environment),
            ClusterPlace(
                namespace=environment.get("ECOMDEPLOY_NAMESPACE") or "default",
                gateway=environment.get("ECOMDEPLOY_GATEWAY", ""),
                parent=environment.get("ECOMDEPLOY_PARENT", ""),
                prometheus=environment.get("ECOMDEPLOY_PROMETHEUS", ""),
                pace=float(environment.get("ECOMDEPLOY_PACE") or 1),
            ),
        )
