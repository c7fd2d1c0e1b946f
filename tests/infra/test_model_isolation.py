"""What a hostile model can do from inside each way of isolation: see, reach, change nothing and leave nobody behind.

As root, a part runs again as an ordinary user of this machine (65534), who has user namespaces only.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import pathlib
import shutil
import socket
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import prying_model
import psutil
import pytest
from ordinary_user import ORDINARY, run_as_ordinary_user
from small_image import build_root, layer_of, push
from waiting import wait_for

from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from infra.rehearsal.cloud.servers.isolation import Chroot, Isolation, Namespaces, PlainProcess, choices
from infra.rehearsal.cloud.servers.models import ModelHost
from infra.rehearsal.cloud.servers.users import find_spare_user

REGISTRY = "127.0.0.1:5001"
NO_PROC = "FileNotFoundError: [Errno 2] No such file or directory: '/proc/net/unix'"
APART: list[Isolation] = [
    Namespaces(become=False),
    Namespaces(become=True),
    Namespaces(become=True, proc=False),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A folder that an ordinary user may enter, with a registry that holds the hostile image."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="ecomdeploy-prying-"))
    root.chmod(0o755)
    image = tmp_path_factory.mktemp("image")
    build_root(image)
    layers = [layer_of(image, "usr", "lib64"), layer_of(image, "opt"), prying_layer()]
    registry = RegistryServer(root / "registry", FakeRepositories(names={"shop"}))
    for tag, user in (("root", "0"), ("plain", "65532:65532"), ("somebody", f"{ORDINARY}"), ("bin", "2:2")):
        command = {"Entrypoint": ["/usr/bin/python3", "-m", "prying"], "Cmd": [], "User": user}
        push(registry, "shop", layers, tag, **command)
    yield root
    shutil.rmtree(root)


def prying_layer() -> bytes:
    source = pathlib.Path(prying_model.__file__).read_bytes()
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as layer:
        for name, mode in (("opt/ecomdeploy/app/prying.py", 0o644), ("opt/open", 0o666)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(source), mode
            layer.addfile(entry, io.BytesIO(source))
    return written.getvalue()


@pytest.fixture
def knocked() -> Iterator[int]:
    """A port of this machine that answers, as the daemon's do."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield int(listening.getsockname()[1])


def reference(place: pathlib.Path, tag: str) -> str:
    registry = RegistryServer(place / "registry", FakeRepositories(names={"shop"}))
    return f"{REGISTRY}/shop@{registry.holdings.tags('shop')[tag]}"


def pry(host: ModelHost, image: str, port: int, word: str = "") -> dict[str, Any]:
    """Start it, ask what it found, stop it."""
    server = host.start(image, {"PRY": str(port), "WORD": word})
    try:
        host.wait_ready(server, 60)
        wait_for(lambda: not word or left(word))
        connection = http.client.HTTPConnection("model")
        connection.sock = host.connect(server)
        connection.request("POST", "/invocations", b"{}")
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return found
    finally:
        host.stop_all()


