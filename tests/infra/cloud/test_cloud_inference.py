"""From boto3 to a real model server of an image's own files, over a daemon that is killed and comes back."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from model_server import expected
from small_image import build_root, layer_of, push

from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.registry.registry import RegistryServer
from infra.rehearsal.cloud.registry.repositories import FakeRepositories
from modelpack.home import Home

pytestmark = pytest.mark.slow


def test_real_inference_comes_back_after_a_kill(
    tmp_path: pathlib.Path, client_of: Callable[[LocalCloud], Any]
) -> None:
    cloud = LocalCloud(Home(tmp_path, tmp_path / "cache"))
    cloud.ensure()
    try:
        aws = client_of(cloud)
        aws("ecr").create_repository(repositoryName="shop")
        content = build_root(tmp_path / "image")
        layers = [layer_of(tmp_path / "image", "usr", "lib64", "tmp"), layer_of(tmp_path / "image", "opt")]
        on_disk = RegistryServer(cloud.folder.registry, FakeRepositories(names={"shop"}))
        image = f"{aws.registry}/shop@{push(on_disk, 'shop', layers)}"
        aws("sagemaker").create_model(
            ModelName="one",
            ExecutionRoleArn="arn:aws:iam::123456789012:role/serving",
            PrimaryContainer={"Image": image},
        )
        aws.configuration("one", [("one", 1.0)])
        aws("sagemaker").create_endpoint(EndpointName="shop", EndpointConfigName="one")
        found = aws.settled("shop")
        assert found["EndpointStatus"] == "InService", found.get("FailureReason")
        body = json.dumps({"instances": [{"household": 3, "history": [5, 6]}]}).encode()
        answer = aws.invoke("shop", body)
        assert answer["CustomAttributes"] == content
        assert answer["json"]["predictions"][0]["products"] == expected(3, [5, 6])["products"]
        (before,) = cloud.status()["endpoints"]
        assert before["isolation"] not in ("", "unknown", "fake")
        aws.kept()
        running = cloud.running()
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        began = time.monotonic()
        cloud.ensure()
        print(f"back after {time.monotonic() - began:.1f} s, {before['isolation']}")
        assert aws.invoke("shop", body)["json"] == answer["json"]
        (after,) = cloud.status()["endpoints"]
        assert Identity.of(before["servers"][0]["pid"]) is None
        pid = after["servers"][0]["pid"]
        aws("sagemaker").delete_endpoint(EndpointName="shop")
        aws("sagemaker").get_waiter("endpoint_deleted").wait(EndpointName="shop", WaiterConfig={"Delay": 1})
        assert Identity.of(pid) is None
    finally:
        cloud.stop()
