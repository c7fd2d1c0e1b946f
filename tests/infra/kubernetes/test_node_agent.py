"""The node agent without a control plane: pods against a fake store and fake model servers that answer over HTTP."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from speaking import SpeakingHost
from waiting import wait_for

from infra.instances import nodes
from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable, Object
from infra.rehearsal.cloud.kubernetes.addons.karpenter.instance_types import instance_types
from infra.rehearsal.cloud.kubernetes.node_agent.addresses import API, PodAddresses
from infra.rehearsal.cloud.kubernetes.node_agent.agent import NodeAgent
from infra.rehearsal.cloud.kubernetes.node_agent.back_off import back_off
from infra.rehearsal.cloud.kubernetes.node_agent.nodes import (
    NodeWanted,
    is_new,
    is_pretended,
    machine_status,
    node_of,
    node_status,
    read_nodes,
)
from infra.rehearsal.cloud.kubernetes.node_agent.pod import Means, PodRunner
from infra.rehearsal.cloud.kubernetes.node_agent.pod_store import FakePodStore
from infra.rehearsal.cloud.kubernetes.node_agent.probes import ContainerProbe, Verdicts, ask, probes_of
from infra.rehearsal.cloud.kubernetes.node_agent.relay import Relay
from infra.rehearsal.cloud.kubernetes.node_agent.report import PodReport
from infra.rehearsal.cloud.kubernetes.node_agent.selectors import matches
from infra.rehearsal.cloud.kubernetes.node_agent.settings import Unconfigured, expand, settings_of
from infra.rehearsal.cloud.kubernetes.node_agent.status import running
from infra.rehearsal.cloud.kubernetes.node_agent.usage import UsageMeter, measure
from infra.rehearsal.cloud.servers.host import KILLED
from modelpack.errors import BadInput

IMAGE = "127.0.0.1:5001/shop@sha256:" + "a" * 64
MOMENT = "2026-01-02T03:04:05Z"


class Place:
    """One agent with fakes around it; pods are what `put` says."""

    def __init__(self, folder: Path) -> None:
        self.host = SpeakingHost(folder, "127.0.0.1:5001")
        self.host.logs = folder
        self.store = FakePodStore()
        self.relay = Relay().start()
        self.pods: dict[str, Object] = {}
        self.folder = folder
        self.agent = self.new_agent()

    def new_agent(self) -> NodeAgent:
        means = Means(
            host=self.host,
            store=self.store,
            addresses=PodAddresses(self.relay, self.folder),
            first_back_off=0.2,
        )
        return NodeAgent(means, lambda: list(self.pods.values()), lambda: ["local-1"])

    def put(self, pod: Object) -> PodRunner:
        self.pods[pod["metadata"]["name"]] = pod
        self.agent.reconcile()
        found = self.agent.find("shop", pod["metadata"]["name"])
        assert found
        return found

    def state(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.store.statuses[name]["containerStatuses"][0]
        return found

    def is_ready(self, name: str) -> bool:
        return self.condition(name, "Ready") == "True"

    def condition(self, name: str, kind: str) -> str:
        told = self.store.statuses.get(name, {}).get("conditions", ())
        return next((one["status"] for one in told if one["type"] == kind), "")

    def waits_for(self, name: str) -> str:
        told = self.store.statuses.get(name)
        waits = told["containerStatuses"][0]["state"].get("waiting", {}) if told else {}
        return str(waits.get("reason", ""))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.agent.stop()
    made.relay.stop()


_numbers = itertools.count(1)


def pod(name: str = "a", port: int | None = None, **container: Any) -> Object:
    """A pod as the API server hands it over; each of a test process has a port of its own."""
    chosen = port or 20000 + next(_numbers)
    environment = container.pop("env", [])
    spec = container.pop("spec", {})
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "generation": 1,
            "labels": {"app": "shop"},
        },
        "spec": {
            "nodeName": "local-1",
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 5,
            "containers": [
                {
                    "name": "server",
                    "image": IMAGE,
                    "ports": [{"name": "http", "containerPort": chosen}],
                    "env": [{"name": "SAGEMAKER_BIND_TO_PORT", "value": str(chosen)}, *environment],
                    **container,
                }
            ],
            **spec,
        },
    }


def probe(path: str = "/ping", **more: Any) -> Object:
    return {"httpGet": {"path": path, "port": "http"}, "periodSeconds": 0.05, "failureThreshold": 2, **more}


def deleted(before: Object, grace: int = 5) -> Object:
    marks = {"deletionTimestamp": MOMENT, "deletionGracePeriodSeconds": grace}
    return {**before, "metadata": {**before["metadata"], **marks}}


def served(place: Place, name: str) -> socket.socket:
    """A connection to the pod's address, as the gateway makes it."""
    ip = place.store.statuses[name]["podIP"]
    port = place.pods[name]["spec"]["containers"][0]["ports"][0]["containerPort"]
    return socket.create_connection((ip.replace(API, "127.77.", 1), port), 30)


