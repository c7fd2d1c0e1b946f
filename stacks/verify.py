"""Is this release what answers? Asked through the route, never of the server itself.

Four things must hold: the endpoint serves from the revision asked for; the image it resolved has the digest asked for;
every golden request is answered within tolerance; every answer carries the pack's content digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.targets.base import Answer, Observation, Phase, Traffic
from stacks.records.release import Release

MOST_TOLD = 3
"""How many differences of the golden answers are told; one broken layer breaks them all."""


def verify(traffic: Traffic, endpoint: str, revision: str, release: Release) -> tuple[str, ...]:
    """What is not as it should be, in words; empty: verified."""
    wrong = check_placement(traffic.observe(endpoint), revision, release)
    return wrong or check_answers(traffic, endpoint, release)


def check_placement(seen: Observation, revision: str, release: Release) -> tuple[str, ...]:
    """Whether the endpoint is where it should be, with the image it should have."""
    why = f": {seen.failure}" if seen.failure else ""
    if seen.phase is Phase.ABSENT:
        return ("there is no endpoint",)
    if seen.phase is not Phase.SERVING:
        return (f"the endpoint is {seen.phase} ({seen.status}){why}",)
    if seen.revision != revision:
        return (f"the endpoint is on {seen.revision}, not on {revision}{why}",)
    if seen.copied:
        return (f"{seen.copied} % of the requests are copied to {seen.destination}",)
    wanted = release.pack.digest
    if any(image.rpartition("@")[2] != wanted for image in seen.images) or not seen.images:
        return (f"the endpoint runs {', '.join(seen.images) or 'no image'}, not {wanted}",)
    return ()


def check_answers(
    traffic: Traffic, endpoint: str, release: Release, revision: str | None = None
) -> tuple[str, ...]:
    """Send every golden request; stop early when enough is known to be wrong. `revision`: to that alone."""
    wrong: list[str] = []
    for number, golden in enumerate(release.pack.golden, start=1):
        body = json.dumps(golden["request"]).encode()
        answer = traffic.invoke(endpoint, body, "application/json", revision)
        wrong += [f"golden request {number}: {one}" for one in differences(golden["answer"], answer, release)]
        if len(wrong) >= MOST_TOLD:
            break
    return tuple(wrong[:MOST_TOLD])


def differences(expected: Mapping[str, Any], answer: Answer, release: Release) -> tuple[str, ...]:
    from modelpack.server.golden import compare

    if answer.status != 200:
        return (f"answered {answer.status}: {answer.body[:200].decode(errors='replace')}",)
    if answer.content_digest != release.pack.content_digest:
        theirs = answer.content_digest or "unknown"
        return (f"came from other files ({theirs}) than the image has ({release.pack.content_digest})",)
    try:
        got = json.loads(answer.body)
    except ValueError:
        return ("the answer is not JSON",)
    return tuple(compare(expected, got, release.pack.tolerance))
