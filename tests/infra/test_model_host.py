"""The model host with real images: every way of isolation, damaged images, crashes, a killed daemon."""

from __future__ import annotations

import errno
import http.client
import json
import os
import pathlib
import pwd
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
from model_server import REPOSITORY, expected
from small_image import build_root, layer_of, push
from waiting import SECONDS, wait_for

from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from infra.rehearsal.cloud.servers.host import Errand, ModelServer, ServerFailed
from infra.rehearsal.cloud.servers.isolation import Chroot, Isolation, Namespaces, PlainProcess
from infra.rehearsal.cloud.servers.models import ModelHost

REGISTRY = "127.0.0.1:5001"


class World:
    """A registry on disk with one good image."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.content_digest = build_root(root / "image")
        self.layers = [layer_of(root / "image", "usr", "lib64", "tmp"), layer_of(root / "image", "opt")]
        self.registry = RegistryServer(root / "registry", FakeRepositories(names={"shop"}))
        self.image = f"{REGISTRY}/shop@{push(self.registry, 'shop', self.layers)}"

    def host(self, *ways: Isolation) -> ModelHost:
        return ModelHost(self.root / "models", REGISTRY, ways=ways or None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("host"))


@pytest.fixture
def host(world: World) -> Iterator[ModelHost]:
    host = world.host()
    yield host
    host.stop_all()


@dataclass
class Reply:
    status: int
    headers: Mapping[str, str]
    json: Any


def ask(host: ModelHost, server: ModelServer, method: str = "POST", path: str = "/invocations") -> Reply:
    """One request over a connection that the host makes."""
    connection = http.client.HTTPConnection("model")
    connection.sock = host.connect(server)
    connection.sock.settimeout(SECONDS)
    body = json.dumps({"instances": [{"household": 3, "history": [5, 6]}]})
    connection.request(method, path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    return Reply(answer.status, dict(answer.headers.items()), json.loads(said) if said else None)


WAYS: list[Isolation] = [
    Namespaces(become=False),
    Namespaces(become=False, proc=False),
    Namespaces(become=True),
    Namespaces(become=True, proc=False),
    Chroot(),
    PlainProcess(),
]


@pytest.mark.parametrize(
    "way", WAYS, ids=lambda way: f"{way.name}{'' if getattr(way, 'proc', True) else ' bare'}"
)
def test_serves_from_the_image_alone(world: World, way: Isolation) -> None:
    host = world.host(way)
    if problem := host._try(way, host._images.tree(world.image.partition("@")[2])):
        pytest.skip(f"{way.name} is not possible for this user or machine: {problem}")
    try:
        server = host.start(world.image, {"GREETING": "x"})
        host.wait_ready(server, 60)
        assert server.isolation == way.name == host.isolation
        answer = ask(host, server)
        assert answer.json["predictions"][0]["products"] == expected(3, [5, 6])["products"]
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == world.content_digest
        check_nothing_of_the_host(server, world)
        assert not [line for line in host.tail(server) if "elemetry" in line]
    finally:
        host.stop_all()
    assert not host.alive(server)
    assert not psutil.pid_exists(server.pid)


TRAINS = """
import os, pathlib
ml = pathlib.Path(os.environ.get("ECOMDEPLOY_TRAINING_ROOT", "/opt/ml"))
(ml / "model" / "seen").write_text((ml / "input" / "given").read_text().upper())
try:
    pathlib.Path("/opt/elsewhere").write_text("x")
except OSError as error:
    (ml / "model" / "refused").write_text(str(error.errno))
