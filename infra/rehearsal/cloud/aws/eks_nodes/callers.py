"""Who calls the emulated account, as IAM and STS know them. Only when moto is loaded."""

from __future__ import annotations

import re

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import Environ

KEY = re.compile(r"Credential=([^/, ]{1,200})/")


def find_caller(key: str, region: str) -> str:
    """The ARN behind an access key, as GetCallerIdentity tells it."""
    from moto.sts.models import sts_backends

    _, arn, _ = sts_backends[ACCOUNT]["aws"].get_caller_identity(key, region)
    return str(arn)


def caller_of(environ: Environ, region: str) -> str:
    """Who signed a request."""
    found = KEY.search(environ.get("HTTP_AUTHORIZATION", ""))
    return find_caller(found[1] if found else "", region)
