"""Who is answered: the home's owner, by AWS signatures, registry logins, the admin word; no page of the web."""

from __future__ import annotations

import http.client
import json
import os
import stat
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from registry_login import login

from infra.aws_session import meaning
from infra.rehearsal.cloud.addresses import ACCESS_KEY, Ports
from infra.rehearsal.cloud.aws.calls import ApiError
from infra.rehearsal.cloud.aws.signatures import Signatures
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.own_files import KEY_BYTES, claim_folder, read_key, read_own
from modelpack.errors import BadInput
from stacks.pulumi_driver.refusals import explain

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def ports(cloud: LocalCloud) -> Ports:
    found = cloud.folder.ports()
    assert found is not None
    return found


def ask(
    port: int, method: str, path: str, headers: Mapping[str, str] = JSON, body: bytes = b""
) -> tuple[int, bytes]:
    """A request of exactly these headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("service", ["sagemaker", "s3", "ec2", "iam", "ecr", "sts", "sagemaker-runtime"])
@pytest.mark.parametrize("key", ["x", ACCESS_KEY, "AKIAIOSFODNN7EXAMPLE"])
def test_keys_of_somebody_else_are_refused(aws: Any, service: str, key: str) -> None:
    import boto3

    client = boto3.client(
        service,
        endpoint_url=aws.variables["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key="y",
    )
    calls = {
        "sagemaker": lambda: client.list_models(),
        "s3": lambda: client.create_bucket(Bucket="theirs"),
        "ec2": lambda: client.describe_vpcs(),
        "iam": lambda: client.create_user(UserName="theirs"),
        "ecr": lambda: client.create_repository(repositoryName="theirs"),
        "sts": lambda: client.get_caller_identity(),
        "sagemaker-runtime": lambda: client.invoke_endpoint(EndpointName="shop", Body=b"{}"),
    }
    with pytest.raises(ClientError) as refused:
        calls[service]()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    expected = "SignatureDoesNotMatch" if key == ACCESS_KEY else "UnrecognizedClientException"
    assert refused.value.response["Error"]["Code"] == expected
    assert "ecomdeploy cloud env" in refused.value.response["Error"]["Message"]
    assert aws("s3").list_buckets()["Buckets"] == []


def test_an_unsigned_call_reads_and_changes_nothing(ports: Ports) -> None:
    for method, path in (
        ("GET", "/"),
        ("PUT", "/by-the-model"),
        ("POST", "/endpoints/shop/invocations"),
        ("POST", "/moto-api/reset"),
        ("GET", "/moto-api/data.json"),
        ("GET", "/_ecomdeploy/health"),
        ("GET", "/_ecomdeploy/status"),
        ("POST", "/_ecomdeploy/stop"),
        ("DELETE", "/_ecomdeploy/faults"),
    ):
        assert ask(ports.aws, method, path)[0] == 403, path


def signed(cloud: LocalCloud, ports: Ports, **changed: Any) -> AWSRequest:
    """ListModels as the owner signs it; `changed`: of the method, path, body, and the signer's secret and time."""
    secret = changed.pop("secret", cloud.environment()["AWS_SECRET_ACCESS_KEY"])
    service = changed.pop("service", "sagemaker")
    request = AWSRequest(
        "POST",
        f"{ports.aws_url}/",
        {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "SageMaker.ListModels"},
        b"{}",
    )
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(Credentials(ACCESS_KEY, secret), service, "us-east-1").add_auth(request)
    return request


