"""The acting side on a cluster, against objects as a control plane and KServe 0.20 write them, and a gateway."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from infra.kubernetes.base import FakeKubernetes, Object
from infra.kubernetes.client import KubernetesRefused, KubernetesUnreachable
from infra.targets.base import Clock, Phase
from infra.targets.kserve.manifests import rules
from infra.targets.kserve.names import CONTAINER, ENDPOINT_LABEL, ClusterPlace, app_label, service_name
from infra.targets.kserve.shift import PATIENCE
from infra.targets.kserve.traffic import KServeTraffic
from infra.targets.moves import ShiftPolicy
from modelpack.errors import CloudRefused, EcomdeployError, Unhealthy
from modelpack.progress import Silent
from modelpack.server.guarding.cluster import MANAGER

OLD, NEW = "shop-local-aaaaaaaa", "shop-local-bbbbbbbb"
DIGESTS = {OLD: "sha256:" + "a" * 64, NEW: "sha256:" + "b" * 64}


class Waiting:
    """A clock that only moves when it is slept on, and does then what was planned for that moment."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.planned: list[tuple[float, Any]] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        while self.planned and self.planned[0][0] <= self.seconds:
            self.planned.pop(0)[1]()


class Cluster:
    """A fake API server with the objects of releases, and the traffic on it."""

    def __init__(self, gateway: str = "") -> None:
        self.api, self.waiting = FakeKubernetes(), Waiting()
        clock = Clock(self.waiting.now, self.waiting.sleep)
        self.traffic = KServeTraffic(self.api, ClusterPlace(namespace="shop", gateway=gateway), clock)

    def release(self, revision: str, *, replicas: int = 1, most: int = 4, stopped: bool = False) -> None:
        image = f"127.0.0.1:5000/shop@{DIGESTS[revision]}"
        containers = [{"name": CONTAINER, "image": image}]
        annotations = {"serving.kserve.io/stop": "true"} if stopped else {}
        self.api.put(
            {
                "kind": "InferenceService",
                "metadata": {"name": revision, "namespace": "shop", "annotations": annotations},
                "spec": {
                    "predictor": {"minReplicas": replicas, "maxReplicas": most, "containers": containers}
                },
            }
        )
        if not stopped:
            self.deployment(revision, replicas=replicas, available=0, once=False)

    def deployment(self, revision: str, *, replicas: int, available: int, once: bool, **more: Any) -> None:
        image = f"127.0.0.1:5000/shop@{DIGESTS[revision]}"
        reason = "NewReplicaSetAvailable" if once else "ReplicaSetUpdated"
        status = {
            "observedGeneration": 2,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": available,
            "conditions": [{"type": "Progressing", "status": "True", "reason": reason}],
        }
        template = {"spec": {"containers": [{"name": CONTAINER, "image": image}]}}
        self.api.put(
            {
                "kind": "Deployment",
                "metadata": {"name": service_name(revision), "namespace": "shop", "generation": 2},
                "spec": {"replicas": replicas, "template": template},
                "status": {**status, **more},
            }
        )

    def pods(self, revision: str, *states: Object) -> None:
        for number, state in enumerate(states):
            labels = {"app": app_label(revision), ENDPOINT_LABEL: "shop-local"}
            name = f"{revision}-{number}"
            metadata = {"name": name, "namespace": "shop", "labels": labels}
            self.api.put({"kind": "Pod", "metadata": metadata, "status": state})

    def run(self, revision: str, replicas: int = 1) -> None:
        """All of its pods answer."""
        self.deployment(revision, replicas=replicas, available=replicas, once=True)
        self.pods(revision, *[answering(revision)] * replicas)

    def route(self, revision: str, *, generation: int = 1, taken: int = 1) -> None:
        accepted = {"type": "Accepted", "status": "True", "observedGeneration": taken}
        self.api.put(
            {
                "kind": "HTTPRoute",
                "metadata": {"name": "shop-local", "namespace": "shop", "generation": generation},
                "spec": {"hostnames": ["shop-local.shop.example.com"], "rules": rules({revision: 100})},
                "status": {"parents": [{"conditions": [accepted]}]},
            }
        )


