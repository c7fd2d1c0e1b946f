"""Label selectors, as queries write them: `app=a,tier in (x, y),!old`.

kubernetes.io/docs/concepts/overview/working-with-objects/labels/#api
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from modelpack.errors import BadInput

TOKEN = re.compile(r"[-./\w]+|==?|!=?|\S")


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether all its terms hold. Raises BadInput for what is no selector."""
    # every term is read, so that what is no selector is told whatever the labels are
    held = [_holds(term, labels, selector) for term in _terms(TOKEN.findall(selector))]
    return all(held)


def _terms(tokens: list[str]) -> Iterator[list[str]]:
    """What stands between commas, those within brackets aside."""
    term: list[str] = []
    inside = False
    for token in tokens:
        inside = token == "(" or (inside and token != ")")  # noqa: S105 - no password
        if token == "," and not inside:  # noqa: S105
            yield term
            term = []
        else:
            term.append(token)
    if tokens:
        yield term


def _holds(term: list[str], labels: Mapping[str, str], selector: str) -> bool:
    match term:
        case ["!", key]:
            return key not in labels
        case [key]:
            return key in labels
        case [key, "=" | "==" | "!=" as how, *value] if len(value) < 2:
            return (labels.get(key) == "".join(value)) == (how != "!=")
        case [key, "in" | "notin" as how, "(", *values, ")"]:
            return (labels.get(key) in {one for one in values if one != ","}) == (how == "in")
    raise BadInput(f"no label selector: {selector!r}")
