"""Contract of the emulated ECR: what the registry holds is what ECR lists, and the reverse."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError
from registry_login import login

pytestmark = pytest.mark.usefixtures("empty")


@pytest.fixture
def ecr(aws: Any) -> Any:
    aws("ecr").create_repository(repositoryName="shop", tags=[{"Key": "a", "Value": "b"}])
    return aws("ecr")


def manifest(aws: Any, reference: str) -> bytes:
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json", **login(aws.variables)}
    url = f"http://{aws.registry}/v2/shop/manifests/{reference}"
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
        return bytes(answer.read())


def test_a_repository_is_where_an_oci_client_pushes(aws: Any, ecr: Any) -> None:
    (found,) = ecr.describe_repositories()["repositories"]
    assert found["repositoryUri"] == f"{aws.registry}/shop"
    token = ecr.get_authorization_token()["authorizationData"][0]
    assert token["proxyEndpoint"] == f"http://{aws.registry}"
    assert f"Basic {token['authorizationToken']}" == login(aws.variables)["Authorization"]
    with pytest.raises(HTTPError, match="404"):
        aws.push("unknown")


def test_pushed_images_are_listed_by_their_digest(aws: Any, ecr: Any) -> None:
    digest = aws.push("shop", "v1").partition("@")[2]
    aws.push("shop", "latest")
    (detail,) = ecr.describe_images(repositoryName="shop")["imageDetails"]
    assert detail["imageDigest"] == digest
    assert sorted(detail["imageTags"]) == ["latest", "v1"]
    held = json.loads(manifest(aws, "v1"))
    listed = held["config"]["size"] + sum(layer["size"] for layer in held["layers"])
    assert detail["imageSizeInBytes"] == len(manifest(aws, "v1")) + listed
    ids = ecr.list_images(repositoryName="shop")["imageIds"]
    assert {item["imageDigest"] for item in ids} == {digest}
    got = ecr.batch_get_image(repositoryName="shop", imageIds=[{"imageTag": "v1"}])["images"][0]
    assert got["imageManifest"].encode() == manifest(aws, digest)
    assert ecr.describe_images(repositoryName="shop", imageIds=[{"imageDigest": digest}])["imageDetails"]
    with pytest.raises(ClientError, match="ImageNotFoundException"):
        ecr.describe_images(repositoryName="shop", imageIds=[{"imageTag": "none"}])


def test_deleting_an_image_takes_it_from_the_registry(aws: Any, ecr: Any) -> None:
    first = aws.push("shop", "v1", "one").partition("@")[2]
    aws.push("shop", "v2", "two")
    assert ecr.batch_delete_image(repositoryName="shop", imageIds=[{"imageDigest": first}])["imageIds"]
    with pytest.raises(HTTPError, match="404"):
        manifest(aws, first)
    ecr.batch_delete_image(repositoryName="shop", imageIds=[{"imageTag": "v2"}])
    assert ecr.describe_images(repositoryName="shop")["imageDetails"] == []


def test_an_image_without_a_tag_is_deleted_by_its_digest(aws: Any, ecr: Any) -> None:
    """What refers to an image has none; ECR tells what it deleted."""
    ecr.create_repository(repositoryName="untagged")
    aws.push("untagged", content="one")
    (one,) = ecr.list_images(repositoryName="untagged")["imageIds"]
    aws.push("untagged", content="two")  # takes the tag
    alone = {"imageDigest": one["imageDigest"]}
    assert alone in ecr.list_images(repositoryName="untagged")["imageIds"]
    assert ecr.batch_delete_image(repositoryName="untagged", imageIds=[alone])["imageIds"] == [alone]
    (left,) = ecr.list_images(repositoryName="untagged")["imageIds"]
    assert left["imageTag"] == "v1"
    assert ecr.batch_delete_image(repositoryName="untagged", imageIds=[alone])["imageIds"] == []


def test_an_image_put_by_ecr_is_in_the_registry(aws: Any, ecr: Any) -> None:
    digest = aws.push("shop", "v1").partition("@")[2]
    text = manifest(aws, "v1").decode()
    put = ecr.put_image(repositoryName="shop", imageManifest=text, imageTag="copy")["image"]
    assert put["imageId"] == {"imageDigest": digest, "imageTag": "copy"}
    assert manifest(aws, "copy").decode() == text


def test_tags_of_an_immutable_repository_do_not_move(aws: Any, ecr: Any) -> None:
    ecr.put_image_tag_mutability(repositoryName="shop", imageTagMutability="IMMUTABLE")
    aws.push("shop", "v1", "one")
    with pytest.raises(HTTPError, match="409"):
        aws.push("shop", "v1", "two")


def test_a_repository_with_images_is_deleted_only_by_force(aws: Any, ecr: Any) -> None:
    aws.push("shop")
    with pytest.raises(ClientError, match="RepositoryNotEmptyException"):
        ecr.delete_repository(repositoryName="shop")
    ecr.delete_repository(repositoryName="shop", force=True)
    ecr.create_repository(repositoryName="shop")
    assert ecr.describe_images(repositoryName="shop")["imageDetails"] == []
