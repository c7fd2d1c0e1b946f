"""Amazon EC2: flow log."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.engine.provider import ProviderError
from infra.rehearsal.providers.aws.ec2.tags import tag, tags_at_birth
from infra.rehearsal.providers.aws.naming import filters
from infra.rehearsal.providers.aws.property_types import integer, text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType
from infra.tags import tag_map

FORCE_NEW: dict[str, Any] = {"replaces": True, "source": "internal/service/ec2/vpc_flow_log.go"}
KINDS = {"vpcId": "VPC", "subnetId": "Subnet", "eniId": "NetworkInterface"}


def _create(call: ResourceCall) -> str:
    name = next(name for name in KINDS if call.inputs.get(name))
    answer = call.api.create_flow_logs(
        ResourceIds=[call.inputs[name]],
        ResourceType=KINDS[name],
        **call.body(without=tuple(KINDS)),
        **tags_at_birth(call, "vpc-flow-log"),
    )
    if answer.get("Unsuccessful"):
        error = answer["Unsuccessful"][0]["Error"]
        raise ProviderError(error.get("Code", ""), error.get("Message", ""))
    return str(answer["FlowLogIds"][0])


def _read(call: ResourceCall) -> Reading | None:
    found = call.api.describe_flow_logs(FlowLogIds=[call.id])["FlowLogs"]
    if not found:
        return None
    log = found[0]
    kind = {"vpc": "VpcId", "subn": "SubnetId", "eni": "EniId"}[log["ResourceId"].partition("-")[0][:4]]
    outputs = {"arn": call.account.arn("ec2", f"vpc-flow-log/{call.id}")}
    return Reading({**log, kind: log["ResourceId"]}, outputs, tag_map(log.get("Tags")))


def _find(call: ResourceCall) -> list[str]:
    wanted = filters(call.tags)
    found = call.api.describe_flow_logs(Filter=wanted)["FlowLogs"] if wanted else []
    return [log["FlowLogId"] for log in found]


FLOW_LOG = ResourceType(
    type="aws:ec2/flowLog:FlowLog",
    service="ec2",
    properties={
        **{name: text(**FORCE_NEW) for name in (*KINDS, "trafficType")},
        "iamRoleArn": text(api="DeliverLogsPermissionArn", **FORCE_NEW),
        "logDestinationType": text(default="cloud-watch-logs", **FORCE_NEW),
        "logDestination": text(computed=True, **FORCE_NEW),
        "logFormat": text(computed=True, **FORCE_NEW),
        "maxAggregationInterval": integer(default=600, **FORCE_NEW),
    },
    outputs=("arn",),
    find=_find,
    create=_create,
    read=_read,
    delete=lambda call: call.api.delete_flow_logs(FlowLogIds=[call.id]),
    tag=tag,
    gone=("InvalidFlowLogId.NotFound",),
)

RESOURCES = (FLOW_LOG,)