def get(connection: socket.socket, path: str) -> bytes:
    with connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        parts = iter(lambda: connection.recv(65536), b"")
        return b"".join(parts)


def test_a_pod_is_started_ready_and_reached_at_its_address(place: Place) -> None:
    place.put(pod(startupProbe=probe(), readinessProbe=probe(), livenessProbe=probe()))
    wait_for(lambda: place.is_ready("a"))
    status = place.store.statuses["a"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith(API)
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert place.state("a")["imageID"] == IMAGE
    assert place.state("a")["started"]
    assert b" 200 " in get(served(place, "a"), "/ping").splitlines()[0]
    assert {reason for _, reason, _ in place.store.events} >= {"Pulled", "Created", "Started"}


def test_not_ready_while_its_probe_says_no_and_reached_all_the_same(place: Place) -> None:
    place.put(pod(readinessProbe=probe(), env=[{"name": "READY", "value": "no"}]))
    wait_for(lambda: any(reason == "Unhealthy" for _, reason, _ in place.store.events))
    assert not place.is_ready("a")
    assert place.state("a")["started"]
    assert place.store.statuses["a"]["phase"] == "Running"


def test_a_container_that_never_starts_up_is_ended_and_started_again(place: Place) -> None:
    place.put(pod(startupProbe=probe(), env=[{"name": "READY", "value": "no"}]))
    wait_for(lambda: place.store.statuses.get("a") and place.state("a")["restartCount"] >= 2)
    assert ("a", "Killing", "Container server failed startup probe, will be restarted") in place.store.events


def _restarted(place: Place, times: int) -> bool:
    """Whether it runs again and the API server knows: that there is a server is seen before it is told."""
    told = place.state("a")
    return told["restartCount"] == times and "running" in told["state"]


def test_a_crash_is_started_again_at_once_then_later_and_later(place: Place) -> None:
    runner = place.put(pod())
    for count in range(3):
        wait_for(lambda: place.store.statuses.get("a") and "running" in place.state("a")["state"])
        server = runner.server
        assert server
        place.host.log(server.id).write_text(f"words {count}\n")
        place.host.crash(server, 7)
        wait_for(partial(_restarted, place, count + 1))
    assert runner.view.restarts == 3
    last = place.state("a")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (7, "Error")
    waits = [one["containerStatuses"][0]["state"].get("waiting", {}) for one in place.store.history["a"]]
    assert [one["message"] for one in waits if one.get("reason") == "CrashLoopBackOff"]
    assert len(runner.logs) == 2
    kept = {path.name for path in place.folder.glob("*.log")}
    assert kept == {f"{runner.logs[0]}.log"}, "of the newest nothing was written, the older are gone"


def test_back_off_as_a_kubelet_counts() -> None:
    assert [back_off(count) for count in range(1, 9)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_an_image_that_is_not_there(place: Place) -> None:
    place.host.broken.add("sha256:")
    place.put(pod())
    wait_for(lambda: place.waits_for("a") == "ImagePullBackOff")
    reasons = [
        one["containerStatuses"][0]["state"].get("waiting", {}).get("reason")
        for one in place.store.history["a"]
    ]
    assert "ErrImagePull" in reasons
    assert place.store.statuses["a"]["phase"] == "Pending"
    place.host.broken.clear()
    wait_for(lambda: place.is_ready("a"))
    assert place.state("a")["restartCount"] == 0


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"command": ["sh"]}, "command"),
        ({"spec": {"initContainers": [{"name": "i"}]}}, "init containers"),
        ({"spec": {"hostNetwork": True}}, "hostNetwork"),
        ({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}, "/data"),
        ({"readinessProbe": {"exec": {"command": ["x"]}}}, "readinessProbe"),
        ({"livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTPS"}}}, "HTTPS"),
        ({"lifecycle": {"preStop": {"exec": {}}}}, "preStop"),
        ({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {}}}]}, "resourceFieldRef"),
        ({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}, "not found"),
    ],
)
def test_what_cannot_be_had_is_said(place: Place, asked: dict[str, Any], told: str) -> None:
    place.put(pod(**asked))
    wait_for(lambda: place.waits_for("a") == "CreateContainerConfigError")
    assert told in place.state("a")["state"]["waiting"]["message"]
    assert not place.host.started
    assert any(reason == "Failed" and told in words for _, reason, words in place.store.events)


