"""Clients for AWS, real or emulated, from a mapping of AWS's own variables; `os.environ` is left alone.

Also what AWS's refusals mean in our error tree, and the two things needed before or beside any stack: a token
for the registry, and the bucket that Pulumi's state goes into.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modelpack.errors import CloudRefused, EcomdeployError

CREDENTIALS = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "AuthFailure", "ExpiredToken", "ExpiredTokenException"),
        *(
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "UnauthorizedOperation",
            "UnrecognizedClientException",
        ),
        *(
            "403",
            "Forbidden",
            "InvalidAccessKeyId",
            "InvalidSignatureException",
            "OptInRequired",
            "InvalidUserID.NotFound",
        ),
    }
)
QUOTA = frozenset(
    {
        *(
            "ResourceLimitExceeded",
            "LimitExceeded",
            "LimitExceededException",
            "ServiceQuotaExceededException",
        ),
        *("VcpuLimitExceeded", "InstanceLimitExceeded", "TooManyBuckets"),
    }
)
CAPACITY = frozenset(
    {"InsufficientInstanceCapacity", "InsufficientCapacityException", "CapacityError", "Unsupported"}
)
CLOCK = re.compile(
    r"RequestTimeTooSkewed|RequestExpired|RequestInTheFuture|Signature expired|Signature not yet current"
)
"""What AWS says to a caller whose clock is wrong, as code or in the message: it takes 5 minutes, S3 and EC2 take 15
(docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html)."""
CLOCK_HINT = (
    "this machine's clock is wrong: set it (timedatectl set-ntp true), then type the same command again"
)
DEFAULT_REGION = "us-east-1"


@dataclass
class AwsSession:
    """One set of credentials and addresses. Each client is made when first asked for; threads may share it.

    Reads AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL (and AWS_ENDPOINT_URL_<SERVICE>),
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE, AWS_CONFIG_FILE and
    AWS_SHARED_CREDENTIALS_FILE. Without keys there, botocore looks where it always looks (profile, role,
    instance).
    """

    environment: Mapping[str, str] = field(repr=False)
    _clients: dict[str, Any] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def region(self) -> str:
        environment = self.environment
        return environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or DEFAULT_REGION

    @property
    def global_region(self) -> str:
        """Where this partition tells of what is in no region, as IAM's things are ("AWS services with global
        endpoints", General Reference)."""
        heads = {"cn-": "cn-north-1", "us-gov-": "us-gov-west-1"}
        return next((home for head, home in heads.items() if self.region.startswith(head)), DEFAULT_REGION)

    def client(self, service: str, *, attempts: int = 4, region: str | None = None) -> Any:
        """The botocore client of a service ("sagemaker"); `attempts`: calls at most, for errors that pass; `region`:
        another than the session's."""
        region = region or self.region
        key = f"{service}/{attempts}/{region}"
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(service, attempts, region)
            return self._clients[key]

    @cached_property
    def _botocore(self) -> Any:
        import botocore.session

        from infra.lookup.descriptions import load_quickly

        given = self.environment
        places = {
            "profile": (None, None, given.get("AWS_PROFILE") or None, None),
            "config_file": (None, None, given.get("AWS_CONFIG_FILE") or "~/.aws/config", None),
            "credentials_file": (
                None,
                None,
                given.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
                None,
            ),
        }
        session = botocore.session.Session(session_vars=places)
        load_quickly(session)
        return session

    @property
    def loader(self) -> Any:
        """botocore's loader, with the services' models that it has read: other sessions need not read them again."""
        return self._botocore.get_component("data_loader")

    def _make(self, service: str, attempts: int, region: str) -> Any:
        from botocore.config import Config

        given = self.environment
        specific = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
        endpoint = given.get(specific) or given.get("AWS_ENDPOINT_URL") or None
        config = Config(
            retries={"mode": "standard", "total_max_attempts": attempts},
            connect_timeout=10,
            read_timeout=70,
            ignore_configured_endpoint_urls=True,
            # A bucket's name is no host that an emulator answers for.
            s3={"addressing_style": "path"} if endpoint else None,
            # Traffic to this machine must not take the way over a proxy.
            proxies={} if endpoint and endpoint.startswith("http://") else None,
        )
        with refusals(f"{service} in {region}"):
            return self._botocore.create_client(
                service,
                region_name=region,
                endpoint_url=endpoint,
                aws_access_key_id=given.get("AWS_ACCESS_KEY_ID") or None,
                aws_secret_access_key=given.get("AWS_SECRET_ACCESS_KEY") or None,
                aws_session_token=given.get("AWS_SESSION_TOKEN") or None,
                config=config,
            )


