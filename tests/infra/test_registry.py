"""The registry against the distribution spec, over raw HTTP on a real socket."""

from __future__ import annotations

import hashlib
import json
import pathlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import SECONDS

from infra.rehearsal.cloud.daemon import loopback
from infra.rehearsal.cloud.registry import manifests
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Served:
    """A registry on a free port, and a client for it."""

    def __init__(self, root: pathlib.Path) -> None:
        self.owner = FakeRepositories(names={"shop/recs", "other"})
        self.registry = RegistryServer(root, self.owner)
        server = loopback.listen(self.registry)
        self.port = server.effective_port
        self.server = server
        self.thread = threading.Thread(target=server.run, daemon=True)
        self.thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=SECONDS)

    def end(self) -> None:
        """Close inside the server's own loop: closing its sockets under it from here would trip it up."""
        self.server.trigger.pull_trigger(self.server.close)
        self.thread.join(5)

    def upload(self, data: bytes, name: str = "shop/recs") -> str:
        answer = self.client.post(
            f"/v2/{name}/blobs/uploads/", params={"digest": digest_of(data)}, content=data
        )
        assert answer.status_code == 201, answer.text
        return digest_of(data)

    def put(
        self, data: bytes, reference: str, name: str = "shop/recs", media: str = manifests.IMAGE
    ) -> httpx.Response:
        headers = {"Content-Type": media}
        return self.client.put(f"/v2/{name}/manifests/{reference}", content=data, headers=headers)

    def image(self, layer: bytes = b"layer", name: str = "shop/recs", **more: object) -> bytes:
        config = b'{"architecture":"amd64"}'
        self.upload(config, name)
        self.upload(layer, name)
        document = {
            "schemaVersion": 2,
            "mediaType": manifests.IMAGE,
            "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar")],
            **more,
        }
        return json.dumps(document).encode()


def descriptor(data: bytes, media: str) -> dict[str, object]:
    return {"mediaType": media, "digest": digest_of(data), "size": len(data)}


