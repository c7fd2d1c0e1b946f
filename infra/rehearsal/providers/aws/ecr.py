"""Amazon ECR: image repository."""

from __future__ import annotations

from infra.rehearsal.providers.aws.property_types import camel, flag, items, text, thing
from infra.rehearsal.providers.aws.resource import (
    Reading,
    ResourceCall,
    ResourceType,
    Update,
    tagger,
)
from infra.tags import tag_map


def _create_repository(call: ResourceCall) -> str:
    body = call.body(without=("encryptionConfigurations",))
    for wanted in call.body("encryptionConfigurations").values():
        body["encryptionConfiguration"] = wanted[0]
    repository = call.api.create_repository(**body, tags=call.pairs())["repository"]
    return str(repository["repositoryName"])


def _read_repository(call: ResourceCall) -> Reading:
    repository = call.api.describe_repositories(repositoryNames=[call.id])["repositories"][0]
    arn = repository["repositoryArn"]
    encryption = repository.get("encryptionConfiguration")
    return Reading(
        {**repository, "encryptionConfigurations": [encryption] if encryption else []},
        {"arn": arn, "registryId": repository["registryId"], "repositoryUrl": repository["repositoryUri"]},
        tag_map(call.api.list_tags_for_resource(resourceArn=arn)["tags"]),
    )


REPOSITORY = ResourceType(
    type="aws:ecr/repository:Repository",
    service="ecr",
    spelling=camel,
    cloudformation="AWS::ECR::Repository",
    properties={
        "name": text(api="repositoryName", cfn="RepositoryName"),
        "imageTagMutability": text(default="MUTABLE"),
        "imageScanningConfiguration": thing({"scanOnPush": flag(required=True)}),
        "encryptionConfigurations": items(
            {"encryptionType": text(default="AES256"), "kmsKey": text(computed=True)},
            cfn="EncryptionConfiguration",
            computed=True,
        ),
        "forceDelete": flag(local=True, cfn="EmptyOnDelete"),
    },
    outputs=("arn", "registryId", "repositoryUrl"),
    identity=("name",),
    name="name",
    create=_create_repository,
    read=_read_repository,
    changes=(
        Update(
            ("imageTagMutability",),
            lambda call: call.api.put_image_tag_mutability(
                repositoryName=call.id, **call.body("imageTagMutability")
            ),
        ),
        Update(
            ("imageScanningConfiguration",),
            lambda call: call.api.put_image_scanning_configuration(
                repositoryName=call.id,
                imageScanningConfiguration=call.body("imageScanningConfiguration").get(
                    "imageScanningConfiguration", {"scanOnPush": False}
                ),
            ),
        ),
    ),
    delete=lambda call: call.api.delete_repository(
        repositoryName=call.id, force=bool(call.inputs.get("forceDelete"))
    ),
    tag=tagger("tag_resource", "untag_resource", "resourceArn", tags="tags", keys="tagKeys"),
    gone=("RepositoryNotFoundException",),
)


RESOURCES = (REPOSITORY,)
