"""Whether IAM would allow a request, by the rules that our documents use; anything else in one is an error.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html
(an explicit deny, else an explicit allow, else no), and there reference_policies_elements_action.html (case does not
matter, `*` and `?`), reference_policies_elements_resource.html,
reference_policies_condition-single-vs-multi-valued-context-keys.html (`ForAllValues` holds of no value), and
reference_policies_elements_condition_operators.html (a key that the request lacks fails its operator; `ForAnyValue`
needs one of the request's values, `IfExists` holds of a key that the request lacks).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Values = str | list[str]
KEYS = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})
OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, given: wanted == given,
    "StringLike": lambda wanted, given: matches(wanted, given),
    "ArnLike": lambda wanted, given: matches(wanted, given),
    "Bool": lambda wanted, given: wanted.lower() == given.lower(),
}


@dataclass(frozen=True)
class Request:
    """One call. `context`: condition keys with what the request has of them; `service`: who calls, in a trust policy
    or a resource's ("sagemaker.amazonaws.com", or the ARN of who signed the caller's token)."""

    action: str
    resource: str = "*"
    context: Mapping[str, Values] = field(default_factory=dict, hash=False)
    service: str = ""


def is_allowed(request: Request, *documents: Mapping[str, Any]) -> bool:
    """The documents together, as on one role.

    Raises:
        ValueError: a document has what these rules do not know.
    """
    effects = {
        one["Effect"] for document in documents for one in statements(document) if applies(one, request)
    }
    return "Allow" in effects and "Deny" not in effects


def statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if document["Version"] != "2012-10-17":
        raise ValueError(f"policy version {document['Version']}")
    found = document["Statement"]
    return [found] if isinstance(found, Mapping) else list(found)


def applies(statement: Mapping[str, Any], request: Request) -> bool:
    if strange := statement.keys() - KEYS:
        raise ValueError(f"a statement with {', '.join(sorted(strange))}")
    actions = any(matches(one.lower(), request.action.lower()) for one in listed(statement["Action"]))
    resources = any(matches(one, request.resource) for one in listed(statement.get("Resource", "*")))
    return (
        actions
        and resources
        and is_for(statement.get("Principal"), request)
        and all(
            holds(operator, wanted, request.context)
            for operator, wanted in statement.get("Condition", {}).items()
        )
    )


def is_for(principal: Any, request: Request) -> bool:
    """Whether whoever calls is meant; a role's own policy names nobody."""
    if principal is None or principal == "*":
        return True
    named = (*listed(principal.get("Service", [])), *listed(principal.get("Federated", [])))
    return request.service in named


def holds(operator: str, wanted: Mapping[str, Values], context: Mapping[str, Values]) -> bool:
    """All keys of one operator."""
    form, _, bare = operator.rpartition(":")
    compare = OPERATORS.get(bare.removesuffix("IfExists"))
    if compare is None or form not in ("", "ForAnyValue", "ForAllValues"):
        raise ValueError(f"the condition operator {operator}")

    def is_met(key: str, values: Values) -> bool:
        given = listed(context.get(key, []))
        if not given:
            return bare.endswith("IfExists") or form == "ForAllValues"
        met = [any(compare(one, each) for one in listed(values)) for each in given]
        return all(met) if form == "ForAllValues" else any(met)

    return all(is_met(key, values) for key, values in wanted.items())


def matches(pattern: str, text: str) -> bool:
    """`*` is any text, `?` one character."""
    form = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)
    return re.fullmatch(form, text, re.DOTALL) is not None


def listed(value: Any) -> list[str]:
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in as_list(value)]


def as_list(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]