def test_variables_from_everywhere_and_secrets_past_the_environment(place: Place) -> None:
    place.store.stores = {
        ("ConfigMap", "shop", "m"): {"k": "from map"},
        ("Secret", "shop", "s"): {"password": "hidden", "B": "also"},
    }
    environment = [
        {"name": "PLAIN", "value": "x"},
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
        {"name": "URL", "value": "db://$(PLAIN):$(SECRET)@$$(PLAIN)/$(UNKNOWN)"},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k", "optional": True}}},
    ]
    asked = pod(env=environment, envFrom=[{"prefix": "X_", "secretRef": {"name": "s"}}])
    found = settings_of(asked, "10.77.0.1", place.store.values)
    assert found.environment["MAP"] == "from map"
    assert found.environment["APP"] == "shop"
    assert found.environment["IP"] == "10.77.0.1"
    assert "NONE" not in found.environment
    assert found.secrets == {
        "SECRET": "hidden",
        "URL": "db://x:hidden@$(PLAIN)/$(UNKNOWN)",
        "X_password": "hidden",
        "X_B": "also",
    }
    assert "hidden" not in repr(found)
    assert expand("$(A)$(B", {"A": "1"}) == "1$(B"


def test_a_deleted_pod_is_finished_after_its_server(place: Place) -> None:
    runner = place.put(pod())
    wait_for(lambda: place.is_ready("a"))
    ip = place.store.statuses["a"]["podIP"]
    place.put(deleted(place.pods["a"]))
    wait_for(lambda: place.store.finished == ["a"])
    with pytest.raises(ConnectionRefusedError):
        served(place, "a")
    assert not place.host.running()
    assert ("a", "Killing", "Stopping container server") in place.store.events
    wait_for(runner.done.is_set)
    del place.pods["a"]
    place.agent.reconcile()
    assert not place.agent.runners()
    place.put(pod("b"))
    wait_for(lambda: place.is_ready("b"))
    assert place.store.statuses["b"]["podIP"] != ip, "an address is not soon another pod's"


def test_a_pod_deleted_by_force_is_ended_without_a_word(place: Place) -> None:
    place.put(pod())
    wait_for(lambda: place.is_ready("a"))
    before = len(place.store.history["a"])
    del place.pods["a"]
    place.agent.reconcile()
    wait_for(lambda: not place.host.running())
    assert (len(place.store.history["a"]), place.store.finished) == (before, [])


def test_after_a_kill_the_next_agent_starts_each_once_more(place: Place) -> None:
    first = pod(readinessProbe=probe())
    place.put(first)
    wait_for(lambda: place.is_ready("a"))
    before = place.store.statuses["a"]
    # servers die with their agent; the API server still has the pod as it last was
    place.agent.stop()
    place.store.statuses.clear()
    place.pods["a"] = {**first, "status": before}
    place.store.history.clear()
    place.agent = place.new_agent()
    place.agent.reconcile()
    wait_for(lambda: place.is_ready("a"))
    assert place.store.history["a"][0]["conditions"] != before["conditions"], "first it is told not ready"
    after = place.store.statuses["a"]
    assert after["podIP"] == before["podIP"]
    assert after["startTime"] == before["startTime"]
    assert place.state("a")["restartCount"] == 1
    assert place.state("a")["lastState"]["terminated"]["exitCode"] == KILLED
    assert len(place.host.running()) == 1


def test_an_api_server_that_is_away_is_told_later(place: Place) -> None:
    place.store.away = True
    place.put(pod())
    wait_for(lambda: place.host.running())
    assert "a" not in place.store.statuses
    place.store.away = False
    wait_for(lambda: place.is_ready("a"))


def test_what_is_refused_for_now_is_told_later() -> None:
    store = FakePodStore()
    report = PodReport(pod(), store)
    store.refusals["write_status"] = [
        KubernetesRefused(status, "", "etcdserver: request timed out") for status in (500, 503, 429)
    ]
    report.show(state=running(MOMENT), ready=True)
    for _ in range(3):
        assert not store.statuses
        report.write()
    (told,) = store.statuses["a"]["containerStatuses"]
    assert told["ready"]
    report.write()
    assert len(store.history["a"]) == 1


