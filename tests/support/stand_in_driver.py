"""A stand-in for NVIDIA's driver that knows no device, to see whether all else of a GPU image loads.

ONNX Runtime's CUDA provider needs `libcuda.so.1` to be loaded at all. With this one it is loaded, with every library
it asks for from the image, and fails at its first call to the GPU.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess

SYMBOLS = (
    "cuInit",
    "cuGetErrorString",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuTensorMapEncodeIm2col",
    "cuTensorMapEncodeTiled",
)
"""What onnxruntime-gpu 1.31 and cuDNN 9.28 leave to the driver when they are linked, and what the server asks first."""
PROGRAM = """
import sys
import onnxruntime as ort
from modelpack.server import cuda
print(cuda.look())
session = ort.InferenceSession(sys.argv[1], providers=["CUDAExecutionProvider"])
print(session.get_providers())
"""
DEPS = "opt/ecomdeploy/deps"


def compiler() -> str | None:
    """A C compiler, if this machine has one."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: pathlib.Path) -> pathlib.Path:
    """The library in a folder of its own, which is returned."""
    source, target = folder / "driver.c", folder / "driver"
    target.mkdir()
    source.write_text("".join(f"int {name}(void) {{ return 100; }}\n" for name in SYMBOLS))
    command = [str(compiler()), "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    subprocess.run([*command, "-o", str(target / "libcuda.so.1"), str(source)], check=True)
    return target


def provider_says(root: pathlib.Path, driver: pathlib.Path | None) -> str:
    """What the unpacked image's own Python and ONNX Runtime say when asked for a session on the GPU."""
    folders = [
        root / "usr/lib/x86_64-linux-gnu",
        root / DEPS / "nvidia/cu13/lib",
        root / DEPS / "nvidia/cudnn/lib",
        *([driver] if driver else []),
    ]
    done = subprocess.run(
        [
            str(root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
            "--library-path",
            ":".join(map(str, folders)),
            str(root / "usr/bin/python3"),
            *("-s", "-B", "-P", "-c", PROGRAM),
            str(root / "opt/ecomdeploy/model/model.onnx"),
        ],
        env={
            "PYTHONHOME": str(root / "usr"),
            "PYTHONPATH": f"{root}/opt/ecomdeploy/app:{root}/{DEPS}",
            "ORT_DISABLE_TELEMETRY": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
