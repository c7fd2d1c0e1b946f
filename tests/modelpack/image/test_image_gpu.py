"""GPU images: every library is there but the driver's, what serving never reads is not, and the bytes repeat."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from elf_files import elf_file
from tiny_parts import FILES, deb, parts, wheel

from modelpack.assembly.proof import holds_cuda_only
from modelpack.errors import EcomdeployError
from modelpack.image.assemble import assemble
from modelpack.image.oci.layout import Layout
from modelpack.image.oci.unpack import unpack
from modelpack.image.parts import Built
from modelpack.progress import Silent
from modelpack.runtimes.onnxruntime_cuda import OnnxRuntimeCuda
from modelpack.server.engines import cuda

PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
CUDA_FILES = {
    "nvidia/cu13/lib/libcudart.so.13": elf_file([]),
    "nvidia/cu13/lib/libcudart_static.a": b"!<arch>\n",
    "nvidia/cu13/include/cuda.h": b"// for compilers\n",
    "nvidia/cu13/lib/libnvrtc.so.13": elf_file([]),
    "nvidia/cu13/lib/libnvrtc.alt.so.13": elf_file([]),
    "nvidia/cu13/lib/libcufft.so.12": elf_file([]),
    "nvidia/cudnn/lib/libcudnn.so.9": elf_file([]),
}
RUNTIME_FILES = {
    PROVIDER: elf_file(["libcudart.so.13", "libcuda.so.1"]),
    "onnxruntime/capi/libonnxruntime_providers_tensorrt.so": elf_file(["libnvinfer.so.10"]),
}


def built(
    folder: pathlib.Path,
    runtime: Mapping[str, bytes] = RUNTIME_FILES,
    files: Mapping[str, bytes] = CUDA_FILES,
    **more: Any,
) -> tuple[Layout, Built]:
    """An image of made-up wheels, as the CUDA runtime asks for it."""
    asked, downloads = OnnxRuntimeCuda(), folder / "downloads"
    locked = replace(wheel(downloads, files, "nvidia_cuda_runtime"), name="nvidia-cuda-runtime")
    wheels = (wheel(downloads, runtime, "onnxruntime_gpu"), locked)
    fields: dict[str, Any] = {
        "wheels": wheels,
        "base": (deb(downloads, FILES),),
        "env": asked.environment,
        "libraries_from_host": asked.host_libraries,
        "opened": asked.opened,
        "left_out": asked.left_out,
    }
    layout = Layout(folder / "images")
    return layout, assemble(parts(folder, **(fields | more)), layout, Silent())


def test_a_complete_image_needs_nothing_but_the_driver(tmp_path: pathlib.Path) -> None:
    layout, made = built(tmp_path)
    root = unpack(layout, made.digest, tmp_path / "tree") / "opt/ecomdeploy/deps"
    assert (root / PROVIDER).is_file()
    there = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert "nvidia/cu13/lib/libcudart.so.13" in there
    for name in (
        "cuda.h",
        "libcudart_static.a",
        "libnvrtc.alt.so.13",
        "libonnxruntime_providers_tensorrt.so",
    ):
        assert not [path for path in there if path.endswith(name)], name


def test_what_is_left_out_decides_the_layer_s_name(tmp_path: pathlib.Path) -> None:
    _, first = built(tmp_path)
    _, same = built(tmp_path)
    _, other = built(tmp_path, left_out=(*OnnxRuntimeCuda.left_out, "nvidia/cu13/lib/libcufftw*"))
    assert first.digest == same.digest == other.digest
    assert all(layer.reused for layer in same.layers)
    assert not all(layer.reused for layer in other.layers if layer.role == "wheels")


def test_the_same_bytes_elsewhere(tmp_path: pathlib.Path) -> None:
    assert built(tmp_path / "a")[1].digest == built(tmp_path / "b")[1].digest


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ("nvidia/cu13/lib/libcudart.so.13", r"libcudart.so.13 \(needed by .*providers_cuda.so\)"),
        ("nvidia/cudnn/lib/libcudnn.so.9", r"libcudnn.so.9 \(opened by name\)"),
        ("nvidia/cu13/lib/libnvrtc.so.13", r"libnvrtc.so.13 \(opened by name\)"),
    ],
)
def test_a_cuda_library_that_is_absent_stops_the_build(
    tmp_path: pathlib.Path, lacking: str, words: str
) -> None:
    files = {path: data for path, data in CUDA_FILES.items() if path != lacking}
    with pytest.raises(EcomdeployError, match=words):
        built(tmp_path, files=files)


def test_libraries_are_found_only_where_the_loader_looks(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EcomdeployError, match=r"libcudart.so.13 \(needed by"):
        built(tmp_path, env={})


def test_the_driver_comes_from_the_host_and_only_from_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EcomdeployError, match=r"libcuda.so.1 \(needed by"):
        built(tmp_path, libraries_from_host=frozenset())
    with pytest.raises(EcomdeployError, match=r"libnvinfer.so.10 \(needed by"):
        built(tmp_path, left_out=())


def test_the_cpu_s_proof_leaves_cuda_s_layers_packed(tmp_path: pathlib.Path) -> None:
    # each of CUDA's wheels is a layer of its own, as each is larger than 4 MB
    files = {**CUDA_FILES, "nvidia/cu13/lib/libcublas.so.13": b"\1" * 5_000_000}
    layout, made = built(tmp_path, files=files)
    root = unpack(layout, made.digest, tmp_path / "part", skip=holds_cuda_only)
    assert (root / "opt/ecomdeploy/app/modelpack/__init__.py").is_file()
    wheels = [
        layer for layer in layout.manifest(made.digest)["layers"] if "wheels" in str(layer["annotations"])
    ]
    packed = [layer for layer in wheels if "nvidia" in str(layer["annotations"])]
    assert len(packed) == 1
    assert not (root / "opt/ecomdeploy/deps/nvidia/cu13/lib/libcublas.so.13").exists()


def test_the_runtime_s_data_agrees_with_the_server() -> None:
    asked = OnnxRuntimeCuda()
    assert asked.host_libraries == {cuda.LIBRARY}
    assert asked.environment["NVIDIA_REQUIRE_CUDA"] == "cuda>=13.0"
    assert any(line.startswith("onnxruntime-gpu==") for line in asked.requirements())
    assert asked.at_hand() is False