"""


@pytest.mark.parametrize(
    "way", WAYS, ids=lambda way: f"{way.name}{'' if getattr(way, 'proc', True) else ' bare'}"
)
def test_an_errand_has_a_folder_to_read_and_write_and_nothing_else(world: World, way: Isolation) -> None:
    host = world.host(way)
    if problem := host._try(way, host._images.tree(world.image.partition("@")[2])):
        pytest.skip(f"{way.name} is not possible for this user or machine: {problem}")
    folder = host.workspace()
    (folder / "input").mkdir()
    (folder / "model").mkdir()
    (folder / "input" / "given").write_text("data")
    errand = Errand(arguments=("/usr/bin/python3", "-c", TRAINS), folder=folder, whole=True)
    if isinstance(way, Chroot):
        with pytest.raises(ServerFailed, match="mounts of its own"):
            host.start(world.image, {}, errand=errand)
        return
    if isinstance(way, PlainProcess):
        return  # nothing is kept apart there, and the interpreter is not where the image says
    server = host.start(world.image, {}, errand=errand)
    try:
        wait_for(lambda: host.status(server) is not None)
        assert host.status(server) == 0, host.tail(server)
        assert (folder / "model" / "seen").read_text() == "DATA"
        assert (folder / "model" / "refused").read_text() == str(errno.EROFS)
    finally:
        host.stop_all()


def serving(server: ModelServer) -> psutil.Process:
    """The server's own process, which its keeper started."""
    return serving_of(server.pid)


def serving_of(keeper: int) -> psutil.Process:
    wait_for(psutil.Process(keeper).children)
    return psutil.Process(keeper).children()[0]


def check_nothing_of_the_host(server: ModelServer, world: World) -> None:
    """Every file that the server maps lies in the unpacked image; root's rights are gone."""
    process = serving(server)
    tree = world.root / "models/trees" / server.digest.removeprefix("sha256:")
    inodes = {path.stat().st_ino for path in tree.rglob("*") if path.is_file()}
    lines = pathlib.Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    mapped = [line.split(maxsplit=5) for line in lines if "/" in line.split(maxsplit=5)[-1]]
    assert any("onnxruntime" in fields[5] for fields in mapped)
    assert [fields[5] for fields in mapped if int(fields[4]) not in inodes and ".so" in fields[5]] == []
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    assert status.split("NoNewPrivs:")[1].split()[0] == "1"
    assert pathlib.Path(f"/proc/{process.pid}/environ").read_bytes().count(b"GREETING=x") == 1
    if server.isolation == "plain process":
        return
    assert int(status.split("CapEff:")[1].split()[0], 16) == 0
    mine = server.isolation == "user namespace"
    user = process.uids().real
    assert user == os.geteuid() if mine else not known(user)
    if server.isolation != "chroot":
        for kind in ("pid", "net", "mnt", "ipc", "uts"):
            assert os.readlink(f"/proc/{process.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def known(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def test_two_servers_of_one_image_side_by_side(world: World, host: ModelHost) -> None:
    with ThreadPoolExecutor(2) as pool:
        servers = list(pool.map(lambda _: host.start(world.image, {}), range(2)))
    for server in servers:
        host.wait_ready(server, 60)
    assert {server.id for server in host.running()} == {server.id for server in servers}
    host.stop(servers[0])
    host.stop(servers[0])
    assert [server.id for server in host.running()] == [servers[1].id]
    assert ask(host, servers[1]).status == 200


def test_a_crash_is_told_with_the_last_words(world: World, host: ModelHost) -> None:
    server = host.start(world.image, {"ECOMDEPLOY_ROOT": "/nowhere"})
    with pytest.raises(
        ServerFailed, match=r"ended with status 3: opt/ecomdeploy/files\.json: .*No such file"
    ):
        host.wait_ready(server, 60)
    assert not host.alive(server)
    assert not host.ready(server)


def test_never_ready_is_told_after_the_deadline(world: World, host: ModelHost) -> None:
    server = host.start(world.image, {})
    process = serving(server)
    process.suspend()
    with pytest.raises(ServerFailed, match="did not answer /ping with 200 within"):
        host.wait_ready(server, 0.2)
    process.resume()


def test_stopped_while_somebody_waits(world: World, host: ModelHost) -> None:
    server = host.start(world.image, {})
    failures: list[str] = []

    def wait() -> None:
        try:
            host.wait_ready(server, 60)
        except ServerFailed as failure:
            failures.append(failure.what)

    process = serving(server)
    process.suspend()
    thread = threading.Thread(target=wait)
    thread.start()
    process.resume()
    host.stop(server)
    thread.join(SECONDS)
    assert failures == [] or "stopped before it was ready" in failures[0] or "ended" in failures[0]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (f"{REGISTRY}/shop:v1", "by digest"),
        (f"elsewhere:5000/shop@sha256:{'0' * 64}", "not of the registry"),
        (f"{REGISTRY}/shop@sha256:{'0' * 64}", "not in the registry"),
        (f"{REGISTRY}/shop@sha256:../../etc", "by its digest"),
    ],
)
def test_images_that_cannot_be(world: World, host: ModelHost, image: str, reason: str) -> None:
    with pytest.raises(ServerFailed, match=reason):
        host.start(image, {})


