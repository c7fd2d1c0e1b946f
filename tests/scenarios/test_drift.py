"""Other hands on a service: `plan` names what they did, one `up` mends it, `status` believes nothing that is gone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typed import Terminal

pytestmark = pytest.mark.slow

BUCKET, ENDPOINT, ROLE = "shop-local-123456789012", "shop-local", "shop-local-serving"
SCALED = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{ENDPOINT}/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.fixture
def live(shop: Terminal) -> Terminal:
    """Release 1 serves."""
    shop.type("up", "--json")
    return shop


def planned(shop: Terminal) -> set[tuple[str, str, str]]:
    """What `plan` would do: operation, type, name."""
    return {
        (change["op"], change["urn"].split("::")[2].rpartition(":")[2], change["urn"].rpartition("::")[2])
        for change in shop.type("plan", "--json").json["changes"]
    }


def mends_at_once(shop: Terminal) -> dict[str, Any]:
    """One `up` does what `plan` says, the next makes no mutating call; what the first said.

    Where `plan` does not know yet what a thing that is made anew will be called, it names what hangs on that as well.
    """
    wanted = planned(shop)
    done: dict[str, Any] = shop.type("up", "--json").json
    assert done["outcome"] == "updated"
    acted = {(change["op"], change["urn"].rpartition("::")[2]) for change in done["changes"]}
    assert acted <= {(op, name) for op, _, name in wanted}
    assert planned(shop) == set()
    before = shop.counts()["mutating"]
    assert shop.type("up", "--json").json["outcome"] == "nothing to do"
    assert shop.counts()["mutating"] == before
    assert shop.type("status", "--json").json["verified"]
    return done


def test_fourteen_things_changed_by_hand_are_named_and_mended_at_once(live: Terminal) -> None:
    """One edit each of a different resource of base and service."""
    spoil_identity(live.client("iam"), live.client("kms"))
    spoil_storage(live.client("s3"), live.client("ecr"))
    spoil_service(live.client("sagemaker"), live.client("cloudwatch"), live.client("application-autoscaling"))
    (model,) = [name for _, kind, name in planned(live) if kind == "Model"]
    assert planned(live) == {
        ("update", "Role", "role"),
        ("update", "RolePolicy", "role-serve"),
        ("update", "Key", "key"),
        ("create", "Alias", "key"),
        ("update", "Bucket", "bucket"),
        ("update", "BucketPublicAccessBlock", "bucket-private"),
        ("update", "BucketVersioning", "bucket-versioning"),
        ("update", "BucketServerSideEncryptionConfiguration", "bucket-encryption"),
        ("update", "Repository", "registry"),
        ("update", "Endpoint", "endpoint"),
        ("create", "Model", model),
        ("update", "MetricAlarm", "alarms-error-rate"),
        ("update", "Target", "scaling"),
        ("create", "Policy", "scaling-load"),
    }
    done = mends_at_once(live)
    assert (done["release"], len(done["changes"])) == (1, 14)


def spoil_identity(iam: Any, kms: Any) -> None:
    trust = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"][0]["Principal"] = {"Service": ["sagemaker.amazonaws.com", "lambda.amazonaws.com"]}
    iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=json.dumps(trust))
    widened = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=ROLE, PolicyName="serve", PolicyDocument=json.dumps(widened))
    alias = "alias/ecomdeploy-shop-local"
    (key,) = [one["TargetKeyId"] for one in kms.list_aliases()["Aliases"] if one["AliasName"] == alias]
    kms.disable_key_rotation(KeyId=key)
    kms.delete_alias(AliasName=alias)


def spoil_storage(s3: Any, ecr: Any) -> None:
    kept = s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"]
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [*kept, {"Key": "owner", "Value": "me"}]})
    opened = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False
    )
    s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=opened)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})
    plain = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=plain)
    ecr.put_image_tag_mutability(repositoryName=ENDPOINT, imageTagMutability="MUTABLE")


def spoil_service(sagemaker: Any, cloudwatch: Any, scaling: Any) -> None:
    arn = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointArn"]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["ecomdeploy:managed-by"])
    delete_models(sagemaker)
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[f"{ENDPOINT}-error-rate"])["MetricAlarms"]
    sent = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    told = {name: value for name, value in alarm.items() if name in sent and value not in (None, [], "")}
    cloudwatch.put_metric_alarm(**{**told, "Threshold": 0.9})
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    scaling.delete_scaling_policy(PolicyName=policy["PolicyName"], **SCALED)
    scaling.register_scalable_target(**SCALED, MinCapacity=1, MaxCapacity=99)


def delete_models(sagemaker: Any) -> None:
    for model in sagemaker.list_models()["Models"]:
        sagemaker.delete_model(ModelName=model["ModelName"])


@pytest.mark.nightly(like="test_fourteen_things_changed_by_hand_are_named_and_mended_at_once")
def test_what_serves_is_verified_only_while_all_it_needs_exists(live: Terminal) -> None:
    """Model, configuration, role: the running servers need none of them, the next one does."""
    sagemaker, iam = live.client("sagemaker"), live.client("iam")
    delete_models(sagemaker)
    told_gone(live, "there is no model shop-local-")
    mends_at_once(live)

    configuration = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    sagemaker.delete_endpoint_config(EndpointConfigName=configuration)
    told_gone(live, f"there is no endpoint configuration {configuration}")
    mends_at_once(live)

    iam.delete_role_policy(RoleName=ROLE, PolicyName="serve")
    iam.delete_role(RoleName=ROLE)
    told_gone(live, f"there is no role arn:aws:iam::123456789012:role/{ROLE}")
    mends_at_once(live)


def told_gone(shop: Terminal, what: str) -> None:
    """`status` names what is gone, and ends with 4."""
    found = shop.type("status", "--json", expect=4).json
    assert not found["verified"]
    assert any(what in problem for problem in found["problems"])


@pytest.mark.nightly(like="test_fourteen_things_changed_by_hand_are_named_and_mended_at_once")
def test_a_release_heals_what_others_deleted_and_so_does_a_rollback(live: Terminal) -> None:
    """The configuration in use and the role, then a new release; its role again, then the way back."""
    sagemaker, iam = live.client("sagemaker"), live.client("iam")
    configuration = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointConfigName"]
    sagemaker.delete_endpoint_config(EndpointConfigName=configuration)
    iam.delete_role_policy(RoleName=ROLE, PolicyName="serve")
    iam.delete_role(RoleName=ROLE)
    live.edit(r"^  instance: (ml\S+).*$", r"  instance: \1\n  environment: {FEATURE: a}")
    done = live.type("up", "--json").json
    assert (done["release"], done["verified"]) == (2, True)
    assert planned(live) == set()

    iam.delete_role_policy(RoleName=ROLE, PolicyName="serve")
    iam.delete_role(RoleName=ROLE)
    delete_models(sagemaker)
    back = live.type("rollback", "--yes", "--json").json
    assert (back["restores"], back["verified"]) == (1, True)
    assert live.type("status", "--json").json["verified"]


@pytest.mark.nightly(like="test_fourteen_things_changed_by_hand_are_named_and_mended_at_once")
def test_an_endpoint_deleted_by_hand_is_made_again(live: Terminal) -> None:
    live.client("sagemaker").delete_endpoint(EndpointName=ENDPOINT)
    assert not live.type("status", "--json", expect=None).json["verified"]
    assert ("create", "Endpoint", "endpoint") in planned(live)
    mends_at_once(live)


@pytest.mark.nightly(like="test_fourteen_things_changed_by_hand_are_named_and_mended_at_once")
def test_images_repository_and_bucket_deleted_by_hand_come_back(live: Terminal) -> None:
    ecr, s3 = live.client("ecr"), live.client("s3")
    images = ecr.list_images(repositoryName=ENDPOINT)["imageIds"]
    ecr.batch_delete_image(repositoryName=ENDPOINT, imageIds=images)
    told_gone(live, "the registry has no")
    live.type("up", "--json")
    assert live.type("status", "--json").json["verified"]

    ecr.delete_repository(repositoryName=ENDPOINT, force=True)
    for version in s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
        s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=BUCKET)
    assert {("create", "Repository", "registry"), ("create", "Bucket", "bucket")} <= planned(live)
    mends_at_once(live)
    assert ecr.list_images(repositoryName=ENDPOINT)["imageIds"]
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] >= 1


@pytest.mark.nightly(like="test_fourteen_things_changed_by_hand_are_named_and_mended_at_once")
def test_the_number_of_replicas_follows_the_spec_where_nothing_scales(live: Terminal) -> None:
    """Automatic scaling goes, and three are wanted; somebody takes two away."""
    sagemaker = live.client("sagemaker")

    def running() -> int:
        (variant,) = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
        return int(variant["CurrentInstanceCount"])

    live.edit(r"^scale: .*$", "scale: {min: 3, max: 6}")
    assert live.type("plan", "--json").json["replicas"] == {"now": 1, "then": 3}
    mends_at_once(live)
    assert running() == 3
    wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 1}]
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT, DesiredWeightsAndCapacities=wanted
    )
    assert live.type("plan", "--exit-code", "--json", expect=10).json["replicas"] == {"now": 1, "then": 3}
    mends_at_once(live)
    assert running() == 3
