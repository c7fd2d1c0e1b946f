"""Where the embedded engine differs from the CLI on purpose: the one table that tests and pages read.

A scenario that is not in it is the same in every field that `compare` looks at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from tests.reality.compare import Mismatch


@dataclass(frozen=True)
class Difference:
    """These `places` ("2 up: counts"; patterns as of a shell) differ for the reason of that name.

    Each does, or else the table is out of date; but for `luck`, which differs or not.
    """

    reason: str
    places: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """The scenario is refused: the error of its operation number `at` (from 1) says these words."""

    words: str
    at: int = 1


REASONS: Final[Mapping[str, str]] = {
    "adoption": "What a create has just adopted under the same name the CLI deletes as the old one of the replacement; "
    "ours keeps it. The AWS provider refuses such an adoption, so it cannot come up there.",
    "luck": "Which of several independent calls is made before one of them, or the program, fails is not promised by "
    "either engine.",
    "outputs": "After a failed run the CLI's state has the new outputs of the stack, where the program came to tell "
    "them; ours keeps those of the last good run, for they are what other stacks were made from.",
    "protect": "The CLI deletes what is not protected and then fails; ours refuses before anything is deleted.",
    "region": "The CLI replaces a provider whose region changes, and all its resources; ours refuses, for a rehearsal "
    "that moves a whole region is a mistake more often than a wish.",
    "resume": "After a kill ours looks at once how the interrupted call has ended, and the cloud says; the CLI warns, "
    "does the call again, and forgets it with the next refresh.",
    "secrets": "Of a list with one secret the CLI hides the whole list, where the provider knows no secrets; ours the "
    "element. No plaintext is in either state.",
    "unconfigured": "Of a resource whose provider is not known yet both say that it is updated; ours also says which "
    "of its inputs differ.",
}

DIFFERENCES: Final[Mapping[str, tuple[Difference, ...]]] = {
    "replace": (Difference("adoption", ("3 up: steps", "3 up: calls", "? up: cloud")),),
    "provider_deletes_first": (Difference("adoption", ("4 up: *",)),),
    "partial": (
        Difference("outputs", ("* up: state shop-dev outputs", "2 preview: state shop-dev outputs")),
    ),
    "refused_update": (Difference("outputs", ("2 up: state shop-dev outputs",)),),
    "chain_failure": (Difference("outputs", ("? up: state shop-dev outputs",)),),
    "kill_create_strict": (Difference("outputs", ("3 up: state shop-dev outputs",)),),
    "kill_create": (
        Difference("resume", ("3 up: steps", "3 up: counts", "? up: pending", "5 destroy: pending")),
    ),
    "kill_update": (Difference("resume", ("4 up: steps",)),),
    "provider_no_longer_known": (Difference("unconfigured", ("2 preview: steps",)),),
    "parallel_refusals": (Difference("luck", ("1 up: steps", "1 up: calls")),),
    "invokes": (Difference("luck", ("3 up: steps", "3 up: counts")),),
    "kill_delete": (Difference("resume", ("4 up: steps", "4 up: counts", "4 up: calls")),),
    "kill_destroy": (Difference("resume", ("3 destroy: steps", "3 destroy: counts", "3 destroy: calls")),),
    "secrets": (Difference("secrets", ("*: state a inputs", "*: state a outputs")),),
    "secrets_in_lists": (Difference("secrets", ("3 up: state a inputs", "3 up: state a outputs")),),
    "protect": (Difference("protect", ("3 up: steps", "5 destroy: *", "6 up: *", "7 destroy: *")),),
    "providers": (Difference("region", ("5 preview: *", "6 up: *", "7 up: *", "8 destroy: *")),),
}

REFUSALS: Final[Mapping[str, Refusal]] = {
    "aliases": Refusal("the option aliases", at=2),
    "archives": Refusal("an asset"),
    "assets": Refusal("an asset"),
    "imports": Refusal("the option import"),
    "read": Refusal("get of lab:index:Thing"),
    "transforms": Refusal("the option transforms"),
    "stack_reference": Refusal("a StackReference"),
    "deleted_with": Refusal("the option deleted_with"),
    "timeouts": Refusal("the option custom_timeouts"),
    "replace_on_changes": Refusal("the option replace_on_changes"),
    "target": Refusal("--target", at=2),
    "continue_on_error": Refusal("--continue-on-error"),
    "replace_with": Refusal("the option replace_with"),
    "hooks": Refusal("the option hooks"),
}


def reason_of(scenario: str, mismatch: Mismatch) -> str | None:
    """The name of the reason that is listed for it."""
    for difference in DIFFERENCES.get(scenario, ()):
        if any(fnmatchcase(mismatch.place, place) for place in difference.places):
            return difference.reason
    return None
