"""Whether the Prometheus that a rollout's alarms, and the load, are asked of answers, and scrapes our servers."""

from __future__ import annotations

import time
from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack
from infra.targets.kserve.guard import find_metrics
from infra.targets.kserve.names import ENDPOINT_LABEL
from modelpack.server.guarding.prometheus import NotAnswered, query

SCRAPED = 'count(ecomdeploy_info{{namespace="{namespace}",pod=~"{endpoint}-.+"}})'


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    where = needs.cluster.prometheus
    if not (needs.watched or needs.counted):
        return
    asked = SCRAPED.format(namespace=needs.namespace, endpoint=needs.endpoint)
    try:
        found = query(find_metrics(api, where), asked, time.time())
    except NotAnswered as error:
        yield Lack(
            what=f"prometheus {where}: {error}",
            hint=f"{needs.kubectl} get services --all-namespaces | grep prometheus: NAMESPACE/SERVICE:PORT",
        )
        return
    runs = api.list("v1", "Pod", needs.namespace, labels=f"{ENDPOINT_LABEL}={needs.endpoint}")
    if runs and not found:
        without = "no bake can pass" if needs.watched else "nothing can scale by requests"
        yield Lack(
            what=f"prometheus {where} has no metrics of {needs.endpoint}'s pods: {without}",
            hint="scrape pods by the annotations prometheus.io/scrape, port and path, with labels namespace and pod",
            stops=False,
        )
