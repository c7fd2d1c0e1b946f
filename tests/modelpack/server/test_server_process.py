"""The model server as a process: what it refuses to serve, how it ends, what it is made of."""

from __future__ import annotations

import ast
import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

import httpx
import pytest
import tiny_chat
from model_server import Process, expected, launch, serving, tree, write_file_manifest
from waiting import SECONDS, wait_for

from modelpack.inputs.server_files import app
from modelpack.runtimes.base import runtimes
from modelpack.server.engines.load import LOADERS
from modelpack.usecases.base import usecases
from modelpack.usecases.optional.serving import requirements_of


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def refusal(process: Process) -> str:
    """The reason a server gave before it ended with status 3."""
    try:
        assert process.process.wait(SECONDS) == 3, process.output.read_text()
    finally:
        process.end()
    return str(next(line["reason"] for line in process.lines() if line["event"] == "refused"))


def test_tampered_file(root: pathlib.Path) -> None:
    tree(root)
    model = root / "opt/ecomdeploy/model/model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert "opt/ecomdeploy/model/model.onnx (changed)" in refusal(launch(root))


def test_a_file_damaged_beyond_reading_is_named_as_changed(root: pathlib.Path) -> None:
    tree(root)
    (root / "opt/ecomdeploy/model/model.onnx").write_bytes(b"no model")
    (root / "opt/ecomdeploy/model/serving.json").write_bytes(b"no signature")
    assert "2 of 2 files are not those that were packed" in refusal(launch(root))


def test_missing_file(root: pathlib.Path) -> None:
    tree(root)
    extra = root / "opt/ecomdeploy/notes.txt"
    extra.write_text("x")
    write_file_manifest(root)
    extra.unlink()
    assert "1 of 3 files" in (reason := refusal(launch(root)))
    assert "opt/ecomdeploy/notes.txt (missing)" in reason


def test_forged_content_id(root: pathlib.Path) -> None:
    tree(root)
    place = root / "opt/ecomdeploy/files.json"
    document = json.loads(place.read_text())
    document["content_digest"] = "sha256:" + "0" * 64
    place.write_text(json.dumps(document))
    assert "the file manifest says sha256:000" in refusal(launch(root))


def test_wrong_golden_answer(root: pathlib.Path) -> None:
    golden = serving()["golden"]
    golden[0]["answer"]["predictions"][0]["scores"][0] += 0.5
    tree(root, golden=golden)
    assert "golden request 0 was answered wrong: prediction 0, scores" in refusal(launch(root))


def test_signature_that_does_not_fit_the_model(root: pathlib.Path) -> None:
    tree(root, inputs=[{"name": "user", "datatype": "INT64", "shape": [-1]}], golden=[])
    assert "serving.json says ['user']" in refusal(launch(root))


def test_no_seal(root: pathlib.Path) -> None:
    tree(root)
    (root / "opt/ecomdeploy/files.json").unlink()
    assert "files.json" in refusal(launch(root))


def test_port_taken(root: pathlib.Path) -> None:
    tree(root)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = launch(root, {"SAGEMAKER_BIND_TO_PORT": str(taken.getsockname()[1])})
        assert process.process.wait(SECONDS) == 1
    assert "cannot listen" in json.dumps(process.lines())


@pytest.mark.parametrize(
    ("variables", "arguments"), [({"SAGEMAKER_BIND_TO_PORT": "http"}, ("serve",)), ({}, ("train",))]
)
def test_bad_usage(root: pathlib.Path, variables: dict[str, str], arguments: tuple[str, ...]) -> None:
    process = launch(root, variables, *arguments)
    assert process.process.wait(SECONDS) == 2
    assert process.lines()[-1]["event"] == "refused"


def test_ping_says_503_before_it_is_ready(root: pathlib.Path) -> None:
    """A pipe in place of a listed file holds the start up until somebody writes to it."""
    import os

    tree(root)
    held = root / "opt/ecomdeploy/held"
    held.write_text("")
    write_file_manifest(root)
    held.unlink()
    os.mkfifo(held)
    process = launch(root)
    try:
        wait_for(lambda: any(line["event"] == "listening" for line in process.lines()))
        wait_for(lambda: answers(process.url))
        assert httpx.get(f"{process.url}/ping").status_code == 503
        assert httpx.get(f"{process.url}/v2/health/live").status_code == 200
        assert httpx.get(f"{process.url}/v2/health/ready").status_code == 503
        assert httpx.post(f"{process.url}/invocations", json={"instances": []}).status_code == 503
        held.open("w").close()
        process.wait_ready()
    finally:
        process.end()


def answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/ping")
    except httpx.TransportError:
        return False
    return True