@pytest.fixture
def served(tmp_path: pathlib.Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    served.client.close()
    served.end()


def code(answer: httpx.Response) -> str:
    return str(answer.json()["errors"][0]["code"])


def test_version_check(served: Served) -> None:
    answer = served.client.get("/v2/")
    assert answer.status_code == 200
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


def test_only_repositories_that_the_owner_knows(served: Served) -> None:
    answer = served.client.post("/v2/nobody/blobs/uploads/")
    assert (answer.status_code, code(answer)) == (404, "NAME_UNKNOWN")
    answer = served.client.get("/v2/nobody/tags/list")
    assert (answer.status_code, code(answer)) == (404, "NAME_UNKNOWN")


def test_blob_is_pushed_in_one_request_and_pulled(served: Served) -> None:
    digest = served.upload(b"hello")
    head = served.client.head(f"/v2/shop/recs/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, "5")
    assert head.headers["Docker-Content-Digest"] == digest
    assert served.client.get(f"/v2/shop/recs/blobs/{digest}").content == b"hello"
    assert served.client.head(f"/v2/other/blobs/{digest}").status_code == 404, "held by one repository only"


def test_upload_session_then_put(served: Served) -> None:
    started = served.client.post("/v2/shop/recs/blobs/uploads/")
    assert started.status_code == 202
    ended = served.client.put(
        started.headers["Location"], params={"digest": digest_of(b"abc")}, content=b"abc"
    )
    assert ended.status_code == 201
    assert served.client.get(ended.headers["Location"]).content == b"abc"


def test_chunks_resume_and_out_of_order_chunks_are_refused(served: Served) -> None:
    location = served.client.post("/v2/shop/recs/blobs/uploads/").headers["Location"]
    first = served.client.patch(location, content=b"0123", headers={"Content-Range": "0-3"})
    assert (first.status_code, first.headers["Range"]) == (202, "0-3")
    wrong = served.client.patch(location, content=b"89", headers={"Content-Range": "8-9"})
    assert (wrong.status_code, code(wrong), wrong.headers["Range"]) == (416, "BLOB_UPLOAD_INVALID", "0-3")
    asked = served.client.get(location)
    assert (asked.status_code, asked.headers["Range"]) == (204, "0-3")
    assert served.client.patch(location, content=iter([b"45", b"67"])).status_code == 202, "chunked encoding"
    ended = served.client.put(location, params={"digest": digest_of(b"0123456789")}, content=b"89")
    assert ended.status_code == 201


def test_wrong_digest_stores_nothing(served: Served) -> None:
    claimed = digest_of(b"right")
    answer = served.client.post("/v2/shop/recs/blobs/uploads/", params={"digest": claimed}, content=b"wrong")
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert served.client.head(f"/v2/shop/recs/blobs/{claimed}").status_code == 404
    assert list(served.registry.blobs.every()) == []


def test_upload_can_be_cancelled(served: Served) -> None:
    location = served.client.post("/v2/shop/recs/blobs/uploads/").headers["Location"]
    assert served.client.delete(location).status_code == 204
    assert code(served.client.get("/v2/shop/recs/blobs/uploads/" + "0" * 32)) == "BLOB_UPLOAD_UNKNOWN"
    assert served.client.patch(location, content=b"x").status_code == 404


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [
        ("bytes=0-3", 206, b"0123"),
        ("bytes=4-", 206, b"456789"),
        ("bytes=-2", 206, b"89"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=10-", 416, None),
        ("lines=1-2", 200, b"0123456789"),
    ],
)
def test_ranges(served: Served, asked: str, status: int, got: bytes | None) -> None:
    digest = served.upload(b"0123456789")
    answer = served.client.get(f"/v2/shop/recs/blobs/{digest}", headers={"Range": asked})
    assert answer.status_code == status
    if got is not None:
        assert answer.content == got
    if status == 206:
        assert answer.headers["Content-Range"].endswith("/10")


def test_mount(served: Served) -> None:
    digest = served.upload(b"shared", "other")
    place = "/v2/shop/recs/blobs/uploads/"
    assert served.client.post(place, params={"mount": digest, "from": "other"}).status_code == 201
    assert served.client.get(f"/v2/shop/recs/blobs/{digest}").content == b"shared"
    absent = served.client.post(place, params={"mount": digest_of(b"absent"), "from": "other"})
    assert absent.status_code == 202, "an ordinary upload begins instead"


def test_manifest_by_tag_and_digest(served: Served) -> None:
    data = served.image()
    answer = served.put(data, "v1")
    assert (answer.status_code, answer.headers["Docker-Content-Digest"]) == (201, digest_of(data))
    for reference in ("v1", digest_of(data)):
        got = served.client.get(f"/v2/shop/recs/manifests/{reference}")
        assert got.content == data
        assert got.headers["Content-Type"] == manifests.IMAGE
        head = served.client.head(f"/v2/shop/recs/manifests/{reference}")
        assert (head.status_code, int(head.headers["Content-Length"])) == (200, len(data))
    push = served.owner.pushed[-1]
    assert (push.repository, push.digest, push.tags) == ("shop/recs", digest_of(data), ("v1",))
    assert push.size == len(data) + len(b"layer") + len(b'{"architecture":"amd64"}')


def test_manifest_needs_its_blobs(served: Served) -> None:
    data = served.image()
    answer = served.put(data, "v1", name="other")
    assert (answer.status_code, code(answer)) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert served.owner.pushed == []


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (b"no json", manifests.IMAGE),
        (b"[]", manifests.IMAGE),
        (b'{"schemaVersion":2}', manifests.IMAGE),
        (b'{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}', manifests.INDEX),
        (b"{}", "text/plain"),
    ],
)
def test_bad_manifests(served: Served, data: bytes, media: str) -> None:
    answer = served.put(data, "v1", media=media)
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


def test_manifest_under_another_digest_is_refused(served: Served) -> None:
    answer = served.put(served.image(), digest_of(b"other"))
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")


