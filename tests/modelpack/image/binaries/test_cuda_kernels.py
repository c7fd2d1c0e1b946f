"""Device code is read from shared libraries as cuobjdump lists it, and decides what runs where."""

from __future__ import annotations

import io
import pathlib

import pytest
from cuda_files import CUBIN, PTX, driver, library, region
from hypothesis import given
from hypothesis import strategies as st
from tiny_parts import wheel

from modelpack.assembly import needs as binding
from modelpack.errors import EcomdeployError
from modelpack.image.binaries.fatbin import Kernels, kernels
from modelpack.image.parts import Wheel
from modelpack.runtimes.onnxruntime_cuda import OnnxRuntimeCuda
from modelpack.server.engines import cuda

ENTRIES = st.lists(st.tuples(st.sampled_from([CUBIN, PTX]), st.integers(50, 130), st.binary(max_size=200)))


@given(st.lists(ENTRIES, max_size=4))
def test_what_is_written_is_read(regions: list[list[tuple[int, int, bytes]]]) -> None:
    # regions begin on 8 bytes; what is between is zero
    code = b"".join((one := region(each)) + b"\0" * (-len(one) % 8) for each in regions)
    every = [entry for each in regions for entry in each]
    found = kernels(io.BytesIO(library(code)))
    assert found == Kernels(
        tuple(sorted({arch for kind, arch, _ in every if kind == CUBIN})),
        tuple(sorted({arch for kind, arch, _ in every if kind == PTX})),
    )


def test_no_device_code_and_no_elf() -> None:
    assert kernels(io.BytesIO(library(None))) is None
    assert kernels(io.BytesIO(b"#!/bin/sh\n" * 20)) is None
    with pytest.raises(ValueError, match="damaged ELF file"):
        kernels(io.BytesIO(library(region([(CUBIN, 89, b"x")]))[:63]))


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x01" * 64,
        region([(CUBIN, 89, b"code")])[:-2],
        region([(CUBIN, 89, b"code")])[:16] + b"\xff" * 64,
        region([(CUBIN, 89, b"code")]).replace(b"\x50\xed\x55\xba", b"\x50\xed\x55\xbb"),
    ],
)
def test_damaged_device_code_is_no_answer(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="nv_fatbin"):
        kernels(io.BytesIO(library(damaged)))


@pytest.mark.parametrize(
    ("capability", "cubins", "ptx", "runs"),
    [
        ((8, 9), (80,), (), True),
        ((8, 9), (89,), (), True),
        ((8, 6), (89,), (), False),
        ((10, 0), (90, 120), (), False),
        ((10, 0), (90,), (90,), True),
        ((7, 5), (), (80,), False),
    ],
)
def test_machine_code_stays_in_its_major_version_and_ptx_goes_on(
    capability: tuple[int, int], cubins: tuple[int, ...], ptx: tuple[int, ...], runs: bool
) -> None:
    assert cuda.runs(capability, cubins, ptx) is runs


def gpu_wheels(downloads: pathlib.Path, code: bytes | None, runtime: str = "13.0.96") -> list[Wheel]:
    path = OnnxRuntimeCuda.device_code[1]
    made = wheel(downloads, {path: library(code)}, name="onnxruntime_gpu")
    gpu = Wheel("onnxruntime-gpu", "1.31.1", made.filename, made.sha256)
    return [gpu, Wheel("nvidia-cuda-runtime", runtime, "nvidia_cuda_runtime-1-py3-none-any.whl", "0" * 64)]


def test_what_a_gpu_image_needs_is_read_from_its_wheels(tmp_path: pathlib.Path) -> None:
    wheels = gpu_wheels(tmp_path, region([(CUBIN, 75, b"a"), (CUBIN, 89, b"b")]))
    found = binding.bind(OnnxRuntimeCuda(), wheels, tmp_path, 10.0)
    assert (found.cuda, found.driver, found.kernels) == ("13.0", "580", Kernels((75, 89), ()))
    assert binding.from_data(found.as_data()) == found
    assert found.labels()["dev.ecomdeploy.cuda.architectures"] == "sm_75,sm_89"


def test_wheels_without_cuda_or_device_code_are_refused(tmp_path: pathlib.Path) -> None:
    wheels = gpu_wheels(tmp_path, region([(CUBIN, 89, b"b")]))
    with pytest.raises(EcomdeployError, match="locks no nvidia-cuda-runtime"):
        binding.bind(OnnxRuntimeCuda(), wheels[:1], tmp_path, 1.0)
    with pytest.raises(EcomdeployError, match="no device code"):
        binding.bind(OnnxRuntimeCuda(), gpu_wheels(tmp_path, None), tmp_path, 1.0)
    with pytest.raises(EcomdeployError, match="nv_fatbin"):
        binding.bind(OnnxRuntimeCuda(), gpu_wheels(tmp_path, b"\1" * 64), tmp_path, 1.0)
    with pytest.raises(EcomdeployError, match="its least driver"):
        binding.bind(
            OnnxRuntimeCuda(), gpu_wheels(tmp_path, region([(CUBIN, 89, b"b")]), "99.1"), tmp_path, 1.0
        )


def absent(name: str) -> object:
    raise OSError(f"{name}: cannot open shared object file")


def test_the_driver_is_asked_for_its_cuda_and_the_gpu() -> None:
    found = cuda.look(lambda name: driver())
    assert found == cuda.Device((13, 0), (8, 9), "NVIDIA L4")
    assert cuda.unfit(found, "13.0", (89,), ()) == ""
    assert "runs CUDA 12.2, and the pack needs CUDA 13.0" in cuda.unfit(
        cuda.look(lambda name: driver(cuda=12020)), "13.0", (89,), ()
    )
    assert "capability is 10.0" in cuda.unfit(
        cuda.look(lambda name: driver(capability=(10, 0))), "13.0", (89, 120), ()
    )


def test_no_driver_no_gpu() -> None:
    assert "libcuda.so.1 is absent" in str(cuda.look(absent))
    assert "cuInit: error 100" in str(cuda.look(lambda name: driver(start=100)))
    assert "sees no GPU" in str(cuda.look(lambda name: driver(count=0)))
