"""What a GPU node boots from: the image that has NVIDIA's device plugin, and how its GPUs are shared among pods.

Bottlerocket's NVIDIA image has the device plugin as a service of the host, so that a pod can ask for `nvidia.com/gpu`
with nothing installed in the cluster; Amazon Linux 2023's has driver and toolkit alone
(https://docs.aws.amazon.com/eks/latest/userguide/ml-eks-k8s-device-plugin.html). Its settings:
https://bottlerocket.dev/en/os/1.54.x/api/settings/kubelet-device-plugins
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from infra import instances
from infra.spec import GpuPoolSpec, GpuSharingSpec


@dataclass(frozen=True, kw_only=True)
class NodeImage:
    """`kind`: EKS's AMI type; `disk`: where containers are kept; `system_disk`: the system's own, "" where it is the
    same; `plugin`: whether NVIDIA's device plugin is in it; `without`: GPUs that its driver does not know, with the
    reason."""

    kind: str
    disk: str
    system_disk: str
    plugin: bool
    without: Mapping[str, str]


IMAGES: Final[Mapping[str, NodeImage]] = {
    "bottlerocket": NodeImage(
        kind="BOTTLEROCKET_x86_64_NVIDIA",
        disk="/dev/xvdb",
        system_disk="/dev/xvda",
        plugin=True,
        # Read from a node of aws-k8s-1.35-nvidia, November 2026: driver 580.
        without={"RTX PRO 4500": "its GPU needs NVIDIA driver 595, and Bottlerocket brings 580"},
    ),
    "al2023": NodeImage(
        kind="AL2023_x86_64_NVIDIA", disk="/dev/xvda", system_disk="", plugin=False, without={}
    ),
}
MIG_MODELS: Final = {
    ("A100", 40): "a100.40gb",
    ("A100", 80): "a100.80gb",
    ("H100", 80): "h100.80gb",
    ("H200", 141): "h200.141gb",
}
"""GPUs that Bottlerocket partitions, by name and GiB, as its settings name them."""
MIG_PARTS: Final = (2, 3, 4, 7)
"""Into how many, each as large as it can be."""
RESOURCE: Final = "nvidia.com/gpu"


def why_not(pool: GpuPoolSpec) -> dict[str, bool]:
    """What is wrong with the pool's image and sharing, told; true where it is so."""
    image, sharing = IMAGES.get(pool.image), pool.sharing
    if image is None:
        return {f"image: expected one of {', '.join(IMAGES)}, got {pool.image!r}": True}
    gpus = [(name, found.gpu) for name, found in find_known(pool.instances) if found.gpu]
    wrong = {
        f"instances: {name}: {image.without[gpu.name]}: image: al2023": True
        for name, gpu in gpus
        if gpu.name in image.without
    }
    if sharing is None:
        return wrong
    wrong[
        f"sharing: the image {pool.image} has no device plugin that could: image: bottlerocket"
    ] = not image.plugin
    if sharing.by == "mig":
        wrong[f"sharing: MIG makes {', '.join(map(str, MIG_PARTS))} parts of a GPU, not {sharing.parts}"] = (
            sharing.parts not in MIG_PARTS
        )
        for name, gpu in gpus:
            wrong[f"sharing: the {gpu.name} of {name} cannot be partitioned (MIG: A100, H100, H200)"] = (
                mig_model(name) is None
            )
    return wrong


def find_known(names: tuple[str, ...]) -> list[tuple[str, instances.Instance]]:
    """Those of the instance types that there are."""
    table = instances.table("pool")
    return [(name, table[name]) for name in names if name in table]


def mig_model(instance: str) -> str | None:
    """How Bottlerocket names the instance type's GPU, if it partitions it."""
    gpu = instances.pool(instance).gpu
    return MIG_MODELS.get((gpu.name, gpu.memory_mib // 1024)) if gpu else None


def user_data(sharing: GpuSharingSpec | None, names: tuple[str, ...]) -> str:
    """Bottlerocket's settings in TOML, which EKS merges with its own; "" for GPUs that are not shared.

    Shared GPUs go on being called `nvidia.com/gpu`: renamed, no pod that asks for a GPU would find one.
    """
    if sharing is None:
        return ""
    section = "[settings.kubelet-device-plugins.nvidia"
    if sharing.by == "mig":
        models = sorted({model for name in names if (model := mig_model(name))})
        lines = [f"{section}]", 'device-partitioning-strategy = "mig"', f"{section}.mig.profile]"]
        lines += [f'"{model}" = "{sharing.parts}"' for model in models]
    else:
        lines = [f"{section}]", f'device-sharing-strategy = "{sharing.by}"', f"{section}.{sharing.by}]"]
        lines += [f"replicas = {sharing.parts}", "rename-by-default = false"]
        if sharing.by == "time-slicing":
            lines.append("fail-requests-greater-than-one = true")
    return "\n".join(lines) + "\n"
