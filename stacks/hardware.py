"""An image is for hardware: what a spec and a pack must agree on with the instance, and the words that set it aside.

A pack is for what its instance has. `pack.hardware: cpu` is the word that puts a CPU pack on a GPU instance, and
`serve.environment: {ECOMDEPLOY_ALLOW_CPU: "1"}` the one that lets a GPU pack serve without a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra import gpu_hosts, instances
from modelpack.errors import BadInput, Problem
from stacks.records.release import Contract, Packed

if TYPE_CHECKING:
    from stacks.spec import Spec

CPU, CUDA = "cpu", "cuda"
ALLOW_CPU = "ECOMDEPLOY_ALLOW_CPU"
REHEARSED = "the local cloud has no GPU: the image's CPU provider answers, which is how its golden answers were checked"


def hardware_of(instance: str) -> str:
    """What an instance type has: "cuda" (an NVIDIA GPU) or "cpu". Raises BadInput for one that is not known."""
    return CUDA if instances.serving(instance).gpu else CPU


def built_for(spec: Spec) -> str:
    """The hardware that the spec's pack is for."""
    return spec.pack.hardware or hardware_of(spec.serve.instance)


def host_image(spec: Spec) -> str:
    """SageMaker's AMI for the release: the one asked for, else the newest for a GPU pack, else none ("").

    Without one SageMaker's own choice holds, whose driver (470 for ml.g5, 535 for ml.g6) is too old for CUDA 13.
    """
    if spec.serve.ami is not None:
        return spec.serve.ami
    known = spec.serve.instance in instances.serving_names()
    on_gpu = known and hardware_of(spec.serve.instance) == CUDA and built_for(spec) == CUDA
    return gpu_hosts.newest().name if on_gpu else ""


def refuse_unfit(spec: Spec, pack: Packed, contract: Contract) -> None:
    """Stop before anything is pushed or moved.

    Raises:
        BadInput: the instance cannot run the pack, or has a GPU that the pack would leave idle, and the spec does
            not say that this is meant.
    """
    found = [*mismatches(spec, pack, contract), *incapable(pack, contract)]
    if found:
        raise BadInput(found, hint="change it in ecomdeploy.yaml and type the same command again")


def refuse_hopeless(spec: Spec, contract: Contract) -> None:
    """Stop before minutes of training and packing for an instance that no pack of this kind can run on.

    Raises:
        BadInput: why.
    """
    from modelpack.assembly.needs import expect_needs

    will_need = Packed(
        digest="",
        content_digest="",
        input_digest="",
        usecase=spec.usecase,
        needs=expect_needs(built_for(spec)).as_data(),
    )
    if found := incapable(will_need, contract):
        raise BadInput(found, hint="change it in ecomdeploy.yaml and type the same command again")


def mismatches(spec: Spec, pack: Packed, contract: Contract) -> list[Problem]:
    """A CPU pack on a GPU instance without the word for it."""
    cpu_pack = pack.needs.get("hardware", CPU) == CPU
    if not cpu_pack or hardware_of(contract.instance) == CPU or spec.pack.hardware == CPU:
        return []
    what = f"the pack is for the CPU, and the GPU of {contract.instance} would stand idle"
    return [Problem(what, path="serve.instance", hint="pack.hardware: cpu says that this is meant")]


def incapable(pack: Packed, contract: Contract) -> list[Problem]:
    """Why the instance, as the tables know it today, cannot run the pack under that contract."""
    from infra.fitness import obstacles
    from modelpack.assembly.needs import from_data

    needs, instance = from_data(pack.needs), instances.serving(contract.instance)
    if instance.gpu is None and contract.environment.get(ALLOW_CPU) == "1":
        return []
    return [
        Problem(each.what, path=each.key, hint=each.hint) for each in obstacles(needs, instance, contract.ami)
    ]


def remarks(spec: Spec, pack: Packed, instance: str) -> list[str]:
    """What someone who reads the plan or the status must know of the hardware."""
    if instance not in instances.serving_names():
        return []
    if pack.needs.get("hardware", CPU) == CPU:
        idle = hardware_of(instance) == CUDA
        return [f"the pack is for the CPU: the GPU of {instance} stands idle"] if idle else []
    needs = pack.needs
    said = [f"the image needs CUDA {needs.get('cuda')}, an NVIDIA driver {needs.get('driver')} or newer"]
    if spec.environment.cloud == "local":
        said.append(REHEARSED)
    elif hardware_of(instance) == CPU:
        said.append(f"{instance} has no GPU: the pack serves on its CPU ({ALLOW_CPU})")
    return said
