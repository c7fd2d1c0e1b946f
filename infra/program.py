"""What every stack program begins with: its settings, its tags, its AWS provider.

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

from infra.tags import Tags
from modelpack.errors import BadInput

if TYPE_CHECKING:
    import pulumi_aws

T = TypeVar("T")
COMMON = ("environment", "region", "account", "cloud")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`cloud`: "aws" or "local" (the emulated one); `data`: the whole document, for what programs add."""

    environment: str
    region: str
    account: str
    cloud: str
    data: Mapping[str, Any] = field(repr=False)

    @property
    def local(self) -> bool:
        return self.cloud == "local"

    @property
    def partition(self) -> str:
        """AWS's partition of the region ("aws-cn" for cn-north-1)."""
        heads = {"cn": "aws-cn", "us-gov": "aws-us-gov"}
        return next((name for head, name in heads.items() if self.region.startswith(f"{head}-")), "aws")

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
    missing = [key for key in COMMON if not isinstance(data, dict) or not data.get(key)]
    if missing:
        raise BadInput(f"settings: {', '.join(missing)} missing", hint="`ecomdeploy up` writes the settings")
    if data["cloud"] not in ("aws", "local"):
        raise BadInput(f'settings: cloud: expected "aws" or "local", got {data["cloud"]!r}')
    return Settings(data=data, **{key: data[key] for key in COMMON})


def settings() -> Settings:
    """The running program's settings."""
    return parse(pulumi.Config().require("settings"))


def project_tags(given: Settings, project: str) -> Tags:
    """Tags for the running stack."""
    return Tags(
        project=project, stack=f"{pulumi.get_project()}/{pulumi.get_stack()}", environment=given.environment
    )


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


def run(main: Callable[[], None]) -> None:
    """Run a program's `main`; bad input ends it with its message instead of a traceback."""
    try:
        main()
    except BadInput as error:
        hint = f" ({error.hint})" if error.hint else ""
        raise pulumi.RunError(f"{error}{hint}") from None
