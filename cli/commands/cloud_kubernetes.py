"""`ecomdeploy cloud kubernetes ...`: the local cloud's Kubernetes, a real control plane on loopback."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options, progress, show, wiring
from cli.local import install_addon, install_kubernetes


def application() -> typer.Typer:
    """The sub-commands."""
    app = options.group("The local cloud's Kubernetes: a real control plane.")
    for command in (install, start, status, stop):
        app.command(command.__name__)(command)
    return app


Keda = Annotated[bool, typer.Option("--keda", help="Also KEDA, which scales by requests and by schedule.")]
Karpenter = Annotated[bool, typer.Option("--karpenter", help="Also Karpenter, which brings nodes for pods.")]


def install(
    from_source: Annotated[
        bool, typer.Option("--from-source", help="Build them, also where others are on the PATH.")
    ] = False,
    keda: Keda = False,
    karpenter: Karpenter = False,
    as_json: options.AsJson = False,
) -> None:
    """Have the control plane's binaries: those that are there already, else built by Go from pinned sources.
    Add-ons take Go."""
    cache, told = wiring.home().cache, progress.choose(as_json)
    found = install_kubernetes(cache, told, from_source)
    addons = {name: install_addon(cache, name, told) for name in _choose(keda, karpenter)}
    if as_json:
        show.document({"binaries": found, **addons})
        return
    show.say(f"The local Kubernetes runs on the binaries of {found}.")
    for name, folder in addons.items():
        show.say(f"{name} is in {folder}; it is started by what needs it.")
    show.next_step(" ".join(["ecomdeploy cloud kubernetes start", *(f"--{name}" for name in addons)]))


def start(keda: Keda = False, karpenter: Karpenter = False, as_json: options.AsJson = False) -> None:
    """Start it, and the local cloud, and wait until it is ready. Add-ons come with it from then on."""
    cloud, told = wiring.local_cloud(), progress.choose(as_json)
    cloud.ensure(told)
    access = cloud.ensure_kubernetes(told)
    for name in _choose(keda, karpenter):
        cloud.ensure_addon(name, told)
    if as_json:
        show.document({"kubeconfig": str(access.kubeconfig), "gateway": access.gateway})
        return
    show.say(f"The local Kubernetes is ready: {access.kubeconfig}; services are asked at {access.gateway}.")
    show.next_step("ecomdeploy cloud env", "point kubectl at it")


def _choose(keda: bool, karpenter: bool) -> list[str]:
    return [name for name, asked in (("keda", keda), ("karpenter", karpenter)) if asked]


def status(as_json: options.AsJson = False) -> None:
    """How far it is, and its processes."""
    found = wiring.local_cloud().kubernetes_status()
    if as_json:
        show.document(found)
        return
    for name in ("state", "reason", "kubeconfig", "gateway", "binaries"):
        if found.get(name):
            show.say(f"{name:12} {found[name]}")
    for one in found.get("addons", ()):
        show.say(f"{one['name']:12} {one['state']}{': ' * bool(one['reason'])}{one['reason']}")
    for one in found["processes"]:
        show.say(f"{one['name']:24} {one['pid'] or 'not running'}")


def stop(as_json: options.AsJson = False) -> None:
    """Stop it until it is asked for again; its data are kept."""
    stopped = wiring.local_cloud().stop_kubernetes()
    if as_json:
        show.document({"stopped": stopped})
        return
    show.say(
        "The local Kubernetes is stopped; its data are kept."
        if stopped
        else "The local Kubernetes was not running."
    )
    show.next_step("ecomdeploy cloud kubernetes start")
