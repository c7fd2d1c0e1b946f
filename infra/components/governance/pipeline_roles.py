"""The two roles that a pipeline assumes by a token of its job: one that looks, one that ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from infra.component import Component, require
from infra.components.role import policy
from infra.deployer.service import DeployerScope, find_issuer, list_reading, list_shipping
from infra.deployer.state import Statement
from infra.spec import PipelineAccessSpec
from infra.tags import Tags

if TYPE_CHECKING:
    from pulumi_aws import iam

AUDIENCE = "sts.amazonaws.com"
SESSION_SECONDS = 7200
"""How long a job that ships may take."""


@dataclass(frozen=True, kw_only=True)
class PipelineRolesResources:
    """What PipelineRoles is made of. `provider`: None where the account has it already."""

    provider: iam.OpenIdConnectProvider | None
    roles: tuple[iam.Role, ...]
    policies: tuple[iam.RolePolicy, ...]


class PipelineRoles(Component):
    """Named as `ci init` has them: ecomdeploy-<service>-<environment>-plan and -deploy. Neither may change itself.

    Sources: https://docs.github.com/actions/reference/security/oidc and https://docs.gitlab.com/ci/cloud_services/aws/
    """

    def __init__(
        self,
        name: str,
        *,
        project_tags: Tags,
        access: PipelineAccessSpec,
        scope: DeployerScope,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        require(
            "PipelineRoles",
            {
                f"repository: expected ORG/REPO, got {access.repository!r}": "/" not in access.repository,
                "repository and branch name one, without * or ?": bool(
                    {"*", "?"} & {*access.repository, *access.branch, *(access.environment or "")}
                ),
                "environment: only a token of GitHub names one": bool(access.environment)
                and access.issuer != "github",
            },
        )
        super().__init__(name, project_tags=project_tags, opts=opts)
        self.resources = self._create(access, scope)
        self.arns: tuple[pulumi.Output[str], ...] = tuple(role.arn for role in self.resources.roles)
        self.register_outputs({"arns": list(self.arns)})

    def _create(self, access: PipelineAccessSpec, scope: DeployerScope) -> PipelineRolesResources:
        from pulumi_aws import iam

        provider, host = None, find_issuer(access.issuer)
        if access.make_provider:
            provider = iam.OpenIdConnectProvider(
                self.child("issuer"),
                url=f"https://{host}",
                client_id_lists=[AUDIENCE],
                tags=self.tags("issuer"),
                opts=self.options(),
            )
        federated = f"arn:{scope.partition}:iam::{scope.account}:oidc-provider/{host}"
        asking, shipping = list_subjects(access)
        tasks: dict[str, tuple[Sequence[str], list[Statement]]] = {
            "plan": (asking, list_reading(scope)),
            "deploy": (shipping, [*list_reading(scope), *list_shipping(scope)]),
        }
        roles, policies = [], []
        for task, (subjects, statements) in tasks.items():
            role = iam.Role(
                self.child(task),
                name=f"ecomdeploy-{scope.name}-{task}",
                assume_role_policy=trust_tokens(federated, host, subjects),
                max_session_duration=SESSION_SECONDS,
                force_detach_policies=True,
                tags=self.tags(task),
                opts=self.options(depends_on=[provider] if provider else []),
            )
            unnamed = ({key: one[key] for key in one if key != "Sid"} for one in statements)
            roles.append(role)
            policies.append(
                iam.RolePolicy(
                    self.child(f"{task}-policy"),
                    name=task,
                    role=role.name,
                    policy=policy(*unnamed),
                    opts=self.options(),
                )
            )
        return PipelineRolesResources(provider=provider, roles=tuple(roles), policies=tuple(policies))


def list_subjects(access: PipelineAccessSpec) -> tuple[list[str], list[str]]:
    """The `sub` of tokens that may look, and of those that may ship."""
    if access.issuer == "github":
        head = f"repo:{access.repository}"
        merged = f"{head}:ref:refs/heads/{access.branch}"
        ships = f"{head}:environment:{access.environment}" if access.environment else merged
        return [f"{head}:pull_request", merged, *([ships] if access.environment else [])], [ships]
    head = f"project_path:{access.repository}:ref_type:branch:ref"
    return [f"{head}:*"], [f"{head}:{access.branch}"]


def trust_tokens(federated: str, host: str, subjects: Sequence[str]) -> str:
    """Who may take a role: a job whose token is for AWS, and has one of these subjects."""
    return policy(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": federated},
            "Condition": {
                "StringEquals": {f"{host}:aud": AUDIENCE},
                "StringLike": {f"{host}:sub": list(subjects)},
            },
        }
    )