def test_damaged_layer_is_refused_and_leaves_no_tree(world: World, host: ModelHost) -> None:
    marked = layer_of(world.root / "image", "tmp") + b"\0" * 512
    digest = push(world.registry, "shop", [*world.layers, marked], "damaged")
    manifest = json.loads(world.registry.blobs.read(digest))
    blob = world.registry.blobs.path(manifest["layers"][-1]["digest"])
    blob.write_bytes(blob.read_bytes()[:-1] + b"\1")
    with pytest.raises(ServerFailed, match="corrupted"):
        host.start(f"{REGISTRY}/shop@{digest}", {})
    trees = world.root / "models/trees"
    assert not (trees / digest.removeprefix("sha256:")).exists()
    assert [path.name for path in trees.glob(".*")] == [".layers"], "nothing half unpacked"
    assert not list(trees.glob(".layers/.*")), "nothing half kept"


def test_unpacked_files_that_were_changed_are_refused_then_replaced(world: World, host: ModelHost) -> None:
    tree = host._images.tree(world.image.partition("@")[2]).path
    model = tree / "opt/ecomdeploy/model/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    server = host.start(world.image, {})
    with pytest.raises(ServerFailed, match=r"status 3: .*model/model\.onnx \(changed\)"):
        host.wait_ready(server, 60)
    again = host.start(world.image, {})
    host.wait_ready(again, 60)
    assert ask(host, again).status == 200


def test_servers_die_with_a_killed_daemon_and_the_next_finds_nothing(world: World) -> None:
    script = (
        "import sys, threading, pathlib\n"
        "from infra.rehearsal.cloud.servers.models import ModelHost\n"
        "root, image = pathlib.Path(sys.argv[1]), sys.argv[2]\n"
        f"host = ModelHost(root / 'models', '{REGISTRY}')\n"
        "started = []\n"
        "thread = threading.Thread(target=lambda: started.append(host.start(image, {})))\n"
        "thread.start(); thread.join()\n"
        "host.wait_ready(started[0], 60)\n"
        "print(started[0].pid, host.ready(started[0]), flush=True)\n"
        "threading.Event().wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", script, str(world.root), world.image]
    daemon = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert daemon.stdout is not None
    pid, ready = daemon.stdout.readline().split()
    assert ready == "True", "outlives the thread that started it"
    process = serving_of(int(pid))
    daemon.kill()
    daemon.wait()
    wait_for(lambda: Identity.of(int(pid)) is None and Identity.of(process.pid) is None)
    host = world.host()
    assert host.running() == ()
    assert list((world.root / "models/running").glob("*.json")) == []


def test_an_orphan_that_lived_on_is_killed_by_the_next_daemon(world: World) -> None:
    host = world.host()
    orphan = subprocess.Popen(["sleep", "300"], start_new_session=True)
    host._supervisor._keep("orphan", orphan.pid)
    bystander = subprocess.Popen(["sleep", "300"], start_new_session=True)
    record = world.root / "models/running/reused.json"
    record.write_text(json.dumps({"pid": bystander.pid, "started": 1}))
    world.host()
    assert orphan.wait(SECONDS) == -signal.SIGKILL
    assert bystander.poll() is None, "another process that got the number by chance"
    bystander.kill()
    bystander.wait()


def test_a_way_that_does_not_work_is_passed_over(world: World) -> None:
    class Broken(PlainProcess):
        def plan(self, *arguments: object) -> dict[str, object]:
            return {**super().plan(*arguments), "argv": ["/nonexistent"]}  # type: ignore[arg-type]

    host = world.host(Broken(), PlainProcess())
    tree = host._images.tree(world.image.partition("@")[2])
    assert "126" in host._try(Broken(), tree)
    try:
        server = host.start(world.image, {})
        assert server.isolation == "plain process"
    finally:
        host.stop_all()