def answering(revision: str) -> Object:
    image = f"127.0.0.1:5000/shop@{DIGESTS[revision]}"
    return {"containerStatuses": [{"name": CONTAINER, "ready": True, "imageID": image, "restartCount": 0}]}


def waiting(reason: str, message: str = "", restarts: int = 0, last: Object | None = None) -> Object:
    state = {"waiting": {"reason": reason, "message": message}}
    one = {"name": CONTAINER, "ready": False, "restartCount": restarts, "state": state}
    return {"containerStatuses": [{**one, **({"lastState": {"terminated": last}} if last else {})}]}


def unschedulable(words: str) -> Object:
    return {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        ]
    }


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.release(OLD)
    made.run(OLD)
    made.route(OLD)
    return made


def test_an_endpoint_that_serves_says_from_where_and_what_runs(cluster: Cluster) -> None:
    seen = cluster.traffic.observe("shop-local")
    assert (seen.phase, seen.revision, seen.replicas) == (Phase.SERVING, OLD, 1)
    assert [image.rpartition("@")[2] for image in seen.images] == [DIGESTS[OLD]]
    assert cluster.traffic.observe("other").phase is Phase.ABSENT


def test_what_never_answered_is_being_made_and_what_did_is_degraded(cluster: Cluster) -> None:
    cluster.deployment(OLD, replicas=1, available=0, once=False)
    assert cluster.traffic.observe("shop-local").phase is Phase.CREATING
    cluster.deployment(OLD, replicas=1, available=0, once=True)
    assert cluster.traffic.observe("shop-local").phase is Phase.DEGRADED


def test_some_pods_less_is_told_and_still_serves(cluster: Cluster) -> None:
    cluster.deployment(OLD, replicas=2, available=1, once=True)
    cluster.pods(
        OLD, answering(OLD), waiting("CrashLoopBackOff", restarts=1, last={"exitCode": 3, "reason": "Error"})
    )
    seen = cluster.traffic.observe("shop-local")
    assert seen.phase is Phase.SERVING
    assert seen.failure == f"1 of 2 pods answer: {OLD}-1 ended with 3 (Error)"


def test_a_route_that_the_gateway_has_not_taken_yet_is_on_its_way(cluster: Cluster) -> None:
    cluster.route(OLD, generation=2, taken=1)
    assert cluster.traffic.observe("shop-local").phase is Phase.CHANGING


def test_a_divided_or_dead_route_can_be_moved(cluster: Cluster) -> None:
    route = cluster.api.get("", "HTTPRoute", "shop-local", "shop") or {}
    route["spec"]["rules"][0]["backendRefs"] += rules({NEW: 100})[0]["backendRefs"]
    cluster.api.put(route)
    seen = cluster.traffic.observe("shop-local")
    assert (seen.phase, seen.revision) == (Phase.DEGRADED, "")
    assert seen.failure == f"its traffic is divided (100 to {OLD}, 100 to {NEW})"
    cluster.route("shop-local-cccccccc")
    assert cluster.traffic.observe("shop-local").status == "its release is gone"


