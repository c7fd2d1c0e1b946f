"""One row of the AWS table: what a resource type takes and gives back, and the API calls of its life."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.providers.aws.clients import AwsClient
from infra.rehearsal.providers.aws.property_types import (
    Properties,
    Property,
    Spelling,
    mapping,
    pascal,
    text,
    to_api,
)


@dataclass
class ResourceCall:
    """What one action works with; `inputs` are the wanted ones, or in a read or delete the last known."""

    row: ResourceType
    account: AwsClient
    inputs: Values
    id: str = ""
    olds: Values = field(default_factory=dict)
    """The inputs before an update."""
    outputs: Values = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    """The wanted tags with the provider's default tags."""

    settle: Callable[[], None] = lambda: None
    """Waits until the resource is ready: between two changes of which the service takes one at a time."""

    @property
    def api(self) -> Any:
        """The boto client of the row's service."""
        return self.account.client(self.row.service)

    @property
    def named(self) -> list[str]:
        """The name, of a resource that its name alone identifies."""
        return [self.inputs[self.row.name]] if self.row.name and self.row.identity == (self.row.name,) else []

    def body(self, *names: str, without: tuple[str, ...] = ()) -> Values:
        """The inputs as members of a request: those named, or all but `without` and the tags."""
        chosen = {
            name: shape
            for name, shape in self.row.properties.items()
            if (name in names if names else name not in without) and name not in ("tags", "region")
        }
        return to_api(chosen, self.inputs, self.row.spelling)

    def pairs(self, key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
        """The wanted tags as the API's list of pairs."""
        return [{key: name, value: content} for name, content in sorted(self.tags.items())]


@dataclass(frozen=True)
class Reading:
    """What the API said: `answer` holds the inputs in the API's spelling, `outputs` the rest in pulumi's."""

    answer: Mapping[str, Any]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Update:
    """One call that carries changes of these inputs."""

    keys: tuple[str, ...]
    act: Callable[[ResourceCall], object]


Tagger = Callable[[ResourceCall, dict[str, str], list[str]], object]
"""Sets the given tags and removes the keys listed, on the resource `call.id` (`call.outputs` has the arn)."""


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """One resource type. `create` returns the id at once; `ready` tells, polled, when it can be used."""

    type: str
    service: str
    properties: Properties
    create: Callable[[ResourceCall], str]
    read: Callable[[ResourceCall], Reading | None]
    delete: Callable[[ResourceCall], object]
    changes: tuple[Update, ...] = ()
    outputs: tuple[str, ...] = ()
    """What only the cloud knows: unknown in the preview of a create."""
    volatile: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Outputs that a change of these inputs makes unknown again."""
    cloudformation: str = ""
    identity: tuple[str, ...] = ()
    """The inputs that name it in the account; two resources with the same ones cannot exist together."""
    name: str = ""
    """The input that gets a name of its own when the program gives none."""
    name_form: tuple[str, int] = ("", 255)
    """Prefix and longest length of that name."""
    find: Callable[[ResourceCall], Iterable[str]] = lambda call: call.named
    """Ids of what may be this resource already, left by a run that was killed: its name, where that alone tells it."""
    ready: Callable[[ResourceCall], bool] = lambda call: True
    finish: Callable[[ResourceCall], object] = lambda call: None
    """Settings that the create call cannot carry."""
    broken: Callable[[ResourceCall], str] = lambda call: ""
    """Why it can never be used, when its only cure is to delete it and make it again under the same id."""
    gone: tuple[str, ...] = ()
    """Error codes ("Code" or "Code:part of the message") that mean: it is not there."""
    tag: Tagger | None = None
    tagged_after: bool = False
    """The create call takes no tags: one without any may be what a killed run left."""
    lingers: bool = False
    """After its delete it can still be read (versioning is suspended, never taken off)."""
    spelling: Spelling = pascal
    patience: float = 600.0
    """Seconds to wait for `ready` and for the end of a delete."""

    @property
    def regional(self) -> bool:
        """Whether it is in a region, and not the account's."""
        return self.service not in ("budgets", "iam")

    def all_properties(self) -> dict[str, Property]:
        """The table's properties with the tags and the region that all types of their kind take."""
        extra: dict[str, Property] = {"tags": mapping()} if self.tag else {}
        if self.regional:
            extra["region"] = text(
                computed=True, local=True, replaces=True, source="internal/provider/sdkv2/region.go"
            )
        return {**self.properties, **extra}


Function = Callable[[AwsClient, Values], Values]
"""A data source."""


def tagger(
    add: str, drop: str, where: str, *, of: str = "arn", pair: tuple[str, str] | None = ("Key", "Value"),
    tags: str = "Tags", keys: str = "TagKeys", **fixed: str,
) -> Tagger:  # fmt: skip
    """A service's tag calls: their names, and those of their members. `of`: "arn" (an output) or "id";
    `pair`: the member names of a tag, None where the API takes a map; `fixed`: members that are the same in each."""

    def tag(call: ResourceCall, new: dict[str, str], gone: list[str]) -> None:
        it = {**fixed, where: call.id if of == "id" else call.outputs[of]}
        if new:
            listed = [{pair[0]: key, pair[1]: new[key]} for key in sorted(new)] if pair else new
            getattr(call.api, add)(**it, **{tags: listed})
        if gone:
            getattr(call.api, drop)(**it, **{keys: gone})

    return tag
