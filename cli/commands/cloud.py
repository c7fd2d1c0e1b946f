"""`ecomdeploy cloud ...`: the local cloud, one per user, loopback only."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from cli import options, progress, show, wiring
from cli.commands import cloud_kubernetes
from modelpack.errors import BadInput, EcomdeployError

Port = Annotated[
    int | None, typer.Option(help="Port of the AWS API (default: a free one, kept from then on).")
]


def application() -> typer.Typer:
    """The sub-commands."""
    app = options.group("The local cloud that `cloud: local` runs on.")
    for name, command in (
        ("start", start),
        ("stop", stop),
        ("status", status),
        ("reset", reset),
        ("env", env),
        ("fault", fault),
        ("quota", quota),
        ("pace", pace),
    ):
        app.command(name)(command)
    app.add_typer(cloud_kubernetes.application(), name="kubernetes")
    return app


def start(port: Port = None, as_json: options.AsJson = False) -> None:
    """Start it, or say where it already answers."""
    running = wiring.local_cloud().ensure(progress.choose(as_json), port=port)
    if as_json:
        show.document({"aws_url": running.aws_url, "registry_url": running.registry_url, "pid": running.pid})
        return
    show.say(
        f"The local cloud answers at {running.aws_url} (registry {running.registry_url}). Nothing leaves this machine."
    )
    show.next_step("ecomdeploy cloud env", "point any AWS client at it")


def stop(as_json: options.AsJson = False) -> None:
    """Stop it and its model servers; its state is kept, or it is said what of it is not."""
    stopped = wiring.local_cloud().stop()
    if stopped and stopped.lost:
        raise EcomdeployError(
            "the local cloud is stopped, but not all of its state is kept:\n" + "\n".join(stopped.lost)
        )
    if as_json:
        show.document({"stopped": stopped is not None})
        return
    show.say(
        "The local cloud is stopped; its state is kept." if stopped else "The local cloud was not running."
    )
    show.next_step("ecomdeploy cloud start")


def status(as_json: options.AsJson = False) -> None:
    """Ports, endpoints, model servers and how they are isolated."""
    cloud = wiring.local_cloud()
    if cloud.running() is None:
        if as_json:
            show.document({"running": False})
        else:
            show.say("The local cloud is not running.")
            show.next_step("ecomdeploy cloud start")
        return
    found = cloud.status()
    if as_json:
        show.document({"running": True, **found})
        return
    for name, value in found.items():
        if name == "endpoints":
            told = [line for endpoint in value for line in endpoint_in_words(endpoint)]
        else:
            told = [str(item) for item in value] if isinstance(value, list) else [in_words(value)]
        for index, line in enumerate(told or ["none"]):
            show.say(f"{name if index == 0 else '':15} {line}")


def endpoint_in_words(endpoint: dict[str, Any]) -> list[str]:
    """One endpoint and the servers behind it."""
    failure = f": {endpoint['failure']}" if endpoint["failure"] else ""
    lines = [f"{endpoint['name']} {endpoint['status']}{failure}, on {endpoint['configuration']}"]
    return lines + [
        f"  server {server['pid']} ({endpoint['isolation']}) from {server['image']}"
        for server in endpoint["servers"]
    ]


def in_words(value: Any) -> str:
    """A plain value, or a small mapping as "mutating 3, reading 4"."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items() if number != "")
    return str(value)


def reset(yes: options.Yes = False, as_json: options.AsJson = False) -> None:
    """Empty the account, the registry and all model servers."""
    options.confirm("Empty the local cloud: all endpoints, images and buckets in it?", yes, careful=False)
    wiring.local_cloud().reset()
    if as_json:
        show.document({"reset": True})
        return
    show.say("The local cloud is empty.")


def env(as_json: options.AsJson = False) -> None:
    """The variables that point any AWS or OCI client at the local cloud: eval "$(ecomdeploy cloud env)"."""
    cloud = wiring.local_cloud()
    cloud.ensure(progress.choose(quiet=True))
    variables = cloud.environment()
    if as_json:
        show.document(variables)
        return
    for name, value in variables.items():
        show.say(f"export {name}={shlex.quote(value)}")


def fault(
    kind: Annotated[
        str,
        typer.Argument(
            help="wrong-answers, never-ready, crash, capacity, no-way-back, spot, api-error; `clear` ends all."
        ),
    ],
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint, or training job.")] = None,
    operation: Annotated[
        str | None, typer.Option(help="For api-error: the operation, e.g. CreateModel.")
    ] = None,
    code: Annotated[
        str, typer.Option(help="For api-error: the error code answered.")
    ] = "ThrottlingException",
    count: Annotated[int, typer.Option(min=1, help="How many times it strikes.")] = 1,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="For never-ready and spot: after how many seconds.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Plant a fault, to see what a release does with it."""
    cloud = wiring.local_cloud()
    cloud.ensure(progress.choose(quiet=True))
    if kind == "clear":
        cloud.clear_faults()
    else:
        if kind == "api-error" and not operation:
            raise BadInput("an api-error needs the operation it strikes", hint="add --operation CreateModel")
        planted: dict[str, Any] = {
            "kind": kind,
            "endpoint": endpoint,
            "operation": operation,
            "code": code,
            "count": count,
        }
        planted["seconds"] = seconds
        cloud.plant({name: value for name, value in planted.items() if value is not None})
    if as_json:
        show.document({"fault": kind, "count": count})
        return
    show.say("No faults are planted." if kind == "clear" else f"Planted: {kind}, {count} time(s).")


def quota(
    name: Annotated[str, typer.Argument(help='Name or code, e.g. "ml.g6.xlarge for endpoint usage".')],
    value: Annotated[float, typer.Argument(min=0, help="How much of it the account may have.")],
    as_json: options.AsJson = False,
) -> None:
    """Set a quota of the emulated account, which has plenty of everything, to see what is refused."""
    cloud = wiring.local_cloud()
    cloud.ensure(progress.choose(quiet=True))
    found = cloud.set_quota(name, value)
    if as_json:
        show.document(found)
        return
    show.say(f"Quota {found['code']} of {found['service']}, {found['name']}: {found['value']:g}.")
    show.next_step("ecomdeploy plan", "says what it leaves no room for")


def pace(
    value: Annotated[
        float | None,
        typer.Argument(
            help="Seconds of AWS's waits that pass in one; 1 is as slow as AWS. Nothing: only tell it."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """How much shorter than on AWS bakes and alarm periods are, until a reset."""
    cloud = wiring.local_cloud()
    cloud.ensure(progress.choose(quiet=True))
    if value is not None:
        cloud.set_pace(value)
    found = cloud.status()
    if as_json:
        show.document({"pace": found["pace"]})
        return
    show.say(f"Pace {found['pace']:g}: {found['waits']}.")
