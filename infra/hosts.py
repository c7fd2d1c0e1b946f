"""What releases run on: the instance types a target has, and its host images with the NVIDIA driver they bring.

The tables are a target's own (`infra/targets/sagemaker/hosts.py`); the questions are the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.instances import Instance, find


@dataclass(frozen=True, kw_only=True)
class HostImage:
    """What an instance boots from: its NVIDIA driver, and the newest CUDA that this runs."""

    name: str
    driver: str
    cuda: str


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """`unsupported`: families that no image is made for, with the reason; `unscalable`: families that cannot scale
    automatically, with the reason; `scaling_pins_instance`: an endpoint that scales automatically can change to no
    other instance type; `counts_by_hand`: without automatic scaling it keeps the number of replicas that it has,
    whatever is declared; `default_drivers`: by family, where no host image is named; `with_gpu`: an instance
    to name when somebody needs a GPU; `default`: what a spec that names none gets; `quota`: service and name of the
    account's quota of an instance type, at AWS's Service Quotas, a form ("{instance} for endpoint usage");
    `with_own_storage`: instance types with disks of their own, for which no key can be chosen."""

    instances: Mapping[str, Instance]
    with_gpu: str
    default: str = ""
    unsupported: Mapping[str, str] = field(default_factory=dict)
    unscalable: Mapping[str, str] = field(default_factory=dict)
    scaling_pins_instance: bool = False
    counts_by_hand: bool = False
    images: Mapping[str, HostImage] = field(default_factory=dict)
    default_drivers: Mapping[str, str] = field(default_factory=dict)
    quota: tuple[str, str] | None = None
    with_own_storage: frozenset[str] = frozenset()

    def instance(self, name: str) -> Instance:
        """The instance type of that name; `BadInput` with the nearest when there is none."""
        return find(name, self.instances, self.unsupported)

    def has_gpu(self, name: str) -> bool:
        """Whether it is a known instance type with an NVIDIA GPU."""
        return name in self.instances and self.instances[name].gpu is not None

    def newest_image(self) -> HostImage | None:
        """The one with the newest driver: drivers run what was built for older ones."""
        return max(self.images.values(), key=lambda image: (version(image.driver), image.name), default=None)

    def driver(self, instance: str, image: str = "") -> str | None:
        """The driver that a release finds there; None where no page says it, or the image is not known."""
        if image:
            return self.images[image].driver if image in self.images else None
        return self.default_drivers.get(instance.rpartition(".")[0])


def version(text: str) -> tuple[int, ...]:
    """A version to compare: "580.65.06" -> (580, 65, 6)."""
    return tuple(int(part) for part in text.split("."))
