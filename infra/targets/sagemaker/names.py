"""Names that follow from content: the same release, the same name, under every driver, after every kill.

SageMaker's rule for models, configurations and endpoints: `[a-zA-Z0-9](-*[a-zA-Z0-9])*`, at most 63
characters (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html).
"""

from __future__ import annotations

import hashlib
import json
import re

from infra.targets.base import Declared
from modelpack.errors import BadInput

LENGTH = 63
DIGITS = 12
RULE = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
MODELS_OWN = frozenset({"network", "isolated"})
CONFIGURATIONS_OWN = frozenset({"volume_key", "capture", "startup_timeout", "download_timeout"})
"""Which options of `infra/hosting.py` a Model has, and which a configuration."""
SHADOW = "shadow"
SHADOWED = re.compile(rf"{SHADOW}-([0-9a-f]{{{DIGITS}}})-([0-9a-f]{{{DIGITS}}})")
VARIANT = "AllTraffic"
"""The one production variant's name: alarms, scaling and capacity all refer to it."""


def digest(*parts: object) -> str:
    """12 hex that follow from JSON-like parts."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def fit_name(prefix: str, digits: str) -> str:
    """`<prefix>-<digits>`, the prefix cut where the whole would be too long."""
    room = LENGTH - len(digits) - 1
    return f"{prefix[:room].rstrip('-')}-{digits}"


def model_name(endpoint: str, role_arn: str, release: Declared) -> str:
    """The Model's name: what runs (image digest), with which variables, on what, as whom, in which network.

    The instance is in it because every release declares a Model of its own: one name must never stand for two.
    """
    more = pick_options(release, MODELS_OWN)
    return fit_name(
        endpoint, digest("model", release.image, dict(release.environment), release.instance, role_arn, *more)
    )


def configuration_name(endpoint: str, role_arn: str, release: Declared) -> str:
    """The EndpointConfiguration's name: the Model, on what (with which host image), and how many to begin with."""
    model = model_name(endpoint, role_arn, release)
    host = (release.host_image,) if release.host_image else ()
    more = (*host, *pick_options(release, CONFIGURATIONS_OWN))
    return fit_name(endpoint, digest("configuration", model, release.instance, release.count, *more))


def shadow_variant(old: str, new: str) -> str:
    """The name of the variant that gets copies: it tells the configurations of both releases, so that whoever looks at
    an endpoint knows what it serves, and what is beside that."""
    return f"{SHADOW}-{old[-DIGITS:]}-{new[-DIGITS:]}"


def read_shadow(endpoint: str, variant: str) -> tuple[str, str] | None:
    """The configurations of both releases, from a shadow variant's name; None for a name of another's."""
    found = SHADOWED.fullmatch(variant)
    return (fit_name(endpoint, found[1]), fit_name(endpoint, found[2])) if found else None


def shadow_configuration(endpoint: str, old: str, new: str, copied: int) -> str:
    """The name of the configuration in which `new` gets copies of that many percent of what `old` is asked."""
    return fit_name(endpoint, digest(SHADOW, old, new, copied))


def pick_options(release: Declared, names: frozenset[str]) -> tuple[dict[str, object], ...]:
    """Those of the release's options, if any: without one a name is what it always was."""
    given = {name: value for name, value in release.hosting.as_data().items() if name in names}
    return (given,) if given else ()


def log_group(endpoint: str) -> str:
    """Where an endpoint's servers write: https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


def check(name: str) -> str:
    """The name, or `BadInput` when SageMaker would not take it."""
    if len(name) > LENGTH or not RULE.fullmatch(name):
        raise BadInput(f"{name!r} is no SageMaker name: letters, digits and - between them, at most {LENGTH}")
    return name
