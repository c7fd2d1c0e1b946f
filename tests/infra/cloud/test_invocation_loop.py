"""InvokeEndpoint on the event loop: what is answered there, and what goes back to the WSGI server; botocore signs."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from waiting import SECONDS, wait_for

from infra.rehearsal.cloud.addresses import ACCESS_KEY, REGION
from infra.rehearsal.cloud.aws.calls import ApiError
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations, WeightedServer
from infra.rehearsal.cloud.aws.sagemaker_runtime.signed_head import OwnersSignatures
from infra.rehearsal.cloud.aws.signatures import Signatures
from infra.rehearsal.cloud.daemon.app import AwsApi
from infra.rehearsal.cloud.daemon.invocation_loop import InvocationLoop, give_invocations
from infra.rehearsal.cloud.daemon.loopback import listen
from infra.rehearsal.cloud.servers.host import ModelServer

PATH = "/endpoints/shop/invocations"
LARGEST = 3_000_000


@dataclass
class Model:
    """A server that answers what it was sent, or a status where the body is a number; `held`: once it is let go."""

    asked: list[Mapping[str, str]] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Model:
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                model.asked.append(dict(self.headers.items()))
                if body == b"held":
                    model.go_on.wait(SECONDS)
                self.send_response(int(body) if body.isdigit() else 200)
                self.send_header("Content-Type", self.headers.get("Content-Type", "none"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def served(self) -> ModelServer:
        return ModelServer(
            id="one", port=self.server.server_port, pid=1, isolation="fake", image="shop", digest="sha256:00"
        )


@dataclass
class Cloud:
    """The port, and what was answered by WSGI."""

    runtime: Invocations
    loop: InvocationLoop
    ready: threading.Event
    by_wsgi: list[str] = field(default_factory=list)
    port: int = 0

    def route(self, *ways: WeightedServer) -> None:
        self.runtime.flip((REGION, "shop"), ways)


@pytest.fixture
def model() -> Iterator[Model]:
    with Model() as made:
        yield made


@pytest.fixture
def cloud(model: Model) -> Iterator[Cloud]:
    ready, runtime = threading.Event(), Invocations()
    nothing: Any = None
    ready.set()
    made = Cloud(runtime, InvocationLoop(runtime, OwnersSignatures("test"), ready, LARGEST), ready)
    answer = AwsApi(nothing, runtime, nothing, ready, Signatures("test", lambda key: None), nothing)

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        made.by_wsgi.append(environ["PATH_INFO"])
        return answer(environ, start_response)

    server = listen(application)
    give_invocations(server, made.loop)
    threading.Thread(target=server.run, daemon=True).start()
    made.port = server.effective_port
    made.route(WeightedServer(variant="main", weight=1.0, server=model.served))
    yield made
    model.go_on.set()
    made.loop.stop()
    server.close()


def sign(port: int, body: bytes, path: str = PATH, secret: str = "test", **headers: str) -> dict[str, str]:
    """The headers of a request, as botocore signs it."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest("POST", f"http://127.0.0.1:{port}{path}", given, body)
    SigV4Auth(Credentials(ACCESS_KEY, secret), "sagemaker", REGION).add_auth(request)
    return {"Host": f"127.0.0.1:{port}", **dict(request.headers.items())}


def write(headers: Mapping[str, str], body: bytes, path: str = PATH) -> bytes:
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    file = connection.makefile("rb")
    status = int(file.readline().split()[1])
    headers = dict(
        line.decode().rstrip().lower().split(": ", 1) for line in iter(file.readline, b"\r\n") if line
    )
    return status, headers, file.read(int(headers["content-length"]))