def test_a_status_that_is_refused_for_good_is_not_told_again() -> None:
    store = FakePodStore()
    report = PodReport(pod(), store)
    store.refusals["write_status"] = [KubernetesRefused(422, "Invalid", "no such status")]
    report.show(state=running(MOMENT), ready=True)
    report.write()
    assert not store.statuses


def test_variables_that_are_refused_for_now_are_waited_for() -> None:
    store = FakePodStore(refusals={"values": [KubernetesRefused(503, "", "etcd restarts")]})
    asked = pod(envFrom=[{"configMapRef": {"name": "m"}}])
    with pytest.raises(KubernetesUnreachable, match="etcd restarts"):
        settings_of(asked, "", store.values)


@pytest.mark.parametrize("status", [403, 422, 500])
def test_a_pod_whose_end_is_refused_ends_later(place: Place, status: int) -> None:
    place.store.refusals["finish"] = [KubernetesRefused(status, "", "not now")]
    runner = place.put(deleted(pod()))
    wait_for(runner.done.is_set)
    assert place.store.finished == ["a"]


@pytest.mark.parametrize(
    ("policy", "code", "phase"),
    [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")],
)
def test_a_pod_that_is_not_to_be_started_again(place: Place, policy: str, code: int, phase: str) -> None:
    runner = place.put(pod(spec={"restartPolicy": policy}))
    wait_for(lambda: place.is_ready("a"))
    assert runner.server
    place.host.crash(runner.server, code)
    wait_for(lambda: place.store.statuses["a"]["phase"] == phase)
    assert len(place.host.started) == 1


def test_conditions_of_others_stay_and_times_change_only_with_the_status(place: Place) -> None:
    gate = {"type": "shop/gate", "status": "False", "lastTransitionTime": MOMENT}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": MOMENT}
    asked = pod(spec={"readinessGates": [{"conditionType": "shop/gate"}]})
    asked["status"] = {"conditions": [scheduled, gate]}
    place.put(asked)
    wait_for(lambda: place.condition("a", "ContainersReady") == "True")
    assert place.condition("a", "Ready") == "False"
    told = {one["type"]: one for one in place.store.statuses["a"]["conditions"]}
    assert told["PodScheduled"]["lastTransitionTime"] == MOMENT
    assert told["shop/gate"] == gate
    place.put({**asked, "status": {"conditions": [scheduled, {**gate, "status": "True"}]}})
    wait_for(lambda: place.is_ready("a"))


# ---- probes ----


def of(kind: str = "readiness", **more: Any) -> ContainerProbe:
    found = probes_of({f"{kind}Probe": {"httpGet": {"path": "/ping", "port": 8080}, **more}})
    return found[kind]  # type: ignore[index]


def test_thresholds_count_answers_in_a_row() -> None:
    asked = of(successThreshold=2, failureThreshold=3)
    seen = Verdicts()
    rows = [(True, (False, False)), (True, (True, False)), (False, (True, False)), (True, (True, False))]
    rows += [(False, (True, False)), (False, (True, False)), (False, (False, True)), (True, (False, True))]
    for ok, wanted in rows:
        seen = seen.after(ok, asked)
        assert (seen.passing, seen.failing) == wanted


def test_what_a_probe_says_in_a_kubelets_words() -> None:
    def refused() -> socket.socket:
        raise ConnectionRefusedError

    words = 'Get "http://10.77.0.1:8080/ping": dial tcp 10.77.0.1:8080: connect: connection refused'
    assert ask(of(), refused, "10.77.0.1", 8080) == words
    assert ask(of(), refused, "10.77.0.1", 9000) == words, "nothing listens on another port"
    ours, theirs = socket.socketpair()
    assert "context deadline exceeded" in ask(of(timeoutSeconds=0.01), lambda: ours, "10.77.0.1", 8080)
    theirs.close()


# ---- the relay and addresses ----


@pytest.fixture
def relay() -> Iterator[Relay]:
    made = Relay().start()
    yield made
    made.stop()


def test_bytes_go_both_ways_and_each_way_may_end_first(relay: Relay) -> None:
    entrance = relay.open("127.77.0.1", 0)
    ours, theirs = socket.socketpair()
    entrance.connect = lambda: theirs
    size = 5_000_000
    with socket.create_connection(entrance.bound.getsockname()) as caller:
        caller.sendall(b"question")
        caller.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: ours.recv(4), b"")) == b"question"
        sender = Sender(ours, size)
        got = sum(len(part) for part in iter(lambda: caller.recv(65536), b""))
    assert got == size
    sender.join()
    relay.close(entrance)


