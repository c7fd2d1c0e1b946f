"""Whether the alarms can be a PrometheusRule, of which the cluster's own Alertmanager tells outside of rollouts too."""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack
from infra.preflight.rights import MADE, may
from infra.targets.kserve.alarms import RULE, RULE_KIND
from infra.targets.kserve.alarms import map_name as rule_name

GROUP, RESOURCE = RULE.partition("/")[0], "prometheusrules"


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    if obstacle := find_obstacle(api, needs.namespace):
        what = f"nobody is told of alarms outside of rollouts: {obstacle}"
        hint = f"the Prometheus Operator takes {RULE_KIND} {rule_name(needs.endpoint)}: docs/alarms.md"
        yield Lack(what=what, hint=hint, stops=False)


def find_obstacle(api: KubernetesApi, namespace: str) -> str:
    """Why no PrometheusRule can be made there; "" where one can."""
    if not api.knows(RULE, RULE_KIND):
        return f"the cluster has no {RULE_KIND} of {RULE}"
    if denied := [verb for verb in MADE if not may(api, namespace, GROUP, RESOURCE, verb)]:
        return f"in namespace {namespace} you may not: {RESOURCE}.{GROUP} ({', '.join(denied)})"
    return ""
