"""Whether KEDA is there, and answers, for a service that scales by requests or by a schedule."""

from __future__ import annotations

from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.kubernetes.objects import condition
from infra.preflight.base import ClusterNeeds, Lack
from infra.targets.kserve.names import ENDPOINT_LABEL
from infra.targets.kserve.scaler import find_trouble
from infra.targets.kserve.scaling import METRICS_API, SCALED, SCALED_KIND

INSTALLING = "https://keda.sh/docs/2.21/deploy/"


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    if not needs.scaled:
        return
    if not api.knows(SCALED, SCALED_KIND):
        what = f"the cluster has no {SCALED_KIND} of {SCALED}: nothing scales by requests or by a schedule"
        yield Lack(what=what, hint=f"install KEDA: {INSTALLING}")
        return
    told = condition(api.get(*METRICS_API) or {}, "Available")
    if told.get("status") != "True":
        why = told.get("message") or f"there is no APIService {METRICS_API[2]}"
        yield Lack(
            what=f"KEDA's metrics adapter does not answer, and without it nothing scales: {why}",
            hint=f"{needs.kubectl} get apiservice {METRICS_API[2]}",
        )
        return
    for one in api.list(SCALED, SCALED_KIND, needs.namespace, labels=f"{ENDPOINT_LABEL}={needs.endpoint}"):
        name = one["metadata"]["name"]
        for why in find_trouble(api, needs.namespace, name):
            hint = f"{needs.kubectl} -n {needs.namespace} describe {SCALED_KIND.lower()} {name}"
            yield Lack(what=f"{name}'s pods do not follow the load: {why}", hint=hint, stops=False)
