"""What differs between the Kubernetes of one cloud and of another, as data: how their nodes and GPUs are told, which
taints keep others off GPU nodes, and how their registries are logged in to.

GKE: https://cloud.google.com/kubernetes-engine/docs/how-to/gpus (label `cloud.google.com/gke-accelerator`, taint
`nvidia.com/gpu`); AKS: https://learn.microsoft.com/azure/aks/use-nvidia-gpu (taint `sku=gpu`); any cluster with
NVIDIA's operator: GPU feature discovery's `nvidia.com/gpu.product`; EKS: a node's instance type, which Kubernetes
itself tells. By these pages and nothing else: none of it was tried on a cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
PRODUCT = "nvidia.com/gpu.product"
LABELS = "https://docs.nvidia.com/datacenter/cloud-native/gpu-operator/latest/"

PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "T4": ("Tesla-T4",),
    "A10G": ("NVIDIA-A10G",),
    "L4": ("NVIDIA-L4",),
    "L40S": ("NVIDIA-L40S",),
    "A100": ("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"),
    "H100": ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe", "NVIDIA-H100-NVL"),
    "H200": ("NVIDIA-H200",),
    "B200": ("NVIDIA-B200",),
}
"""GPU feature discovery's words: what the driver calls the GPU, with dashes."""

ACCELERATORS: Mapping[str, tuple[str, ...]] = {
    "T4": ("nvidia-tesla-t4",),
    "L4": ("nvidia-l4",),
    "A100": ("nvidia-tesla-a100", "nvidia-a100-80gb"),
    "H100": ("nvidia-h100-80gb", "nvidia-h100-mega-80gb"),
    "H200": ("nvidia-h200-141gb",),
    "B200": ("nvidia-b200",),
}
"""GKE's words."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """`provider_id`: what its nodes' `spec.providerID` begins with; `gpu_label` and `gpus`: the node label that tells
    the GPU, and its values by the GPU's name in `instances.json` (no values: the instance type itself); `taints`: key
    and value of those on GPU nodes beside `nvidia.com/gpu`; `login`: what gives the docker config file the registry's
    credentials; `repositories`: what a registry there wants before the first push, "" nothing."""

    name: str
    provider_id: str
    login: str
    gpu_label: str = PRODUCT
    gpus: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PRODUCTS)
    taints: tuple[tuple[str, str], ...] = ()
    repositories: str = ""

    def gpu_values(self, instance: str, gpu: str) -> tuple[str, ...]:
        """Values of `gpu_label` on nodes that have that GPU; none where its name there is not known."""
        return (instance,) if self.gpu_label == INSTANCE_TYPE else self.gpus.get(gpu, ())


@cache
def distributions() -> Mapping[str, Distribution]:
    """All of them, by name."""
    return {
        one.name: one
        for one in (
            Distribution(
                name="aks",
                provider_id="azure://",
                login="az acr login --name REGISTRY",
                taints=(("sku", "gpu"),),
            ),
            Distribution(
                name="gke",
                provider_id="gce://",
                login="gcloud auth configure-docker HOST",
                gpu_label="cloud.google.com/gke-accelerator",
                gpus=ACCELERATORS,
                repositories="gcloud artifacts repositories create NAME --repository-format=docker",
            ),
            Distribution(
                name="eks",
                provider_id="aws://",
                login="aws ecr get-login-password | docker login --username AWS --password-stdin HOST",
                gpu_label=INSTANCE_TYPE,
                repositories="aws ecr create-repository --repository-name NAME",
            ),
            Distribution(name="kind", provider_id="kind://", login="docker login HOST"),
            Distribution(name="bare", provider_id="", login="docker login HOST"),
        )
    }
