"""Application Auto Scaling over moto: what goes with a scalable target."""

from __future__ import annotations

from infra.rehearsal.cloud.aws.overlay.base import ApiCall, HttpResponse, Overlay, emulates
from infra.rehearsal.cloud.aws.refusals.scaling import backend


class ApplicationAutoScaling(Overlay):
    """Capacity never moves by itself: policies and actions are kept and told, not acted on."""

    @emulates("DeregisterScalableTarget", "documented", "API_DeregisterScalableTarget")
    def deregister(self, call: ApiCall) -> HttpResponse:
        """The target's policies and scheduled actions are deleted with it."""
        answer = self.moto(call)
        if answer.ok:
            forget(call.region, call.parameters["ResourceId"])
        return answer


def forget(region: str, resource: str) -> None:
    """Drop the policies and scheduled actions of a resource."""
    held = backend(region)
    held.policies = {key: one for key, one in held.policies.items() if one.resource_id != resource}
    held.scheduled_actions = [one for one in held.scheduled_actions if one.resource_id != resource]
