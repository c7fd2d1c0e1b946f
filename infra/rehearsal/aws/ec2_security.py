"""Amazon EC2: security group with its rules inline, and the rules that are resources of their own."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.aws import naming
from infra.rehearsal.aws.ec2_tags import describe, tag, tags_at_birth
from infra.rehearsal.aws.kinds import flag, integer, items, text, unordered
from infra.rehearsal.aws.resource import Call, Change, Reading, Resource, tag_map
from infra.rehearsal.engine.provider import Values

SOURCE = "internal/service/vpc/security_group_ingress_rule.go"
Atom = tuple[str, int, int, str, str, str]
"""One permission in its smallest form: protocol, from, to, kind of peer, peer, description."""

KINDS = {
    "cidrBlocks": ("IpRanges", "CidrIp"),
    "ipv6CidrBlocks": ("Ipv6Ranges", "CidrIpv6"),
    "prefixListIds": ("PrefixListIds", "PrefixListId"),
    "securityGroups": ("UserIdGroupPairs", "GroupId"),
}
MEMBERS = {
    "protocol": text(required=True, api="protocol"),
    "fromPort": integer(required=True, api="fromPort"),
    "toPort": integer(required=True, api="toPort"),
    "cidrBlocks": items(api="cidrBlocks"),
    "ipv6CidrBlocks": items(api="ipv6CidrBlocks"),
    "prefixListIds": items(api="prefixListIds"),
    "securityGroups": unordered(api="securityGroups"),
    "self": flag(default=False, api="self"),
    "description": text(api="description"),
}
"""An inline rule. The row's read gives rules in pulumi's own spelling."""


def _wanted(rules: list[Values], group: str) -> set[Atom]:
    """The program's rules in atoms. Ports mean nothing where the protocol is any."""
    atoms: set[Atom] = set()
    for rule in rules:
        every = rule["protocol"] in ("-1", "all")
        base = ("-1", 0, 0) if every else (rule["protocol"], rule["fromPort"], rule["toPort"])
        peers = [(kind, peer) for kind in KINDS for peer in rule.get(kind) or ()]
        peers += [("securityGroups", group)] if rule.get("self") else []
        atoms |= {(*base, kind, peer, rule.get("description") or "") for kind, peer in peers}
    return atoms


def _actual(permissions: list[dict[str, Any]]) -> set[Atom]:
    atoms: set[Atom] = set()
    for permission in permissions:
        every = permission["IpProtocol"] == "-1"
        ports = (0, 0) if every else (int(permission.get("FromPort", -1)), int(permission.get("ToPort", -1)))
        for kind, (member, key) in KINDS.items():
            for peer in permission.get(member) or ():
                atoms.add((permission["IpProtocol"], *ports, kind, peer[key], peer.get("Description") or ""))
    return atoms


def _permissions(atoms: set[Atom]) -> list[dict[str, Any]]:
    permissions = []
    for protocol, low, high, kind, peer, words in sorted(atoms):
        member, key = KINDS[kind]
        ports = {} if protocol == "-1" else {"FromPort": low, "ToPort": high}
        about = {"Description": words} if words else {}
        permissions.append({"IpProtocol": protocol, **ports, member: [{key: peer, **about}]})
    return permissions


def _rules(atoms: set[Atom], group: str) -> list[Values]:
    """Atoms as the program would have written them, one rule per protocol, ports and description."""
    rules: dict[tuple[str, int, int, str], Values] = {}
    for protocol, low, high, kind, peer, words in sorted(atoms):
        rule = rules.setdefault(
            (protocol, low, high, words), {"protocol": protocol, "fromPort": low, "toPort": high}
        )
        rule |= {"description": words} if words else {}
        if kind == "securityGroups" and peer == group:
            rule["self"] = True
        else:
            rule.setdefault(kind, []).append(peer)
    return list(rules.values())


def _group(call: Call) -> dict[str, Any]:
    return dict(call.api.describe_security_groups(GroupIds=[call.id])["SecurityGroups"][0])


def _match(call: Call, side: str) -> None:
    """Authorize what is wanted and missing, revoke what is there and not wanted."""
    member = "IpPermissions" if side == "ingress" else "IpPermissionsEgress"
    there = _actual(_group(call)[member])
    wanted = _wanted(call.inputs.get(side) or [], call.id)
    if wanted - there:
        permissions = _permissions(wanted - there)
        getattr(call.api, f"authorize_security_group_{side}")(GroupId=call.id, IpPermissions=permissions)
    if there - wanted:
        permissions = _permissions(there - wanted)
        getattr(call.api, f"revoke_security_group_{side}")(GroupId=call.id, IpPermissions=permissions)


def _finish(call: Call) -> None:
    # terraform takes EC2's own "all egress" rule away: internal/service/ec2/vpc_security_group.go
    for side in ("ingress", "egress"):
        _match(call, side)


def _read(call: Call) -> Reading:
    group = _group(call)
    sides: Values = {}
    for side, member in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        given = call.inputs.get(side)
        if given is not None:
            there = _actual(group[member])
            sides[side] = given if there == _wanted(given, call.id) else _rules(there, call.id)
    arn = call.account.arn("ec2", f"security-group/{call.id}")
    names = {"GroupDescription": group["Description"]}
    return Reading(
        {**group, **names, **sides}, {"arn": arn, "ownerId": group["OwnerId"]}, tag_map(group.get("Tags"))
    )


