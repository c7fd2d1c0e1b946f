"""An ECR repository whose tags never move."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import ecr

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*(?:/[a-z0-9]+(?:[._-][a-z0-9]+)*)*")
"""https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html"""


@dataclass(frozen=True, kw_only=True)
class RegistryResources:
    """What a Registry is made of."""

    repository: ecr.Repository


class Registry(Component):
    """Images are scanned at push; encrypted with `key_arn`, or with AES-256 without one.

    ECR cannot change a repository's key: one that stands keeps the key that it was made with, and its images with it.
    `empty_on_delete`: whether deleting the repository takes its images along.
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        repository: str,
        key_arn: pulumi.Input[str] | None = None,
        empty_on_delete: bool = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "Registry",
            {
                f"repository: lower-case letters and digits, with - _ . / between, got {repository!r}": not (
                    2 <= len(repository) <= 256 and NAME.fullmatch(repository)
                )
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(repository, key_arn, empty_on_delete)
        self.url: pulumi.Output[str] = self.resources.repository.repository_url
        self.arn: pulumi.Output[str] = self.resources.repository.arn
        self.register_outputs({"url": self.url})

    def _create(
        self, repository: str, key_arn: pulumi.Input[str] | None, empty_on_delete: bool
    ) -> RegistryResources:
        from pulumi_aws import ecr

        return RegistryResources(
            repository=ecr.Repository(
                self.name,
                name=repository,
                image_tag_mutability="IMMUTABLE",
                image_scanning_configuration={"scan_on_push": True},
                encryption_configurations=[
                    {"encryption_type": "KMS", "kms_key": key_arn}
                    if key_arn
                    else {"encryption_type": "AES256"}
                ],
                force_delete=empty_on_delete,
                tags=self.tags(),
                # Another key would need another repository, and the images would go with this one.
                opts=self.options(ignore_changes=["encryptionConfigurations"]),
            )
        )
