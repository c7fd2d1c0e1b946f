"""Every way in which our stand-in is known to differ from what was recorded, with its reason. The tests read this
table, and fail where a row is no longer so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["children", "status", "rest", "timeline", "refusals"]
"""`rest`: in the status once nothing is under way any more, of a step that was recorded before."""


@dataclass(frozen=True, kw_only=True)
class AcceptedDifference:
    """`what`: the kind of child, or the path in the status; `step` "" for the whole recording."""

    where: Where
    recording: str
    step: str = ""
    what: str
    reason: str


ACCEPTED = (
    AcceptedDifference(
        where="children",
        recording="b12",
        step="hpa to keda",
        what="HorizontalPodAutoscaler",
        reason="left behind by the class before, by KServe and by us: in no wish for the class now",
    ),
    AcceptedDifference(
        where="children",
        recording="b12",
        step="keda to none",
        what="ScaledObject",
        reason="left behind by the class before, by KServe and by us: in no wish for the class now",
    ),
    AcceptedDifference(
        where="children",
        recording="d8",
        step="hpa deleted by hand",
        what="HorizontalPodAutoscaler",
        reason="comes back with the next reconcile for another cause, with KServe and with us",
    ),
    AcceptedDifference(
        where="children",
        recording="g8",
        step="weights for a second backend added to the route by hand",
        what="HTTPRoute",
        reason="what is added by hand counts for nothing and stays, with KServe and with us",
    ),
    AcceptedDifference(
        where="status",
        recording="d1",
        step="later",
        what=".modelStatus.copies.totalCopies",
        reason="the third pod ended between the recorder's reading of the object and of the pods",
    ),
    AcceptedDifference(
        where="rest",
        recording="d1",
        step="new digest",
        what=".conditions[1].message",
        reason="recorded while the pods were replaced",
    ),
    AcceptedDifference(
        where="rest",
        recording="d1",
        step="new digest",
        what=".conditions[1].reason",
        reason="recorded while the pods were replaced",
    ),
    AcceptedDifference(
        where="timeline",
        recording="b7",
        what="order",
        reason="whether a new pod has told of itself before the first reconcile after the scaling is a race",
    ),
    AcceptedDifference(
        where="timeline",
        recording="e1",
        what="order",
        reason="which of two Deployments is up first is a race",
    ),
    AcceptedDifference(
        where="timeline",
        recording="e2",
        what="order",
        reason="which of two Deployments is up first is a race",
    ),
    AcceptedDifference(
        where="timeline",
        recording="g6",
        what="order",
        reason="which of two Deployments is up first, and when each of three routes is accepted, is a race",
    ),
)


def accepted(where: Where, recording: str, step: str = "") -> set[str]:
    """What differs there."""
    return {one.what for one in ACCEPTED if (one.where, one.recording, one.step) == (where, recording, step)}
