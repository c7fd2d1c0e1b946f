"""Secrets of a release's environment: what stands in their place, where values lie, who may read them.

    serve: {environment: {DB_PASSWORD: {secret: {env: SHOP_DB}}}}

becomes the variable `ECOMDEPLOY_SECRET_DB_PASSWORD=ssm:/ecomdeploy/<endpoint>/DB_PASSWORD/<fingerprint>`: a reference,
which is all that release records, stack settings and the SageMaker Model hold. The server looks the value up when it
starts (modelpack/server/secrets.py). A value that was read from a variable here becomes a parameter of the service
stack, encrypted (SecureString), one for each value: a changed secret is another release, and the older one keeps its
own. Its fingerprint is scrypt's (RFC 7914), salted by the place: it tells whether two are the same, and no more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from infra.spec import SecretPlace
from modelpack.server.secrets import PREFIX

OURS = "/ecomdeploy/"
LONGEST = 4096
"""Bytes of a standard parameter (docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-
parameters.html)."""
COST = 2**14
FINGERPRINT = 8


def reference(place: SecretPlace, endpoint: str, name: str, value: str) -> str:
    """What stands for a secret; `value` is needed of a variable only."""
    if place.env is None:
        return f"ssm:{place.ssm}" if place.ssm else f"secretsmanager:{place.secretsmanager}"
    return f"ssm:{parameter_name(endpoint, name, value)}"


def parameter_name(endpoint: str, name: str, value: str) -> str:
    """The parameter for this very value."""
    where = f"{OURS}{endpoint}/{name}"
    mark = hashlib.scrypt(value.encode(), salt=where.encode(), n=COST, r=8, p=1, dklen=FINGERPRINT).hex()
    return f"{where}/{mark}"


def references(environment: Mapping[str, str]) -> dict[str, str]:
    """Of a release's environment the references, by variable."""
    return {name: value for name, value in environment.items() if name.startswith(PREFIX)}


def own_parameters(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Parameters that the service stack makes for a release."""
    found = (
        value.removeprefix("ssm:") for value in references(environment).values() if value.startswith("ssm:")
    )
    return tuple(sorted(name for name in found if name.startswith(OURS)))
