"""Whether the API server answers, and is new enough."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from infra.kubernetes.base import KubernetesApi
from infra.preflight.base import ClusterNeeds, Lack

OLDEST = (1, 30)
"""KServe's own floor (https://kserve.github.io/website/latest/admin/kubernetes_deployment/), and the first with
`preStop.sleep` switched on, by which pods end without a lost request."""
NUMBER = re.compile(r"\d+")


def check(api: KubernetesApi, needs: ClusterNeeds) -> Iterator[Lack]:
    text = api.text("/version")
    try:
        said = dict(json.loads(text))
    except (TypeError, ValueError):
        what = f"what answers in the API server's place is none: {text[:100]!r}"
        yield Lack(what=what, hint="a proxy's page? Look at the kubeconfig's server and at HTTPS_PROXY")
        return
    parts = [NUMBER.match(str(said.get(word, ""))) for word in ("major", "minor")]
    version = tuple(int(part[0]) for part in parts if part)
    if len(version) == 2 and version < OLDEST:
        oldest = f"{OLDEST[0]}.{OLDEST[1]} is the oldest that will do"
        what = f"the cluster is Kubernetes {said.get('gitVersion')}, and {oldest}"
        yield Lack(what=what, hint="upgrade the control plane and its nodes")
