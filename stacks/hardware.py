"""An image is for hardware: what a spec and a pack must agree on with the instance, and the words that set it aside.

A pack is for what its instance has. `pack.hardware: cpu` is the word that puts a CPU pack on a GPU instance, and
`serve.environment: {ECOMDEPLOY_ALLOW_CPU: "1"}` the one that lets a GPU pack serve without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.hosts import Hosts
from modelpack.errors import BadInput, Problem
from modelpack.runtimes.hardware import CPU
from stacks.records.release import Packed, ServingConfiguration
from stacks.wanted import Wanted

ALLOW_CPU = "ECOMDEPLOY_ALLOW_CPU"
REHEARSED = "the local cloud has no GPU: the image's CPU provider answers, which is how its golden answers were checked"


def refuse_unfit(wanted: Wanted, pack: Packed) -> None:
    """Stop before anything is pushed or moved.

    Raises:
        BadInput: the instance cannot run the pack, or has a GPU that the pack would leave idle, and the spec does
            not say that this is meant; or an alarm is asked for on what the pack does not count.
    """
    found = [
        *mismatches(wanted, pack),
        *find_shortcomings(pack, wanted.serving, wanted.hosts),
        *unknown_guardrails(wanted, pack),
    ]
    if found:
        raise BadInput(found, hint="change it in ecomdeploy.yaml and type the same command again")


def unknown_guardrails(wanted: Wanted, pack: Packed) -> Iterator[Problem]:
    """Alarms on guardrails that the pack has not."""
    known = ", ".join(pack.guardrails) or "none"
    for name in wanted.spec.rollout.alarms.guardrails:
        if name not in pack.guardrails:
            hint = f"guardrails of this pack: {known}"
            yield Problem(
                f"the use case has no guardrail {name!r}", path="rollout.alarms.guardrails", hint=hint
            )


def refuse_hopeless(wanted: Wanted) -> None:
    """Stop before minutes of training and packing for an instance that no pack of this kind can run on.

    Raises:
        BadInput: why.
    """
    from modelpack.assembly.needs import expect_needs

    needs = expect_needs(wanted.hardware).as_data()
    will_be = Packed(digest="", content_digest="", input_digest="", usecase=wanted.spec.usecase, needs=needs)
    if found := find_shortcomings(will_be, wanted.serving, wanted.hosts):
        raise BadInput(found, hint="change it in ecomdeploy.yaml and type the same command again")


def mismatches(wanted: Wanted, pack: Packed) -> list[Problem]:
    """A CPU pack on a GPU instance without the word for it."""
    instance = wanted.serving.instance
    is_meant = wanted.spec.pack.hardware == CPU
    if not is_for_cpu(pack) or not wanted.hosts.has_gpu(instance) or is_meant:
        return []
    what = f"the pack is for the CPU, and the GPU of {instance} would stand idle"
    return [Problem(what, path="serve.instance", hint="pack.hardware: cpu says that this is meant")]


def find_shortcomings(pack: Packed, serving: ServingConfiguration, hosts: Hosts) -> list[Problem]:
    """Why the instance, as the tables know it today, cannot run the pack in that serving configuration."""
    from infra.fitness import obstacles
    from modelpack.assembly.needs import from_data

    instance = hosts.instance(serving.instance)
    if instance.gpu is None and serving.environment.get(ALLOW_CPU) == "1":
        return []
    found = obstacles(from_data(pack.needs), instance, serving.host_image, hosts)
    return [Problem(each.what, path=each.key, hint=each.hint) for each in found]


def remarks(wanted: Wanted, pack: Packed, instance: str) -> list[str]:
    """What someone who reads the plan or the status must know of the hardware."""
    if instance not in wanted.hosts.instances:
        return []
    has_gpu = wanted.hosts.has_gpu(instance)
    if is_for_cpu(pack):
        return [f"the pack is for the CPU: the GPU of {instance} stands idle"] if has_gpu else []
    needs = pack.needs
    said = [f"the image needs CUDA {needs.get('cuda')}, an NVIDIA driver {needs.get('driver')} or newer"]
    if wanted.local:
        said.append(REHEARSED)
    elif not has_gpu:
        said.append(f"{instance} has no GPU: the pack serves on its CPU ({ALLOW_CPU})")
    return said


def is_for_cpu(pack: Packed) -> bool:
    return bool(pack.needs.get("hardware", CPU) == CPU)
