"""Amazon EC2: a security group's egress rule that is a resource of its own, one peer each."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.providers.aws.ec2.tags import find_by_tags, tag, tags_at_birth
from infra.rehearsal.providers.aws.property_types import integer, text
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update
from infra.tags import tag_map

PEERS = {
    "cidrIpv4": "CidrIpv4",
    "cidrIpv6": "CidrIpv6",
    "prefixListId": "PrefixListId",
    "referencedSecurityGroupId": "ReferencedGroupId",
}
MEMBERS = {
    "cidrIpv4": ("IpRanges", "CidrIp"),
    "cidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListId": ("PrefixListIds", "PrefixListId"),
    "referencedSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
}
SHAPE = ("ipProtocol", "fromPort", "toPort", "description", *PEERS)


def _permission(call: ResourceCall) -> dict[str, Any]:
    (peer,) = [name for name in PEERS if call.inputs.get(name)]
    member, key = MEMBERS[peer]
    about = {"Description": call.inputs["description"]} if call.inputs.get("description") else {}
    return {
        **call.body("ipProtocol", "fromPort", "toPort"),
        member: [{key: call.inputs[peer], **about}],
    }


def _create(call: ResourceCall) -> str:
    answer = call.api.authorize_security_group_egress(
        GroupId=call.inputs["securityGroupId"],
        IpPermissions=[_permission(call)],
        **tags_at_birth(call, "security-group-rule"),
    )
    return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def _rule(call: ResourceCall) -> dict[str, Any]:
    return dict(
        call.api.describe_security_group_rules(SecurityGroupRuleIds=[call.id])["SecurityGroupRules"][0]
    )


def _read(call: ResourceCall) -> Reading:
    rule = _rule(call)
    answer = {**rule, "ReferencedGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId")}
    outputs = {
        "arn": call.account.arn("ec2", f"security-group-rule/{call.id}"),
        "securityGroupRuleId": call.id,
    }
    return Reading(answer, outputs, tag_map(rule.get("Tags")))


def _modify(call: ResourceCall) -> None:
    rule = {"SecurityGroupRuleId": call.id, "SecurityGroupRule": call.body(*SHAPE)}
    call.api.modify_security_group_rules(GroupId=call.inputs["securityGroupId"], SecurityGroupRules=[rule])


EGRESS = ResourceType(
    type="aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    service="ec2",
    # In CloudFormation a rule of another shape is another rule; terraform changes it in place.
    properties={
        "securityGroupId": text(
            required=True,
            api="GroupId",
            replaces=True,
            source="internal/service/ec2/vpc_security_group_ingress_rule.go",
        ),
        "ipProtocol": text(required=True),
        "fromPort": integer(),
        "toPort": integer(),
        "description": text(),
        **{name: text(api=api) for name, api in PEERS.items()},
    },
    outputs=("arn", "securityGroupRuleId"),
    find=find_by_tags("security_group_rules", "SecurityGroupRuleId"),
    create=_create,
    read=_read,
    changes=(Update(SHAPE, _modify),),
    delete=lambda call: call.api.revoke_security_group_egress(
        GroupId=call.inputs["securityGroupId"], SecurityGroupRuleIds=[call.id]
    ),
    tag=tag,
    gone=(
        *("InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.NotFound"),
        *("InvalidGroup.NotFound", "InvalidGroupId.NotFound"),
    ),
)

RESOURCES = (EGRESS,)