def test_immutable_tags(served: Served) -> None:
    served.owner.immutable.add("shop/recs")
    one, two = served.image(b"1"), served.image(b"2")
    assert served.put(one, "v1").status_code == 201
    assert served.put(one, "v1").status_code == 201, "the same again is fine"
    refused = served.put(two, "v1")
    assert (refused.status_code, code(refused)) == (409, "DENIED")
    assert served.client.get("/v2/shop/recs/manifests/v1").content == one


def test_tags_in_pages(served: Served) -> None:
    data = served.image()
    for tag in ("b", "a", "d", "c"):
        served.put(data, tag)
    assert served.client.get("/v2/shop/recs/tags/list").json()["tags"] == ["a", "b", "c", "d"]
    first = served.client.get("/v2/shop/recs/tags/list", params={"n": 3})
    assert first.json()["tags"] == ["a", "b", "c"]
    follow = first.links["next"]["url"]
    rest = served.client.get(follow)
    assert rest.json()["tags"] == ["d"]
    assert "Link" not in rest.headers
    assert served.client.get("/v2/shop/recs/tags/list", params={"n": "many"}).status_code == 400


def test_referrers(served: Served) -> None:
    subject = descriptor(served.image(), manifests.IMAGE)
    empty = served.client.get(f"/v2/shop/recs/referrers/{subject['digest']}")
    assert (empty.status_code, empty.json()["manifests"]) == (200, [])
    record = served.image(
        b"{}", subject=subject, artifactType="application/vnd.x.record", annotations={"a": "b"}
    )
    answer = served.put(record, digest_of(record))
    assert answer.headers["OCI-Subject"] == subject["digest"], "accepted before its subject, and said so"
    other = served.image(b"[]", subject=subject, artifactType="application/vnd.x.samples")
    served.put(other, digest_of(other))
    listed = served.client.get(f"/v2/shop/recs/referrers/{subject['digest']}")
    assert listed.headers["Content-Type"] == manifests.INDEX
    assert {item["digest"] for item in listed.json()["manifests"]} == {digest_of(record), digest_of(other)}
    query = {"artifactType": "application/vnd.x.record"}
    one = served.client.get(f"/v2/shop/recs/referrers/{subject['digest']}", params=query)
    assert one.headers["OCI-Filters-Applied"] == "artifactType"
    assert [(item["digest"], item["annotations"]) for item in one.json()["manifests"]] == [
        (digest_of(record), {"a": "b"})
    ]
    served.client.delete(f"/v2/shop/recs/manifests/{digest_of(record)}")
    assert len(served.client.get(f"/v2/shop/recs/referrers/{subject['digest']}").json()["manifests"]) == 1


def test_delete(served: Served) -> None:
    data = served.image()
    served.put(data, "v1")
    served.put(data, "v2")
    assert served.client.delete("/v2/shop/recs/manifests/v1").status_code == 202
    assert served.client.head("/v2/shop/recs/manifests/v1").status_code == 404
    assert served.client.head(f"/v2/shop/recs/manifests/{digest_of(data)}").status_code == 200
    assert served.client.delete(f"/v2/shop/recs/manifests/{digest_of(data)}").status_code == 202
    answer = served.client.get("/v2/shop/recs/manifests/v2")
    assert (answer.status_code, code(answer)) == (404, "MANIFEST_UNKNOWN")
    assert served.owner.deleted == [
        ("shop/recs", digest_of(data), ("v1",)),
        ("shop/recs", digest_of(data), ("v2",)),
    ]
    blob = digest_of(b"layer")
    assert served.client.delete(f"/v2/shop/recs/blobs/{blob}").status_code == 202
    assert served.client.head(f"/v2/shop/recs/blobs/{blob}").status_code == 404


def test_index(served: Served) -> None:
    image = served.image()
    index = json.dumps({"schemaVersion": 2, "manifests": [descriptor(image, manifests.IMAGE)]}).encode()
    answer = served.put(index, "all", media=manifests.INDEX)
    assert (answer.status_code, code(answer)) == (404, "MANIFEST_UNKNOWN")
    served.put(image, digest_of(image))
    assert served.put(index, "all", media=manifests.INDEX).status_code == 201


