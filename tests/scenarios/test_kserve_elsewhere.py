"""The product's story on a cluster that is there already, with nothing of AWS: no call is made, no SDK is imported.

Somebody's cluster is the local Kubernetes of another home: a real control plane, known to the shop by a kubeconfig, a
registry and a gateway alone.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typed import ROOT, Terminal

from infra.kubernetes.client import KubernetesClient, Object
from tests.kubernetes_cluster import request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes]

SPACE, CONTEXT = "ml", "somebodys"
ISVC = ("serving.kserve.io/v1beta1", "InferenceService")
ROUTE = ("gateway.networking.k8s.io/v1", "HTTPRoute")
LEASE = ("coordination.k8s.io/v1", "Lease")
WATCH = """
import atexit, os, sys
def tell():
    with open(os.environ["IMPORTS_TOLD"], "a") as file:
        print(" ".join(sys.argv[1:]), *sorted({"boto3", "botocore", "moto"} & set(sys.modules)), sep="|", file=file)
atexit.register(tell)
"""


@dataclass(frozen=True)
class Elsewhere(Terminal):
    """A terminal with more variables."""

    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **self.more}


class Recorder(BaseHTTPRequestHandler):
    """What stands where AWS would be asked; it writes down every request."""

    asked: list[str]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("do_"):
            raise AttributeError(name)
        return self.answer

    def answer(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_error(500, "AWS is switched off")

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def aws() -> Iterator[tuple[str, list[str]]]:
    """An address for AWS, and what was asked there."""
    asked: list[str] = []
    handler = type("AwsSwitchedOff", (Recorder,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class SomebodysCluster:
    """Their cluster, what they give to the shop, and an administrator's view."""

    kubeconfig: Path
    variables: dict[str, str]
    api: KubernetesClient


def write_kubeconfig(file: Path, given: Path) -> Path:
    """One that has their context, and another cluster's as the current one."""
    config = json.loads(json.dumps(YAML(typ="safe").load(given.read_text())))
    (context,) = config["contexts"]
    context["name"] = CONTEXT
    config["clusters"].append({"name": "other", "cluster": {"server": "https://127.0.0.1:9"}})
    config["contexts"].append({"name": "other", "context": {**context["context"], "cluster": "other"}})
    config["current-context"] = "other"
    file.write_text(json.dumps(config))
    return file


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[SomebodysCluster]:
    request_or_skip()
    (tmp_path / "theirs").mkdir()
    owner = Terminal(tmp_path / "theirs", tmp_path / "their-home")
    owner.type("cloud", "kubernetes", "start", "--json")
    variables = owner.type("cloud", "env", "--json").json
    # as with any registry whose repositories have to be made first
    owner.client("ecr").create_repository(repositoryName="models/shop-kind")
    kubeconfig = write_kubeconfig(tmp_path / "somebody.kubeconfig", Path(variables["KUBECONFIG"]))
    api = KubernetesClient(kubeconfig, CONTEXT)
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    yield SomebodysCluster(kubeconfig, variables, api)
    api.close()
    owner.end()


@pytest.fixture
def elsewhere(
    shop: Terminal, theirs: SomebodysCluster, aws: tuple[str, list[str]], tmp_path: Path
) -> Elsewhere:
    """The packed project with an environment on their cluster."""
    shop.edit(r"^  target: sagemaker.*$", "  target: kserve")
    shop.edit(r"^  instance: .*$", "  environment: {STORY: one, TOKEN: {secret: {env: SHOP_TOKEN}}}")
    shop.edit(r", target_rps: [\d.]+", "")
    shop.edit(r"^  alarms: .*\n", "")
    registry = f"{theirs.variables['ECOMDEPLOY_REGISTRY']}/models"
    keys = f"cloud: cluster, context: {CONTEXT}, namespace: {SPACE}, registry: '{registry}'"
    shop.edit(
        r"^environments:.*$",
        f"environments:\n  kind: {{{keys}, distribution: kind, domain: shop.test}}",
    )
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    more = {
        "KUBECONFIG": str(theirs.kubeconfig),
        "ECOMDEPLOY_GATEWAY": theirs.variables["ECOMDEPLOY_GATEWAY"],
        "DOCKER_CONFIG": theirs.variables["DOCKER_CONFIG"],
        "SHOP_TOKEN": "not to be found anywhere",
        "AWS_ENDPOINT_URL": aws[0],
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "IMPORTS_TOLD": str(tmp_path / "imports"),
        "PYTHONPATH": f"{tmp_path / 'watch'}:{ROOT}",
    }
    return Elsewhere(shop.folder, shop.home, more=more)


