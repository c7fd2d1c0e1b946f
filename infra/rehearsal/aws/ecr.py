"""Amazon ECR: image repository and its lifecycle policy."""

from __future__ import annotations

from infra.rehearsal.aws.kinds import camel, flag, items, policy, text, thing
from infra.rehearsal.aws.resource import Call, Change, Reading, Resource, tag_map


def _create_repository(call: Call) -> str:
    body = call.body(without=("encryptionConfigurations",))
    for wanted in call.body("encryptionConfigurations").values():
        body["encryptionConfiguration"] = wanted[0]
    repository = call.api.create_repository(**body, tags=call.pairs())["repository"]
    return str(repository["repositoryName"])


def _read_repository(call: Call) -> Reading:
    repository = call.api.describe_repositories(repositoryNames=[call.id])["repositories"][0]
    arn = repository["repositoryArn"]
    encryption = repository.get("encryptionConfiguration")
    return Reading(
        {**repository, "encryptionConfigurations": [encryption] if encryption else []},
        {"arn": arn, "registryId": repository["registryId"], "repositoryUrl": repository["repositoryUri"]},
        tag_map(call.api.list_tags_for_resource(resourceArn=arn)["tags"]),
    )


def _tag(call: Call, add: dict[str, str], drop: list[str]) -> None:
    arn = call.outputs["arn"]
    if add:
        call.api.tag_resource(resourceArn=arn, tags=[{"Key": key, "Value": add[key]} for key in sorted(add)])
    if drop:
        call.api.untag_resource(resourceArn=arn, tagKeys=drop)


REPOSITORY = Resource(
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
    find=lambda call: [call.inputs["name"]],
    create=_create_repository,
    read=_read_repository,
    changes=(
        Change(
            ("imageTagMutability",),
            lambda call: call.api.put_image_tag_mutability(
                repositoryName=call.id, **call.body("imageTagMutability")
            ),
        ),
        Change(
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
    tag=_tag,
    gone=("RepositoryNotFoundException",),
)


def _put_policy(call: Call) -> str:
    call.api.put_lifecycle_policy(
        repositoryName=call.inputs["repository"], lifecyclePolicyText=call.inputs["policy"]
    )
    return str(call.inputs["repository"])


def _read_policy(call: Call) -> Reading:
    answer = call.api.get_lifecycle_policy(repositoryName=call.id)
    return Reading(
        {"repository": answer["repositoryName"], "policy": answer["lifecyclePolicyText"]},
        {"registryId": answer["registryId"]},
    )


SOURCE = "internal/service/ecr/lifecycle_policy.go"
LIFECYCLE = Resource(
    type="aws:ecr/lifecyclePolicy:LifecyclePolicy",
    service="ecr",
    spelling=camel,
    properties={
        "repository": text(required=True, replaces=True, source=SOURCE),
        "policy": policy(required=True, replaces=True, source=SOURCE),
    },
    outputs=("registryId",),
    identity=("repository",),
    create=_put_policy,
    read=_read_policy,
    delete=lambda call: call.api.delete_lifecycle_policy(repositoryName=call.id),
    gone=("RepositoryNotFoundException", "LifecyclePolicyNotFoundException"),
)

RESOURCES = (REPOSITORY, LIFECYCLE)
