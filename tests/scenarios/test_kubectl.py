"""kubectl, unmodified, on the local Kubernetes with a release that is live: what people do with a cluster by hand, what
`plan` and `up` make of it, and what happens when another manager holds a field."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kserve_shop import OURS, places, ship_first
from typed import Terminal
from waiting import wait_for

from infra.rehearsal.cloud.kubernetes.binaries import read_pin
from tests.conformance.kubectl.build import KUBECTL
from tests.kubernetes_cluster import request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]

CAPACITY = "capacity-team"
"""Another field manager."""


@dataclass(frozen=True)
class Kubectl:
    """Typed as a person does, in the namespace of the service."""

    binary: Path
    shop: Terminal

    def type(self, *words: str, text: str = "", editor: str = "", expect: int | None = 0) -> str:
        """What it says. `text`: on its standard input; `editor`: what it starts to edit."""
        done = subprocess.run(
            [self.binary, *words],
            env=os.environ | {"KUBECONFIG": str(places(self.shop).kubeconfig), "KUBE_EDITOR": editor},
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert expect is None or done.returncode == expect, f"{words}: {done.returncode}\n{done.stderr}"
        return done.stdout + done.stderr

    def get(self, *words: str) -> Any:
        return json.loads(self.type("get", *words, "-o", "json"))


@pytest.fixture(scope="module")
def kubectl(
    packed: Terminal, shared_layers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubectl]:
    request_or_skip()
    if not KUBECTL.can_be_had():
        pytest.skip("kubectl is built from Go modules, and there is no go")
    shop = ship_first(packed, shared_layers, tmp_path_factory.mktemp("kubectl"))
    yield Kubectl(KUBECTL.build(), shop)
    shop.end()


@pytest.fixture(scope="module")
def isvc(kubectl: Kubectl) -> str:
    """The release's InferenceService."""
    [one] = kubectl.get("inferenceservices", "-l", OURS)["items"]
    return str(one["metadata"]["name"])


def test_it_is_of_the_control_plane_s_version(kubectl: Kubectl) -> None:
    told = json.loads(kubectl.type("version", "-o", "json"))
    pin = read_pin("kubernetes", "k8s.io/kubernetes")
    assert told["clientVersion"]["gitVersion"] == pin
    assert told["serverVersion"]["gitVersion"] == pin


def test_get_describe_wait(kubectl: Kubectl, isvc: str) -> None:
    deployment = f"deployment/{isvc}-predictor"
    assert "condition met" in kubectl.type("wait", "--for=condition=Ready", f"isvc/{isvc}", "--timeout=300s")
    assert "condition met" in kubectl.type("wait", "--for=condition=Available", deployment, "--timeout=300s")
    assert f"{isvc}-predictor" in kubectl.type("get", "deployments,services,hpa,httproutes", "-o", "wide")
    [line] = kubectl.type("get", "pods", "-l", OURS, "--no-headers").splitlines()
    assert line.split()[1:3] == ["1/1", "Running"]
    assert "1 desired | 1 updated | 1 total | 1 available" in kubectl.type("describe", deployment)
    told = kubectl.type("describe", "pods", "-l", OURS)
    assert "Image ID:" in told
    assert "Started" in told  # of its events
    assert "successfully rolled out" in kubectl.type("rollout", "status", deployment)
    assert "minReplicas" in kubectl.type("explain", "inferenceservice.spec.predictor")


def test_logs(kubectl: Kubectl, isvc: str) -> None:
    lines = kubectl.type("logs", f"deployment/{isvc}-predictor").splitlines()
    assert any('"event":"ready"' in line for line in lines)
    assert kubectl.type("logs", "-l", OURS, "--tail=1").splitlines() == lines[-1:]


def test_top(kubectl: Kubectl) -> None:
    wait_for(lambda: "shop-local" in kubectl.type("top", "pods", "-l", OURS, expect=None))
    [line] = kubectl.type("top", "pods", "-l", OURS, "--no-headers").splitlines()
    assert line.split()[2].endswith("Mi")
    assert kubectl.type("top", "nodes", "--no-headers").startswith("local-1")