def test_sigterm_answers_what_is_in_flight(root: pathlib.Path) -> None:
    """Requests whose bodies are still coming in when SIGTERM arrives are answered; then it ends with 0."""
    tree(root)
    process = launch(root)
    process.wait_ready()
    port = int(process.url.rpartition(":")[2])
    body = json.dumps({"instances": [{"household": 3, "history": [5, 6]}]}).encode()
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    callers = [socket.create_connection(("127.0.0.1", port), timeout=SECONDS) for _ in range(5)]
    for caller in callers:
        caller.sendall(head + body[:10])
    # answered after those bytes were read, as one loop reads them all in order
    assert httpx.get(f"{process.url}/ping").status_code == 200
    process.process.send_signal(signal.SIGTERM)
    wait_for(lambda: refuses(port))
    for caller in callers:
        caller.sendall(body[10:])
    for caller in callers:
        answer = caller.makefile("rb").read()
        assert b" 200 " in answer.splitlines()[0]
        assert (
            json.loads(answer.rpartition(b"\r\n\r\n")[2])["predictions"][0]["products"]
            == (expected(3, [5, 6])["products"])
        )
        caller.close()
    assert process.process.wait(SECONDS) == 0
    assert process.lines()[-1]["event"] == "stopped"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=SECONDS).close()
    except OSError:
        return True
    return False


def load(port: int, fresh: bool, answered: list[int], lost: list[str]) -> threading.Thread:
    """A caller that asks again and again until it is refused; `fresh`: by a connection of its own each time."""

    def call() -> None:
        connection = None
        while True:
            try:
                if fresh or connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
                    connection.connect()
            except OSError:
                return
            try:
                connection.request("POST", "/invocations", LOAD, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = json.loads(answer.read())
            except (OSError, http.client.HTTPException) as problem:
                lost.append(repr(problem))
                return
            whole = len(body.get("predictions", ())) == 40 or answer.status != 200
            answered.append(answer.status if whole else -1)
            if answer.getheader("connection") == "close":
                connection.close()
                connection = None

    thread = threading.Thread(target=call)
    thread.start()
    return thread


LOAD = json.dumps({"instances": [{"household": number, "history": [1, 2]} for number in range(40)]})


def end_under_load(root: pathlib.Path, fresh: bool) -> None:
    process = launch(root)
    process.wait_ready()
    lost: list[str] = []
    answered: list[int] = []
    threads = [load(int(process.url.rpartition(":")[2]), fresh, answered, lost) for _ in range(12)]
    wait_for(lambda: len(answered) > 40 or lost)
    process.process.terminate()
    for thread in threads:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    assert process.process.wait(SECONDS) == 0
    assert lost == []
    assert set(answered) == {200}


@pytest.mark.parametrize("fresh", [True, False])
def test_sigterm_under_load_loses_no_accepted_request(root: pathlib.Path, fresh: bool) -> None:
    """Whoever was let in, by the kernel already, is answered; who comes later is refused."""
    tree(root)
    end_under_load(root, fresh)


@pytest.mark.slow
def test_sigterm_under_load_loses_nothing_in_twenty_tries(root: pathlib.Path) -> None:
    tree(root)
    for number in range(20):
        end_under_load(root, fresh=number % 2 == 0)


def needs(usecase: str) -> tuple[str, ...]:
    """What a use case adds to the image: text models bring `tokenizers`, which the server imports for them only."""
    return requirements_of(usecases().get(usecase))


def test_imports_only_itself_and_its_wheels() -> None:
    loaded = [runtimes().get(name) for name in runtimes().names() if name in LOADERS]
    used = [line for one in loaded for line in one.requirements()]
    used += [line for name in usecases().names() for line in needs(name)]
    wheels = {re.split("[^a-z]", requirement)[0] for requirement in used}
    allowed = {"modelpack", *wheels, *sys.stdlib_module_names}
    files = {name: path for one in usecases().names() for name, path in app(usecases().get(one)).items()}
    assert "modelpack/server/__main__.py" in files
    for name, path in files.items():
        parsed = ast.parse(path.read_text())
        for node in ast.walk(parsed):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module or ""]
            for imported in names:
                assert imported.partition(".")[0] in allowed, f"{name} imports {imported}"
                assert not imported.startswith("modelpack.") or imported.startswith("modelpack.server"), (
                    f"{name}: {imported}"
                )


def test_a_handler_is_in_its_use_cases_image_only() -> None:
    """No order desk with a fraud model."""
    lists = {name: set(app(usecases().get(name))) for name in usecases().names()}
    generic, chat = lists["fraud"], lists.pop("chat")
    assert set(map(frozenset, lists.values())) == {frozenset(generic)}
    assert not [name for name in generic if "chat" in name or "handlers/" in name]
    assert {one.rpartition("/")[0] for one in chat - generic} == {
        "modelpack/server/handlers",
        "modelpack/server/handlers/chat",
    }
    assert "modelpack/server/handlers/chat/orders.py" in chat
    own = "".join(path.read_text() for path in app(usecases().get("fraud")).values())
    assert not re.search("(?i)postal|retrieval|grounding|conversation", own)


@pytest.mark.parametrize(("usecase", "write"), [("fraud", tree), ("chat", tiny_chat.tree)])
def test_starts_from_the_app_files_alone(
    usecase: str, write: Callable[[pathlib.Path], str], root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """Only what the image gets is on the path beside the wheels."""
    folder = tmp_path / "app"
    for name, path in app(usecases().get(usecase)).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(path.read_bytes())
    write(root)
    process = launch(root, {"PYTHONPATH": str(folder)})
    try:
        process.wait_ready()
        loaded = subprocess.run(
            [sys.executable, "-c", "import modelpack.server.ready as r; print(r.__file__)"],
            env={"PYTHONPATH": str(folder)},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        assert loaded.stdout.startswith(str(folder))
    finally:
        process.end()
