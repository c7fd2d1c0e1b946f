"""Registry, bucket, key and serving role, as the base program puts them together."""

from __future__ import annotations

import json
from typing import Any

import declared
import pulumi
import pytest

BASE = {"service": "shop-recs", "bucket": "shop-recs-local-123456789012"}


def test_the_promised_outputs() -> None:
    base = declared.program("base", BASE)
    assert base.outputs == {
        "repository_url": "registry.test/shop-recs-local",
        "repository_name": "shop-recs-local",
        "bucket": BASE["bucket"],
        "key_arn": "arn:aws:mock:us-east-1:123456789012:key",
        "role_arn": "arn:aws:mock:us-east-1:123456789012:role",
    }


def test_what_the_endpoint_writes_is_kept_for_a_while_where_it_is_sagemakers() -> None:
    logged = {**BASE, "target": "sagemaker", "log_days": 14}
    base = declared.program("base", logged)
    group = base.one("LogGroup").inputs
    assert (group["name"], group["retentionInDays"]) == ("/aws/sagemaker/Endpoints/shop-recs-local", 14)
    assert base.outputs["log_group"] == group["name"]
    on_cluster = declared.program("base", {**logged, "target": "kserve"})
    assert not on_cluster.of("LogGroup")
    assert on_cluster.outputs["log_group"] == ""


def test_tags_of_images_never_move_and_images_are_scanned() -> None:
    repository = declared.program("base", BASE).one("Repository").inputs
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["encryptionConfigurations"][0]["encryptionType"] == "KMS"


def test_the_bucket_is_private_versioned_and_encrypted() -> None:
    base = declared.program("base", BASE)
    assert base.one("BucketVersioning").inputs["versioningConfiguration"]["status"] == "Enabled"
    block = base.one("BucketPublicAccessBlock").inputs
    assert all(
        block[key]
        for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    )
    (rule,) = base.one("BucketServerSideEncryptionConfiguration").inputs["rules"]
    assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"


def test_plain_http_is_denied_on_aws_and_not_on_the_local_cloud() -> None:
    """The emulator ignores a policy's conditions: there the statement would deny everything."""
    assert not declared.program("base", BASE).of("BucketPolicy")
    on_aws = declared.program("base", {**BASE, "cloud": "aws"})
    policy = json.loads(on_aws.one("BucketPolicy").inputs["policy"])
    (statement,) = policy["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"][0] == f"arn:aws:s3:::{BASE['bucket']}"


def test_records_outlive_the_stack_on_aws_only() -> None:
    assert declared.program("base", BASE).one("Bucket").inputs["forceDestroy"] is True
    assert declared.program("base", {**BASE, "cloud": "aws"}).one("Bucket").inputs["forceDestroy"] is False


def test_a_bucket_made_beforehand_is_governed_not_made() -> None:
    """It holds the state of this very stack."""
    base = declared.program("base", {**BASE, "bucket_exists": True})
    assert not [one for one in base.resources if one.type == "aws:s3/bucket:Bucket"]
    assert base.one("BucketVersioning").inputs["bucket"] == BASE["bucket"]
    assert base.outputs["bucket"] == BASE["bucket"]


def test_the_serving_role_may_pull_one_repository_and_log() -> None:
    base = declared.program("base", BASE)
    trusted = json.loads(base.one("Role").inputs["assumeRolePolicy"])["Statement"][0]
    assert trusted["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trusted["Condition"]["StringEquals"]["aws:SourceAccount"] == "123456789012"
    statements = json.loads(base.one("RolePolicy").inputs["policy"])["Statement"]
    everywhere = [one["Action"] for one in statements if one["Resource"] == "*" and "Condition" not in one]
    assert everywhere == ["ecr:GetAuthorizationToken"]
    (pull,) = [one for one in statements if "ecr:BatchGetImage" in one["Action"]]
    assert pull["Resource"] == "arn:aws:mock:us-east-1:123456789012:registry"
    (alarms,) = [one for one in statements if one["Action"] == "cloudwatch:DescribeAlarms"]
    assert alarms["Resource"] == "arn:aws:cloudwatch:us-east-1:123456789012:alarm:*"
    told = [one["Action"] for one in statements]
    actions = {action for one in told for action in ([one] if isinstance(one, str) else one)}
    assert not [action for action in actions if "*" in action]
    assert {action.partition(":")[0] for action in actions} == {"ecr", "logs", "cloudwatch"}


def test_policies_are_the_same_text_every_time() -> None:
    def texts() -> list[Any]:
        return [one.inputs["policy"] for one in declared.program("base", BASE).of("RolePolicy")]

    assert texts() == texts()


def test_the_account_is_guarded() -> None:
    provider = declared.program("base", BASE).one("aws").inputs
    assert json.loads(provider["allowedAccountIds"]) == ["123456789012"]
    assert json.loads(provider["s3UsePathStyle"]) is True
    on_aws = declared.program("base", {**BASE, "cloud": "aws"}).one("aws").inputs
    assert "s3UsePathStyle" not in on_aws
    assert "endpoints" not in on_aws


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"service": "shop"}, "bucket is missing"),
        ({**BASE, "region": ""}, "region missing"),
        ({**BASE, "cloud": "azure"}, "azure"),
        ({**BASE, "bucket": "Not_A_Bucket"}, "not a bucket name"),
        ({**BASE, "service": "Shop"}, "repository"),
    ],
)
def test_wrong_settings_end_the_program_with_a_sentence(settings: dict[str, Any], word: str) -> None:
    with pytest.raises(pulumi.RunError, match=word):
        declared.program("base", settings)