@contextmanager
def refusals(doing: str) -> Iterator[None]:
    """Turn botocore's errors into ours. `doing`: what was tried, for the message ("creating bucket shop").

    Raises:
        CloudRefused: credentials, quota or capacity.
        EcomdeployError: everything else the cloud or the network said.
    """
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        ProfileNotFound,
        TokenRetrievalError,
    )
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise meaning(error_code(error), f"{doing}: {error_message(error)}") from error
    except (
        NoCredentialsError,
        PartialCredentialsError,
        CredentialRetrievalError,
        TokenRetrievalError,
        ProfileNotFound,
    ) as error:
        raise CloudRefused(
            f"{doing}: {error}", hint="log in to AWS (aws sso login), or set AWS_PROFILE"
        ) from error
    except (HTTPClientError, NoConnection) as error:
        hint = "ecomdeploy doctor; for the local cloud: ecomdeploy cloud start"
        raise EcomdeployError(f"{doing}: cannot reach the cloud: {error}", hint=hint) from error
    except ResponseParserError as error:
        hint = "something in between answers in AWS's place, as a proxy does: look at HTTPS_PROXY, then type it again"
        first = str(error).splitlines()[0]
        raise EcomdeployError(f"{doing}: the answer is none of AWS's: {first}", hint=hint) from error
    except BotoCoreError as error:
        raise EcomdeployError(f"{doing}: {error}") from error


def meaning(code: str, what: str) -> EcomdeployError:
    """The error of our tree for an AWS error code."""
    if CLOCK.search(f"{what} ({code})"):
        return CloudRefused(f"{what} ({code})", hint=CLOCK_HINT)
    if code in CREDENTIALS:
        return CloudRefused(f"{what} ({code})", hint="check the credentials: aws sts get-caller-identity")
    if code in QUOTA:
        return CloudRefused(f"{what} ({code})", hint="ask for more in the console under Service Quotas")
    if code in CAPACITY:
        return CloudRefused(f"{what} ({code})", hint="try another instance type or zone, or later")
    return EcomdeployError(f"{what} ({code})" if code else what)


def error_code(error: Any) -> str:
    """The code of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: Any) -> str:
    """The message of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Message", "") or error)


def account(session: AwsSession) -> str:
    """The account that the credentials belong to."""
    with refusals("asking whose credentials these are"):
        return str(session.client("sts").get_caller_identity()["Account"])


def assume(session: AwsSession, role: str) -> dict[str, str]:
    """The session's variables with the credentials of a role (its ARN), good for an hour.

    Raises:
        CloudRefused: whoever asks may not have it.
    """
    with refusals(f"assuming {role}"):
        answer = session.client("sts").assume_role(RoleArn=role, RoleSessionName="ecomdeploy")
    given = answer["Credentials"]
    kept = {name: value for name, value in session.environment.items() if name != "AWS_PROFILE"}
    return {
        **kept,
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def refuse_other_account(session: AwsSession, expected: str) -> None:
    """Stop before anything is asked for or written where it does not belong.

    A region that is not enabled for the account refuses this call, as it would refuse every other.

    Raises:
        CloudRefused: the credentials are another account's, or nobody's.
    """
    found = account(session)
    if found != expected:
        what = f"the credentials are for account {found}, and the spec is for account {expected} ({session.region})"
        raise CloudRefused(
            what, hint="use the other credentials (AWS_PROFILE), or change environments.*.account"
        )


def registry_credentials(session: AwsSession) -> tuple[str, str]:
    """User and password for ECR's registry, good for 12 hours."""
    with refusals("asking ECR for a token"):
        answer = session.client("ecr").get_authorization_token()
    token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"]).decode()
    user, _, password = token.partition(":")
    return user, password


def ensure_bucket(session: AwsSession, bucket: str, tags: Mapping[str, str]) -> bool:
    """Make a private, versioned bucket that carries `tags`; True when something was missing.

    The tags come last: where they are, the rest is. So the next run finishes what a killed one left.
    """
    s3 = session.client("s3")
    found = bucket_tags(s3, bucket)
    if found is not None and all(found.get(key) == value for key, value in tags.items()):
        return False
    with refusals(f"making bucket {bucket}"):
        if found is None:
            where = {"CreateBucketConfiguration": {"LocationConstraint": session.region}}
            s3.create_bucket(Bucket=bucket, **({} if session.region == DEFAULT_REGION else where))
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        pairs = [{"Key": key, "Value": value} for key, value in sorted({**(found or {}), **tags}.items())]
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": pairs})
    return True


def holds_object(session: AwsSession, bucket: str, key: str) -> bool:
    """Whether the bucket is there and has an object under that key."""
    from botocore.exceptions import ClientError

    with refusals(f"bucket {bucket}"):
        try:
            session.client("s3").head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error_code(error) in ("404", "NoSuchKey", "NoSuchBucket"):
                return False
            raise
    return True


def bucket_tags(s3: Any, bucket: str) -> dict[str, str] | None:
    """The bucket's tags; None when there is no such bucket. `CloudRefused` when it is somebody else's."""
    from botocore.exceptions import ClientError

    with refusals(f"bucket {bucket}"):
        try:
            answer = s3.get_bucket_tagging(Bucket=bucket)
        except ClientError as error:
            if error_code(error) == "NoSuchTagSet":
                return {}
            if error_code(error) == "NoSuchBucket":
                return None
            raise
    return {one["Key"]: one["Value"] for one in answer["TagSet"]}
