"""Instance types: what hardware a name means and what it costs, from `instances.json`.

"endpoint" are SageMaker's hosting types, "pool" EC2 types with NVIDIA GPUs for a cluster's nodes. Prices carry their
region, date and how sure they are; see the file's own note.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from modelpack.errors import BadInput

ADDED_BY_SAGEMAKER = 1.2
"""Its price for an instance without a GPU, over EC2's."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """`memory_mib`: of one GPU; `compute_capability`: NVIDIA's ("8.9"), what compiled kernels are for; `least_driver`:
    the oldest NVIDIA driver that knows it, "" where that of the CUDA version will do."""

    name: str
    count: int
    memory_mib: int
    compute_capability: str
    least_driver: str = ""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """`memory_mib`: main memory; `usd_hour`: on demand, in the region that the file names; None: no figure at hand."""

    name: str
    vcpus: int
    memory_mib: int
    gpu: Gpu | None
    usd_hour: float | None
    price_basis: Literal["listed", "estimated", "unknown"]


def pool(name: str) -> Instance:
    """A GPU node's instance type ("g6.xlarge"); `BadInput` with the nearest name when there is none."""
    return find(name, table("pool"), unsupported_families())


def find(name: str, known: Mapping[str, Instance], unsupported: Mapping[str, str]) -> Instance:
    """The instance type of that name; `BadInput` with the reason, or the nearest name, when there is none."""
    if name in known:
        return known[name]
    if reason := unsupported.get(name.rpartition(".")[0]):
        raise BadInput(f"instance type {name} is not supported: {reason}")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"for example {next(iter(known))}"
    raise BadInput(f"unknown instance type {name!r}", hint=hint)


@cache
def nodes() -> Mapping[str, Instance]:
    """EC2 types for a cluster's nodes: the hosting types without a GPU, which are EC2's under another name, and "pool".

    Prices of the former are SageMaker's without what it adds to EC2's (the file's note)."""
    plain = {
        name.removeprefix("ml."): replace(
            one,
            name=name.removeprefix("ml."),
            usd_hour=None if one.usd_hour is None else round(one.usd_hour / ADDED_BY_SAGEMAKER, 4),
            price_basis="unknown" if one.usd_hour is None else "estimated",
        )
        for name, one in table("endpoint").items()
        if one.gpu is None
    }
    return {**plain, **table("pool")}


@cache
def table(kind: Literal["endpoint", "pool"]) -> Mapping[str, Instance]:
    """The instance types for an endpoint, or for a cluster's GPU pools, by name."""
    return {name: _instance(name, entry) for name, entry in _document()[kind].items()}


def unsupported_families() -> Mapping[str, str]:
    """Families that no image is made for, with the reason ("ml.inf2": "AWS Inferentia ...")."""
    return dict(_document()["unsupported"])


@cache
def _document() -> Mapping[str, Any]:
    document: Mapping[str, Any] = json.loads(
        files("infra").joinpath("instances.json").read_text(encoding="utf-8")
    )
    return document


def _instance(name: str, entry: Mapping[str, Any]) -> Instance:
    gpu = None
    if "gpu" in entry:
        gpu = Gpu(
            name=entry["gpu"],
            count=entry["gpus"],
            memory_mib=entry["gpu_memory_mib"],
            compute_capability=_document()["compute_capability"][entry["gpu"]],
            least_driver=_document()["least_driver"].get(entry["gpu"], ""),
        )
    return Instance(
        name=name,
        vcpus=entry["vcpus"],
        memory_mib=entry["memory_mib"],
        gpu=gpu,
        usd_hour=entry["usd_hour"],
        price_basis=entry["price_basis"],
    )