def test_kserves_own_ready_is_not_believed(cluster: Cluster) -> None:
    """A broken update leaves the InferenceService Ready for ten minutes (recordings d2, d3 and d11)."""
    isvc = cluster.api.get("", "InferenceService", OLD, "shop") or {}
    isvc["spec"]["predictor"]["containers"][0]["image"] = f"127.0.0.1:5000/shop@{DIGESTS[NEW]}"
    cluster.api.put({**isvc, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    with pytest.raises(Unhealthy, match="not ready after 5 s"):
        cluster.traffic.prepare("shop-local", OLD, Silent(), 5)


def test_a_release_is_waited_for_then_the_weights_move_under_our_own_name(cluster: Cluster) -> None:
    cluster.release(NEW)
    cluster.waiting.planned = [(3.0, lambda: cluster.run(NEW))]
    assert cluster.traffic.obstacles(NEW) == ()
    with pytest.raises(Unhealthy, match="no pod of"):
        cluster.traffic.shift("shop-local", NEW, ShiftPolicy())
    assert cluster.traffic.prepare("shop-local", NEW, Silent(), 60)
    assert cluster.waiting.seconds >= 3
    assert cluster.traffic.observe("shop-local").revision == OLD
    assert cluster.traffic.shift("shop-local", NEW, ShiftPolicy())
    assert cluster.traffic.wait("shop-local", NEW, Silent(), 60).revision == NEW
    assert not cluster.traffic.shift("shop-local", NEW, ShiftPolicy())
    assert cluster.api.changes == ["apply HTTPRoute shop-local"]
    assert cluster.api.managers["HTTPRoute", "shop", "shop-local"] == MANAGER
    route = cluster.api.get("", "HTTPRoute", "shop-local", "shop") or {}
    assert route["spec"]["hostnames"] == ["shop-local.shop.example.com"]


def test_a_release_grows_to_what_serves_before_it_takes_over(cluster: Cluster) -> None:
    cluster.run(OLD, 6)
    cluster.release(NEW, replicas=1, most=4)
    cluster.waiting.planned = [(1.0, lambda: cluster.run(NEW, 4))]
    cluster.traffic.prepare("shop-local", NEW, Silent(), 60)
    assert cluster.api.changes == [f"patch Deployment {service_name(NEW)} scale"]


def test_a_release_that_has_no_deployment_yet_grows_when_it_has_one(cluster: Cluster) -> None:
    cluster.run(OLD, 3)
    cluster.release(NEW)
    del cluster.api.objects["Deployment", "shop", service_name(NEW)]
    cluster.waiting.planned = [(2.0, lambda: cluster.run(NEW, 1)), (4.0, lambda: cluster.run(NEW, 3))]
    cluster.traffic.prepare("shop-local", NEW, Silent(), 60)
    assert cluster.api.changes == [f"patch Deployment {service_name(NEW)} scale"]
    assert cluster.waiting.seconds == pytest.approx(4, abs=1)


def test_an_api_server_that_is_being_started_again_is_waited_for(cluster: Cluster) -> None:
    cluster.release(NEW)
    cluster.waiting.planned = [(3.0, lambda: cluster.run(NEW)), (3.0, lambda: cluster.route(NEW))]
    busy = KubernetesRefused(503, "ServiceUnavailable", "etcd is away")
    cluster.api.failures = [KubernetesUnreachable("refused"), busy]
    assert cluster.traffic.prepare("shop-local", NEW, Silent(), 60)
    cluster.api.failures = [busy, KubernetesUnreachable("refused")]
    assert cluster.traffic.wait("shop-local", NEW, Silent(), 60).revision == NEW
    cluster.api.failures = [KubernetesUnreachable("gone for good")] * 100
    with pytest.raises(KubernetesUnreachable, match="gone for good"):
        cluster.traffic.prepare("shop-local", NEW, Silent(), 5)
    cluster.api.failures = [KubernetesRefused(403, "Forbidden", "not yours")]
    with pytest.raises(KubernetesRefused, match="not yours"):
        cluster.traffic.prepare("shop-local", NEW, Silent(), 60)


def test_a_pod_that_is_loading_again_is_not_judged_by_how_it_ended(cluster: Cluster) -> None:
    """Its node was started again three times, long ago."""
    cluster.release(NEW)
    last = {"terminated": {"exitCode": 137, "reason": "Error", "message": "the node agent ended"}}
    one = {"name": CONTAINER, "ready": False, "restartCount": 3, "lastState": last}
    for number, state in enumerate(({"running": {}}, {"waiting": {"reason": "ContainerCreating"}})):
        cluster.pods(NEW, {"containerStatuses": [{**one, "state": state}]})
        later = cluster.waiting.seconds + 2 * PATIENCE
        cluster.waiting.planned = [(later, lambda: cluster.run(NEW))]
        assert cluster.traffic.prepare("shop-local", NEW, Silent(), 1800), number
        cluster.release(NEW)


def test_nothing_is_scaled_where_as_many_run(cluster: Cluster) -> None:
    cluster.release(NEW)
    cluster.run(NEW)
    cluster.traffic.prepare("shop-local", NEW, Silent(), 60)
    assert cluster.api.changes == []


def test_a_server_that_ends_again_and_again_is_given_up_with_its_last_words(cluster: Cluster) -> None:
    cluster.release(NEW)
    last = {"exitCode": 3, "reason": "Error", "message": "refused: the files are not those of the pack"}
    cluster.pods(NEW, waiting("CrashLoopBackOff", restarts=2, last=last))
    with pytest.raises(Unhealthy, match=r"ended with 3 \(Error\): refused: the files are not those"):
        cluster.traffic.prepare("shop-local", NEW, Silent(), 1800)
    assert cluster.waiting.seconds == 0


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        (
            unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
            CloudRefused,
            "Insufficient",
        ),
        (waiting("ImagePullBackOff", "not found"), Unhealthy, "ImagePullBackOff: not found"),
    ],
)
def test_what_may_pass_is_waited_for_and_then_told(
    cluster: Cluster, state: Object, error: type[Exception], words: str
) -> None:
    cluster.release(NEW)
    cluster.pods(NEW, state)
    with pytest.raises(error, match=words):
        cluster.traffic.prepare("shop-local", NEW, Silent(), 1800)
    assert PATIENCE <= cluster.waiting.seconds < 1800
    passing = Cluster()
    passing.release(NEW)
    passing.pods(NEW, state)
    passing.waiting.planned = [(PATIENCE / 2, lambda: passing.run(NEW))]
    assert passing.traffic.prepare("shop-local", NEW, Silent(), 1800)


