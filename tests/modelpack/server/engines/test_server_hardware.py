"""A server of a GPU pack never falls back to the CPU in silence."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest
from model_server import REPOSITORY, tree, write_file_manifest

from modelpack.server.engines import cuda
from modelpack.server.engines import load as runtimes
from modelpack.server.signature import ModelSignature, Needs, Tensor, Unfit

NEEDS = Needs(hardware="cuda", cuda="13.0", kernels={"cubins": (75, 89), "ptx": ()})
L4 = cuda.Device((13, 0), (8, 9), "NVIDIA L4")


def signature(runtime: str = "onnxruntime-cuda", needs: Needs = NEEDS) -> ModelSignature:
    one = (Tensor("x", "FP32", (-1,)),)
    return ModelSignature(1, "shop", runtime, "model.onnx", one, one, needs=needs)


def test_with_a_fitting_gpu_it_serves_on_it() -> None:
    assert runtimes.choose(signature(), False, lambda: L4) == runtimes.Choice("onnxruntime-cuda", "cuda")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ("there is no NVIDIA driver in this container (libcuda.so.1 is absent)", "no NVIDIA driver"),
        (cuda.Device((12, 4), (8, 9)), "runs CUDA 12.4, and the pack needs CUDA 13.0"),
        (cuda.Device((13, 0), (10, 0)), "capability is 10.0, and the pack has no kernels"),
    ],
)
def test_without_it_refuses_unless_the_cpu_is_allowed(found: cuda.Device | str, words: str) -> None:
    with pytest.raises(Unfit, match=words) as refused:
        runtimes.choose(signature(), False, lambda: found)
    assert "ECOMDEPLOY_ALLOW_CPU=1" in str(refused.value)
    assert runtimes.choose(signature(), True, lambda: found) == runtimes.Choice("onnxruntime", "cpu")


def test_a_cpu_pack_never_asks_for_a_driver() -> None:
    def unasked() -> str:
        raise AssertionError("asked")

    assert runtimes.choose(signature("onnxruntime", Needs()), False, unasked).hardware == "cpu"


def test_a_session_without_its_provider_is_refused(tmp_path: pathlib.Path) -> None:
    # this machine's ONNX Runtime has no CUDA provider and goes on without it: exactly what must be noticed
    tree(tmp_path, runtime="onnxruntime-cuda")
    from modelpack.server.signature import read_signature

    folder = tmp_path / "opt/ecomdeploy/model"
    given = read_signature(folder / "serving.json")
    with pytest.raises(Unfit, match="did not load CUDAExecutionProvider"):
        runtimes.load(given, folder, runtimes.Choice("onnxruntime-cuda", "cuda"))


def serve(root: pathlib.Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **more}
    program = (
        "import os, sys; from pathlib import Path; from modelpack.server.ready import prepare\n"
        "from modelpack.server.http.metrics import Metrics\n"
        "allowed = os.environ.get('ECOMDEPLOY_ALLOW_CPU') == '1'\n"
        "print(prepare(Path(sys.argv[1]), Metrics(), allowed).hardware)"
    )
    command = [sys.executable, "-c", program, str(root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_whole_server_with_and_without_the_word(tmp_path: pathlib.Path) -> None:
    tree(
        tmp_path,
        runtime="onnxruntime-cuda",
        needs={"hardware": "cuda", "cuda": "13.0", "kernels": {"cubins": [89]}},
    )
    write_file_manifest(tmp_path)
    refused = serve(tmp_path)
    assert refused.returncode, refused.stdout
    assert "This pack is for a GPU" in refused.stderr
    allowed = serve(tmp_path, ECOMDEPLOY_ALLOW_CPU="1")
    assert allowed.stdout.splitlines()[-1] == "cpu", allowed.stderr
    assert '"event":"no GPU"' in allowed.stdout
