"""What a run wants, made once from the Spec, so that nothing further down derives it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from infra.hosting import HostingOptions
from infra.hosts import Hosts
from modelpack.runtimes.hardware import CPU, CUDA
from stacks.pulumi_driver.driver import Stack
from stacks.records.release import Policy, ServingConfiguration
from stacks.secrets import Confidential, read_secrets
from stacks.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Names, stacks, serving configuration and policy of one service in one environment.

    `hosts`: what its target runs releases on; `hardware`: what its pack is for, "cpu" or "cuda"; `bucket`: of the
    release records (bucket names are one namespace for all of S3: the account makes this one ours; at most 63
    characters), "" on a cluster that is there already, whose namespace has them. The platform is one per environment:
    services share it.
    """

    spec: Spec
    hosts: Hosts
    hardware: str
    serving: ServingConfiguration
    policy: Policy
    base: Stack
    service: Stack
    platform: Stack
    bucket: str
    confidential: Confidential

    @classmethod
    def of(cls, spec: Spec, hosts: Hosts, variables: Mapping[str, str] = MappingProxyType({})) -> Wanted:
        """`variables`: of whoever ships, for the secrets that the spec reads from them."""
        confidential = read_secrets(spec, variables)
        hardware = spec.pack.hardware or (CUDA if hosts.has_gpu(spec.serve.instance) else CPU)
        return cls(
            spec=spec,
            hosts=hosts,
            hardware=hardware,
            serving=ServingConfiguration(
                target=spec.serve.target,
                instance=spec.serve.instance,
                environment=dict(confidential.environment),
                host_image=choose_host_image(spec, hosts, hardware),
                hosting=HostingOptions.of(spec.serve),
            ),
            policy=Policy(scale=msgspec.to_builtins(spec.scale), rollout=msgspec.to_builtins(spec.rollout)),
            base=Stack("base", spec.name),
            service=Stack("service", spec.name),
            platform=Stack("platform", spec.environment.name),
            bucket="" if spec.environment.cluster else f"{spec.name}-{spec.environment.account}",
            confidential=confidential,
        )

    @property
    def endpoint(self) -> str:
        return self.spec.name

    @property
    def records(self) -> str:
        """Where the release records are, in words."""
        return f"bucket {self.bucket}" if self.bucket else f"namespace {self.spec.environment.namespace}"

    @property
    def trains_elsewhere(self) -> bool:
        """Whether its model is trained by a job, and not on this machine."""
        return self.spec.model.trained_elsewhere

    @property
    def local(self) -> bool:
        """Whether it runs on the local cloud."""
        return self.spec.environment.cloud == "local"


def choose_host_image(spec: Spec, hosts: Hosts, hardware: str) -> str:
    """What the instances boot from: what the spec names, else the newest for a GPU pack, else none ("").

    Without one the target's own choice holds, whose driver may be too old for the pack's CUDA.
    """
    if spec.serve.host_image is not None:
        return spec.serve.host_image
    newest = hosts.newest_image()
    return newest.name if newest and hardware == CUDA and hosts.has_gpu(spec.serve.instance) else ""
