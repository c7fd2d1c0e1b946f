"""SQS over moto."""

from __future__ import annotations

from infra.rehearsal.cloud.addresses import ACCOUNT
from infra.rehearsal.cloud.aws.calls import HttpResponse
from infra.rehearsal.cloud.aws.overlay.base import ApiCall, Overlay, emulates


class Queues(Overlay):
    """Keeps nothing of its own."""

    @emulates("SetQueueAttributes", "documented", "API_SetQueueAttributes")
    def set_queue_attributes(self, call: ApiCall) -> HttpResponse:
        """What is not named stays; moto takes the queue's policy away."""
        from moto.sqs.models import sqs_backends

        named = call.parameters
        queue = sqs_backends[ACCOUNT][call.region].queues.get(named["QueueUrl"].rpartition("/")[2])
        kept = queue.policy if queue and "Policy" not in named["Attributes"] else None
        answer = self.moto(call)
        if queue and kept:
            queue.policy = kept
        return answer