def of_karpenter(revision: str, reason: str, message: str, moment: str) -> Object:
    """Its event on the first pod."""
    return {
        "kind": "Event",
        "metadata": {"name": f"{revision}-0.{moment}", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "name": f"{revision}-0"},
        "source": {"component": "karpenter"},
        "reason": reason,
        "message": message,
        "lastTimestamp": moment,
    }


def test_a_node_that_karpenter_brings_is_waited_for_and_its_own_no_is_told(cluster: Cluster) -> None:
    cluster.release(NEW)
    cluster.pods(NEW, unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
    cluster.api.put(of_karpenter(NEW, "Nominated", "Pod should schedule on: x", "2026-01-01T00:00:05Z"))
    cluster.waiting.planned = [(3 * PATIENCE, lambda: cluster.run(NEW))]
    assert cluster.traffic.prepare("shop-local", NEW, Silent(), 1800)
    assert cluster.waiting.seconds >= 3 * PATIENCE

    full = Cluster()
    full.release(NEW)
    full.pods(NEW, unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
    full.api.put(of_karpenter(NEW, "Nominated", "Pod should schedule on: x", "2026-01-01T00:00:05Z"))
    words = "Failed to schedule pod, all available instance types exceed limits for nodepool"
    full.api.put(of_karpenter(NEW, "FailedScheduling", words, "2026-01-01T00:00:09Z"))
    with pytest.raises(CloudRefused, match=rf"no node for .*: {words} \(Karpenter\); 0/1 nodes"):
        full.traffic.prepare("shop-local", NEW, Silent(), 1800)


def test_a_quota_is_the_clusters_own_no(cluster: Cluster) -> None:
    words = 'pods "x" is forbidden: exceeded quota: small'
    failed = {"type": "ReplicaFailure", "status": "True", "message": words}
    cluster.release(NEW)
    cluster.deployment(NEW, replicas=1, available=0, once=False, conditions=[failed])
    with pytest.raises(CloudRefused, match="exceeded quota"):
        cluster.traffic.prepare("shop-local", NEW, Silent(), 1800)


def test_what_stands_in_the_way_of_a_rollback(cluster: Cluster) -> None:
    assert cluster.traffic.obstacles(OLD) == ()
    assert cluster.traffic.obstacles(NEW) == (f"there is no InferenceService {NEW}",)
    cluster.release(NEW, stopped=True)
    assert cluster.traffic.obstacles(NEW) == (f"{NEW} is stopped: its pods have to start first",)
    with pytest.raises(Unhealthy, match="is stopped"):
        cluster.traffic.prepare("shop-local", NEW, Silent(), 60)


def test_an_endpoint_that_somebody_else_moved_is_told(cluster: Cluster) -> None:
    cluster.release(NEW)
    cluster.run(NEW)
    with pytest.raises(Unhealthy, match=f"shop-local is on {OLD}, not on {NEW}"):
        cluster.traffic.wait("shop-local", NEW, Silent(), 60)
    with pytest.raises(EcomdeployError, match="there is no endpoint other"):
        cluster.traffic.shift("other", NEW, ShiftPolicy())


def test_logs_are_those_of_all_pods_by_time(cluster: Cluster) -> None:
    cluster.pods(OLD, answering(OLD), answering(OLD))
    said = ('{"time": "2026-01-01T00:00:02Z"}\nof no time\n', '{"time": "2026-01-01T00:00:01Z"}\n')
    for number, text in enumerate(said):
        cluster.api.texts[f"/api/v1/namespaces/shop/pods/{OLD}-{number}/log"] = text
    first, later, last = cluster.traffic.logs("shop-local", 10)
    assert ("01Z" in first, "02Z" in later, last) == (True, True, "of no time")
    assert cluster.traffic.logs("shop-local", 1) == ["of no time"]


def test_what_is_kept_of_a_revision_is_of_its_pods_alone(cluster: Cluster) -> None:
    cluster.pods(OLD, answering(OLD))
    cluster.pods(NEW, waiting("CrashLoopBackOff", restarts=1))
    for revision, text in ((OLD, "old\n"), (NEW, "ended\n")):
        cluster.api.texts[f"/api/v1/namespaces/shop/pods/{revision}-0/log"] = text
    assert cluster.traffic.logs_to_keep(OLD, 10) == ["old"]
    assert cluster.traffic.logs_to_keep(NEW, 10) == [
        "ended",
        "ended",
    ]  # before it was started again, and since
    assert cluster.traffic.logs_to_keep(NEW, 1) == ["ended"]


class Gateway(BaseHTTPRequestHandler):
    """Answers by the Host header, as gateways do."""

    known: ClassVar[dict[str, str]] = {
        "shop-local.shop.example.com": "route",
        f"{service_name(NEW)}.shop.svc.cluster.local": "own",
    }

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        host = self.headers["Host"]
        status = 200 if host in self.known and self.path == "/invocations" else 404
        if body == b"bad":
            status = 400
        if body == b"ends":
            self.send_error(503, "upstream connect error")
            return
        said = f"{self.known.get(host, 'no route')}:".encode() + body
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if host in self.known else "text/plain")
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", f"sha256:{host}")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def gateway() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_requests_go_through_the_gateway_to_the_route_or_to_one_release(gateway: str) -> None:
    cluster = Cluster(gateway)
    cluster.route(OLD)
    answer = cluster.traffic.invoke("shop-local", b"hello")
    assert (answer.status, answer.body) == (200, b"route:hello")
    assert answer.content_digest == "sha256:shop-local.shop.example.com"
    assert cluster.traffic.invoke("shop-local", b"hello", release=NEW).body == b"own:hello"
    assert cluster.traffic.invoke("shop-local", b"bad").status == 400
    assert b"".join(cluster.traffic.stream("shop-local", b"hello")) == b"route:hello"
    with pytest.raises(EcomdeployError, match="the endpoint answered 400"):
        list(cluster.traffic.stream("shop-local", b"bad"))
    with pytest.raises(EcomdeployError, match="takes no requests: the gateway answered 404 no route"):
        cluster.traffic.invoke("shop-local", b"hello", release=OLD)


def test_a_model_that_ends_on_a_request_gives_a_failed_answer(gateway: str) -> None:
    """Not an error of ours, which would leave traffic where it is."""
    cluster = Cluster(gateway)
    cluster.route(OLD)
    assert cluster.traffic.invoke("shop-local", b"ends").status == 503


def test_no_gateway_is_told(cluster: Cluster) -> None:
    cluster.route(OLD)
    with pytest.raises(EcomdeployError, match="nothing says where the Gateway") as told:
        cluster.traffic.invoke("shop-local", b"hello")
    assert "ECOMDEPLOY_GATEWAY" in told.value.hint
    nobody = Cluster("http://127.0.0.1:9")
    nobody.route(OLD)
    with pytest.raises(EcomdeployError, match="asking shop-local"):
        nobody.traffic.invoke("shop-local", b"hello")