class Sender:
    """Sends from a thread, for it may have to wait for the reader."""

    def __init__(self, to: socket.socket, size: int) -> None:
        import threading

        def send() -> None:
            to.sendall(b"x" * size)
            to.close()

        self._thread = threading.Thread(target=send)
        self._thread.start()
        self.join: Callable[[], None] = self._thread.join


def test_who_is_in_the_queue_when_it_closes_is_answered(relay: Relay) -> None:
    for _ in range(20):
        entrance = relay.open("127.77.0.1", 0)
        pairs = [socket.socketpair() for _ in range(5)]
        for ours, _ in pairs:
            ours.sendall(b"answer")
            ours.close()
        behind = [theirs for _, theirs in pairs]
        entrance.connect = behind.pop
        callers = [socket.create_connection(entrance.bound.getsockname(), 30) for _ in pairs]
        relay.close(entrance)
        for caller in callers:
            with caller:
                assert caller.recv(10) == b"answer"


def test_without_a_server_behind_it_a_caller_is_sent_away(relay: Relay) -> None:
    entrance = relay.open("127.77.0.1", 0)
    where = entrance.bound.getsockname()
    with socket.create_connection(where) as caller, pytest.raises(ConnectionResetError):
        caller.recv(1)
    relay.close(entrance)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)


def test_two_clusters_of_one_machine_do_not_share_an_address(relay: Relay, tmp_path: Path) -> None:
    port = 20000 + next(_numbers)
    first, second = PodAddresses(relay, tmp_path), PodAddresses(relay, tmp_path)
    one, other = first.take(port), second.take(port)
    assert one.ip != other.ip
    again = second.take(port, before=one.ip)
    assert again.ip != one.ip, "it is in use"
    first.give_back(one)
    kept = second.take(port, before=one.ip)
    assert kept.ip == one.ip
    for address in (other, again, kept):
        second.give_back(address)


# ---- nodes ----


def test_nodes_by_default_and_from_a_file(tmp_path: Path) -> None:
    assert read_nodes(tmp_path / "nodes.json") == (NodeWanted(name="local-1"),)
    path = tmp_path / "nodes.json"
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    labels = {"node.kubernetes.io/instance-type": "ml.g5.xlarge"}
    path.write_text(
        f'[{{"name": "g", "cpu": 4, "gpus": 1, "taints": [{str(taint).replace(chr(39), chr(34))}]}}]'
    )
    (found,) = read_nodes(path)
    assert (found.cpu, found.gpus, found.taints) == ("4", 1, (taint,))
    made = node_of(NodeWanted(name="g", labels=labels))
    assert made["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "ml.g5.xlarge"
    assert made["metadata"]["labels"]["ecomdeploy.dev/agent"] == "local"
    path.write_text('{"name": 1')
    with pytest.raises(BadInput):
        read_nodes(path)


def machine(instance: str, *conditions: Object) -> Object:
    """A Node as Karpenter's provider of pretended machines makes it."""
    return {
        "metadata": {"name": "kwok-1", "labels": {"node.kubernetes.io/instance-type": instance}},
        "spec": {"providerID": "kwok://kwok-1"},
        "status": {
            "capacity": {"nvidia.com/gpu": "1"},
            "allocatable": {"nvidia.com/gpu": "4"},
            "conditions": list(conditions),
        },
    }


def test_a_machine_of_karpenters_has_its_gpus_once_it_is_up() -> None:
    booting = machine_status(machine("g6.12xlarge"), ready=False)
    assert booting["capacity"] == {"cpu": "48", "memory": "196608Mi", "nvidia.com/gpu": "4"}
    assert booting["allocatable"] == {"nvidia.com/gpu": "0"}
    up = machine_status(machine("g6.12xlarge"), ready=True)
    assert up == {**booting, "allocatable": {"nvidia.com/gpu": "4"}}
    assert "allocatable" not in machine_status(machine("c7i.xlarge"), ready=True)
    assert machine_status(machine("nobody.knows"), ready=True) == {}


def test_a_machine_boots_once() -> None:
    def told(status: str, reason: str) -> Object:
        return machine("g6.xlarge", {"type": "Ready", "status": status, "reason": reason})

    assert is_new(machine("g6.xlarge"))
    assert is_new(told("False", "KubeletNotReady")), "its agent ended while it booted"
    assert not is_new(told("True", "KubeletReady"))
    assert not is_new(told("Unknown", "NodeStatusUnknown")), "its agent was away"
    assert is_pretended(machine("g6.xlarge"))
    assert not is_pretended({"metadata": {"name": "gpu-1"}, "spec": {"providerID": "aws:///us-east-1a/i-1"}})


def test_karpenter_may_bring_what_our_own_table_has() -> None:
    types = {one["name"]: one for one in instance_types()}
    assert set(types) == {name for name, one in nodes().items() if one.usd_hour}
    g6 = types["g6.xlarge"]
    assert g6["resources"]["nvidia.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in types["c7i.xlarge"]["resources"]
    offers = {
        tuple(requirement["values"][0] for requirement in one["Requirements"]): one["Price"]
        for one in g6["offerings"]
    }
    zones = ("us-east-1a", "us-east-1b", "us-east-1c")
    assert set(offers) == {(capacity, zone) for capacity in ("spot", "on-demand") for zone in zones}
    assert all(
        offers["spot", zone] < offers["on-demand", zone] == nodes()["g6.xlarge"].usd_hour for zone in zones
    )


def test_a_nodes_conditions_keep_their_times() -> None:
    def told(before: Object, ready: bool, moment: str) -> Object:
        return node_status("a", before, None, ready=ready, port=1, version="v1.37.2", moment=moment)

    first = told({}, False, "1")
    second = told(first, True, "2")
    third = told(second, True, "3")
    times = [
        {one["type"]: one["lastTransitionTime"] for one in each["conditions"]}
        for each in (first, second, third)
    ]
    assert [each["Ready"] for each in times] == ["1", "2", "2"]
    assert [each["DiskPressure"] for each in times] == ["1", "1", "1"]
    assert "allocatable" not in first, "of a node that others made it stays theirs"


# ---- metrics ----


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ("", True),
        ("app=shop", True),
        ("app==shop,tier!=back", True),
        ("app=other", False),
        ("app in (a, shop)", True),
        ("app notin (shop)", False),
        ("tier", False),
        ("!tier", True),
        ("!app", False),
        ("serving.kserve.io/x=", False),
    ],
)
def test_label_selectors(selector: str, fits: bool) -> None:
    assert matches(selector, {"app": "shop"}) is fits


