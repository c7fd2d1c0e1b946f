"""Which NVIDIA driver an endpoint's host has: SageMaker's inference AMIs and its defaults, from `gpu_hosts.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Ami:
    """A host image of SageMaker (`InferenceAmiVersion`): its NVIDIA driver and the newest CUDA that this runs."""

    name: str
    driver: str
    cuda: str


def amis() -> Mapping[str, Ami]:
    """The AMIs for NVIDIA GPUs by name, the oldest driver first."""
    listed = _document()["sagemaker"]["amis"]
    every = [Ami(name=name, driver=one["driver"], cuda=one["cuda"]) for name, one in listed.items()]
    return {ami.name: ami for ami in sorted(every, key=lambda ami: (version(ami.driver), ami.name))}


def newest() -> Ami:
    """The AMI with the newest driver: drivers run what was built for older ones."""
    return list(amis().values())[-1]


def driver(instance: str, ami: str = "") -> str | None:
    """The driver that an endpoint on this instance type finds; None where no page says it. Unknown AMIs have none."""
    if ami:
        found = amis().get(ami)
        return found.driver if found else None
    default: str | None = _document()["sagemaker"]["default_driver"].get(instance.rpartition(".")[0])
    return default


def version(text: str) -> tuple[int, ...]:
    """A version to compare: "580.65.06" -> (580, 65, 6)."""
    return tuple(int(part) for part in text.split("."))


@cache
def _document() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(files("infra").joinpath("gpu_hosts.json").read_text("utf-8"))
    return found
