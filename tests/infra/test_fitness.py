"""What a pack needs against what the tables say an instance has."""

from __future__ import annotations

import gzip
import json
import pathlib
import re
from dataclasses import replace

import botocore
import pytest

from infra.fitness import Obstacle
from infra.fitness import obstacles as obstacles_on
from infra.instances import Instance
from infra.targets.kserve.hosts import hosts as pods
from infra.targets.sagemaker.hosts import hosts
from modelpack.assembly.needs import Binding
from modelpack.image.binaries.fatbin import Kernels

NEEDS = Binding(
    hardware="cuda", cuda="13.0", driver="580", kernels=Kernels((75, 80, 86, 89, 90, 120)), model_mb=10.0
)
"""As read from the wheels of onnxruntime-gpu 1.31.1 with the CUDA 13.0 toolkit."""
NEWEST = "al2023-ami-sagemaker-inference-gpu-4-1"


def obstacles(needs: Binding, instance: Instance, image: str) -> tuple[Obstacle, ...]:
    return obstacles_on(needs, instance, image, hosts())


@pytest.mark.parametrize(
    "name", ["ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6.xlarge", "ml.g6e.xlarge", "ml.p5.4xlarge"]
)
def test_a_host_with_the_newest_driver_runs_it(name: str) -> None:
    assert obstacles(NEEDS, hosts().instance(name), NEWEST) == ()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ml.g5.xlarge", "default host of ml.g5.xlarge has 470"),
        ("ml.g6.xlarge", "default host of ml.g6.xlarge has 535"),
        ("ml.g6e.xlarge", "what ml.g6e.xlarge has is not known"),
    ],
)
def test_sagemaker_s_own_host_has_too_old_a_driver(name: str, words: str) -> None:
    (one,) = obstacles(NEEDS, hosts().instance(name), "")
    assert words in one.what
    assert (one.key, NEWEST in one.hint) == ("serve.ami", True)
    assert obstacles(replace(NEEDS, cuda="11.8", driver="450"), hosts().instance("ml.g5.xlarge"), "") == ()


def test_an_older_ami_is_named() -> None:
    (one,) = obstacles(NEEDS, hosts().instance("ml.g6.xlarge"), "al2-ami-sagemaker-inference-gpu-3-1")
    assert "al2-ami-sagemaker-inference-gpu-3-1 has 550" in one.what


def test_a_gpu_without_kernels_for_it() -> None:
    (one,) = obstacles(NEEDS, hosts().instance("ml.p6-b200.48xlarge"), NEWEST)
    assert "B200" in one.what
    assert "10.0" in one.what
    assert "without PTX" in one.what
    with_ptx = replace(NEEDS, kernels=Kernels((90,), (90,)))
    assert obstacles(with_ptx, hosts().instance("ml.p6-b200.48xlarge"), NEWEST) == ()


def test_no_gpu_and_too_small_a_gpu() -> None:
    (one,) = obstacles(NEEDS, hosts().instance("ml.c7i.xlarge"), "")
    assert (one.key, "has none" in one.what) == ("serve.instance", True)
    (large,) = obstacles(replace(NEEDS, model_mb=15_000.0), hosts().instance("ml.g6.xlarge"), NEWEST)
    assert "GPU memory" in large.what
    assert obstacles(replace(NEEDS, model_mb=8_000.0), hosts().instance("ml.g6.xlarge"), NEWEST) == ()


def test_a_cpu_pack_asks_nothing_of_the_gpu() -> None:
    assert obstacles(Binding(), hosts().instance("ml.g6.xlarge"), "") == ()


def test_a_gpu_that_no_driver_of_the_place_knows() -> None:
    """AWS's page: G7 needs driver 595; SageMaker's newest image has 580, EKS's has both."""
    (one,) = obstacles(NEEDS, hosts().instance("ml.g7.2xlarge"), NEWEST)
    assert (
        one.what
        == f"the RTX PRO 4500 of ml.g7.2xlarge needs NVIDIA driver 595 or newer, and {NEWEST} has 580"
    )
    assert (one.key, "ml.g6.xlarge" in one.hint) == ("serve.instance", True)
    assert obstacles_on(NEEDS, pods().instance("g7.2xlarge"), "", pods()) == ()


def test_every_gpu_node_has_a_driver_for_the_wheels_of_today() -> None:
    refused = {
        name
        for name in pods().instances
        if pods().has_gpu(name) and obstacles_on(NEEDS, pods().instance(name), "", pods())
    }
    assert {name.partition(".")[0] for name in refused} <= {"p6-b200", "p6-b300"}


def test_every_gpu_of_the_table_but_b200_b300_and_g7_runs_the_wheels_of_today() -> None:
    refused = {
        name
        for name in hosts().instances
        if hosts().has_gpu(name) and obstacles(NEEDS, hosts().instance(name), NEWEST)
    }
    assert {name.rpartition(".")[0] for name in refused} == {"ml.p6-b200", "ml.p6-b300", "ml.g7"}


def test_the_amis_are_those_that_the_api_documents() -> None:
    data = pathlib.Path(botocore.__file__).parent / "data/sagemaker/2017-07-24/service-2.json.gz"
    shapes = json.loads(gzip.decompress(data.read_bytes()))["shapes"]
    named = {name for name in shapes["ProductionVariantInferenceAmiVersion"]["enum"] if "-gpu-" in name}
    assert set(hosts().images) == named
    markup = shapes["ProductionVariant"]["members"]["InferenceAmiVersion"]["documentation"]
    words = " ".join(re.sub("<[^>]+>", " ", markup).split())
    for ami in hosts().images.values():
        said = f"{ami.name} Accelerator: GPU NVIDIA driver version: {ami.driver} CUDA version: {ami.cuda}"
        assert said in words
    newest = hosts().newest_image()
    assert newest is not None
    assert newest.name == NEWEST
