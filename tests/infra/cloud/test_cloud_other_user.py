"""Another user of the machine, who knows everything but the key, can do nothing to the local cloud."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ordinary_user import run_as_ordinary_user
from programs import SPEAKING

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

SCRIPT = """
import http.client, json, os, pathlib, sys
import boto3
aws, registry, home, pid = int(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3]), int(sys.argv[4])
found = {"user": os.getuid(), "http": {}, "aws": {}, "files": {}}

def ask(port, method, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, b"{}", {"Content-Type": "application/json"})
    return connection.getresponse().status

for method, path in (("GET", "/_ecomdeploy/status"), ("POST", "/_ecomdeploy/stop"), ("POST", "/_ecomdeploy/reset"),
                     ("POST", "/_ecomdeploy/faults"), ("POST", "/endpoints/shop/invocations"), ("PUT", "/theirs")):
    found["http"][path] = ask(aws, method, path)
for method, path in (("GET", "/v2/_catalog"), ("GET", "/v2/shop/manifests/one"), ("POST", "/v2/shop/blobs/uploads/"),
                     ("DELETE", "/v2/shop/manifests/one")):
    found["http"][method + path] = ask(registry, method, path)
reach = dict(endpoint_url=f"http://127.0.0.1:{aws}", region_name="us-east-1",
             aws_access_key_id="local", aws_secret_access_key="local")
for service, call in (("sagemaker", "list_endpoints"), ("s3", "list_buckets"), ("ecr", "describe_repositories"),
                      ("iam", "list_users"), ("ecr", "get_authorization_token")):
    try:
        getattr(boto3.client(service, **reach), call)()
        found["aws"][service + call] = "ALLOWED"
    except Exception as refused:
        found["aws"][service + call] = refused.response["ResponseMetadata"]["HTTPStatusCode"]
for name in ("key", "cloud.json", "snapshot.pickle", "containers/config.json", "daemon.log", "registry", "planted"):
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_CREAT):
        try:
            os.close(os.open(home / "cloud" / name, flags))
            found["files"][name] = "OPENED"
        except PermissionError:
            found["files"].setdefault(name, "refused")
for name in ("environ", "mem", "maps"):
    try:
        open(f"/proc/{pid}/{name}", "rb").read(1)
        found["files"][name] = "OPENED"
    except OSError:
        found["files"][name] = "refused"
try:
    os.kill(pid, 9)
    found["files"]["kill"] = "KILLED"
except PermissionError:
    found["files"]["kill"] = "refused"
print(json.dumps(found))
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A home below a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-home-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_nothing_is_theirs(place: Path, client_of: Any) -> None:
    cloud = LocalCloud(Home(place, place / "cache"), host=SPEAKING)
    running = cloud.ensure()
    try:
        aws = client_of(cloud)
        aws.release("one")
        aws.endpoint("shop", "one")
        before = aws("s3").list_buckets()["Buckets"], cloud.status()["images"]
        ports = [url.rpartition(":")[2] for url in (running.aws_url, running.registry_url)]
        done = run_as_ordinary_user(SCRIPT, *ports, str(place), str(running.pid), home=place)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["user"] != 0
        assert set(found["http"].values()) <= {401, 403}, found
        assert set(found["aws"].values()) == {403}, found
        assert set(found["files"].values()) == {"refused"}, found
        after = cloud.running()
        assert after is not None
        assert after.pid == running.pid
        assert (aws("s3").list_buckets()["Buckets"], cloud.status()["images"]) == before
        assert aws.invoke("shop")["json"]["digest"]
    finally:
        cloud.stop()
