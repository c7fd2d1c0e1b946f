"""One row of the table: how a type is found, by its name or by its tags, and what its id looks like.

Ids are those of the Terraform provider that pulumi-aws wraps: the "Import" section of each resource's page in the
registry (https://www.pulumi.com/registry/packages/aws/api-docs/).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from infra.aws_session import AwsSession, error_code, error_message
from infra.lookup.base import PendingCreate

Find = Callable[[AwsSession, PendingCreate], Iterable[str]]
GONE = frozenset(
    {
        *(
            "NoSuchEntity",
            "NotFound",
            "NotFoundException",
            "ResourceNotFoundException",
            "RepositoryNotFoundException",
        ),
        *("NoSuchBucket", "404", "ParameterNotFound", "InvalidRouteTableID.NotFound"),
    }
)
NOT_THERE = "Could not find"
"""How SageMaker says it, with ValidationException."""


@dataclass(frozen=True)
class LookupRow:
    """`find` gives candidates' ids. `how`: in words, for the documentation. Without `find`, `how` says why a pending
    create needs no look: made again it is the same, and alone it leaves nothing."""

    type: str
    how: str
    find: Find | None = None


def ask(
    call: Callable[..., Any], *, absent: frozenset[str] = GONE, **arguments: Any
) -> Mapping[str, Any] | None:
    """An answer, None when the service says that there is no such thing (an error code of `absent`)."""
    from botocore.exceptions import ClientError

    try:
        answer: Mapping[str, Any] = call(**arguments)
    except ClientError as error:
        if error_code(error) in absent or NOT_THERE in error_message(error):
            return None
        raise
    return answer


def await_settled(client: Any, waiter: str, **arguments: Any) -> None:
    """Wait until it is made, well or not: what depends on it would be refused before."""
    from botocore.exceptions import WaiterError

    try:
        client.get_waiter(waiter).wait(**arguments)
    except WaiterError:
        return  # it failed: the next run sees that itself, and says so