def test_forgotten_repository_frees_only_its_own_blobs(served: Served) -> None:
    served.put(served.image(b"mine"), "v1")
    shared = served.image(b"both")
    served.put(shared, "v2")
    served.put(served.image(b"both", "other"), "v2", name="other")
    served.registry.forget("shop/recs")
    assert served.client.get("/v2/other/manifests/v2").content == shared
    assert served.client.get(f"/v2/other/blobs/{digest_of(b'both')}").content == b"both"
    assert not served.registry.blobs.has(digest_of(b"mine"))
    assert served.registry.holdings.repositories() == ("other",)


def test_survives_a_restart(served: Served) -> None:
    data = served.image()
    served.put(data, "v1")
    again = RegistryServer(served.registry.blobs.root, served.owner)
    (image,) = again.images("shop/recs")
    assert (image.digest, image.tags, image.manifest) == (digest_of(data), ("v1",), data)


@pytest.mark.parametrize(
    "path", ["/v2/shop/recs/blobs/sha256:..%2f..%2fx", "/v2/../etc", "/v2/A/tags/list", "/x"]
)
def test_odd_paths_never_leave_the_root(served: Served, path: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        status = int(raw.makefile("rb").readline().split()[1])
    assert status in (400, 404)


def test_tls_greeting_is_answered_at_once(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64)
        assert raw.recv(12).startswith(b"HTTP/1.0 400")


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6), repeats=st.integers(0, 3))
def test_any_cut_of_a_blob_with_repeated_chunks_arrives_whole(
    served: Served, pieces: list[bytes], repeats: int
) -> None:
    whole = b"".join(pieces)
    location = served.client.post("/v2/shop/recs/blobs/uploads/").headers["Location"]
    offset = 0
    for number, piece in enumerate(pieces):
        span = {"Content-Range": f"{offset}-{offset + len(piece) - 1}"}
        assert served.client.patch(location, content=piece, headers=span).status_code == 202
        offset += len(piece)
        if number < repeats:
            assert served.client.patch(location, content=piece, headers=span).status_code == 416
    assert served.client.put(location, params={"digest": digest_of(whole)}).status_code == 201
    assert served.client.get(f"/v2/shop/recs/blobs/{digest_of(whole)}").content == whole


def test_our_own_client_pushes_and_pulls(served: Served, tmp_path: pathlib.Path) -> None:
    from modelpack.image.oci.attachments import attach
    from modelpack.image.oci.layout import Layout
    from modelpack.image.registry.client import RegistryClient as Client
    from modelpack.image.registry.pull import pull
    from modelpack.image.registry.push import missing, push
    from modelpack.progress import Silent

    layout = Layout(tmp_path / "layout")
    data = json.loads(served.image(b"\0" * 10240))
    for part in (data["config"], *data["layers"]):
        layout.put(served.registry.blobs.read(part["digest"]))
    digest = layout.put_manifest(data).digest
    record = attach(layout, digest, "application/vnd.x.record", b"{}")
    url = f"http://127.0.0.1:{served.port}"
    with Client(url, "other") as client, Client(url, "nobody") as stranger:
        assert push(client, layout, digest, "v2", Silent()).blobs_sent >= 2
        assert client.has_manifest("v2") == digest
        assert [item.digest for item in client.referrers(digest)] == [record]
        assert missing(client, layout, digest) == 0
        assert push(client, layout, digest, "v2", Silent()).blobs_sent == 0
        assert pull(client, Layout(tmp_path / "pulled"), "v2", Silent()) == digest
        with pytest.raises(Exception, match=r"NAME_UNKNOWN|does not exist|no repository"):
            push(stranger, layout, digest, "v2", Silent())


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed (apt-get install skopeo)")
def test_skopeo_copies_in_and_out(served: Served, tmp_path: pathlib.Path) -> None:
    data = served.image(b"\0" * 10240)
    served.put(data, "v1")
    source = f"docker://127.0.0.1:{served.port}/shop/recs:v1"
    inspected = skopeo("inspect", "--tls-verify=false", source)
    assert json.loads(inspected)["Digest"] == digest_of(data)
    target = f"docker://127.0.0.1:{served.port}/other:copied"
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--preserve-digests", source, target)
    assert served.client.get("/v2/other/manifests/copied").content == data
    skopeo("copy", "--src-tls-verify=false", source, f"oci:{tmp_path}/layout:v1")
    assert (tmp_path / "layout" / "index.json").is_file()