def test_no_selector() -> None:
    with pytest.raises(BadInput):
        matches("a=b c", {"a": "b"})


def test_use_is_of_what_the_keeper_started(tmp_path: Path) -> None:
    """/proc as it looks: keeper 10, its server 11, a worker 12; the keeper's own use does not count."""

    def process(pid: int, children: str, *fields: int) -> None:
        task = tmp_path / str(pid) / "task" / str(pid)
        task.mkdir(parents=True, exist_ok=True)
        (task / "children").write_text(children)
        user, system, of_children, pages = fields
        row = ["S", *"0" * 10, user, system, of_children, 0, *"0" * 6, pages]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) {' '.join(map(str, row))}\n")

    process(10, "11 ", 999, 0, 0, 999)
    process(11, "12 ", 100, 50, 25, 10)
    process(12, "", 25, 0, 0, 5)
    seconds, memory = measure(10, tmp_path)
    assert seconds == pytest.approx(2.0)
    assert memory == 15 * 4096
    meter = UsageMeter(lambda: {"a": 10})
    meter.look(0.0, tmp_path)
    assert meter.rate("a") is None
    process(12, "", 1025, 0, 0, 5)
    meter.look(5.0, tmp_path)
    rate = meter.rate("a")
    assert rate
    assert rate.cores == pytest.approx(2.0)


def test_a_missing_setting_is_told_with_its_name() -> None:
    asked = pod(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}])
    with pytest.raises(Unconfigured, match="couldn't find key k in Secret shop/s"):
        settings_of(asked, "", lambda *_: {})


def test_a_pod_with_an_account_of_its_own_is_given_its_token_and_its_arguments() -> None:
    token = {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    guard = pod(args=["guard"], volumeMounts=[token], spec={"serviceAccountName": "shop-guard"})
    store = FakePodStore()
    settings = settings_of(guard, "10.77.0.1", store.values, store.account)
    assert settings.errand.arguments == ("guard",)
    assert set(settings.errand.account) == {"token", "namespace", "ca.crt"}
    assert settings.environment["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    for plain in (pod(volumeMounts=[token]), pod(spec={"serviceAccountName": "shop-guard"})):
        told = settings_of(plain, "10.77.0.1", store.values, store.account)
        assert told.errand.account == {}
        assert "KUBERNETES_SERVICE_HOST" not in told.environment
