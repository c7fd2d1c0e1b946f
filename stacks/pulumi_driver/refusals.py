"""What Pulumi and the cloud said, as an error of our tree with what to type next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from infra.aws_session import CLOCK, CLOCK_HINT
from modelpack.errors import CloudRefused, EcomdeployError
from stacks.pulumi_driver.api import pulumi_automation

AFTERMATH = "Resource monitor has terminated"
"""What a program's language host says because a resource failed: not news."""

REFUSALS = re.compile(
    r"AccessDenied|UnauthorizedOperation|UnrecognizedClient|InvalidClientToken|ExpiredToken|SignatureDoesNotMatch"
    r"|[Nn]o valid credential|NoCredential|ResourceLimitExceeded|LimitExceeded|QuotaExceeded|CapacityError"
    r"|Insufficient\w{0,40}Capacity|[Aa]ccount (ID|id) .{0,200}not allowed|allowed_account_ids"
)
"""Error codes of AWS's common errors, of SageMaker, EKS and EC2 quotas, and the provider's account guard."""

THROTTLED = re.compile(r"Throttling|Throttled|TooManyRequests|RequestLimitExceeded|SlowDown|Rate exceeded")
"""What services say to an account whose calls come too fast, whoever of it made them."""

NO_PLUGIN = re.compile(
    r"no resource plugin 'pulumi-resource-(?P<package>[\w-]{1,100})' found(?: in the workspace at version v?"
    r"(?P<version>[\w.+-]{1,50}))?"
)
"""pulumi/pulumi, sdk/go/common/workspace/plugins.go, MissingError."""

TAKEN = re.compile(
    r"AlreadyExists|AlreadyOwnedByYou|already exists|ResourceInUse|OperationAborted.{0,100}conflicting"
)
"""What services say to a create whose name is taken (IAM, ECR, SSM, S3, EKS, SageMaker and others)."""

STRANGERS = re.compile(r"exists already and belongs to owner \w+")
"""What the embedded engine says of a thing that another project has made under our names."""

STDERR = re.compile(r"\n stderr: (.*)\Z", re.DOTALL)
"""The last part of a CommandError's text."""


@contextmanager
def in_words(stack: str, errors: Sequence[str] = ()) -> Iterator[None]:
    """Turn Pulumi's CommandError into ours. `errors`: what the operation's events said, filled while it runs.

    Raises:
        CloudRefused, EcomdeployError: in the provider's words.
    """
    try:
        yield
    except pulumi_automation().CommandError as error:
        raise explain(stack, errors, words_of(error)) from error


def words_of(error: Any) -> str:
    """What a failed command wrote on stderr; all of its output where that is nothing."""
    text = str(error)
    found = STDERR.search(text)
    said = found[1].strip() if found else ""
    return said.removeprefix("error:").strip() or text.strip()


def explain(stack: str, errors: Sequence[str], otherwise: str) -> EcomdeployError:
    """The error that fits the provider's words; all of Pulumi's output if it said nothing by event."""
    said = [error for error in dict.fromkeys(errors) if AFTERMATH not in error]
    words = "; ".join(said) or otherwise.strip()
    if CLOCK.search(words):
        return CloudRefused(words, where=stack, hint=CLOCK_HINT)
    if THROTTLED.search(words):
        return CloudRefused(words, where=stack, hint=WAIT)
    if REFUSALS.search(words):
        return CloudRefused(
            words, where=stack, hint="ecomdeploy doctor, or ask for more quota or another instance"
        )
    if plugin := NO_PLUGIN.search(words):
        wanted = f"{plugin['package']} {plugin['version'] or ''}".strip()
        return EcomdeployError(words, where=stack, hint=f"pulumi plugin install resource {wanted}")
    if STRANGERS.search(words):
        return EcomdeployError(words, where=stack, hint=STRANGERS_HINT)
    if TAKEN.search(words):
        return EcomdeployError(words, where=stack, hint=TAKEN_HINT)
    return EcomdeployError(words, where=stack, hint=AGAIN)


WAIT = (
    "wait a minute, then type the same command again: the account's calls came too fast, what was done stays"
)
AGAIN = "mend what it says, then type the same command again: what was done already stays"
STRANGERS_HINT = (
    "give this service another name (service:), or take over what is there: ecomdeploy up --adopt (the platform: "
    "ecomdeploy platform up --adopt)"
)
TAKEN_HINT = (
    "it is there, and not in this stack's state: the same command would fail again. Look at its tags; delete it, or "
    "take it over with `pulumi import`, or choose another name for the service"
)
