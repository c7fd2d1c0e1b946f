"""Rules of an AWS environment: its account, which guards against the wrong one, and where its state and secrets are."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stacks.reading.clusters import cloud_of
from stacks.reading.document import Value

SCHEMES = {"state": "s3://", "secrets": "awskms://"}


def accounts(document: Value, environment: str) -> Iterator[tuple[Value, str, str]]:
    """Every broken rule of one environment; the local cloud has an account of its own."""
    place = document.at("environment")
    if place is None or not isinstance(place.data, dict) or (cloud := cloud_of(place)) == "cluster":
        return
    number = place.at("account")
    if number and isinstance(number.data, str) and not re.fullmatch(r"\d{12}", number.data):
        yield number, f"expected 12 digits in quotes, got {number.data!r}", ""
    for key in ("account", "region"):
        if cloud == "aws" and place.at(key) is None:
            yield place, f"an AWS environment needs {key}", f"add {key} under {place.path}"
    if cloud == "local" and number:
        yield number, "the local cloud has its own account", "leave it out"
    for key, scheme in SCHEMES.items():
        at = place.at(key)
        if at and isinstance(at.data, str) and not at.data.startswith(scheme):
            yield at, f"expected {scheme}..., got {at.data!r}", ""
    service, state = document.at("service"), place.at("state")
    own = f"{service.data if service else None}-{environment}-{number.data if number else None}"
    if state and str(state.data).removeprefix("s3://").partition("/")[0] == own:
        what = f"{own} is the bucket of the service's own records, which `down --all` empties"
        yield state, what, "name another bucket"