def ask(cloud: Cloud, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    with socket.create_connection(("127.0.0.1", cloud.port), SECONDS) as connection:
        connection.sendall(write(sign(cloud.port, body, **headers), body))
        return read_answer(connection)


def test_an_invocation_needs_no_thread_of_the_wsgi_server(cloud: Cloud, model: Model) -> None:
    status, headers, body = ask(cloud, b'{"a": 1}', Content_Type="application/json", Accept="text/csv")
    assert (status, body) == (200, b'{"a": 1}')
    assert headers["content-type"] == "application/json"
    assert headers["x-amzn-invoked-production-variant"] == "main"
    assert model.asked[0]["Accept"] == "text/csv"
    assert "Authorization" not in model.asked[0]
    assert not cloud.by_wsgi


@pytest.mark.parametrize(
    ("said", "status", "code"), [(b"400", 424, "ModelError"), (b"503", 424, "ModelError")]
)
def test_what_the_model_refuses(cloud: Cloud, said: bytes, status: int, code: str) -> None:
    answered, headers, body = ask(cloud, said)
    assert (answered, headers["x-amzn-errortype"]) == (status, code.lower())
    assert json.loads(body)["OriginalStatusCode"] == int(said)


def test_nobody_there(cloud: Cloud, model: Model) -> None:
    lost: list[str] = []
    cloud.runtime.lost = lambda key, server: lost.append(server.id)
    gone = ModelServer(id="gone", port=1, pid=1, isolation="fake", image="shop", digest="sha256:00")
    cloud.route(WeightedServer(variant="main", weight=1.0, server=gone))
    assert ask(cloud, b"x")[:1] == (503,)
    assert lost == ["gone"]
    cloud.route()
    status, _, body = ask(cloud, b"x")
    assert status == 400
    assert "Endpoint shop of account" in body.decode()
    assert not cloud.by_wsgi


def test_many_at_once_each_get_their_own_answer(cloud: Cloud) -> None:
    with ThreadPoolExecutor(32) as pool:
        bodies = [f'{{"n": {n}}}'.encode() for n in range(200)]
        assert [answer[2] for answer in pool.map(lambda body: ask(cloud, body), bodies)] == bodies


def test_a_connection_may_go_on_with_anything(cloud: Cloud) -> None:
    """An invocation, two at once in one piece, one with a wrong signature, and an invocation once more."""
    with socket.create_connection(("127.0.0.1", cloud.port), SECONDS) as connection:

        def send(*pieces: bytes) -> list[int]:
            connection.sendall(b"".join(pieces))
            return [read_one(connection)[0] for _ in pieces]

        good = write(sign(cloud.port, b"a"), b"a")
        assert send(good) == [200]
        assert not cloud.by_wsgi
        assert send(good, good) == [200, 200]
        assert send(write(sign(cloud.port, b"a", secret="else"), b"a")) == [403]
        assert send(good) == [200]
    assert cloud.by_wsgi == [PATH] * 4


def read_one(connection: socket.socket) -> tuple[int, bytes]:
    """An answer, and nothing that comes after it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return int(head.split()[1]), body


def test_what_comes_in_pieces_comes_in_order(cloud: Cloud) -> None:
    body = bytes(range(256)) * 4000
    sent = write(sign(cloud.port, body), body)
    with socket.create_connection(("127.0.0.1", cloud.port), SECONDS) as connection:
        for _ in range(3):
            for at in range(0, len(sent), 50_000):
                connection.sendall(sent[at : at + 50_000])
            assert read_one(connection) == (200, body)
    assert not cloud.by_wsgi


def test_what_is_no_plain_invocation_is_answered_by_the_wsgi_server(cloud: Cloud) -> None:
    chunks = b"3\r\nabc\r\n0\r\n\r\n"
    chunked = {**sign(cloud.port, b"abc"), "Transfer-Encoding": "chunked"}
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in chunked.items())]
    cases = {
        "in chunks": ("\r\n".join([*lines, "", ""]).encode() + chunks, 200),
        "of a page": (write({**sign(cloud.port, b"a"), "Origin": "http://evil.example"}, b"a"), 403),
        "by another name": (write({**sign(cloud.port, b"a"), "Host": "evil.example"}, b"a"), 403),
        "not signed": (write({"Host": f"127.0.0.1:{cloud.port}"}, b"a"), 403),
        "another body": (write(sign(cloud.port, b"a"), b"b"), 403),
    }
    for name, (sent, status) in cases.items():
        with socket.create_connection(("127.0.0.1", cloud.port), SECONDS) as connection:
            connection.sendall(sent)
            assert read_one(connection)[0] == status, name
    assert len(cloud.by_wsgi) == len(cases)


def test_until_the_cloud_is_ready_an_invocation_waits(cloud: Cloud) -> None:
    cloud.ready.clear()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, cloud, b"a")
        wait_for(lambda: cloud.by_wsgi)
        assert not asked.done()
        cloud.ready.set()
        assert asked.result(SECONDS)[0] == 200


def test_a_server_is_drained_of_what_is_on_it(cloud: Cloud, model: Model) -> None:
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask, cloud, b"held")
        wait_for(lambda: model.asked)
        cloud.route()
        drained = pool.submit(cloud.runtime.drain, model.served, SECONDS)
        assert ask(cloud, b"another")[0] == 400
        assert not drained.done()
        model.go_on.set()
        assert asked.result(SECONDS)[2] == b"held"
        assert drained.result(SECONDS)


HEADERS = st.dictionaries(
    st.sampled_from(["Accept", "Content-Type", "X-Amzn-SageMaker-Target-Variant", "X-Amz-Content-SHA256"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=8).filter(
        lambda text: text == text.strip()
    ),
    max_size=3,
)
CHANGES = st.sampled_from(["nothing", "body", "path", "header", "signature", "order", "case", "time", "key"])


@given(HEADERS, st.binary(max_size=40), CHANGES)
def test_nothing_is_taken_that_botocores_signer_would_not_sign(
    headers: dict[str, str], body: bytes, change: str
) -> None:
    """Whatever is changed after botocore has signed: who is let in here is let in by the judge too."""
    path = PATH
    signed = sign(8081, body, **headers)
    authorization = signed["Authorization"]
    if change == "body":
        body += b"x"
    elif change == "path":
        path = PATH.replace("shop", "ship")
    elif change == "header":
        signed = {name: f"{value}x" if name == "Host" else value for name, value in signed.items()}
    elif change == "signature":
        signed["Authorization"] = authorization[:-1] + ("0" if authorization[-1] != "0" else "1")
    elif change == "order":
        names = authorization.partition("SignedHeaders=")[2].partition(",")[0]
        turned = ";".join(reversed(names.split(";")))
        signed["Authorization"] = authorization.replace(names, turned)
    elif change == "case":
        signed["Authorization"] = authorization.replace("=host", "=Host")
    elif change == "time":
        signed["X-Amz-Date"] = "20200101T000000Z"
    elif change == "key":
        signed["Authorization"] = authorization.replace(ACCESS_KEY, "AKIAIOSFODNN7EXAMPLE")
    low = {name.lower(): value for name, value in signed.items()}
    taken = OwnersSignatures("test").region(path, low, body) is not None
    assert not taken or is_let_in(path, low, body)
    if change == "nothing" and not headers:
        assert taken


def is_let_in(path: str, headers: Mapping[str, str], body: bytes) -> bool:
    """By `Signatures`, whose judge is botocore."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "CONTENT_TYPE": headers.get("content-type", ""),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    try:
        Signatures("test", lambda key: None).check(environ)
    except ApiError:
        return False
    return True