def test_apply_diff_edit_delete(kubectl: Kubectl) -> None:
    """Of an object that is nobody else's."""
    thing: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    first, second = (json.dumps(thing | {"data": {"colour": one}}) for one in ("red", "blue"))
    assert "created" in kubectl.type("apply", "-f", "-", text=first)
    assert "unchanged" in kubectl.type("apply", "-f", "-", text=first)
    assert kubectl.type("diff", "-f", "-", text=first) == ""
    assert "+  colour: blue" in kubectl.type("diff", "-f", "-", text=second, expect=1)
    assert "configured" in kubectl.type("apply", "-f", "-", text=second)
    assert "edited" in kubectl.type("edit", "configmap", "mine", editor="sed -i s/blue/green/")
    assert kubectl.get("configmap", "mine")["data"] == {"colour": "green"}
    assert "deleted" in kubectl.type("delete", "configmap", "mine")


def test_scale_is_the_autoscaler_s_and_no_drift(kubectl: Kubectl, isvc: str) -> None:
    deployment = f"deployment/{isvc}-predictor"
    assert "scaled" in kubectl.type("scale", deployment, "--replicas=2")
    kubectl.type("wait", "--for=jsonpath={.status.readyReplicas}=2", deployment, "--timeout=300s")
    assert kubectl.shop.type("plan", "--json").json["changes"] == []
    kubectl.type("scale", deployment, "--replicas=1")
    kubectl.type("wait", "--for=jsonpath={.status.replicas}=1", deployment, "--timeout=300s")


def test_an_edit_by_hand_is_planned_and_mended(kubectl: Kubectl, isvc: str) -> None:
    kubectl.type("edit", "isvc", isvc, editor='sed -i "s/maxReplicas: 4/maxReplicas: 3/"')
    assert most(kubectl, isvc) == 3
    assert planned(kubectl.shop) == [("update", "InferenceService")]
    assert kubectl.shop.type("up", "--yes", "--json").json["outcome"] == "updated"
    assert most(kubectl, isvc) == 4
    assert planned(kubectl.shop) == []


def test_what_is_deleted_by_hand_is_planned_and_comes_back(kubectl: Kubectl, isvc: str) -> None:
    kubectl.type("delete", "httproute", "shop-local")
    assert planned(kubectl.shop) == [("create", "HTTPRoute")]
    assert kubectl.shop.type("up", "--yes", "--json").json["verified"] is True
    assert planned(kubectl.shop) == []
    assert kubectl.shop.type("status", "--json").json["verified"] is True


def test_another_manager_s_field_is_told_and_left(kubectl: Kubectl, isvc: str) -> None:
    theirs = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": isvc},
    }
    words = ("apply", "--server-side", f"--field-manager={CAPACITY}", "-f", "-")
    held = json.dumps(theirs | {"spec": {"predictor": {"maxReplicas": 2}}})
    assert "conflict" in kubectl.type(*words, text=held, expect=1)
    kubectl.type(*words, "--force-conflicts", text=held)
    for command in (("plan",), ("up", "--yes")):
        told = kubectl.shop.type(*command, "--json", expect=None)
        assert told.code not in (0, 4), told.out
        assert f'.spec.predictor.maxReplicas by "{CAPACITY}"' in told.json["error"]["what"]
    assert most(kubectl, isvc) == 2
    kubectl.type(*words, text=json.dumps(theirs))
    assert kubectl.shop.type("up", "--yes", "--json").json["verified"] is True
    assert most(kubectl, isvc) == 4


def most(kubectl: Kubectl, isvc: str) -> int:
    return int(kubectl.get("isvc", isvc)["spec"]["predictor"]["maxReplicas"])


def planned(shop: Terminal) -> list[tuple[str, str]]:
    """What `plan` would do: operation and kind."""
    changes = shop.type("plan", "--json").json["changes"]
    return [(one["op"], one["urn"].split("::")[2].rpartition(":")[2]) for one in changes]
