"""A GPU pack on a machine without a GPU: packed, checked, up in the local cloud, and refused where it must be.

Its wheels are 1.6 GB, and the image as much again in store and registry, and unpacked: so it runs where it is
asked for by name (`make test-gpu`), not on every run of CI. What the pack rests on is tested with made-up wheels by
test_image_gpu.py, test_cuda_kernels.py, test_server_hardware.py and tests/stacks/test_hardware.py.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stand_in_driver import build, compiler, provider_says
from typed import Terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.environ.get("ECOMDEPLOY_TEST_GPU") != "1", reason="fetches 1.6 GB: `make test-gpu` asks for it"
    ),
]


def test_recommendation_for_a_gpu_instance(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("init", "recommendation", "shop")
    shop = terminal.into("shop")
    shop.edit(r"epochs: \d+", "epochs: 1, architecture: one-stage")
    shop.edit(r"instance: ml\.c7i\.xlarge", "instance: ml.g6.xlarge")
    packed = shop.type("pack", "--json").json
    record = packed["record"]
    assert record["needs"]["cuda"] == "13.0"
    assert 89 in record["needs"]["kernels"]["cubins"]
    assert "answered right by the image's own layers, through the CPU provider" in record["golden"]
    assert record["chosen"]["usd_per_million"] is None
    up = shop.type("up", "--json").json
    assert up["verified"]
    assert any("the local cloud has no GPU" in note for note in up["notes"])
    assert shop.type("predict", "--json").json["predictions"]
    (root,) = (terminal.home / "cloud/models/trees").glob("[!.]*")
    assert "libcuda.so.1: cannot open shared object file" in provider_says(root, None)
    if compiler():
        said = provider_says(root, build(tmp_path))
        assert "Failed to load library" not in said
        assert "cudaSetDevice" in said

    shop.edit(r"instance: ml\.g6\.xlarge", "instance: ml.p6-b200.48xlarge")
    refused = shop.type("plan", expect=2)
    assert "compute capability 10.0" in refused.err
    assert "ecomdeploy.yaml:" in refused.err

    shop.edit(r"instance: ml\.p6-b200\.48xlarge", "instance: ml.c7i.xlarge")
    shop.edit(r"(?m)^  gate: ", "  hardware: cuda\n  gate: ")
    assert "a GPU pack does not run on ml.c7i.xlarge" in shop.type("plan", expect=2).err
    shop.edit(r"(?m)^  instance: ", '  environment: {ECOMDEPLOY_ALLOW_CPU: "1"}\n  instance: ')
    assert shop.type("plan", "--json").json["image"].endswith(packed["image"])

    shop.edit(r"  hardware: cuda\n", "")
    shop.edit(r"  environment: .*\n", "")
    assert shop.type("up", "--json").json["verified"]
    assert "ml.c7i.xlarge" in shop.type("status").out
    for release, instance in (("1", "ml.g6.xlarge"), ("2", "ml.c7i.xlarge")):
        assert shop.type("rollback", release, "--yes", "--json").json["verified"]
        assert instance in shop.type("status").out
