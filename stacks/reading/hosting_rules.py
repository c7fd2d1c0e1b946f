"""Rules of how a release's servers are hosted: what SageMaker would refuse, and what could not work.

They read the plain document, as those of rules.py do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from infra.hosts import Hosts
from infra.spec import ServeSpec
from stacks.reading.document import Value
from stacks.spec import RolloutSpec

KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]{1,40}:\d{12}:key/[A-Za-z0-9-]{1,256}")
IDS = {"subnets": re.compile(r"subnet-[0-9a-f]{8,17}"), "security_groups": re.compile(r"sg-[0-9a-f]{8,17}")}
Found = Iterator[tuple[Value, str, str]]


def hosting(document: Value, hosts: Hosts | None) -> Found:
    """What is wrong with `serve`'s options. `hosts`: None where the target is not known."""
    yield from network(document)
    yield from serving(document)
    yield from keys(document, hosts)
    capture = document.at("serve", "capture", "of")
    if capture and isinstance(capture.data, list):
        words = [str(one.data) for one in capture.data]
        if not words or len(set(words)) < len(words):
            yield capture, "each is named once, and one of them at least", "[requests, answers]"
    isolated = document.at("serve", "isolated")
    if isolated and isolated.data is True:
        for secret in secrets(document):
            yield (
                secret,
                "an isolated server reaches nothing, and looks its secrets up itself",
                "isolated: false",
            )
    waits, most = document.at("serve", "startup_timeout"), document.at("rollout", "deadline_minutes")
    minutes = most.data if most and isinstance(most.data, int | float) else RolloutSpec().deadline_minutes
    if waits and isinstance(waits.data, int) and waits.data > minutes * 60:
        what = (
            f"{waits.data} seconds are more than a rollout may take (rollout.deadline_minutes: {minutes:g})"
        )
        yield waits, what, "give rollout.deadline_minutes as well"


def network(document: Value) -> Found:
    """Ids, each once. Whether there are such, and in one VPC, the account says."""
    for key, form in IDS.items():
        listed = document.at("serve", "network", key)
        seen = set()
        for one in listed.data if listed and isinstance(listed.data, list) else ():
            if not isinstance(one.data, str):
                continue
            if not form.fullmatch(one.data):
                like = form.pattern.partition("[")[0]
                yield one, f"expected an id, got {one.data!r}", f"like {like}0a1b2c3d"
            elif one.data in seen:
                yield one, f"{one.data} is named twice", ""
            seen.add(one.data)


def serving(document: Value) -> Found:
    """What a platform cannot be for model servers at once."""
    at = document.at("platform", "serving")
    if at is None or at.data is not True:
        return
    if (vpc := document.at("platform", "vpc")) and vpc.data is not None:
        what = "nothing is made in a network that is there already"
        yield (
            at,
            what,
            "name its subnets and security groups: serve.network: {subnets: ..., security_groups: ...}",
        )
    endpoints = document.at("platform", "endpoints")
    if endpoints and endpoints.data is False:
        yield (
            endpoints,
            "model servers reach AWS's services by nothing else (platform.serving)",
            "endpoints: true",
        )


def keys(document: Value, hosts: Hosts | None) -> Found:
    for path in (("serve", "volume_key"), ("serve", "capture", "key")):
        at = document.at(*path)
        if at and isinstance(at.data, str) and not KEY.fullmatch(at.data):
            yield at, f"expected the ARN of a KMS key, got {at.data!r}", "arn:aws:kms:REGION:ACCOUNT:key/ID"
    volume, instance = document.at("serve", "volume_key"), document.at("serve", "instance")
    name = str(instance.data) if instance else (hosts.default if hosts else "") or ServeSpec().instance
    if volume and volume.data is not None and hosts and name in hosts.with_own_storage:
        what = f"{name} has storage of its own, which is encrypted with a key of its own, and SageMaker takes no other"
        yield volume, what, "leave it out, or another instance"


def secrets(document: Value) -> Iterator[Value]:
    environment = document.at("serve", "environment")
    for value in environment.data.values() if environment and isinstance(environment.data, dict) else ():
        if isinstance(value.data, dict) and value.at("secret"):
            yield value
