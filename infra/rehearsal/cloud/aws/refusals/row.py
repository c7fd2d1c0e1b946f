"""One refusal of an AWS API: which call, when, in what words, known from where, and an example of both sides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

Found = Mapping[str, object] | None
"""What fills the row's words; None: nothing to refuse."""


@dataclass(frozen=True)
class ExampleCall:
    """A call of an example: service by its signing name, operation and parameters by their names in the API.

    `$name` in a parameter is what an earlier request kept: `keep` has the dotted path in the answer by name ("Subnet.
    SubnetId", "Images.0.ImageId"). `$image` is an image in ECR.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RefusalExample:
    """A call that must be refused after `before`, and one like it that must pass.

    `passes` None: the very same call, after `between`.
    """

    refused: Mapping[str, Any]
    passes: Mapping[str, Any] | None = None
    before: tuple[ExampleCall, ...] = ()
    between: tuple[ExampleCall, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RefusalRow:
    """`service`: by its signing name; `when`: in words; `words`: the message, a form for what `find` returns.

    `find` None: the overlay, moto or the service's own model refuses it; the row only tells so, and the test proves it.
    `label`: "recorded" where a public report shows the wording, "documented" where only the condition is known.
    """

    service: str
    operation: str
    when: str
    code: str
    words: str
    source: str
    label: Literal["documented", "recorded"]
    example: RefusalExample
    find: Callable[[Surroundings, ApiCall], Found] | None = None

    def check(self, account: Surroundings, call: ApiCall) -> None:
        """Raises ApiError when the call is to be refused."""
        found = self.find(account, call) if self.find else None
        if found is not None:
            raise ApiError(self.code, self.words.format(**found))


def refusal_row(
    service: str,
    operation: str,
    when: str,
    code: str,
    words: str,
    source: str,
    label: Literal["documented", "recorded"],
    example: RefusalExample,
    find: Callable[[Surroundings, ApiCall], Found] | None = None,
) -> RefusalRow:
    """A row in the order in which tables of a service are read."""
    return RefusalRow(
        service=service,
        operation=operation,
        when=when,
        code=code,
        words=words,
        source=source,
        label=label,
        example=example,
        find=find,
    )
