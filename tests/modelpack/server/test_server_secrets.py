"""Secrets are looked up when the container starts: signed as AWS wants it, refused in words, never told."""

from __future__ import annotations

import io
import json
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as TheirCredentials

from modelpack.server.secrets import CONTAINER_HOST, Credentials, NoSecret, reveal, sign

PLANTED = "planted-c0ffee"
ROLE = {"AccessKeyId": "AKID", "SecretAccessKey": "never told", "Token": "also not"}


class Aws:
    """The fake AWS: parameters and secrets by name, and the container's credentials."""

    def __init__(self, failing: int = 0, how: tuple[int, bytes] = (503, b"")) -> None:
        self.asked: list[urllib.request.Request] = []
        self.failing = failing
        self.how = how

    def __call__(self, request: urllib.request.Request, seconds: float) -> Any:
        self.asked.append(request)
        if self.failing:
            self.failing -= 1
            status, body = self.how
            raise urllib.error.HTTPError(request.full_url, status, "", request.headers, io.BytesIO(body))  # type: ignore[arg-type]
        if request.full_url.startswith(CONTAINER_HOST):
            return io.BytesIO(json.dumps(ROLE).encode())
        body = json.loads(request.data)  # type: ignore[arg-type]
        if "deny" in str(body):
            told = json.dumps({"__type": "x#AccessDeniedException", "Message": "not yours"}).encode()
            raise urllib.error.HTTPError(request.full_url, 400, "no", request.headers, io.BytesIO(told))  # type: ignore[arg-type]
        found = {"Parameter": {"Value": PLANTED}} if "Name" in body else {"SecretString": PLANTED[::-1]}
        return io.BytesIO(json.dumps(found).encode())


WHERE = {"AWS_REGION": "eu-west-1", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials"}


def test_parameters_and_secrets_are_looked_up_with_the_role_s_credentials() -> None:
    aws = Aws()
    given = {
        "ECOMDEPLOY_SECRET_A": "ssm:/shop/a",
        "ECOMDEPLOY_SECRET_B": "secretsmanager:shop/b",
        "C": "plain",
    }
    assert reveal({**WHERE, **given}, aws) == {"A": PLANTED, "B": PLANTED[::-1]}
    hosts = [request.host for request in aws.asked]
    assert hosts == ["169.254.170.2", "ssm.eu-west-1.amazonaws.com", "secretsmanager.eu-west-1.amazonaws.com"]
    assert json.loads(aws.asked[1].data) == {"Name": "/shop/a", "WithDecryption": True}  # type: ignore[arg-type]


def test_nothing_is_asked_where_nothing_is_secret() -> None:
    aws = Aws()
    assert reveal({"A": "plain"}, aws) == {}
    assert not aws.asked


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ((503, b""), "HTTP 503"),
        ((429, b""), "HTTP 429"),
        ((400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'), "Rate exceeded"),
        ((400, b'{"__type": "com.amazon#RequestLimitExceeded"}'), "RequestLimitExceeded"),
    ],
)
def test_a_busy_service_is_asked_again(how: tuple[int, bytes], words: str) -> None:
    asked = {**WHERE, "ECOMDEPLOY_SECRET_A": "ssm:/a"}
    pauses: list[float] = []
    assert reveal(asked, Aws(2, how), pauses.append) == {"A": PLANTED}
    assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2
    with pytest.raises(NoSecret, match=words):
        reveal(asked, Aws(3, how), pauses.append)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({**WHERE, "ECOMDEPLOY_SECRET_A": "ssm:/deny"}, r"A \(ssm:/deny\): AccessDeniedException not yours"),
        ({**WHERE, "ECOMDEPLOY_SECRET_A": "vault:/x"}, "is no reference"),
        ({**WHERE, "ECOMDEPLOY_SECRET_A": "ssm:"}, "is no reference"),
        ({"ECOMDEPLOY_SECRET_A": "ssm:/a"}, "no credentials"),
    ],
)
def test_what_cannot_be_looked_up_is_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(NoSecret, match=words) as caught:
        reveal(given, Aws())
    assert PLANTED not in str(caught.value)
    assert ROLE["SecretAccessKey"] not in str(caught.value)


def test_what_was_handed_over_is_read_once() -> None:
    descriptor = os.memfd_create("secrets")
    os.write(descriptor, json.dumps({"A": PLANTED}).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    given = {"ECOMDEPLOY_SECRETS_FD": str(descriptor), "ECOMDEPLOY_SECRET_A": "ssm:/a"}
    assert reveal(given, Aws()) == {"A": PLANTED}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("token", ["", "session"])
@pytest.mark.parametrize("service", ["ssm", "secretsmanager"])
def test_requests_are_signed_as_botocore_signs_them(service: str, token: str) -> None:
    now = datetime.now(UTC)
    ours = sign(service, "eu-west-1", b'{"Name": "/a"}', Credentials("AKID", "secret", token), now)
    headers = {name.lower(): value for name, value in ours.header_items() if name.lower() != "authorization"}
    theirs = AWSRequest("POST", ours.full_url, headers, ours.data)
    signer = SigV4Auth(TheirCredentials("AKID", "secret", token or None), service, "eu-west-1")
    theirs.context["timestamp"] = headers["x-amz-date"]
    told = ours.get_header("Authorization") or ""
    text = signer.string_to_sign(theirs, signer.canonical_request(theirs))
    assert f"Signature={signer.signature(text, theirs)}" in told
    assert "secret" not in told.replace("secretsmanager", "")


def test_credentials_do_not_show_themselves() -> None:
    assert "never told" not in repr(Credentials("AKID", "never told", "token"))
