"""What a model's environment refers to, looked up in this account: a server here has no network to do it itself.

It is what modelpack/server/secrets.py does on AWS, with the same references.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.servers.host import ServerFailed
from modelpack.server.secrets import NoSecret, parse, references


def look_up(environment: Mapping[str, str], region: str) -> dict[str, str]:
    """The secrets by the variables they belong in. Raises ServerFailed. The caller holds the account's lock."""
    return {name: value_of(name, where, region) for name, where in references(environment).items()}


def value_of(name: str, reference: str, region: str) -> str:
    """One secret's value."""
    try:
        service, where = parse(name, reference)
    except NoSecret as problem:
        raise ServerFailed(f"the secret of {name} is not there: {problem}") from None
    found = (parameter if service == "ssm" else secret)(where, region)
    if not isinstance(found, str):
        raise ServerFailed(f"the secret of {name} is not there: {reference}")
    return found


def parameter(where: str, region: str) -> Any:
    """A parameter's value, or None."""
    from moto.ssm.models import ssm_backends

    found = ssm_backends[ACCOUNT][region].get_parameter(where)
    if found is None:
        return None
    return found.decrypt(found.value) if found.parameter_type == "SecureString" else found.value


def secret(where: str, region: str) -> Any:
    """A secret's text, or None."""
    from moto.core.exceptions import JsonRESTError
    from moto.secretsmanager.models import secretsmanager_backends

    try:
        return secretsmanager_backends[ACCOUNT][region].get_secret_value(where, "", "").get("SecretString")
    except JsonRESTError:
        return None
