"""Debian version order (deb-version(7)): epoch, upstream version, revision; "~" sorts before the end.

Our own: python-debian is under the GPL, and debian-inspector refuses a version that bookworm has (12.2.0-14+deb12u1+).
"""

from __future__ import annotations

import re
from functools import cmp_to_key

PIECES = re.compile(r"(\D*)(\d*)")
RELATIONS = {
    "<<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    "=": lambda order: order == 0,
    ">=": lambda order: order >= 0,
    ">>": lambda order: order > 0,
}


def compare(left: str, right: str) -> int:
    """Negative, zero or positive, as `left` is older, equal or newer."""
    one, two = _split(left), _split(right)
    if one[0] != two[0]:
        return one[0] - two[0]
    return _part(one[1], two[1]) or _part(one[2], two[2])


def satisfies(version: str, relation: str, wanted: str) -> bool:
    """Whether "version relation wanted" holds, e.g. ("2.36-9", ">=", "2.34"); no relation holds always."""
    return not relation or RELATIONS[relation](compare(version, wanted))


by_version = cmp_to_key(compare)


def _split(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return int(epoch) if epoch.isdecimal() else 0, upstream, revision


def _part(left: str, right: str) -> int:
    one, two = PIECES.findall(left), PIECES.findall(right)
    for number in range(max(len(one), len(two))):
        text_one, digits_one = one[number] if number < len(one) else ("", "")
        text_two, digits_two = two[number] if number < len(two) else ("", "")
        order = _text(text_one, text_two) or int(digits_one or 0) - int(digits_two or 0)
        if order:
            return order
    return 0


def _text(left: str, right: str) -> int:
    for number in range(max(len(left), len(right))):
        order = _weight(left[number : number + 1]) - _weight(right[number : number + 1])
        if order:
            return order
    return 0


def _weight(character: str) -> int:
    if character == "~":
        return -1
    if not character:
        return 0
    return ord(character) if character.isalpha() else ord(character) + 256
