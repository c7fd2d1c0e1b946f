"""A platform's network for model servers: what a service is told of it (`serve.network: platform`), and that it does
not go under one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import msgspec

from infra.hosting import PLATFORM, ServingNetwork
from modelpack.errors import BadInput, CloudRefused, Problem
from stacks.records.release import Release
from stacks.records.users import enter_user, read_users
from stacks.run import Run

KEY = "serve.network"
OUTPUT = "serving_network"
"""Of the platform's program."""


def find_serving_network(run: Run) -> ServingNetwork | None:
    """Where the environment's platform has model servers; None where it has no such place, or is not there."""
    told = (run.platform_outputs() or {}).get(OUTPUT)
    return msgspec.convert(told, ServingNetwork) if told else None


def resolve_network(run: Run) -> tuple[str, ...]:
    """`network: platform` is the platform's ids from here on, in what the run wants. Returns what a plan says of it.

    Raises:
        BadInput: there is no such network, or not all of it.
        CloudRefused, EcomdeployError: the cloud did not say.
    """
    wanted, hosting = run.wanted, run.wanted.serving.hosting
    if hosting.network == PLATFORM:
        network = find_serving_network(run)
        if network is None:
            raise BadInput([lack_of_platform(run)])
        serving = replace(wanted.serving, hosting=replace(hosting, network=network))
        run.wanted = replace(wanted, serving=serving)
    placed = run.wanted.serving.hosting.placed
    if placed and (lacks := look_for_lacks(run, placed)):
        hint = f"{type_platform(run)} mends it" if hosting.network == PLATFORM else "name others"
        raise BadInput([Problem("; ".join(lacks), path=KEY, hint=hint)])
    return describe_network(run)


def look_for_lacks(run: Run, network: ServingNetwork) -> tuple[str, ...]:
    """Who may not look hears it from AWS later, as far as AWS says it at all."""
    try:
        return run.deps.survey.lacks(network)
    except CloudRefused as error:
        rights = "ec2:DescribeSubnets and ec2:DescribeSecurityGroups"
        run.deps.progress.note(f"serve.network was not looked at, which needs {rights}: {error}")
        return ()


def lack_of_platform(run: Run) -> Problem:
    name, outputs = run.wanted.spec.environment.name, run.platform_outputs()
    if outputs and run.wanted.spec.platform.vpc:
        what = f"the platform of {name} is in a network that was there already"
        return Problem(what, path=KEY, hint="name its subnets and security_groups")
    what = f"the platform of {name} has no network for model servers"
    if outputs is None:
        what = f"there is no platform of {name}"
    first = "" if run.wanted.spec.platform.serving else "platform: {serving: true}, then "
    return Problem(what, path=KEY, hint=f"{first}{type_platform(run)}")


def type_platform(run: Run) -> str:
    name = run.wanted.spec.environment.name
    return "ecomdeploy platform up" + ("" if name == "local" else f" {name}")


def describe_network(run: Run) -> tuple[str, ...]:
    """Where model servers come to stand, if that is another place than now."""
    placed, live = run.wanted.serving.hosting.placed, run.deps.ledger.live()
    before = live.serving.hosting.placed if live else None
    if placed == before:
        return ()
    if placed is None:
        return ("model servers leave the network that they are in",)
    whose = "the platform's network" if run.wanted.spec.serve.network == PLATFORM else "a network"
    where = f"{', '.join(placed.subnets)}; group {', '.join(placed.security_groups)}"
    return (f"model servers {'move into' if live else 'stand in'} {whose}: {where}",)


def refuse_lost_network(run: Run, target: Release) -> None:
    """Before a release is put back: the network that it was in may be gone.

    Raises:
        BadInput: it is.
    """
    placed = target.serving.hosting.placed
    if placed and (lacks := look_for_lacks(run, placed)):
        what = f"release {target.number} cannot be put back where it was: {'; '.join(lacks)}"
        raise BadInput(what, hint="ecomdeploy up ships what the spec asks for")


def join_platform(run: Run) -> None:
    """Who stands in the platform's network uses it, so that nobody takes it away meanwhile."""
    store, name = run.deps.platform_store, run.wanted.spec.name
    if run.wanted.spec.serve.network == PLATFORM and name not in read_users(store):
        with run.hold_platform("up"):
            enter_user(store, name)


def refuse_residents(run: Run, what: str, *, dark: bool = False) -> None:
    """Before the network goes: AWS keeps what model servers stand in, and has taken away by then what they need.

    Args:
        what: goes, in words.
        dark: also with Models in it that no endpoint is on: a rollback to them will not be possible.

    Raises:
        BadInput: services stand in it, each named.
    """
    network = find_serving_network(run)
    living = run.deps.survey.residents(network) if network else ()
    named = [
        f"{one.service} ({'serves from there' if one.serves else f'{len(one.models)} of its earlier releases'})"
        for one in living
        if one.serves or not dark
    ]
    if named:
        serves = any(one.serves for one in living)
        hint = "for each: ecomdeploy down, or ship it without serve.network" if serves else "ecomdeploy down"
        more = "" if serves else ", or although they could not be put back: ecomdeploy platform down --shared"
        raise BadInput(f"{what}, and model servers stand in it: {', '.join(named)}", hint=f"{hint}{more}")


def refuse_leaving(run: Run, left: Collection[str]) -> None:
    """A platform that is to be without its network for model servers, or without zones of it, while some serve there.

    Args:
        left: the zones whose subnets go.

    Raises:
        BadInput: services do.
    """
    place = run.wanted.spec.environment.name
    if not run.wanted.spec.platform.serving:
        refuse_residents(
            run, f"the network for model servers of {place} would go (platform.serving)", dark=True
        )
    elif left:
        refuse_residents(run, f"the subnets in {', '.join(left)} would go (platform.zones)", dark=True)