def skopeo(*arguments: str) -> str:
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


M = manifests.IMAGE
LARGE = "9" * 5000


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", "/v2/shop/recs/manifests/sha256:..", {}, b""),
        ("GET", "/v2/shop/recs/manifests/sha256:.", {}, b""),
        ("GET", "/v2/shop/recs/manifests/sha256:", {}, b""),
        ("GET", "/v2/shop/recs/manifests/sha256:%00", {}, b""),
        ("DELETE", "/v2/shop/recs/manifests/sha256:..", {}, b""),
        ("GET", "/v2/shop/recs/manifests/sha256:" + "a" * 5000, {}, b""),
        ("GET", "/v2/shop/recs/manifests/" + "a" * 5000, {}, b""),
        ("GET", f"/v2/shop/recs/tags/list?n={LARGE}", {}, b""),
        ("GET", "/v2/shop/recs/tags/list?n=%C2%B2", {}, b""),
        ("PUT", "/v2/shop/recs/manifests/t", {"Content-Type": M}, b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
        (
            "PUT",
            "/v2/shop/recs/manifests/t",
            {"Content-Type": M},
            b'{"schemaVersion":' + LARGE.encode() + b"}",
        ),
        ("PATCH", "/v2/shop/recs/blobs/uploads/" + "0" * 32, {"Content-Range": f"{LARGE}-1"}, b"a"),
        ("GET", "/v2/shop/recs/blobs/uploads/%D9%A1", {}, b""),
        ("BREW", "/v2/", {}, b""),
    ],
)
def test_hostile_requests_are_refused_and_nothing_breaks(
    served: Served, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    assert served.client.request(method, path, headers=headers, content=body).status_code < 500


@pytest.mark.parametrize("size", ["abc", float("inf"), float("nan"), -1, True, None, 10**400, [1]])
def test_a_manifest_s_sizes_are_numbers_of_bytes(served: Served, size: object) -> None:
    config = {"mediaType": "x", "digest": digest_of(b"c"), "size": size}
    document = {"schemaVersion": 2, "mediaType": M, "config": config, "layers": []}
    answer = served.put(json.dumps(document).encode(), "t")
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")


@pytest.mark.parametrize("asked", [f"bytes=0-{LARGE}", f"bytes={LARGE}-", "bytes=4-1", "bytes=\u0661-2"])
def test_ranges_that_make_no_sense(served: Served, asked: str) -> None:
    digest = served.upload(b"0123456789")
    answer = served.client.get(f"/v2/shop/recs/blobs/{digest}", headers={b"Range": asked.encode()})
    assert answer.status_code in (200, 206, 416)


def test_idle_connections_lock_nobody_out(served: Served) -> None:
    """More than waitress takes by default, and more than are kept at all."""
    held = []
    try:
        for _ in range(loopback.MOST_CONNECTIONS + 50):
            connection = socket.create_connection(("127.0.0.1", served.port), 20)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
            held.append(connection)
        assert httpx.get(f"http://127.0.0.1:{served.port}/v2/", timeout=60).status_code == 200
    finally:
        for connection in held:
            connection.close()


def test_a_body_that_is_too_large_is_refused_unread(tmp_path: pathlib.Path) -> None:
    server = loopback.listen(lambda environ, start: start("200 OK", []) or [b""], largest=1000)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    with socket.create_connection(("127.0.0.1", int(server.effective_port)), 20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1200000000\r\n\r\n")
        assert client.recv(200).startswith(b"HTTP/1.1 413 ")
    server.trigger.pull_trigger(server.close)
