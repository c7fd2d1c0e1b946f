"""AWS's Service Authorization Reference, as cfn-lint ships it: which actions there are, on which kinds of things, and
by which keys a condition can ask for these.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from iam_policies import listed, statements

TAGGED = "aws:ResourceTag/"


@cache
def reference() -> Mapping[str, Any]:
    import cfnlint

    file = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    found: Mapping[str, Any] = json.loads(file.read_text())
    return found


def find_actions(pattern: str) -> list[str]:
    """All that it names, in the reference's lower case."""
    service, _, name = pattern.partition(":")
    known = reference().get(service, {"Actions": {}})["Actions"]
    return [f"{service}:{one}" for one in known if fnmatch.fnmatchcase(one, name.lower())]


def find_kinds(action: str) -> dict[str, Mapping[str, Any]]:
    """The kinds of things that an action is on, by name; empty where it takes nothing but `*`."""
    service, _, name = action.lower().partition(":")
    kinds = {one.lower(): kind for one, kind in reference()[service]["Resources"].items()}
    asked = reference()[service]["Actions"][name].get("Resources", [])
    return {one.lower(): kinds[one.lower()] for one in listed(asked)}


def can_be(pattern: str, kind: Mapping[str, Any]) -> bool:
    """Whether there may be a thing of this kind with an ARN that the pattern matches."""
    forms = [one.replace(".*", "*") for one in kind.get("ARNFormats", [])]
    for word in ("Partition", "Region", "Account"):
        forms = [one.replace(f"${{{word}}}", "*") for one in forms]
    return any(meet(pattern, form) for form in forms)


def meet(one: str, other: str) -> bool:
    """Whether some text matches both patterns."""

    @cache
    def go(i: int, j: int) -> bool:
        if i < len(one) and one[i] == "*":
            return go(i + 1, j) or (j < len(other) and go(i, j + 1))
        if j < len(other) and other[j] == "*":
            return go(i, j + 1) or (i < len(one) and go(i + 1, j))
        if i == len(one) or j == len(other):
            return i == len(one) and j == len(other)
        return one[i] == other[j] and go(i + 1, j + 1)

    return go(0, 0)


def find_faults(document: Mapping[str, Any]) -> Iterator[str]:
    """What in a policy could never do what it says."""
    for one in statements(document):
        resources = listed(one.get("Resource", "*"))
        asks = any(key.startswith(TAGGED) for keys in one.get("Condition", {}).values() for key in keys)
        fitting: set[str] = set()
        for pattern in listed(one["Action"]):
            actions, where = find_actions(pattern), f"{one.get('Sid', '')}: {pattern}"
            if not actions:
                yield f"{where} is no action"
            fits = {action: find_fitting(action, resources) for action in actions}
            fitting |= {resource for kinds in fits.values() for resource, _ in kinds}
            if actions and not any(kinds for kinds in fits.values()):
                yield f"{where} is on none of {', '.join(resources)}"
            if "*" not in pattern and asks and not any(knows_tags(kinds) for kinds in fits.values()):
                yield f"{where} is on nothing whose tags a condition could ask for"
        for resource in {*resources} - fitting:
            yield f"{one.get('Sid', '')}: no action there is on {resource}"


def find_fitting(action: str, resources: list[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """Each of the resources with each kind that it can be; what is on nothing is on `*` alone."""
    kinds = find_kinds(action)
    if not kinds:
        return [("*", {})] if "*" in resources else []
    return [(one, kind) for one in resources for kind in kinds.values() if one == "*" or can_be(one, kind)]


def knows_tags(fitting: list[tuple[str, Mapping[str, Any]]]) -> bool:
    return any(key.startswith(TAGGED) for _, kind in fitting for key in kind.get("ConditionKeys", []))
