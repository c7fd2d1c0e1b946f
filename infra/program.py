"""What every stack program begins with: its settings, its tags, its provider.

Settings are one JSON document in the Pulumi config key `<project>:settings` (docs/architecture/rooms/infra.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pulumi

from infra.kubernetes.eks_login import kubeconfig
from infra.names import partition_of
from infra.tags import Tags
from modelpack.errors import BadInput

if TYPE_CHECKING:
    import pulumi_aws
    import pulumi_kubernetes

    from infra.components.cluster import Cluster

T = TypeVar("T")
BOUNDARY = "permissions_boundary"
COMMON = ("environment", "cloud")
OF_AWS = ("region", "account")
CLOUDS = ("aws", "local", "cluster")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`cloud`: "aws", "local" (the emulated one) or "cluster" (one that is there already; no region, no account);
    `data`: the whole document, for what programs add."""

    environment: str
    cloud: str
    region: str = ""
    account: str = ""
    data: Mapping[str, Any] = field(repr=False)

    @property
    def local(self) -> bool:
        return self.cloud == "local"

    @property
    def partition(self) -> str:
        """AWS's partition of the region."""
        return partition_of(self.region)

    def text(self, key: str) -> str:
        """A setting that must be there."""
        value = self.data.get(key)
        if not isinstance(value, str) or not value:
            raise BadInput(f"settings: {key} is missing", hint="`ecomdeploy up` writes the settings")
        return value

    def section(self, key: str, kind: type[T], empty: Any = MappingProxyType({})) -> T:
        """A part of the settings as one of that `kind`; left out: what `empty` makes."""
        try:
            return msgspec.convert(self.data.get(key) or empty, kind)
        except msgspec.ValidationError as error:
            raise BadInput(f"settings: {key} does not read: {error}") from None


def parse(document: str) -> Settings:
    """The settings from their JSON text; `BadInput` names what is missing."""
    try:
        data = json.loads(document)
    except ValueError as error:
        raise BadInput(f"settings: not JSON: {error}") from None
    said = data if isinstance(data, dict) else {}
    needed = COMMON if said.get("cloud") == "cluster" else (*COMMON, *OF_AWS)
    missing = [key for key in needed if not said.get(key)]
    if missing:
        raise BadInput(f"settings: {', '.join(missing)} missing", hint="`ecomdeploy up` writes the settings")
    if data["cloud"] not in CLOUDS:
        raise BadInput(f"settings: cloud: expected one of {', '.join(CLOUDS)}, got {data['cloud']!r}")
    return Settings(data=data, **{key: data[key] for key in needed})


def settings() -> Settings:
    """The running program's settings, in force for what it declares from here on."""
    given = parse(pulumi.Config().require("settings"))
    bound_roles(given)
    return given


def project_tags(given: Settings, project: str) -> Tags:
    """Tags for the running stack."""
    return Tags(
        project=project,
        stack=f"{pulumi.get_project()}/{pulumi.get_stack()}",
        environment=given.environment,
        owner=str(given.data.get("owner") or ""),
        more=given.section("tags", dict[str, str]),
    )


def bound_roles(given: Settings) -> None:
    """Put the account's permissions boundary on every role of the program, whichever component makes it."""
    boundary = given.data.get("permissions_boundary")
    if not boundary:
        return

    def bind(declared: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if declared.type_ != "aws:iam/role:Role":
            return None
        return pulumi.ResourceTransformationResult({**declared.props, BOUNDARY: boundary}, declared.opts)

    pulumi.runtime.register_stack_transformation(bind)


def provider(given: Settings) -> pulumi_aws.Provider:
    """An explicit provider that works in the one account and region of the settings, or not at all.

    The local cloud's address comes from `AWS_ENDPOINT_URL`, as for every AWS client.
    """
    import pulumi_aws

    local = True if given.local else None
    made: pulumi_aws.Provider = pulumi_aws.Provider(
        "aws",
        region=given.region,
        allowed_account_ids=[given.account],
        s3_use_path_style=local,
        skip_metadata_api_check=local,
    )
    return made


def kubernetes_provider(given: Settings) -> pulumi_kubernetes.Provider:
    """An explicit provider for the cluster that `KUBECONFIG` names, in the context of the settings where they name
    one."""
    import pulumi_kubernetes

    return pulumi_kubernetes.Provider("kubernetes", context=given.data.get("context"))


def provider_in(cluster: Cluster, region: str) -> pulumi_kubernetes.Provider:
    """An explicit provider for a cluster of this program, of its own outputs; whoever runs it logs in."""
    import pulumi_kubernetes

    made = cluster.resources.cluster
    told = pulumi.Output.all(made.name, made.endpoint, made.certificate_authority)
    text = told.apply(lambda one: json.dumps(kubeconfig(one[0], region, one[1], one[2]["data"])))
    return pulumi_kubernetes.Provider("kubernetes", kubeconfig=text)


def run(main: Callable[[], None]) -> None:
    """Run a program's `main`; bad input ends it with its message instead of a traceback."""
    try:
        main()
    except BadInput as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise pulumi.RunError(f"{error}{hint}") from None
