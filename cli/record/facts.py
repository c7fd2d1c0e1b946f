"""What there is to say of one release, as pairs of words: the same on a terminal and on its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stacks.history.read import ReleaseStory


def list_facts(story: ReleaseStory) -> Iterator[tuple[str, str]]:
    """Who, when, from what, what was proven, how it was to move, and how it ended."""
    release = story.release
    yield "state", f"{release.state}{f': {release.cause}' if release.cause else ''}"
    yield "made by", f"{release.who or 'not known'}, {release.created}"
    if release.why:
        yield "why", release.why
    if release.restores is not None:
        yield "restores", f"release {release.restores}"
    yield "pack", f"{release.pack.digest} ({release.pack.usecase})"
    yield "image", release.image
    if release.spec_digest:
        yield "spec", release.spec_digest
    yield "serves on", f"{release.serving.target}, {release.serving.instance}"
    if proven := release.pack.proven:
        since = f"live since {proven.live_since}"
        yield (
            "proven",
            f"in {proven.environment} (account {proven.account}) as release {proven.release}, {since}",
        )
    if story.pack:
        yield from list_verdicts(story.pack)
    if story.rollout:
        shares = ", ".join(f"{each} %" for each in story.rollout.shares)
        bake = (
            f", {story.rollout.bake} s of alarms after each"
            if story.rollout.bake
            else ", no alarm watched it"
        )
        before = (
            f"copies of {story.rollout.copied} % of the requests for {story.rollout.copied_bake} s, then "
        )
        first = before if story.rollout.copied else ""
        yield "moved", f"{first}{story.rollout.strategy}: {shares}{bake}"
    for at in release.timeline:
        yield at.at, f"{at.state}{f': {at.cause}' if at.cause else ''}"


def list_verdicts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the gate measured of its pack."""
    metric = record.get("metric") or {}
    if {"name", "value"} <= metric.keys():
        against = f"; to beat: {metric['baseline']:.4f}" if metric.get("baseline") is not None else ""
        yield "measured", f"{metric['name']} {metric['value']:.4f}{against}"
    if passes := record.get("passes"):
        told = (f"{one['name']} {'kept' if one['kept'] else 'dropped'} ({one['reason']})" for one in passes)
        yield "passes", "; ".join(told)
