"""The local Kubernetes as what an emulated EKS cluster is: brought up, told of machines, ended."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from infra.kubernetes.client import KubernetesClient, KubernetesRefused
from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.aws.eks_nodes.ground import ClusterEndpoint, Object
from infra.rehearsal.cloud.aws.eks_nodes.machines import AGENT, GROUP
from infra.rehearsal.cloud.kubernetes import binaries, gateway_api
from infra.rehearsal.cloud.kubernetes.addons.catalog import find_addon
from infra.rehearsal.cloud.kubernetes.certificates import AUTHORITY, Certificates
from infra.rehearsal.cloud.kubernetes.local import LocalKubernetes, StartRequest
from infra.rehearsal.cloud.own_files import read_own
from modelpack.progress import Silent

SWITCH, OFF = "ECOMDEPLOY_LOCAL_EKS", "records"
"""Set so, EKS clusters are records alone: no control plane is started for them (it takes half a gigabyte)."""
DRAIN_SECONDS = 30.0
"""How long budgets may hold a pod on a node that goes: AWS's is fifteen minutes."""
TRIED_AGAIN_SECONDS = 0.2


class LocalClusters:
    """`cache`: where the control plane's binaries are kept; `variables`: the daemon's."""

    def __init__(
        self, local: LocalKubernetes, cache: Path | None, variables: Mapping[str, str] = os.environ
    ) -> None:
        self._local, self._cache, self._variables = local, cache, variables
        self._client: KubernetesClient | None = None

    def why_not(self) -> str:
        if self._variables.get(SWITCH) == OFF:
            return f"{SWITCH}={OFF}"
        if self._local.state in ("starting", "ready"):
            return ""
        if self._cache is None or binaries.find(self._cache, self._variables) is None:
            return f"there is no control plane here: {binaries.INSTALL}"
        return ""

    @property
    def state(self) -> tuple[Literal["stopped", "starting", "ready", "failed"], str]:
        return self._local.state, self._local.reason

    def begin(self) -> None:
        if self._local.state in ("starting", "ready") or self._cache is None:
            return
        if self._local.places.wanted.exists():
            self._local.resume()
            return
        found = binaries.require(self._cache, self._variables)
        definitions = gateway_api.ensure(self._cache, Silent(), self._variables)
        self._local.start(StartRequest(binaries=found, definitions=definitions))

    def endpoint(self) -> ClusterEndpoint:
        places = self._local.places
        authority = read_own(Certificates(places.certificates).certificate(AUTHORITY))
        return ClusterEndpoint(
            address=f"https://{LOOPBACK}:{places.ports().api}", authority=base64.b64encode(authority).decode()
        )

    def nodes(self) -> Sequence[Object]:
        return self._api().list("v1", "Node", labels=GROUP)

    def add(self, node: Object) -> None:
        api, status = self._api(), node["status"]
        bare = {name: value for name, value in node.items() if name != "status"}
        try:
            api.create(bare)
        except KubernetesRefused as refused:
            if refused.status != 409:
                raise
        api.patch(bare, {"status": status}, "status")

    def change(self, name: str, labels: Object, taints: Sequence[Object]) -> None:
        api = self._api()
        found = api.get("v1", "Node", name)
        if found is None:
            return
        # Kubernetes' own taints (not ready, unreachable) stay
        kept = [one for one in found["spec"].get("taints", ()) if one["key"].startswith("node.")]
        api.patch(found, {"metadata": {"labels": labels}, "spec": {"taints": [*taints, *kept]}})

    def drain(self, name: str) -> None:
        api = self._api()
        node = _node(name)
        if api.get("v1", "Node", name) is None:
            return
        api.patch(node, {"spec": {"unschedulable": True}})
        deadline = time.monotonic() + DRAIN_SECONDS
        while pods := api.list("v1", "Pod", fields=f"spec.nodeName={name}"):
            late = time.monotonic() > deadline
            for pod in pods:
                if late:
                    api.delete(pod, grace=0)
                elif "deletionTimestamp" not in pod["metadata"]:
                    _evict(api, pod)
            time.sleep(TRIED_AGAIN_SECONDS)
        api.delete(node)

    def hold(self, held: bool) -> None:
        if self._local.state != "ready":
            return
        api = self._api()
        for node in api.list("v1", "Node", labels=",".join(f"{key}={word}" for key, word in AGENT.items())):
            own = GROUP not in node["metadata"]["labels"]
            if own and bool(node["spec"].get("unschedulable")) is not held:
                api.patch(node, {"spec": {"unschedulable": held or None}})

    def run(self, controller: str) -> None:
        folder = find_addon(controller).source.find(self._cache) if self._cache else None
        if folder is not None:
            self._local.add_addon(controller, folder)

    def end(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        self._local.reset()

    def _api(self) -> KubernetesClient:
        if self._client is None:
            self._client = KubernetesClient(self._local.places.kubeconfig)
        return self._client


def _evict(api: KubernetesClient, pod: Object) -> None:
    metadata = {name: pod["metadata"][name] for name in ("name", "namespace")}
    path = api.path_of(pod, "eviction")
    try:
        api.request("POST", path, body={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
    except KubernetesRefused as refused:
        # 429: a budget holds it for now; 404: it is gone already
        if refused.status not in (404, 429):
            raise


def _node(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
