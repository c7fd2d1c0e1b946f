"""Amazon EC2: launch template."""

from __future__ import annotations

from typing import Any

from infra.rehearsal.providers.aws.ec2.tags import tag, tags_at_birth
from infra.rehearsal.providers.aws.property_types import (
    dimensions,
    flag,
    flagtext,
    integer,
    items,
    text,
    thing,
    unordered_list,
)
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall, ResourceType, Update
from infra.tags import tag_map

DATA = {
    "imageId": text(),
    "instanceType": text(),
    "keyName": text(),
    "userData": text(),
    "ebsOptimized": flagtext(),
    "vpcSecurityGroupIds": unordered_list(api="SecurityGroupIds"),
    "iamInstanceProfile": thing({"arn": text(), "name": text()}),
    "monitoring": thing({"enabled": flag()}),
    "metadataOptions": thing(
        {
            "httpEndpoint": text(computed=True),
            "httpTokens": text(computed=True),
            "httpPutResponseHopLimit": integer(computed=True),
            "httpProtocolIpv6": text(computed=True),
            "instanceMetadataTags": text(computed=True),
        },
        computed=True,
    ),
    "blockDeviceMappings": items(
        {
            "deviceName": text(),
            "noDevice": text(),
            "virtualName": text(),
            "ebs": thing(
                {
                    "volumeType": text(computed=True),
                    "volumeSize": integer(computed=True),
                    "iops": integer(computed=True),
                    "throughput": integer(computed=True),
                    "encrypted": flagtext(),
                    "deleteOnTermination": flagtext(),
                    "kmsKeyId": text(),
                    "snapshotId": text(),
                }
            ),
        }
    ),
    "tagSpecifications": items({"resourceType": text(), "tags": dimensions(pair=("Key", "Value"))}),
}


def _create(call: ResourceCall) -> str:
    answer = call.api.create_launch_template(
        LaunchTemplateName=call.inputs["name"],
        LaunchTemplateData=call.body(*DATA),
        **_description(call),
        **tags_at_birth(call, "launch-template"),
    )
    return str(answer["LaunchTemplate"]["LaunchTemplateId"])


def _description(call: ResourceCall) -> dict[str, Any]:
    return {"VersionDescription": call.inputs["description"]} if call.inputs.get("description") else {}


def _new_version(call: ResourceCall) -> None:
    answer = call.api.create_launch_template_version(
        LaunchTemplateId=call.id, LaunchTemplateData=call.body(*DATA), **_description(call)
    )
    if call.inputs.get("updateDefaultVersion"):
        _set_default(call, answer["LaunchTemplateVersion"]["VersionNumber"])


def _set_default(call: ResourceCall, version: int) -> None:
    call.api.modify_launch_template(LaunchTemplateId=call.id, DefaultVersion=str(version))


def _read(call: ResourceCall) -> Reading | None:
    templates = call.api.describe_launch_templates(LaunchTemplateIds=[call.id])["LaunchTemplates"]
    if not templates:
        return None  # moto's answer for one that is deleted; EC2 refuses the id
    template = templates[0]
    latest = template["LatestVersionNumber"]
    version = call.api.describe_launch_template_versions(LaunchTemplateId=call.id, Versions=[str(latest)])
    newest = version["LaunchTemplateVersions"][0]
    data = newest["LaunchTemplateData"]
    # moto adds the template's own tags, which the real answer never has among the instances'.
    tags = [one for one in data.get("TagSpecifications", ()) if one["ResourceType"] != "launch-template"]
    answer = {
        **data,
        "TagSpecifications": tags,
        "LaunchTemplateName": template["LaunchTemplateName"],
        "DefaultVersion": template["DefaultVersionNumber"],
        "Description": newest.get("VersionDescription"),
    }
    outputs = {"arn": call.account.arn("ec2", f"launch-template/{call.id}"), "latestVersion": int(latest)}
    # moto's template goes on showing the tags of its birth; this call knows better, here and at AWS.
    tags = call.api.describe_tags(Filters=[{"Name": "resource-id", "Values": [call.id]}])["Tags"]
    return Reading(answer, outputs, tag_map(tags))


def _find(call: ResourceCall) -> list[str]:
    names = [{"Name": "launch-template-name", "Values": [call.inputs["name"]]}]
    templates = call.api.describe_launch_templates(Filters=names)["LaunchTemplates"]
    return [template["LaunchTemplateId"] for template in templates]


TEMPLATE = ResourceType(
    type="aws:ec2/launchTemplate:LaunchTemplate",
    service="ec2",
    cloudformation="AWS::EC2::LaunchTemplate",
    properties={
        "name": text(api="LaunchTemplateName"),
        "description": text(),
        "defaultVersion": integer(computed=True),
        "updateDefaultVersion": flag(local=True),
        **DATA,
    },
    outputs=("arn", "latestVersion"),
    volatile={"latestVersion": (*DATA, "description"), "defaultVersion": (*DATA, "description")},
    identity=("name",),
    name="name",
    name_form=("", 125),
    find=_find,
    create=_create,
    read=_read,
    changes=(
        Update((*DATA, "description"), _new_version),
        Update(("defaultVersion",), lambda call: _set_default(call, call.inputs["defaultVersion"])),
    ),
    delete=lambda call: call.api.delete_launch_template(LaunchTemplateId=call.id),
    tag=tag,
    gone=("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException"),
)

RESOURCES = (TEMPLATE,)
