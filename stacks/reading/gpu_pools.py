"""Rules of a GPU pool: who brings its nodes, what they boot from, and how pods share their GPUs.

They read the plain document, as those of rules.py do.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.gpu_nodes import IMAGES, MIG_PARTS, find_known, mig_model
from infra.spec import GpuPoolSpec
from stacks.reading.document import Value

DEFAULT = str(GpuPoolSpec.__dataclass_fields__["image"].default)
OTHER = "image: {}"


def who_brings(pool: Value) -> Iterator[tuple[Value, str, str]]:
    """What only a node group has, and what only Karpenter does."""
    by = pool.at("by")
    if by is None or by.data != "karpenter":
        if (idle := pool.at("idle_minutes")) is not None:
            yield idle, "only Karpenter lets empty nodes go; a node group keeps them", "by: karpenter"
        return
    for name in ("min", "desired"):
        at = pool.at(name)
        if at is not None and at.data:
            yield (
                at,
                f"Karpenter brings nodes for pods that wait, and has no {name} of them",
                "by: node-group",
            )


def gpu_images(pool: Value) -> Iterator[tuple[Value, str, str]]:
    """Every broken one of a pool."""
    at, sharing = pool.at("image"), pool.at("sharing")
    image = IMAGES.get(str(at.data) if at else DEFAULT)
    if image is None:
        return
    by = sharing.at("by") if sharing is not None else None
    partitioned = by is not None and by.data == "mig"
    if sharing is not None and sharing.data is not None and not image.plugin:
        yield (
            sharing,
            f"needs a device plugin in the image, and {at.data if at else DEFAULT} has none",
            (OTHER.format("bottlerocket")),
        )
    listed = pool.at("instances")
    for each in listed.data if listed and isinstance(listed.data, list) else ():
        for name, found in find_known((str(each.data),)):
            if found.gpu and (reason := image.without.get(found.gpu.name)):
                yield each, f"{name}: {reason}", OTHER.format("al2023")
            elif partitioned and mig_model(name) is None:
                gpu = found.gpu.name if found.gpu else ""
                yield each, f"the {gpu} of {name} cannot be partitioned", "MIG: A100, H100, H200"
    parts = sharing.at("parts") if sharing is not None else None
    if partitioned and parts is not None and isinstance(parts.data, int) and parts.data not in MIG_PARTS:
        yield parts, f"MIG does not make {parts.data} parts", f"one of {', '.join(map(str, MIG_PARTS))}"
