"""An image is for hardware: plan, up and rollback refuse an instance that cannot run it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import BadInput
from stacks import ship
from stacks.hardware import mismatches
from stacks.plan import plan
from stacks.reading.load import load
from stacks.reading.places import point_at_lines
from stacks.records.release import ServingConfiguration, key_of
from stacks.settings import service_settings
from stacks.spec import KnownNames, Spec
from stacks.wanted import Wanted

NEEDS = {
    "hardware": "cuda",
    "platform": "linux/amd64",
    "instructions": "x86-64-v2",
    "cuda": "13.0",
    "driver": "580",
    "kernels": {"cubins": [75, 80, 86, 89, 90, 120], "ptx": []},
    "model_mb": 10.0,
}
HOSTS = SageMaker().hosts()
NEWEST = max(HOSTS.images)
KNOWN = KnownNames(
    usecases=frozenset({"recommendation"}),
    targets={"sagemaker": SageMaker()},
    passes=frozenset({"onnx"}),
)


def gpu_process(world: Any, word: str, needs: dict[str, Any] | None = None, known: bool = False) -> Any:
    deps = world.process(word)
    deps.builder.pack = replace(deps.builder.pack, needs=NEEDS if needs is None else needs)
    deps.builder.is_known = known
    return deps


def asks(spec: Spec, **pack: Any) -> Spec:
    return replace(spec, pack=replace(spec.pack, **pack))


def test_a_gpu_pack_on_its_instance_goes_live_and_says_what_a_rehearsal_is(world: Any, spec_of: Any) -> None:
    done = ship.up(gpu_process(world, "one"), spec_of("ml.g6.xlarge"))
    assert done.release.serving.host_image == NEWEST
    assert any("CUDA 13.0" in note and "580" in note for note in done.notes)
    assert any("local cloud has no GPU" in note for note in done.document()["notes"])


def test_a_cpu_pack_on_a_gpu_instance_needs_the_word(world: Any, spec_of: Any) -> None:
    spec = spec_of("ml.g6.xlarge")
    with pytest.raises(BadInput, match=r"GPU of ml.g6.xlarge would stand idle.*pack.hardware: cpu"):
        ship.up(gpu_process(world, "one", {}), spec)
    with pytest.raises(BadInput, match="stand idle"):
        plan(gpu_process(world, "one", {}, known=True), spec)
    assert world.mutations == []
    said = asks(spec, hardware="cpu")
    assert plan(gpu_process(world, "one", {}, known=True), said).notes[-1].endswith("stands idle")
    assert ship.up(gpu_process(world, "one", {}), said).verified


def test_a_gpu_pack_on_a_cpu_instance_needs_the_word(world: Any, spec_of: Any) -> None:
    spec = asks(spec_of("ml.c7i.xlarge"), hardware="cuda")
    for verb in (ship.up, plan):
        with pytest.raises(BadInput, match=r"serve.instance: the pack needs an NVIDIA GPU"):
            verb(gpu_process(world, "one", known=True), spec)
    assert world.mutations == []
    allowed = replace(spec, serve=replace(spec.serve, environment={"ECOMDEPLOY_ALLOW_CPU": "1"}))
    assert ship.up(gpu_process(world, "one"), allowed).verified


def test_a_gpu_that_cannot_run_it_and_a_driver_that_is_too_old(world: Any, spec_of: Any) -> None:
    with pytest.raises(BadInput, match=r"B200.*compute capability 10.0"):
        ship.up(gpu_process(world, "one"), spec_of("ml.p6-b200.48xlarge"))
    spec = spec_of("ml.g6.xlarge")
    old = replace(spec, serve=replace(spec.serve, host_image="al2-ami-sagemaker-inference-gpu-3-1"))
    with pytest.raises(BadInput, match=r"serve.ami: the pack .CUDA 13.0. needs NVIDIA driver 580"):
        ship.up(gpu_process(world, "one"), old)
    assert world.mutations == []


def test_a_rollback_to_what_the_instance_cannot_run_today_is_refused(world: Any, spec_of: Any) -> None:
    spec = spec_of("ml.g6.xlarge")
    ship.up(gpu_process(world, "one"), spec)
    ship.up(gpu_process(world, "two"), spec)
    records = world.store.records
    # as if release 1 had gone live before the tables knew what they know today
    aged = {name: re.sub(rb'"driver": ?"580"', b'"driver":"999"', data) for name, data in records.items()}
    assert aged != records
    records.update(aged)
    with pytest.raises(
        BadInput, match=r"release 1 cannot be put back on ml.g6.xlarge.*driver 999"
    ) as refused:
        ship.rollback(gpu_process(world, "two"), spec)
    assert refused.value.exit_code == 2


def test_the_host_image_is_the_newest_unless_the_spec_names_one(spec_of: Any) -> None:
    spec = spec_of("ml.g6.xlarge")
    for one, image in (
        (spec, NEWEST),
        (asks(spec, hardware="cpu"), ""),
        (spec_of("ml.c7i.xlarge"), ""),
        (replace(spec, serve=replace(spec.serve, host_image="x")), "x"),
    ):
        assert Wanted.of(one, HOSTS).serving.host_image == image


def test_keys_of_releases_without_a_host_image_are_what_they_were() -> None:
    plain = ServingConfiguration(target="sagemaker", instance="ml.c7i.xlarge", environment={"A": "b"})
    assert key_of("r@sha256:1", plain) == "751ad0d31a4d"
    assert key_of("r@sha256:1", replace(plain, host_image="x")) != key_of("r@sha256:1", plain)


def test_the_service_program_is_told_the_host_image_only_where_there_is_one(world: Any, spec_of: Any) -> None:
    for instance, told in (("ml.g6.xlarge", [NEWEST]), ("ml.c7i.xlarge", [])):
        spec = spec_of(instance)
        deps = gpu_process(world, "one", NEEDS if told else {})
        release = ship.up(deps, spec, again=True).release
        assert release is not None
        wanted = Wanted.of(spec, HOSTS)
        settings = service_settings(wanted, {}, [release], release.key, world.clock())
        assert [one["host_image"] for one in settings["releases"] if "host_image" in one] == told
        assert mismatches(wanted, release.pack) == []


BASE = "version: 1\nservice: shop\nusecase: recommendation\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "serve: {instance: ml.inf2.xlarge}\n",
            ":4: serve.instance: ml.inf2.xlarge is not supported: AWS Inferentia",
        ),
        ("serve: {instance: ml.trn1.2xlarge}\n", "AWS Trainium needs a Neuron image"),
        ("serve: {instance: ml.g6.xlrge}\n", "did you mean ml.g6.xlarge"),
        ("pack: {hardware: cuda}\n", ":4: pack.hardware: a GPU pack does not run on ml.c7i.xlarge"),
        ("pack: {hardware: tpu}\n", "pack.hardware"),
        ("serve:\n  instance: ml.g6.xlarge\n  ami: newest\n", ":6: serve.ami: unknown AMI 'newest'"),
        (f"serve: {{ami: {NEWEST}}}\n", "the AMIs are for GPU instances"),
    ],
)
def test_what_the_file_alone_shows_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "ecomdeploy.yaml"
    file.write_text(BASE + text)
    with pytest.raises(BadInput) as refused:
        load(file, "local", KNOWN)
    assert words in str(refused.value)


def test_the_words_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "ecomdeploy.yaml"
    file.write_text(BASE + 'pack: {hardware: cuda}\nserve: {environment: {ECOMDEPLOY_ALLOW_CPU: "1"}}\n')
    assert load(file, "local", KNOWN).pack.hardware == "cuda"
    file.write_text(BASE + f"serve: {{instance: ml.g6.xlarge, ami: {NEWEST}}}\n")
    assert load(file, "local", KNOWN).serve.host_image == NEWEST


def test_what_only_the_pack_shows_has_the_file_s_line_too(tmp_path: Path, world: Any) -> None:
    file = tmp_path / "ecomdeploy.yaml"
    file.write_text(
        BASE + "environments:\n  local:\n    cloud: local\n    serve:\n      instance: ml.g6.xlarge\n"
    )
    spec = load(file, "local", KNOWN)
    with pytest.raises(BadInput) as refused, point_at_lines(file, "local"):
        ship.up(gpu_process(world, "one", {}), spec)
    assert f"{file}:8: serve.instance: the pack is for the CPU" in str(refused.value)


def test_what_no_pack_could_run_on_is_refused_before_anything_is_built(world: Any, spec_of: Any) -> None:
    spec = spec_of("ml.g6.xlarge")
    old = replace(spec, serve=replace(spec.serve, host_image="al2-ami-sagemaker-inference-gpu-3-1"))
    for verb in (ship.up, plan):
        deps = gpu_process(world, "one")
        with pytest.raises(BadInput, match="needs NVIDIA driver 580 or newer"):
            verb(deps, old)
        assert deps.builder.built == 0
    assert plan(gpu_process(world, "one"), spec).release == 1
