"""A release that is live on a target, and clients of it that are not ours: AWS's SDK, and plain HTTP at the gateway."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from botocore.exceptions import ClientError
from typed import Terminal

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces


@dataclass(frozen=True)
class Reply:
    """What the server answered, taken out of what the target puts around it."""

    status: int
    body: bytes
    content_type: str


@dataclass(frozen=True)
class Shipped(ABC):
    """A project, and what its first `up --json` told."""

    shop: Terminal
    first: Mapping[str, Any]

    @abstractmethod
    def ask(self, body: bytes, content_type: str = "application/json") -> Reply:
        """One request, as the target's own callers send it."""

    @abstractmethod
    def servers(self) -> int:
        """How many serve."""


@dataclass(frozen=True)
class OnSageMaker(Shipped):
    runtime: Any
    api: Any

    def ask(self, body: bytes, content_type: str = "application/json") -> Reply:
        try:
            answer = self.runtime.invoke_endpoint(
                EndpointName=self.first["endpoint"], Body=body, ContentType=content_type
            )
        except ClientError as refused:
            told: Any = refused.response
            # of an error SageMaker hands on neither its content type nor its headers
            message = told["OriginalMessage"].encode()
            return Reply(told["OriginalStatusCode"], message, "")
        return Reply(200, answer["Body"].read(), answer["ContentType"])

    def servers(self) -> int:
        [variant] = self.api.describe_endpoint(EndpointName=self.first["endpoint"])["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])


@dataclass(frozen=True)
class OnKServe(Shipped):
    api: KubernetesClient
    gateway: int

    def ask(self, body: bytes, content_type: str = "application/json") -> Reply:
        host = f"{self.first['endpoint']}.default.example.com"
        connection = HTTPConnection("127.0.0.1", self.gateway, timeout=60)
        try:
            connection.request("POST", "/invocations", body, {"Host": host, "Content-Type": content_type})
            answer = connection.getresponse()
            told = answer.read()
            # what SageMaker keeps to itself of an error is not compared
            kind = answer.headers["Content-Type"] if answer.status == 200 else ""
            return Reply(answer.status, told, kind)
        finally:
            connection.close()

    def servers(self) -> int:
        way = self.api.get("gateway.networking.k8s.io/v1", "HTTPRoute", self.first["endpoint"], "default")
        assert way is not None
        [backend] = [one for one in way["spec"]["rules"][0]["backendRefs"] if one["weight"]]
        slices = self.api.list(
            "discovery.k8s.io/v1", "EndpointSlice", "default", f"kubernetes.io/service-name={backend['name']}"
        )
        ends = [end for one in slices for end in one.get("endpoints") or ()]
        return sum(bool(end["conditions"].get("ready")) for end in ends)


def ship_on_sagemaker(shop: Terminal) -> Shipped:
    shop.edit(r", target_rps: [\d.]+", "")
    shop.edit(r"^  alarms: .*\n", "")
    first = shop.type("up", "--yes", "--json").json
    return OnSageMaker(shop, first, shop.client("sagemaker-runtime"), shop.client("sagemaker"))


def ship_on_kserve(shop: Terminal) -> Shipped:
    shop.edit(r"^service: shop\b", "service: store")
    shop.edit(r"^  target: sagemaker.*$", "  target: kserve")
    shop.edit(r"^  instance: ml\.", "  instance: ")
    shop.edit(r", target_rps: [\d.]+", "")
    shop.edit(r"^  alarms: .*\n", "")
    first = shop.type("up", "--yes", "--json").json
    places = KubernetesPlaces(shop.home / "cloud" / "kubernetes")
    return OnKServe(shop, first, KubernetesClient(places.kubeconfig), places.ports().gateway)


def request_of(instances: list[Mapping[str, Any]]) -> bytes:
    return json.dumps({"instances": instances}).encode()
