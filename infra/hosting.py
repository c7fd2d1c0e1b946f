"""How a place hosts a release's servers: a slice of the Spec that is kept with each release.

Every option is off by default, and one that is off is in no name, no record's key and no declaration: what was deployed
before an option existed stays what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le, MaxLen, MinLen

from modelpack.errors import BadInput

Seconds = Annotated[int, Ge(60), Le(3600)]
"""Bounds: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_ProductionVariant.html"""


@dataclass(frozen=True, kw_only=True)
class ServingNetwork:
    """Subnets and security groups of one VPC, by their ids; the servers get network interfaces there.

    Bounds: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_VpcConfig.html
    """

    subnets: Annotated[tuple[str, ...], MinLen(1), MaxLen(16)]
    security_groups: Annotated[tuple[str, ...], MinLen(1), MaxLen(5)]


PLATFORM: Literal["platform"] = "platform"
"""Instead of ids: the network of the environment's platform. A release keeps the ids that it was then."""


@dataclass(frozen=True, kw_only=True)
class CaptureSpec:
    """Requests and answers are kept in the service's own bucket, below `captured/`, as JSON Lines.

    `percent`: how many of the requests; `key`: the ARN of a KMS key, None: the bucket's.
    Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DataCaptureConfig.html
    """

    percent: Annotated[int, Ge(1), Le(100)]
    of: tuple[Literal["requests", "answers"], ...] = ("requests", "answers")
    key: str | None = None


@dataclass(frozen=True, kw_only=True)
class HostingOptions:
    """`network`: None: the place's own; `isolated`: the container reaches no network at all; `volume_key`: the ARN of
    the KMS key that the instances' volumes are encrypted with; `startup_timeout`: until a server must be healthy;
    `download_timeout`: for a model's files from S3; both in seconds, None: the place's own."""

    network: ServingNetwork | Literal["platform"] | None = None
    isolated: bool = False
    volume_key: str | None = None
    capture: CaptureSpec | None = None
    startup_timeout: Seconds | None = None
    download_timeout: Seconds | None = None

    @classmethod
    def of(cls, given: Any) -> Self:
        """The options among the fields of something that has more."""
        return cls(**{one.name: getattr(given, one.name) for one in fields(HostingOptions)})

    @property
    def placed(self) -> ServingNetwork | None:
        """The network by its ids, None: the place's own.

        Raises:
            BadInput: nobody has said yet which the platform's are.
        """
        if isinstance(self.network, str):
            raise BadInput(
                "network: the platform's subnets and group are not known here", hint="ecomdeploy up"
            )
        return self.network

    def as_data(self) -> Mapping[str, Any]:
        """Those that are not off, as data; empty: nothing was asked for."""
        import msgspec

        found = {one.name: getattr(self, one.name) for one in fields(HostingOptions)}
        asked = {name: value for name, value in found.items() if value is not None and value is not False}
        return {name: msgspec.to_builtins(value) for name, value in asked.items()}