@pytest.mark.parametrize("service", ["sagemaker", "s3"])
def test_what_was_signed_cannot_be_changed(cloud: LocalCloud, ports: Ports, service: str) -> None:
    good = signed(cloud, ports, service=service)
    headers = dict(good.headers.items())
    assert ask(ports.aws, "POST", "/", headers, b"{}")[0] in (200, 405)
    authorization = headers["Authorization"]
    other_day = {"Authorization": authorization.replace(headers["X-Amz-Date"][:8], "20200101")}
    flipped = authorization[:-1] + ("0" if authorization[-1] != "0" else "1")
    for method, path, change, body in (
        ("POST", "/", {}, b'{"MaxResults": 1}'),
        ("POST", "/x", {}, b"{}"),
        ("POST", "/?a=b", {}, b"{}"),
        ("PUT", "/", {}, b"{}"),
        ("POST", "/", {"X-Amz-Target": "SageMaker.DeleteModel"}, b"{}"),
        ("POST", "/", {"Authorization": flipped}, b"{}"),
        ("POST", "/", {"Authorization": authorization.replace("us-east-1", "eu-west-1")}, b"{}"),
        ("POST", "/", {"Authorization": authorization.replace("AWS4-HMAC-SHA256", "AWS")}, b"{}"),
        ("POST", "/", {"X-Amz-Date": "20200101T000000Z"} | other_day, b"{}"),
        ("POST", "/", {"X-Amz-Date": "soon"}, b"{}"),
    ):
        status, said = ask(ports.aws, method, path, {**headers, **change}, body)
        assert status == 403, (method, path, change, said)


def test_an_old_signature_is_refused(cloud: LocalCloud, ports: Ports) -> None:
    """As AWS does: what was seen an hour ago cannot be sent again."""
    signer = SigV4Auth(Credentials(ACCESS_KEY, cloud.folder.secret("aws")), "sagemaker", "us-east-1")
    for hours in (-1, 1):
        request = AWSRequest("GET", f"{ports.aws_url}/")
        when = (datetime.now(UTC) + timedelta(hours=hours)).strftime("%Y%m%dT%H%M%SZ")
        request.context["timestamp"] = when
        request.headers["X-Amz-Date"] = when
        signature = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
        request.headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={signer.scope(request)},"
            f" SignedHeaders={signer.signed_headers(signer.headers_to_sign(request))}, Signature={signature}"
        )
        status, said = ask(ports.aws, "GET", "/", dict(request.headers.items()))
        assert (status, b"InvalidSignatureException" in said) == (403, True)


@pytest.mark.parametrize(
    ("service", "method", "minutes", "code", "words"),
    [
        ("sagemaker", "POST", 5, "InvalidSignatureException", "{time} - 5 min.)"),
        ("eks", "GET", 5, "InvalidSignatureException", "{time} - 5 min.)"),
        ("sts", "POST", 5, "SignatureDoesNotMatch", "{time} - 5 min.)"),
        ("ec2", "POST", 15, "RequestExpired", "Request has expired."),
        ("s3", "GET", 15, "RequestTimeTooSkewed", "The difference between the request time"),
    ],
)
def test_a_signature_by_another_clock_is_refused_in_the_services_words(
    service: str, method: str, minutes: int, code: str, words: str, cloud: LocalCloud
) -> None:
    """As AWS does: what was seen an hour ago cannot be sent again, and whoever has the wrong time is told so."""
    secret, now = cloud.folder.secret("aws"), time.time()
    request = AWSRequest(method, "http://127.0.0.1/")
    if service in ("sts", "ec2"):
        request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    kind(Credentials(ACCESS_KEY, secret), service, "us-east-1").add_auth(request)
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()}
    environ = {"REQUEST_METHOD": method, "REQUEST_URI": "/", "HTTP_HOST": "127.0.0.1", **named}
    environ |= {"wsgi.input": BytesIO(), "CONTENT_TYPE": request.headers.get("Content-Type", "")}
    for off in (-60 * minutes + 10, 0, 60 * minutes - 10):
        Signatures(secret, lambda key: None, lambda off=off: now + off).check(environ)  # type: ignore[misc]
    for off in (-3600, -60 * minutes - 10, 60 * minutes + 10, 86400):
        with pytest.raises(ApiError) as refused:
            Signatures(secret, lambda key: None, lambda off=off: now + off).check(environ)  # type: ignore[misc]
        assert refused.value.code == code
        told = meaning(code, refused.value.message)
        assert (told.exit_code, "clock is wrong" in told.hint) == (5, True)
        assert "clock is wrong" in explain("shop-local", [f"{code}: {refused.value.message}"], "").hint
        if off == 86400:
            at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now + off))
            assert words.format(time=at) in refused.value.message


