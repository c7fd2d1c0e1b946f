"""Compiled ahead of time to machine code by PyTorch's Inductor, in a package of its own (.pt2).

Measured only: no image can hold its runtime (`modelpack/runtimes/aotinductor.py` says why), so the gate tells what it
would bring against the export and drops it. An exception to a pass' promise, and one of the reasons: the same model
gives the same bytes at the same place only, for the compiled code names its sources and PyTorch's headers by path.

Compiled in a process of its own, so that Inductor's workers, caches and settings do not stay in the one that measures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import modelpack
from modelpack.errors import EcomdeployError
from modelpack.formats.onnx_export import free_batch, quiet
from modelpack.formats.variant import AOT, TORCH, Variant
from modelpack.passes.base import EXPORT, Pass, PassContext

PACKAGE = "model.pt2"
COMPILER = "g++"
LONGEST = 300
"""Seconds that compiling may take."""


class AotInductor(Pass):
    """`torch.export`, then `aoti_compile_and_package`, in float32 and without `freezing`, which slows single rows."""

    name: ClassVar[str] = "aot-inductor"
    title: ClassVar[str] = "AOTInductor"
    # in the export's place: it works on the torch module, and is measured against the export
    stage: ClassVar[int] = EXPORT
    takes: ClassVar[str] = TORCH
    gives: ClassVar[str] = AOT
    programs: ClassVar[tuple[str, ...]] = (COMPILER,)
    about: ClassVar[str] = "https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html"

    def apply(self, variant: Variant, context: PassContext) -> Variant:
        import torch

        model = context.usecase.load(variant.path)
        if hasattr(model, "own_graph"):
            raise EcomdeployError("the model writes its own graph; there is no torch module to compile")
        signature = context.usecase.signature()
        given = tuple(torch.from_numpy(context.examples[tensor.name][:2]) for tensor in signature.inputs)
        with tempfile.TemporaryDirectory(prefix="ecomdeploy-aot-") as work:
            exported = Path(work) / "exported.pt2"
            with quiet(), torch.no_grad():
                program = torch.export.export(model, given, dynamic_shapes=free_batch(signature))
                torch.export.save(program, exported)
            context.folder.mkdir(parents=True, exist_ok=True)
            compiled(exported, context.folder / PACKAGE, Path(work))
        return Variant(AOT, context.folder / PACKAGE)


def compiled(exported: Path, package: Path, work: Path) -> None:
    """The exported program compiled into `package`. Raises EcomdeployError when that fails or takes too long."""
    root = str(Path(modelpack.__file__).parent.parent)
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = {
        "PYTHONPATH": paths,
        "TORCHINDUCTOR_CACHE_DIR": str(work / "cache"),
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "modelpack.passes.aot_inductor", str(exported), str(package)],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            env={**os.environ, **settings},
        )
    except subprocess.TimeoutExpired as error:
        raise EcomdeployError(f"it was not compiled in {LONGEST} s") from error
    if done.returncode != 0 or not package.is_file():
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise EcomdeployError(f"it does not compile: {said[-1].strip()[:300] if said else 'nothing said'}")


def compile_here(exported: str, package: str) -> None:
    """In the child: compile for the CPU of this machine."""
    import torch
    import torch._inductor

    options: dict[str, Any] = {
        "cpp.cxx": (COMPILER,),
        # they would stay in the system's temporary folder
        "cpp_cache_precompile_headers": False,
    }
    program = torch.export.load(exported)
    torch._inductor.aoti_compile_and_package(program, package_path=package, inductor_configs=options)


if __name__ == "__main__":
    compile_here(*sys.argv[1:])