def _create(call: Call) -> str:
    body = {"GroupName": call.inputs["name"], "Description": call.inputs["description"], **call.body("vpcId")}
    return str(call.api.create_security_group(**body, **tags_at_birth(call, "security-group"))["GroupId"])


def _find(call: Call) -> list[str]:
    vpc = call.inputs.get("vpcId")
    names = [{"Name": "group-name", "Values": [call.inputs["name"]]}]
    names += [{"Name": "vpc-id", "Values": [vpc]}] if vpc else []
    return [group["GroupId"] for group in describe(call, "security_groups", names)]


GROUP = Resource(
    type="aws:ec2/securityGroup:SecurityGroup",
    service="ec2",
    cloudformation="AWS::EC2::SecurityGroup",
    properties={
        "name": text(api="GroupName"),
        "description": text(default="Managed by Pulumi", api="GroupDescription"),
        "vpcId": text(computed=True),
        # Read only where the program gives them: rules may be resources of their own instead.
        "ingress": unordered(MEMBERS, api="ingress", computed=True),
        "egress": unordered(MEMBERS, api="egress", computed=True),
        "revokeRulesOnDelete": flag(default=False, local=True),
    },
    outputs=("arn", "ownerId"),
    identity=("name", "vpcId"),
    name="name",
    find=_find,
    create=_create,
    finish=_finish,
    read=_read,
    changes=(
        Change(("ingress",), lambda call: _match(call, "ingress")),
        Change(("egress",), lambda call: _match(call, "egress")),
    ),
    delete=lambda call: call.api.delete_security_group(GroupId=call.id),
    tag=tag,
    gone=("InvalidGroup.NotFound", "InvalidGroupId.NotFound"),
)


def _rule(side: str) -> Resource:
    """A rule that is a resource of its own: what it allows changes in place, its group does not."""

    def permission(call: Call) -> dict[str, Any]:
        inputs = call.inputs
        kinds = dict(
            zip(("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"), KINDS, strict=True)
        )
        low, high = inputs.get("fromPort", 0), inputs.get("toPort", 0)
        atoms: set[Atom] = {
            (inputs["ipProtocol"], low, high, kind, inputs[name], inputs.get("description") or "")
            for name, kind in kinds.items()
            if inputs.get(name)
        }
        return _permissions(atoms)[0]

    def find(call: Call) -> list[str]:
        filters = naming.filters(call.tags)
        filters += [{"Name": "group-id", "Values": [call.inputs["securityGroupId"]]}] if filters else []
        rules = describe(call, "security_group_rules", filters) if filters else []
        return [rule["SecurityGroupRuleId"] for rule in rules if rule["IsEgress"] == (side == "egress")]

    def create(call: Call) -> str:
        answer = getattr(call.api, f"authorize_security_group_{side}")(
            GroupId=call.inputs["securityGroupId"],
            IpPermissions=[permission(call)],
            **tags_at_birth(call, "security-group-rule"),
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(call: Call) -> Reading | None:
        rules = call.api.describe_security_group_rules(SecurityGroupRuleIds=[call.id])["SecurityGroupRules"]
        if not rules:
            return None
        rule = rules[0]
        ports = {} if rule["IpProtocol"] == "-1" else {"from": rule.get("FromPort"), "to": rule.get("ToPort")}
        answer = {
            **rule,
            "FromPort": ports.get("from"),
            "ToPort": ports.get("to"),
            "ReferencedGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
        }
        arn = call.account.arn("ec2", f"security-group-rule/{call.id}")
        return Reading(answer, {"arn": arn, "securityGroupRuleId": call.id}, tag_map(rule.get("Tags")))

    def change(call: Call) -> None:
        wanted = call.body(without=("securityGroupId",))
        call.api.modify_security_group_rules(
            GroupId=call.inputs["securityGroupId"],
            SecurityGroupRules=[{"SecurityGroupRuleId": call.id, "SecurityGroupRule": wanted}],
        )

    def delete(call: Call) -> None:
        getattr(call.api, f"revoke_security_group_{side}")(
            GroupId=call.inputs["securityGroupId"], SecurityGroupRuleIds=[call.id]
        )

    in_place = {"replaces": False, "source": SOURCE}
    peers = {
        "ipProtocol": text(required=True, **in_place),
        "fromPort": integer(**in_place),
        "toPort": integer(**in_place),
        "cidrIpv4": text(cfn="CidrIp", **in_place),
        "cidrIpv6": text(**in_place),
        "prefixListId": text(**in_place),
        "referencedSecurityGroupId": text(
            api="ReferencedGroupId",
            cfn=f"{'Source' if side == 'ingress' else 'Destination'}SecurityGroupId",
            **in_place,
        ),
        "description": text(),
    }
    noun = f"SecurityGroup{side.capitalize()}"
    return Resource(
        type=f"aws:vpc/s{noun[1:]}Rule:{noun}Rule",
        service="ec2",
        cloudformation=f"AWS::EC2::{noun}",
        properties={"securityGroupId": text(required=True, cfn="GroupId", api="GroupId"), **peers},
        outputs=("arn", "securityGroupRuleId"),
        find=find,
        create=create,
        read=read,
        changes=(Change(tuple(peers), change),),
        delete=delete,
        tag=tag,
        gone=("InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound"),
    )


RESOURCES = (GROUP, _rule("ingress"), _rule("egress"))
