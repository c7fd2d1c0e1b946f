"""Clients from given variables only, and AWS's refusals in our words."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import (
    DataNotFoundError,
    EndpointConnectionError,
    NoCredentialsError,
    UnknownServiceError,
)
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from infra.aws_session import (
    AwsSession,
    account,
    assume,
    ensure_bucket,
    meaning,
    refusals,
    registry_credentials,
)
from modelpack.errors import CloudRefused, EcomdeployError

KEYS = {
    "AWS_ACCESS_KEY_ID": "given",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


def test_clients_come_from_the_mapping_and_not_from_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    session = AwsSession({**KEYS, "AWS_REGION": "ap-northeast-1", "AWS_PROFILE": ""})
    client = session.client("sts")
    assert client.meta.region_name == "ap-northeast-1"
    assert client.meta.endpoint_url == "https://sts.ap-northeast-1.amazonaws.com"
    assert client._request_signer._credentials.access_key == "given"


def test_the_emulators_address_is_used_for_every_service_or_for_one() -> None:
    session = AwsSession(
        {**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:5000", "AWS_ENDPOINT_URL_ECR": "http://127.0.0.1:6000"}
    )
    assert session.client("sagemaker-runtime").meta.endpoint_url == "http://127.0.0.1:5000"
    assert session.client("ecr").meta.endpoint_url == "http://127.0.0.1:6000"


def test_a_client_is_made_once() -> None:
    session = AwsSession(KEYS)
    assert session.client("sts") is session.client("sts")
    assert session.client("sts") is not session.client("sts", attempts=1)


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("AccessDeniedException", CloudRefused, "credentials"),
        ("ResourceLimitExceeded", CloudRefused, "Quotas"),
        ("InsufficientInstanceCapacity", CloudRefused, "another instance type"),
        ("ValidationException", EcomdeployError, ""),
    ],
)
def test_codes_mean_something(code: str, kind: type[EcomdeployError], hint: str) -> None:
    error = meaning(code, "trying")
    assert type(error) is kind
    assert hint in error.hint
    assert code in str(error)


@pytest.mark.parametrize(
    ("raised", "kind", "word"),
    [
        (NoCredentialsError(), CloudRefused, "credentials"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), EcomdeployError, "cannot reach"),
    ],
)
def test_a_cloud_that_is_not_there_is_told_from_one_that_says_no(
    raised: Exception, kind: type[EcomdeployError], word: str
) -> None:
    with pytest.raises(kind, match=word) as caught, refusals("trying"):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.hint


def test_an_address_where_nobody_answers_is_an_error_with_a_hint() -> None:
    session = AwsSession({**KEYS, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    with pytest.raises(EcomdeployError, match="cannot reach the cloud"):
        account(session)


def test_an_answer_that_is_none_of_awss_is_told_as_such() -> None:
    with pytest.raises(EcomdeployError, match="none of AWS's: Unable to parse") as told, refusals("trying"):
        raise ResponseParserError("Unable to parse response (syntax error), invalid XML received.\nb'<html>'")
    assert "HTTPS_PROXY" in told.value.hint


def test_the_registrys_token_is_a_user_and_a_password() -> None:
    session = AwsSession(KEYS)
    token = base64.b64encode(b"AWS:secret:with:colons").decode()
    with Stubber(session.client("ecr")) as stub:
        stub.add_response("get_authorization_token", {"authorizationData": [{"authorizationToken": token}]})
        assert registry_credentials(session) == ("AWS", "secret:with:colons")


def test_a_roles_credentials_take_the_place_of_whose_they_were_assumed_with() -> None:
    session = AwsSession({**KEYS, "AWS_REGION": "eu-west-1", "AWS_PROFILE": ""})
    role = "arn:aws:iam::111111111111:role/ecomdeploy-shop-staging-plan"
    given = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "theirs", "SessionToken": "token"}
    answer = {"Credentials": {**given, "Expiration": datetime(2026, 11, 29, tzinfo=UTC)}}
    with Stubber(session.client("sts")) as stub:
        stub.add_response("assume_role", answer, {"RoleArn": role, "RoleSessionName": "ecomdeploy"})
        found = assume(session, role)
        stub.add_client_error("assume_role", "AccessDenied", "not you")
        with pytest.raises(CloudRefused, match=f"assuming {role}: not you"):
            assume(session, role)
    credentials = AwsSession(found).client("s3")._request_signer._credentials
    assert (credentials.access_key, credentials.token) == ("AKIAIOSFODNN7EXAMPLE", "token")
    assert "AWS_PROFILE" not in found
    assert found["AWS_REGION"] == "eu-west-1"


TAGS = {"ecomdeploy:managed-by": "ecomdeploy"}
SETTINGS = ("put_public_access_block", "put_bucket_versioning", "put_bucket_tagging")


def tag_set(tags: dict[str, str]) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_a_bucket_is_made_private_once(region: str) -> None:
    session = AwsSession({**KEYS, "AWS_REGION": region})
    with Stubber(session.client("s3")) as stub:
        stub.add_client_error("get_bucket_tagging", "NoSuchBucket", http_status_code=404)
        where: dict[str, Any] = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        stub.add_response(
            "create_bucket", {}, {"Bucket": "shop-state", **({} if region == "us-east-1" else where)}
        )
        for operation in SETTINGS:
            stub.add_response(operation, {})
        assert ensure_bucket(session, "shop-state", TAGS) is True
        stub.add_response("get_bucket_tagging", tag_set(TAGS))
        assert ensure_bucket(session, "shop-state", TAGS) is False
        stub.assert_no_pending_responses()


def test_a_bucket_that_a_killed_run_left_bare_is_finished_and_its_own_tags_stay() -> None:
    session = AwsSession(KEYS)
    with Stubber(session.client("s3")) as stub:
        stub.add_response("get_bucket_tagging", tag_set({"cost": "shop"}))
        for operation in SETTINGS[:2]:
            stub.add_response(operation, {})
        merged = {"Bucket": "shop-state", "Tagging": tag_set({"cost": "shop", **TAGS})}
        stub.add_response("put_bucket_tagging", {}, merged)
        assert ensure_bucket(session, "shop-state", TAGS) is True
        stub.assert_no_pending_responses()


def test_somebody_elses_bucket_is_refused() -> None:
    session = AwsSession(KEYS)
    with Stubber(session.client("s3")) as stub:
        stub.add_client_error("get_bucket_tagging", "AccessDenied", http_status_code=403)
        with pytest.raises(CloudRefused, match="shop-state"):
            ensure_bucket(session, "shop-state", TAGS)


def test_keys_are_never_shown() -> None:
    session = AwsSession(KEYS)
    session.client("sts")
    assert "secret" not in repr(session)


@pytest.mark.parametrize("service", ["sts", "sagemaker", "s3"])
def test_services_are_described_as_botocore_describes_them(service: str) -> None:
    own, plain = AwsSession({}).loader, Loader()
    for kind in ("service-2", "endpoint-rule-set-1"):
        assert own.load_service_model(service, kind) == plain.load_service_model(service, kind)
    with pytest.raises(UnknownServiceError):
        own.load_service_model("no-such-service", "service-2")
    with pytest.raises(DataNotFoundError):
        own.load_service_model(service, "no-such-kind")
