"""What a pack needs of the machine that runs it: data in its record, its labels and its `serving.json`.

Nothing of it is promised by hand: the CUDA version is that of the locked runtime library, the driver follows from
NVIDIA's table (`cuda.json`), and the architectures are read from the device code in the locked wheel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from modelpack.errors import EcomdeployError
from modelpack.image.binaries.fatbin import Kernels, kernels
from modelpack.image.parts import Wheel
from modelpack.image.wheels.files import open_wheel
from modelpack.pack import PLATFORM
from modelpack.runtimes.base import Runtime, runtimes
from modelpack.runtimes.hardware import CPU
from modelpack.sources.archive import DAMAGED

CUDA_RUNTIME = "nvidia-cuda-runtime"


@dataclass(frozen=True, kw_only=True)
class Binding:
    """`instructions`: the least x86-64 level (gitlab.com/x86-psABIs); `cuda`: version of the CUDA runtime in the image;
    `driver`: the least NVIDIA driver; `kernels`: the GPU architectures that the runtime's own code is compiled for;
    `model_mb`: the model's files, in MB (1e6 bytes), which must fit into the GPU's memory with room to work."""

    hardware: str = CPU
    platform: str = PLATFORM
    instructions: str = "x86-64-v2"
    cuda: str | None = None
    driver: str | None = None
    kernels: Kernels = field(default_factory=Kernels)
    model_mb: float | None = None

    def as_data(self) -> dict[str, Any]:
        """As records and `serving.json` write it; a CPU pack says nothing of CUDA."""
        common = {"hardware": self.hardware, "platform": self.platform, "instructions": self.instructions}
        if self.hardware == CPU:
            return common
        more = {"cuda": self.cuda, "driver": self.driver, "kernels": self.kernels.as_data()}
        return {**common, **more, "model_mb": self.model_mb}

    def labels(self) -> dict[str, str]:
        """As the image's labels say it: for whoever has the image and nothing else."""
        said = {"hardware": self.hardware, "instructions": self.instructions}
        if self.hardware != CPU:
            said |= {
                "cuda": self.cuda or "",
                "cuda.driver": self.driver or "",
                "cuda.architectures": ",".join(
                    [
                        *(f"sm_{one}" for one in self.kernels.cubins),
                        *(f"ptx_{one}" for one in self.kernels.ptx),
                    ]
                ),
            }
        return {f"dev.ecomdeploy.{name}": value for name, value in said.items()}


def from_data(data: Mapping[str, Any]) -> Binding:
    """The inverse of `Binding.as_data`; what is not there is as of a CPU pack."""
    device = data.get("kernels") or {}
    found = Kernels(tuple(device.get("cubins", ())), tuple(device.get("ptx", ())))
    named = ("hardware", "platform", "instructions", "cuda", "driver", "model_mb")
    return Binding(**{name: data[name] for name in named if name in data}, kernels=found)


def bind(runtime: Runtime, wheels: Sequence[Wheel], downloads: Path, model_mb: float) -> Binding:
    """What an image of this runtime and these fetched wheels needs.

    Raises EcomdeployError when the wheels of a CUDA runtime hold no CUDA, or no device code where it should be.
    """
    if runtime.hardware == CPU:
        return Binding(instructions=runtime.instructions)
    versions = {wheel.name.removesuffix("-cu12"): wheel.version for wheel in wheels}
    if CUDA_RUNTIME not in versions:
        raise EcomdeployError(f"the runtime {runtime.name!r} locks no {CUDA_RUNTIME}")
    version = ".".join(versions[CUDA_RUNTIME].split(".")[:2])
    return Binding(
        hardware=runtime.hardware,
        instructions=runtime.instructions,
        cuda=version,
        driver=least_driver(version),
        kernels=device_code(runtime, wheels, downloads),
        model_mb=round(model_mb, 4),
    )


def expect_needs(hardware: str) -> Binding:
    """What a pack for that hardware will need at least, before it is made: no kernels are known yet."""
    if hardware == CPU:
        return Binding()
    catalog = runtimes()
    every = [catalog.get(name) for name in catalog.names()]
    versions = [one.cuda for one in every if one.serves and one.hardware == hardware]
    oldest = min(versions, key=lambda text: [int(part) for part in text.split(".")])
    return Binding(hardware=hardware, cuda=oldest, driver=least_driver(oldest))


def device_code(runtime: Runtime, wheels: Sequence[Wheel], downloads: Path) -> Kernels:
    """The architectures of the library that `runtime.device_code` names, read from its wheel."""
    package, library = runtime.device_code
    for wheel in wheels:
        if wheel.name == package:
            try:
                with open_wheel(wheel, downloads) as archive, archive.open(library) as file:
                    found = kernels(file)
            except (*DAMAGED, KeyError) as problem:
                raise EcomdeployError(f"{wheel.filename}: {library}: {problem}") from None
            if found is not None and (found.cubins or found.ptx):
                return found
    raise EcomdeployError(f"no device code found in {library} of {package}")


def least_driver(cuda: str) -> str:
    """The least NVIDIA driver for a CUDA version ("13.0" -> "580"). Raises EcomdeployError for an unknown one."""
    table = _table()["least_driver"]
    major = cuda.partition(".")[0]
    if major not in table:
        raise EcomdeployError(f"CUDA {cuda}: its least driver is not in modelpack/assembly/cuda.json")
    return str(table[major])


@cache
def _table() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(
        files("modelpack.assembly").joinpath("cuda.json").read_text("utf-8")
    )
    return found