def left(word: str) -> list[psutil.Process]:
    """Processes with that word in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if word in " ".join(process.info["cmdline"] or ()) and process.pid != os.getpid():
            found.append(process)
    return found


def check_apart(found: dict[str, Any]) -> None:
    """What holds in every namespace."""
    refused = ("PermissionError", "OSError", "FileNotFoundError", "refused")
    for act in (
        "own file",
        "open file",
        "new file",
        "interpreter",
        "mode",
        "link",
        "internet",
        "chroot",
        "remount",
    ):
        assert str(found[act]).startswith(refused), (act, found[act])
    assert found["doors"] == []
    assert found["signalled"] == []
    assert found["host name"] == "model"
    assert found["scratch"] == "WRITTEN"
    assert set(found["root"]) <= {"dev", "lib64", "opt", "proc", "sys", "tmp", "usr"}
    assert found["sys"] == ["devices"]
    assert set(found["devices"]) == {"full", "null", "random", "shm", "urandom", "zero"}
    assert not found["user"][2] or set(found["user"][2]) <= {found["user"][1], 65534}
    assert found["strangers"] == found["others"] == []
    assert found["sockets"] in ([], NO_PROC)


@pytest.mark.parametrize("way", APART, ids=lambda way: f"{way.name}{'' if way.proc else ' bare'}")
def test_it_sees_nothing_reaches_nobody_and_leaves_nobody(
    place: pathlib.Path, knocked: int, way: Isolation
) -> None:
    word = uuid.uuid4().hex
    found = pry(ModelHost(place / "models", REGISTRY, ways=[way]), reference(place, "plain"), knocked, word)
    check_apart(found)
    assert left(word) == []


@pytest.mark.parametrize("way", [Chroot(), PlainProcess()], ids=lambda way: way.name)
def test_also_without_namespaces_nobody_is_left(place: pathlib.Path, knocked: int, way: Isolation) -> None:
    if isinstance(way, Chroot) and os.geteuid() != 0:
        pytest.skip("only root changes roots")
    word = uuid.uuid4().hex
    found = pry(ModelHost(place / "models", REGISTRY, ways=[way]), reference(place, "plain"), knocked, word)
    assert left(word) == []
    if isinstance(way, Chroot):
        for act in ("own file", "open file", "new file", "mode", "chroot"):
            assert str(found[act]).startswith("PermissionError"), (act, found[act])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has users to choose from")
@pytest.mark.parametrize("tag", ["root", "plain", "somebody", "bin"])
@pytest.mark.parametrize("way", [Namespaces(become=False), Chroot()], ids=lambda way: way.name)
def test_root_gives_it_a_user_that_nobody_is(
    place: pathlib.Path, knocked: int, tag: str, way: Isolation
) -> None:
    """Whatever the image asks for: root, a number that is somebody's, a system user."""
    found = pry(ModelHost(place / "models", REGISTRY, ways=[way]), reference(place, tag), knocked)
    uid, gid, groups = found["user"]
    assert uid == gid > 60_000
    assert uid not in (0, 2, ORDINARY, 65532)
    assert groups == []


def test_a_spare_user_is_another_each_time() -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user has no users to choose from")
    assert len({find_spare_user() for _ in range(20)}) > 15


def test_a_killed_keeper_takes_everybody_with_it(place: pathlib.Path) -> None:
    word = uuid.uuid4().hex
    host = ModelHost(place / "models", REGISTRY, ways=[choices()[0]])
    server = host.start(reference(place, "plain"), {"WORD": word})
    host.wait_ready(server, 60)
    wait_for(lambda: left(word))
    psutil.Process(server.pid).kill()
    wait_for(lambda: not left(word))
    assert not host.alive(server)
    host.stop_all()


def test_for_an_ordinary_user_too(place: pathlib.Path, knocked: int) -> None:
    """User namespaces: inside the image's user, outside the caller, and still no file of another release is written."""
    mine = place / "ordinary"
    shutil.copytree(place / "registry", mine / "registry")
    for path in (mine, *mine.rglob("*")):
        os.chown(path, ORDINARY, ORDINARY)
    word = uuid.uuid4().hex
    script = (
        "import json, pathlib, sys\n"
        "from test_model_isolation import pry, left, reference\n"
        "from infra.rehearsal.cloud.servers.models import ModelHost\n"
        "place, port, word = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]\n"
        f"host = ModelHost(place / 'models', {REGISTRY!r})\n"
        "found = pry(host, reference(place, 'somebody'), port, word)\n"
        "print(json.dumps([host.isolation, found]))\n"
    )
    done = run_as_ordinary_user(script, str(mine), str(knocked), word, home=mine)
    assert done.returncode == 0, done.stderr
    isolation, found = json.loads(done.stdout)
    if isolation == "plain process":
        pytest.skip("this machine allows ordinary users no namespaces")
    check_apart(found)
    assert found["user"][:2] == [ORDINARY, ORDINARY]
    assert left(word) == []
    trees = [path for path in (mine / "models/trees").iterdir() if path.name != ".layers"]
    assert (trees[0] / "opt/ecomdeploy/app/prying.py").read_bytes() == pathlib.Path(
        prying_model.__file__
    ).read_bytes()
    assert not (trees[0] / "opt/planted").exists()
