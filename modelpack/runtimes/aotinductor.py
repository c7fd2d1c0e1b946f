"""Models compiled by PyTorch's Inductor: opened to measure them, in no image.

What speaks against an image with it: libtorch, which the compiled code calls (CPU build: `libtorch_cpu.so` 434 MB, with
the package 754 MB; on PyPI `torch` for Linux is the CUDA build, several GB with NVIDIA's libraries); code for the very
CPU that compiled it (`-march=native`), where a missing instruction ends the process; bytes that depend on the place.
"""

from __future__ import annotations

from importlib.metadata import files
from typing import Any, ClassVar

from modelpack.errors import BadInput
from modelpack.formats.variant import AOT, MEGABYTE, Variant
from modelpack.runtimes.base import Runtime
from modelpack.runtimes.eager import on_one_thread
from modelpack.usecases.base import Run, UseCase


class AotInductorRuntime(Runtime):
    """Executes a .pt2 package on one thread, by libtorch."""

    name: ClassVar[str] = "aotinductor"
    format: ClassVar[str] = AOT
    serves: ClassVar[bool] = False

    def unserved(self) -> str:
        size = sum(one.size or 0 for one in files("torch") or ()) / MEGABYTE
        return (
            f"its runtime needs libtorch ({size:.0f} MB installed), "
            "and its code is bound to the CPU and the paths where it was compiled"
        )

    def open(self, variant: Variant, usecase: UseCase[Any]) -> Run:
        import torch._inductor

        try:
            model = torch._inductor.aoti_load_package(str(variant.path), run_single_threaded=True)
        except RuntimeError as error:
            words = str(error).strip().splitlines()[0]
            raise BadInput(f"libtorch cannot load it: {words}", where=str(variant.path)) from error
        return on_one_thread(model, usecase)