@pytest.mark.nightly(
    like="tests/scenarios/test_kserve.py::test_releases_come_and_go_without_a_failed_request"
)
def test_a_service_lives_on_somebodys_cluster_without_aws(
    elsewhere: Elsewhere, theirs: SomebodysCluster, aws: tuple[str, list[str]], tmp_path: Path
) -> None:
    shop, api = elsewhere, theirs.api
    planned = shop.type("plan", "kind", "--json").json
    assert (planned["driver"], planned["release"]) == ("embedded engine", 1)
    assert {change["op"] for change in planned["changes"]} == {"create"}
    first = shop.type("up", "kind", "--yes", "--json").json
    assert (first["state"], first["verified"], first["release"]) == ("live", True, 1)
    assert first["image"].startswith(f"{theirs.variables['ECOMDEPLOY_REGISTRY']}/models/shop-kind@sha256:")
    predicted = shop.type("predict", "kind", "--json").json
    assert predicted["release"] == 1
    assert predicted["predictions"]
    assert shop.type("up", "kind", "--yes", "--json").json["outcome"] == "nothing to do"
    status = shop.type("status", "kind", "--json").json
    assert (status["release"], status["verified"]) == (1, True)
    the_route_is_of_the_users_domain(api)
    another_release_and_back(shop, api)
    two_at_once_are_refused(shop, api)
    its_history_comes_back_from_the_cluster(shop, api)
    nothing_is_left(shop, api)
    assert aws[1] == []
    told = (tmp_path / "imports").read_text().splitlines()
    assert len(told) >= 10
    assert [line for line in told if "|" in line] == []
    assert not (shop.home / "cloud").exists()


def the_route_is_of_the_users_domain(api: KubernetesClient) -> None:
    route = api.get(*ROUTE, "shop-kind", SPACE) or {}
    assert route["spec"]["hostnames"] == [f"shop-kind.{SPACE}.shop.test"]


def another_release_and_back(shop: Terminal, api: KubernetesClient) -> None:
    shop.edit("STORY: one", "STORY: two")
    second = shop.type("up", "kind", "--yes", "--json").json
    assert (second["release"], second["verified"]) == (2, True)
    assert len(api.list(*ISVC, SPACE)) == 2
    back = shop.type("rollback", "-e", "kind", "--yes", "--json").json
    assert (back["restores"], back["verified"]) == (1, True)
    assert [one["state"] for one in shop.type("releases", "kind", "--json").json] == [
        "superseded",
        "rolled-back",
        "live",
    ]


def two_at_once_are_refused(shop: Terminal, api: KubernetesClient) -> None:
    """By a Lease that everybody on the cluster sees; it is there only while somebody is at work."""
    assert api.list(*LEASE, SPACE) == []
    other = {"host": "another-machine", "pid": 7, "started": 1, "boot": "x"}
    record = {
        "token": 1,
        "who": "somebody@another-machine",
        "purpose": "up",
        "since": "now",
        "process": other,
    }
    lease: Object = {
        "apiVersion": LEASE[0],
        "kind": LEASE[1],
        "metadata": {
            "name": "ecomdeploy-shop-kind",
            "namespace": SPACE,
            "annotations": {"ecomdeploy.dev/record": json.dumps(record)},
        },
        "spec": {},
    }
    api.create(lease)
    locked = shop.type("up", "kind", "--yes", "--json", expect=3).json["error"]
    assert "`ecomdeploy up` of somebody@another-machine" in locked["what"]
    assert "is at work on another-machine" in locked["what"]
    api.delete(lease)


def its_history_comes_back_from_the_cluster(shop: Elsewhere, api: KubernetesClient) -> None:
    """The folder of state is gone; another folder is a stranger until it takes over."""
    (shop.folder / ".ecomdeploy").rename(shop.folder / "lost")
    refused = shop.type("up", "kind", "--yes", "--json", expect=2).json["error"]
    assert (
        f"namespace {SPACE} has records of 3 releases" in refused["what"] or "belongs to" in refused["what"]
    )
    recovered = shop.type("recover", "kind", "--yes", "--json", "--adopt").json
    assert (recovered["added"], recovered["live"]) == ([1, 2, 3], 3)
    shop.edit("STORY: two", "STORY: one")  # what the live release restores
    assert shop.type("up", "kind", "--yes", "--json").json["release"] == 3
    assert shop.type("status", "kind", "--json").json["verified"] is True


def nothing_is_left(shop: Terminal, api: KubernetesClient) -> None:
    shop.type("down", "kind", "--yes", "--json", "--all")
    for kind in (ISVC, ROUTE, LEASE):
        assert api.list(*kind, SPACE) == []
    kept = [one["metadata"]["name"] for one in api.list("v1", "ConfigMap", SPACE)]
    assert kept == ["kube-root-ca.crt"]
    assert [one["metadata"]["name"] for one in api.list("v1", "Secret", SPACE)] == []