def test_a_signed_address_of_a_bucket_ends_when_it_says(cloud: LocalCloud) -> None:
    secret, now = cloud.folder.secret("aws"), time.time()
    request = AWSRequest("GET", "http://127.0.0.1/bucket/key")
    S3SigV4QueryAuth(Credentials(ACCESS_KEY, secret), "s3", "us-east-1", expires=60).add_auth(request)
    path, _, query = request.url.removeprefix("http://127.0.0.1").partition("?")
    environ = {"REQUEST_METHOD": "GET", "REQUEST_URI": f"{path}?{query}", "QUERY_STRING": query}
    environ |= {"HTTP_HOST": "127.0.0.1", "wsgi.input": BytesIO()}
    Signatures(secret, lambda key: None, lambda: now + 50).check(environ)
    with pytest.raises(ApiError, match="Request has expired") as refused:
        Signatures(secret, lambda key: None, lambda: now + 70).check(environ)
    assert refused.value.code == "AccessDenied"


def test_keys_that_the_account_gives_out_are_taken(aws: Any) -> None:
    import boto3

    aws("iam").create_user(UserName="colleague")
    key = aws("iam").create_access_key(UserName="colleague")["AccessKey"]
    role = aws("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/ops", RoleSessionName="ours")[
        "Credentials"
    ]
    for given in (
        {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]},
        {
            "aws_access_key_id": role["AccessKeyId"],
            "aws_secret_access_key": role["SecretAccessKey"],
            "aws_session_token": role["SessionToken"],
        },
    ):
        reach = {"endpoint_url": aws.variables["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
        assert "Buckets" in boto3.client("s3", **reach, **given).list_buckets()
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            boto3.client("s3", **reach, **given | {"aws_secret_access_key": "y"}).list_buckets()


def test_signed_addresses_and_odd_keys_work(aws: Any, ports: Ports) -> None:
    """What other clients do: presigned URLs, names that are escaped, metadata that is not ASCII, an empty query."""
    aws("s3").create_bucket(Bucket="ledger")
    key = "a folder/ü+~(1).json"
    aws("s3").put_object(Bucket="ledger", Key=key, Body=b"x" * 100_000, Metadata={"who": "me"})
    assert aws("s3").get_object(Bucket="ledger", Key=key)["ContentLength"] == 100_000
    assert aws("s3").get_bucket_versioning(Bucket="ledger")
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=ports.aws_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=aws.variables["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    url = client.generate_presigned_url("get_object", Params={"Bucket": "ledger", "Key": key}, ExpiresIn=60)
    path = url.removeprefix(ports.aws_url)
    assert ask(ports.aws, "GET", path, {}) == (200, b"x" * 100_000)
    for longer in ("600", "9" * 5000, "-1", "x"):
        assert (
            ask(ports.aws, "GET", path.replace("X-Amz-Expires=60", f"X-Amz-Expires={longer}"), {})[0] == 403
        )
    assert ask(ports.aws, "GET", path.partition("?")[0], {})[0] == 403
    aws.cloud.reset()


def test_the_registry_wants_its_password(aws: Any, ports: Ports) -> None:
    good = login(aws.variables)
    aws("ecr").create_repository(repositoryName="shop")
    aws.push("shop")
    for header in (
        {},
        {"Authorization": "Basic QVdTOmxvY2Fs"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Bearer x"},
        {"Authorization": f"Bearer {aws.variables['AWS_SECRET_ACCESS_KEY']}"},
        {"Authorization": good["Authorization"].replace("Basic", "Digest")},
    ):
        for method, path in (
            ("GET", "/v2/"),
            ("GET", "/v2/_catalog"),
            ("GET", "/v2/shop/manifests/v1"),
            ("POST", "/v2/shop/blobs/uploads/"),
            ("DELETE", "/v2/shop/manifests/v1"),
        ):
            status, said = ask(ports.registry, method, path, header)
            assert status == 401
            assert json.loads(said)["errors"][0]["code"] == "UNAUTHORIZED"
    assert ask(ports.registry, "GET", "/v2/shop/manifests/v1", good)[0] == 200
    aws.cloud.reset()


@pytest.mark.parametrize(
    "page",
    [
        {"Host": "attacker.example", "Origin": "http://attacker.example"},
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Host": "127.0.0.1", "Origin": "null"},
        {"Host": "127.0.0.1\u00b2".encode().decode("latin-1")},
    ],
)
def test_web_pages_are_turned_away_on_both_ports(
    cloud: LocalCloud, ports: Ports, page: dict[str, str]
) -> None:
    """DNS rebinding and requests across sites, also with every secret."""
    admin = {"Authorization": f"Bearer {cloud.folder.secret('admin')}"}
    for port, path, owner in (
        (ports.aws, "/_ecomdeploy/status", admin),
        (ports.aws, "/", {}),
        (ports.registry, "/v2/_catalog", login(cloud.environment())),
        (ports.registry, "/v2/shop/blobs/uploads/", login(cloud.environment())),
    ):
        for method in ("GET", "POST", "OPTIONS"):
            assert ask(port, method, path, {**owner, **page}) == (403, b"")


def test_no_secret_tells_another(cloud: LocalCloud) -> None:
    found = [cloud.folder.secret(purpose) for purpose in ("aws", "registry", "admin")]
    assert len(set(found)) == 3
    assert found == [
        LocalCloud(cloud.home).folder.secret(purpose) for purpose in ("aws", "registry", "admin")
    ]


def test_every_file_with_a_secret_is_its_owner_s_alone(cloud: LocalCloud) -> None:
    words = [cloud.folder.secret(purpose).encode() for purpose in ("aws", "registry", "admin")]
    words += [
        (cloud.folder.root / "key").read_bytes(),
        login(cloud.environment())["Authorization"][6:].encode(),
    ]
    holding = [
        path
        for path in cloud.home.root.rglob("*")
        if path.is_file() and any(word in path.read_bytes() for word in words)
    ]
    assert {path.name for path in holding} == {"key", "config.json"}
    for path in (*holding, cloud.folder.root):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
    assert not any(word.decode("latin-1") in json.dumps(cloud.status()) for word in words)


@pytest.fixture
def other() -> int:
    """A user id that is not ours; only root can give files away."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    return 65534


def test_what_another_user_made_is_not_believed(tmp_path: Path, other: int) -> None:
    folder = tmp_path / "cloud"
    folder.mkdir()
    os.chown(folder, other, other)
    with pytest.raises(BadInput, match=f"belongs to user {other}"):
        claim_folder(folder)
    theirs = tmp_path / "cloud.json"
    theirs.write_text('{"aws_port": 1, "registry_port": 2}')
    os.chown(theirs, other, other)
    with pytest.raises(BadInput, match=f"belongs to user {other}"):
        read_own(theirs)


def test_what_another_user_could_write_is_not_believed(tmp_path: Path) -> None:
    for mode in (0o602, 0o620, 0o666):
        path = tmp_path / f"{mode}"
        path.write_text("{}")
        path.chmod(mode)
        with pytest.raises(BadInput, match="not used"):
            read_own(path)
    (tmp_path / "real").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "pipe"):
        with pytest.raises(BadInput):
            read_own(tmp_path / name)
    assert read_own(tmp_path / "real") == b"{}"


def test_an_open_folder_of_ones_own_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "cloud"
    folder.mkdir(mode=0o755)
    claim_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_key_is_made_once_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    first = read_key(tmp_path / "key")
    assert (len(first), read_key(tmp_path / "key")) == (KEY_BYTES, first)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    (tmp_path / "key").write_bytes(b"")
    with pytest.raises(BadInput, match="damaged"):
        read_key(tmp_path / "key")
