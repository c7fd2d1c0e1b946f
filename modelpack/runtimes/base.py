"""What executes a model: to measure it here, and to serve it in the image. One file per runtime."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from modelpack.errors import BadInput
from modelpack.formats.signature import Run, Signature
from modelpack.formats.variant import Variant
from modelpack.inputs.catalog import Catalog
from modelpack.runtimes.hardware import CPU


class Loadable(Protocol):
    """What a runtime asks of the use case whose model it opens; `decoding_of` tells a language model."""

    @property
    def name(self) -> str: ...

    @property
    def max_batch(self) -> int:
        """The most rows of one call."""

    def signature(self) -> Signature:
        """The model file's inputs and outputs."""

    def load(self, path: Path) -> Any:
        """The trained torch module of a `.safetensors` file. Raises BadInput."""


class Runtime(abc.ABC):
    """An executor of variants of one `format`.

    What an image needs to serve with it stands here as data: `debian_packages` (their closure is taken) and
    `requirements` (wheels) without the `unneeded` ones that serving never imports. `hardware` is "cpu" or "cuda".
    One that does not `serve` only measures here. For the rest see `modelpack.image.parts.ImageParts`:
    `host_libraries` (sonames of the driver), `opened` (sonames opened by name), `left_out` (files of the wheels) and
    `environment` of the image. `cuda` is the CUDA version of its wheels; `device_code` the distribution and its library
    whose kernels decide which GPUs can run it; `arithmetic` the
    roughest that it calculates in (float32, float16, bfloat16), which a language model's golden answers must outlast;
    `instructions` the least x86-64 level (numpy 2.4's own is x86-64-v2).
    """

    name: ClassVar[str]
    format: ClassVar[str]
    arithmetic: ClassVar[str] = "float32"
    hardware: ClassVar[str] = CPU
    serves: ClassVar[bool] = True
    debian_suite: ClassVar[str] = "bookworm"
    debian_packages: ClassVar[tuple[str, ...]] = ()
    unneeded: ClassVar[frozenset[str]] = frozenset()
    host_libraries: ClassVar[frozenset[str]] = frozenset()
    opened: ClassVar[tuple[str, ...]] = ()
    left_out: ClassVar[tuple[str, ...]] = ()
    environment: ClassVar[Mapping[str, str]] = MappingProxyType({})
    cuda: ClassVar[str] = ""
    device_code: ClassVar[tuple[str, str]] = ("", "")
    instructions: ClassVar[str] = "x86-64-v2"

    def at_hand(self) -> bool:
        """Whether this machine has the hardware, so that figures taken here are figures of it."""
        return self.hardware == CPU

    def where(self) -> str:
        """What figures taken here are taken on."""
        from modelpack.runtimes.hardware import hardware

        return hardware()

    def requirements(self) -> tuple[str, ...]:
        """The wheels wanted, as requirement lines; what they need in turn is resolved."""
        return ()

    @abc.abstractmethod
    def open(self, variant: Variant, task: Loadable) -> Run:
        """The variant ready to run on one thread, as the server will run it."""

    def open_inner(self, variant: Variant, task: Loadable, value: str) -> Run | None:
        """The variant as one that answers the value of that name within it alone; None where it cannot be read."""
        return None


def runtimes() -> Catalog[Runtime]:
    """The runtimes known here."""
    return Catalog[Runtime]("runtime", "modelpack.runtimes", Runtime)


def runtime_for(wanted: str, hardware: str = CPU) -> Runtime:
    """The runtime that executes variants of the `wanted` format on the `hardware`. Raises BadInput when none does."""
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    fitting = [one for one in every if (one.format, one.hardware) == (wanted, hardware)]
    if not fitting:
        raise BadInput(f"no runtime executes the format {wanted!r} on {hardware!r}")
    return fitting[0]


def at_hand(hardware: str) -> bool:
    """Whether what is measured here is measured on that hardware."""
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    return any(one.at_hand() for one in every if one.serves and one.hardware == hardware)


def formats_of(hardware: str) -> frozenset[str]:
    """The formats that a runtime for the `hardware` executes."""
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    return frozenset(one.format for one in every if one.hardware == hardware)


def served_formats(hardware: str = CPU) -> frozenset[str]:
    """The formats that a runtime serves on the `hardware`."""
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    return frozenset(one.format for one in every if one.serves and one.hardware == hardware)
