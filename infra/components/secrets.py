"""Secrets of a service: encrypted parameters for values in hand, and the right to look up what releases refer to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.secrets import OURS
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import iam, ssm


@dataclass(frozen=True, kw_only=True)
class SecretsResources:
    """What Secrets is made of."""

    parameters: tuple[ssm.Parameter, ...]
    policy: iam.RolePolicy


class Secrets(Component):
    """`parameters`: names, each of one value for ever; `values`: those in hand. A parameter that is there keeps what it
    holds: its value is asked for when it is made, and never again. `reading`: the policy for the role `role_name`."""

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        parameters: Collection[str],
        values: Mapping[str, str],
        role_name: str,
        reading: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "Secrets",
            {f"parameter: not below {OURS}: {one!r}": not one.startswith(OURS) for one in parameters},
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(sorted(parameters), values, role_name, reading)
        self.register_outputs({})

    def _create(
        self, parameters: Collection[str], values: Mapping[str, str], role_name: str, reading: str
    ) -> SecretsResources:
        from pulumi_aws import iam, ssm

        names = {one: one.removeprefix(OURS).replace("/", "-") for one in parameters}
        made = tuple(
            ssm.Parameter(
                self.child(name),
                name=one,
                type="SecureString",
                value=pulumi.Output.secret(values.get(one, "")),
                tags=self.tags(name),
                opts=self.options(ignore_changes=["value"]),
            )
            for one, name in names.items()
        )
        policy = iam.RolePolicy(
            self.child("reading"), name=self.name, role=role_name, policy=reading, opts=self.options()
        )
        return SecretsResources(parameters=made, policy=policy)
