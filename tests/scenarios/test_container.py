"""What `up` pushed is an ordinary image: skopeo reads it from the local registry, podman runs it, and it answers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import container
import httpx
import pytest
from typed import Terminal

from modelpack.server.golden import compare

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.container,
]


def test_strangers_read_and_run_what_was_shipped(shop: Terminal, tmp_path: Path) -> None:
    skopeo = container.tool("skopeo")
    image = shop.type("up", "--yes", "--json").json["image"]
    pack = shipped(shop, image)["pack"]
    variables = shop.type("cloud", "env", "--json").json
    read_by_skopeo(skopeo, image, pack, variables)
    with container.started(tmp_path / "podman", image, logins=variables) as running:
        confined(running, image)
        answers(running, pack, shop.type("predict", "--json").json)


def shipped(shop: Terminal, image: str) -> dict[str, Any]:
    """The release's record, from the bucket, as any client sees it."""
    s3 = shop.client("s3")
    bucket = next(one["Name"] for one in s3.list_buckets()["Buckets"])
    record: dict[str, Any] = json.loads(
        s3.get_object(Bucket=bucket, Key="releases/shop/1.json")["Body"].read()
    )
    assert (record["image"], record["timeline"][-1]["state"]) == (image, "live")
    return record


def read_by_skopeo(skopeo: str, image: str, pack: dict[str, Any], variables: dict[str, str]) -> None:
    """Summary, manifest and configuration say the same, and the manifest's bytes are those of the digest."""
    digest = image.partition("@")[2]
    assert digest == pack["digest"]
    summary = json.loads(inspected(skopeo, image, variables))
    raw = inspected(skopeo, image, variables, "--raw")
    manifest = json.loads(raw)
    configuration = json.loads(inspected(skopeo, image, variables, "--config"))
    assert summary["Digest"] == digest == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    assert summary["Layers"] == [layer["digest"] for layer in manifest["layers"]]
    assert len(summary["Layers"]) == len(configuration["rootfs"]["diff_ids"]) > 1
    assert manifest["annotations"]["dev.ecomdeploy.content-digest"] == pack["content_digest"]
    assert (summary["Architecture"], summary["Os"]) == ("amd64", "linux")
    assert summary["Labels"] == configuration["config"]["Labels"]
    assert summary["Labels"]["org.cncf.model.family"] == pack["usecase"]
    assert summary["Labels"]["com.amazonaws.sagemaker.capabilities.accept-bind-to-port"] == "true"
    assert configuration["config"]["User"] == "65532:65532"


def inspected(skopeo: str, image: str, variables: dict[str, str], *options: str) -> bytes:
    command = [skopeo, "inspect", *options, "--tls-verify=false", f"docker://{image}"]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def confined(running: container.Container, image: str) -> None:
    """That very image, as its own user, on a file system that it cannot write, without a capability."""
    seen = json.loads(running.run("inspect", running.name).stdout)[0]
    assert seen["ImageDigest"] == image.partition("@")[2]
    assert seen["HostConfig"]["ReadonlyRootfs"] is True
    inside = running.run("exec", running.name, "/usr/bin/python3", "-c", INSIDE)
    assert inside.returncode == 0, inside.stderr
    assert json.loads(inside.stdout) == {"user": [65532, 65532], "writable": [], "capabilities": 0}


INSIDE = """
import json, os, pathlib
status = pathlib.Path("/proc/1/status").read_text()
capabilities = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff")]
writable = []
for folder in ("/", "/opt/ecomdeploy", "/opt/ecomdeploy/app", "/usr/bin"):
    try:
        pathlib.Path(folder, "planted").write_text("x")
        writable.append(folder)
    except OSError:
        pass
print(json.dumps({"user": [os.getuid(), os.getgid()], "writable": writable, "capabilities": capabilities[0]}))
"""


def answers(running: container.Container, pack: dict[str, Any], predicted: dict[str, Any]) -> None:
    """Each golden request within tolerance, and a household of `predict` as the endpoint answers it."""
    assert pack["golden"], "a release has golden requests"
    assert httpx.get(f"{running.url}/ping").status_code == 200
    for one in pack["golden"]:
        answer = httpx.post(f"{running.url}/invocations", json=one["request"])
        assert answer.status_code == 200, answer.text
        assert compare(one["answer"], answer.json(), pack["tolerance"]) == ()
        assert answer.headers["x-amzn-sagemaker-custom-attributes"] == pack["content_digest"]
    answer = httpx.post(f"{running.url}/invocations", json=predicted["request"])
    assert answer.json()["predictions"] == predicted["predictions"]
    assert httpx.post(f"{running.url}/invocations", content=b"{}").status_code in (400, 415)
