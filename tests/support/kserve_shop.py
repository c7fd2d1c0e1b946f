"""A shop on KServe of the local cloud: its caller at the gateway, and what the cluster says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from lent_layers import lend
from packed import copy_packed
from typed import Terminal

from infra.kubernetes.client import KubernetesClient, Object
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces

ISVC = ("serving.kserve.io/v1beta1", "InferenceService")
ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")
OURS = "ecomdeploy.dev/endpoint=shop-local"


class Gateway:
    """What a shop's own program sees: an address, a host name, a body."""

    def __init__(self, port: int, predicted: Mapping[str, Any]) -> None:
        self.port = port
        self.body = json.dumps(predicted["request"])
        self.headers = {
            "Host": f"{predicted['endpoint']}.default.example.com",
            "Content-Type": predicted["content_type"],
        }

    def ask(self) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/invocations", self.body, self.headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, f"{answer.status}: {data[:200]!r}"
        return json.loads(data)["predictions"]


def move_to_kserve(shop: Terminal) -> None:
    """The packed project, for the other target."""
    shop.edit(r"^  target: sagemaker.*$", "  target: kserve")
    shop.edit(r"^  instance: .*$", "  environment: {STORY: one}")
    shop.edit(r", target_rps: [\d.]+", "")
    shop.edit(r"^  alarms: .*\n", "")


def ship_first(packed: Terminal, shared_layers: Path, root: Path) -> Terminal:
    """A project below that folder whose first release is live."""
    shop = copy_packed(packed, root / "shop", root / "home")
    lend(shared_layers, shop.home / "images")
    move_to_kserve(shop)
    shop.type("up", "--yes", "--json")
    return shop


def places(shop: Terminal) -> KubernetesPlaces:
    return KubernetesPlaces(shop.home / "cloud" / "kubernetes")


def backends(api: KubernetesClient) -> list[str]:
    """Where all traffic goes."""
    route = api.get(*ROUTE, "shop-local", "default") or {}
    return [
        str(one["name"]) for rule in route["spec"]["rules"] for one in rule["backendRefs"] if one["weight"]
    ]


def going(obj: Object) -> bool:
    return "deletionTimestamp" in obj["metadata"]
