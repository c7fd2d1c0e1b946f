"""Amazon EC2: security group with its rules inline."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.engine.provider import Values
from infra.rehearsal.providers.aws.ec2.tags import describe, tag, tags_at_birth
from infra.rehearsal.providers.aws.property_types import flag, integer, items, text, unordered_list
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update
from infra.tags import tag_map

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
    "securityGroups": unordered_list(api="securityGroups"),
    "self": flag(default=False, api="self"),
    "description": text(api="description"),
}
"""An inline rule. The row's read gives rules in pulumi's own spelling."""


def _list_atoms(rules: list[Values], group: str) -> set[Atom]:
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


def _group(call: ResourceCall) -> dict[str, Any]:
    return dict(call.api.describe_security_groups(GroupIds=[call.id])["SecurityGroups"][0])


def _match(call: ResourceCall, side: str) -> None:
    """Authorize what is wanted and missing, revoke what is there and not wanted."""
    member = "IpPermissions" if side == "ingress" else "IpPermissionsEgress"
    there = _actual(_group(call)[member])
    wanted = _list_atoms(call.inputs.get(side) or [], call.id)
    if wanted - there:
        permissions = _permissions(wanted - there)
        getattr(call.api, f"authorize_security_group_{side}")(GroupId=call.id, IpPermissions=permissions)
    if there - wanted:
        permissions = _permissions(there - wanted)
        getattr(call.api, f"revoke_security_group_{side}")(GroupId=call.id, IpPermissions=permissions)


def _finish(call: ResourceCall) -> None:
    # terraform takes EC2's own "all egress" rule away: internal/service/ec2/vpc_security_group.go
    for side in ("ingress", "egress"):
        _match(call, side)


def _read(call: ResourceCall) -> Reading:
    group = _group(call)
    sides: Values = {}
    for side, member in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
        given = call.inputs.get(side)
        if given is not None:
            there = _actual(group[member])
            sides[side] = given if there == _list_atoms(given, call.id) else _rules(there, call.id)
    arn = call.account.arn("ec2", f"security-group/{call.id}")
    names = {"GroupDescription": group["Description"]}
    return Reading(
        {**group, **names, **sides}, {"arn": arn, "ownerId": group["OwnerId"]}, tag_map(group.get("Tags"))
    )


def _create(call: ResourceCall) -> str:
    body = {"GroupName": call.inputs["name"], "Description": call.inputs["description"], **call.body("vpcId")}
    return str(call.api.create_security_group(**body, **tags_at_birth(call, "security-group"))["GroupId"])


def _find(call: ResourceCall) -> list[str]:
    vpc = call.inputs.get("vpcId")
    names = [{"Name": "group-name", "Values": [call.inputs["name"]]}]
    names += [{"Name": "vpc-id", "Values": [vpc]}] if vpc else []
    return [group["GroupId"] for group in describe(call, "security_groups", names)]


GROUP = ResourceType(
    type="aws:ec2/securityGroup:SecurityGroup",
    service="ec2",
    cloudformation="AWS::EC2::SecurityGroup",
    properties={
        "name": text(api="GroupName"),
        "description": text(default="Managed by Pulumi", api="GroupDescription"),
        "vpcId": text(computed=True),
        # Read only where the program gives them: rules may be resources of their own instead.
        "ingress": unordered_list(MEMBERS, api="ingress", computed=True),
        "egress": unordered_list(MEMBERS, api="egress", computed=True),
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
        Update(("ingress",), lambda call: _match(call, "ingress")),
        Update(("egress",), lambda call: _match(call, "egress")),
    ),
    delete=lambda call: call.api.delete_security_group(GroupId=call.id),
    tag=tag,
    gone=("InvalidGroup.NotFound", "InvalidGroupId.NotFound"),
)


RESOURCES = (GROUP,)
