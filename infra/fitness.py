"""Whether an instance can run a pack: pure questions over what the pack needs and what the tables say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infra.hosts import Hosts, version
from infra.instances import Gpu, Instance
from modelpack.assembly.needs import Binding
from modelpack.runtimes.hardware import CPU
from modelpack.server.engines.cuda import runs

CONTEXT_MIB = 1024
"""What CUDA's context, cuBLAS' workspaces and ONNX Runtime's arena take before the first request, on the safe side:
a judgement, not measured."""
WORKING = 2.0
"""Times the model's files: its weights, and as much again for activations."""
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Obstacle:
    """Why not: `key` is the spec's key to change, `hint` what to write there."""

    key: str
    what: str
    hint: str


def obstacles(needs: Binding, instance: Instance, image: str, hosts: Hosts) -> tuple[Obstacle, ...]:
    """All that keeps the instance from running the pack; `image`: the host image asked for, "" for the target's own.

    What is not known of a pack before it is made (its kernels, its model's size) is no obstacle yet.
    """
    if needs.hardware == CPU:
        return ()
    if instance.gpu is None:
        what = f"the pack needs an NVIDIA GPU (CUDA {needs.cuda}), and {instance.name} has none"
        hint = f"an instance with a GPU, like {hosts.with_gpu}, or pack.hardware: cpu"
        return (Obstacle("serve.instance", what, hint),)
    return (
        *_architecture(needs, instance, instance.gpu, hosts),
        *_driver(needs, instance, image, instance.gpu, hosts),
        *_memory(needs, instance, instance.gpu),
    )


def _architecture(needs: Binding, instance: Instance, gpu: Gpu, hosts: Hosts) -> Iterator[Obstacle]:
    major, _, minor = gpu.compute_capability.partition(".")
    known = needs.kernels.cubins or needs.kernels.ptx
    if known and not runs((int(major), int(minor)), needs.kernels.cubins, needs.kernels.ptx):
        carried = ", ".join(f"{one // 10}.{one % 10}" for one in needs.kernels.cubins)
        what = (
            f"the {gpu.name} of {instance.name} has compute capability {gpu.compute_capability}, and the pack's "
            f"runtime is compiled for {carried}{' without PTX' if not needs.kernels.ptx else ''}"
        )
        yield Obstacle("serve.instance", what, f"an instance with another GPU, like {hosts.with_gpu}")


def _driver(needs: Binding, instance: Instance, image: str, gpu: Gpu, hosts: Hosts) -> Iterator[Obstacle]:
    found, least = hosts.driver(instance.name, image), needs.driver or "0"
    who = f"the pack (CUDA {needs.cuda}) needs"
    if version(gpu.least_driver or "0") > version(least):
        who, least = f"the {gpu.name} of {instance.name} needs", gpu.least_driver
    newest = hosts.newest_image()
    key, hint = "serve.instance", f"an instance with another GPU, like {hosts.with_gpu}"
    if newest and version(newest.driver) >= version(least):
        key, hint = "serve.ami", f"serve.ami: {newest.name} (driver {newest.driver})"
    if found is None:
        what = f"{who} NVIDIA driver {least} or newer, and what {instance.name} has is not known"
        yield Obstacle(key, what, hint)
    elif version(found) < version(least):
        host = image or f"the default host of {instance.name}"
        yield Obstacle(key, f"{who} NVIDIA driver {least} or newer, and {host} has {found}", hint)


def _memory(needs: Binding, instance: Instance, gpu: Gpu) -> Iterator[Obstacle]:
    wanted = CONTEXT_MIB + WORKING * (needs.model_mb or 0) * 1e6 / MEBIBYTE
    if wanted > gpu.memory_mib:
        what = (
            f"the model of {needs.model_mb:,.0f} MB wants about {wanted:,.0f} MiB of GPU memory, and a {gpu.name} of "
            f"{instance.name} has {gpu.memory_mib:,}"
        )
        yield Obstacle(
            "serve.instance", what, "an instance with a larger GPU, or a pass that makes the model smaller"
        )
