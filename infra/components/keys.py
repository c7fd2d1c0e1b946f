"""A KMS key with an alias, rotated every year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import kms

DELETION_WINDOW_DAYS = (7, 30)


@dataclass(frozen=True, kw_only=True)
class EncryptionKeyResources:
    """What an EncryptionKey is made of."""

    key: kms.Key
    alias: kms.Alias


class EncryptionKey(Component):
    """`alias` without "alias/". The key's policy is KMS's default: the account decides through IAM."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        alias: str,
        description: str,
        deletion_window_days: int = 30,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        low, high = DELETION_WINDOW_DAYS
        require(
            "EncryptionKey",
            {
                f"alias: must be given without alias/, got {alias!r}": alias.startswith("alias/")
                or not alias,
                f"alias: names that begin with aws/ belong to AWS, got {alias!r}": alias.startswith("aws/"),
                f"deletion_window_days: expected {low} to {high}, got {deletion_window_days}": not (
                    low <= deletion_window_days <= high
                ),
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(alias, description, deletion_window_days)
        self.arn: pulumi.Output[str] = self.resources.key.arn
        self.register_outputs({"arn": self.arn})

    def _create(self, alias: str, description: str, deletion_window_days: int) -> EncryptionKeyResources:
        from pulumi_aws import kms

        key = kms.Key(
            self.name,
            description=description,
            enable_key_rotation=True,
            deletion_window_in_days=deletion_window_days,
            tags=self.tags(),
            opts=self.options(),
        )
        link = kms.Alias(self.name, name=f"alias/{alias}", target_key_id=key.key_id, opts=self.options())
        return EncryptionKeyResources(key=key, alias=link)
