"""A plan that binds: `plan --out FILE` writes it, `up --plan FILE` does that and nothing else.

The file holds what `plan` says, the spec it was made from and digests of what the programs are and are told. `up` makes
the plan once more, under its lease and before it changes anything, and refuses unless it is the same, telling what
differs: the spec, the pack, or the world (releases, or things in the cloud).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from modelpack.errors import BadInput
from modelpack.home import write_atomically
from stacks.plan import Plan

FORMAT = "ecomdeploy plan 1"
MOST_TOLD = 12
PLACES = ("service", "environment", "driver")
RELEASES = {"live": "the live release", "release": "the number of the next release"}
AGAIN = "plan again, look at it, and apply that: ecomdeploy plan --out plan.json"


def bind(plan: Plan) -> dict[str, Any]:
    """What the file holds. Names of secrets are in it, values are not.

    Raises:
        BadInput: the pack is not known yet, so nothing would bind what is shipped.
    """
    if plan.pack is None:
        what = "this plan cannot bind: the image is not known until it is packed"
        raise BadInput(what, hint="ecomdeploy pack, and then plan again")
    spec = msgspec.to_builtins(plan.spec)
    document = {"format": FORMAT, **plan.document(), "declared": plan.declared, "spec": spec}
    read_back: dict[str, Any] = json.loads(json.dumps(document))
    return read_back


def write_plan(file: Path, plan: Plan) -> None:
    """Raises BadInput when the plan cannot bind, or the file cannot be written."""
    content = json.dumps(bind(plan), indent=1, sort_keys=True).encode() + b"\n"
    try:
        write_atomically(file, content)
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(file)) from error


def read_plan(file: Path) -> dict[str, Any]:
    """Raises BadInput when there is no such file, or it is no plan."""
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", where=str(file), hint=AGAIN) from error
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise BadInput(f"is not a plan of this version ({FORMAT})", where=str(file), hint=AGAIN)
    return document


def refuse_changed(planned: Mapping[str, Any], now: Plan) -> None:
    """Raises BadInput when what would be done now is not what was planned, with everything that differs."""
    if told := tuple(differences(planned, bind(now))):
        more = (f"and {len(told) - MOST_TOLD} more",) if len(told) > MOST_TOLD else ()
        what = "it is not what was planned any more, and nothing was changed: "
        raise BadInput(what + "; ".join((*told[:MOST_TOLD], *more)), hint=AGAIN)


def differences(planned: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs, in words. The digest of what is declared is told only where nothing else explains it."""
    said = [f"it was for {key} {planned.get(key)}" for key in PLACES if planned.get(key) != now[key]]
    said += [f"the spec: {one}" for one in compare_specs(planned.get("spec"), now["spec"])]
    if planned.get("pack") != now["pack"]:
        said.append(f"the pack: {planned.get('pack')} was planned, and now it is {now['pack']}")
    said += [
        f"{words} was {name_of(planned.get(key))}, and now it is {name_of(now[key])}"
        for key, words in RELEASES.items()
        if planned.get(key) != now[key]
    ]
    if planned.get("replicas") != now["replicas"]:
        said.append("the number of replicas is another than it was")
    said += compare_changes(planned.get("changes"), now["changes"])
    if not said and planned.get("declared") != now["declared"]:
        said.append("the programs, or what they are told, are not those of the plan")
    yield from said


def compare_specs(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The keys whose values differ, with both values."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from compare_specs(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
    elif before != after:
        yield f"{path} was {json.dumps(before)}, and now it is {json.dumps(after)}"


def compare_changes(before: Any, after: list[dict[str, Any]]) -> Iterator[str]:
    """Changes that were planned and are not due, and the other way round."""
    listed = before if isinstance(before, list) else []
    for changes, others, words in (
        (after, listed, "was not planned"),
        (listed, after, "is not due any more"),
    ):
        for change in changes:
            if change not in others:
                yield f"{change.get('op')} of {' '.join(str(change.get('urn')).split('::')[2:])} {words}"


def name_of(number: Any) -> str:
    return "none" if number is None else str(number)
