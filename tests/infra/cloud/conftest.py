"""A local cloud of its own for these tests, its model servers spoken by threads; boto3 clients that reach it."""

from __future__ import annotations

import hashlib
import json
import secrets
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from registry_login import login
from waiting import wait_for

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.daemon import snapshot
from modelpack.home import Home

SPEAKING = f"{Path(__file__).resolve().parents[2] / 'support' / 'speaking.py'}:SpeakingHost"


class Aws:
    """boto3 clients by the variables of `cloud env` alone, and what tests of the local cloud often do."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.variables = cloud.environment()
        self.registry = self.variables["ECOMDEPLOY_REGISTRY"]
        self._clients: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        if service not in self._clients:
            session = boto3.session.Session(
                aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
                region_name=self.variables["AWS_REGION"],
            )
            config = Config(retries={"total_max_attempts": 1})
            self._clients[service] = session.client(
                service, endpoint_url=self.variables["AWS_ENDPOINT_URL"], config=config
            )
        return self._clients[service]

    def push(self, repository: str, tag: str = "v1", content: str = "x") -> str:
        """A tiny image pushed as an OCI client would; returns its reference by digest."""
        base = f"http://{self.registry}/v2/{repository}"
        blobs = [json.dumps({"os": "linux", "note": content}).encode(), content.encode()]
        for blob in blobs:
            self._send(
                "POST", f"{base}/blobs/uploads/?digest={_digest(blob)}", blob, "application/octet-stream"
            )
        described = [{"digest": _digest(blob), "size": len(blob)} for blob in blobs]
        media = "application/vnd.oci.image.manifest.v1+json"
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": media,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **described[0]},
                "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **described[1]}],
            }
        ).encode()
        self._send("PUT", f"{base}/manifests/{tag}", manifest, media)
        return f"{self.registry}/{repository}@{_digest(manifest)}"

    def _send(self, method: str, url: str, data: bytes, content_type: str) -> None:
        headers = {"Content-Type": content_type, **login(self.variables)}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            assert answer.status in (201, 202)

    def release(self, name: str, environment: dict[str, str] | None = None) -> str:
        """Image, model and configuration of one name; returns the image."""
        ecr, sagemaker = self("ecr"), self("sagemaker")
        if not [r for r in ecr.describe_repositories()["repositories"] if r["repositoryName"] == "shop"]:
            ecr.create_repository(repositoryName="shop")
        image = self.push("shop", name, name)
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn="arn:aws:iam::123456789012:role/serving",
            PrimaryContainer={"Image": image, "Environment": environment or {}},
        )
        self.configuration(name, [(name, 1.0)])
        return image

    def configuration(
        self, name: str, models: list[tuple[str, float]], instance: str = "ml.g5.xlarge"
    ) -> None:
        variants = [
            {
                "VariantName": f"variant-{model}" if len(models) > 1 else "AllTraffic",
                "ModelName": model,
                "InstanceType": instance,
                "InitialInstanceCount": 1,
                "InitialVariantWeight": weight,
            }
            for model, weight in models
        ]
        self("sagemaker").create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)

    def endpoint(self, name: str, configuration: str) -> None:
        self("sagemaker").create_endpoint(EndpointName=name, EndpointConfigName=configuration)
        self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        """The endpoint once it no longer changes."""

        def found() -> dict[str, Any]:
            return dict(self("sagemaker").describe_endpoint(EndpointName=name))

        wait_for(lambda: found()["EndpointStatus"] in ("InService", "Failed"))
        return found()

    def kept(self) -> None:
        """Come back when everything that was changed so far is in the snapshot: a mark that is made now is in it."""
        mark = f"kept-{secrets.token_hex(8)}"
        self("s3").create_bucket(Bucket=mark)
        file, key = self.cloud.folder.snapshot, self.cloud.folder.secret("snapshot")

        def has_it() -> bool:
            head, _, body = file.read_bytes().partition(b"\n")
            return mark.encode() in snapshot._reveal(head, body, key)

        wait_for(lambda: file.exists() and has_it())

    def invoke(self, endpoint: str, body: bytes = b"{}", **more: str) -> dict[str, Any]:
        answer = self("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, Body=body, ContentType="application/json", **more
        )
        return {**answer, "json": json.loads(answer["Body"].read())}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """Started for a module, ended after it."""
    root: Path = tmp_path_factory.mktemp("home")
    local = LocalCloud(Home(root, root / "cache"), host=SPEAKING)
    local.ensure()
    yield local
    local.stop()


@pytest.fixture(scope="module")
def aws(cloud: LocalCloud) -> Aws:
    return Aws(cloud)


@pytest.fixture
def empty(cloud: LocalCloud) -> LocalCloud:
    """The account, emptied."""
    cloud.reset()
    return cloud


@pytest.fixture
def client_of() -> Callable[[LocalCloud], Aws]:
    """For tests that start clouds of their own."""
    return Aws
