"""Rules that span keys, or need the catalogs.

They read the plain document, so that they speak even where types are wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import eq

from infra.capabilities import Capability
from infra.hosts import Hosts
from infra.spec import ServeSpec
from infra.targets.base import Target
from modelpack.errors import Problem
from modelpack.inputs.spec import AUTO
from modelpack.runtimes.hardware import CUDA
from modelpack.server.secrets import PREFIX as SECRET_PREFIX
from stacks.hardware import ALLOW_CPU
from stacks.reading.accounts import accounts
from stacks.reading.clusters import NAMESPACE, clusters
from stacks.reading.data_rules import data
from stacks.reading.document import Value, items
from stacks.reading.governance import governance
from stacks.reading.gpu_pools import gpu_images, who_brings
from stacks.reading.hosting_rules import hosting
from stacks.reading.rollout_rules import rollout
from stacks.reading.scaling_rules import list_loads, scaling_loads
from stacks.reading.schedule_rules import SCHEDULES, schedules, times
from stacks.reading.training_rules import training
from stacks.spec import NAME_PATTERN, NAMES_LENGTH, SERVICE_LENGTH, Environment, KnownNames

LONGEST_NAME, LONGEST_PATH = 255, 4095
VARIABLE, STORED = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}"), re.compile(r"[A-Za-z0-9/_+=.@:-]{1,700}")
OF_THE_SERVER = ("ECOMDEPLOY_", "SAGEMAKER_")
"""How variables begin that our server is set up by, before it has looked anything up."""
PLACES = {
    "env": "{env: NAME_OF_A_VARIABLE}",
    "ssm": "{ssm: /path/of/a/parameter}",
    "secretsmanager": "{secretsmanager: name-or-arn}",
}
ASKED: tuple[tuple[Capability, tuple[str, ...], Callable[[object], bool]], ...] = (
    (Capability.SCALE_TO_ZERO, ("scale", "min"), lambda value: value == 0 and value is not False),
    (Capability.SCALE_BY_REQUESTS, ("scale", "target_rps"), lambda value: value is not None),
    (Capability.SALE_DAYS, ("scale", "schedule"), bool),
    (Capability.SALE_DAYS, ("scale", "recurring"), bool),
    (Capability.ALARMS, ("rollout", "alarms"), lambda value: value is not None),
    (Capability.GUARDRAILS, ("rollout", "alarms", "guardrails"), bool),
    (Capability.ALARM_TOPIC, ("rollout", "alarms", "topic"), lambda value: value is not None),
    *(
        (capability, ("rollout", "strategy"), partial(eq, word))
        for capability, word in (
            (Capability.BLUE_GREEN, "blue-green"),
            (Capability.CANARY, "canary"),
            (Capability.LINEAR, "linear"),
            (Capability.ROLLING, "rolling"),
            (Capability.AUTO, "auto"),
            (Capability.SHADOW, "shadow"),
        )
    ),
    (
        Capability.CANARY_STEPS,
        ("rollout", "canary", "steps"),
        lambda value: isinstance(value, list) and len(value) > 1,
    ),
    (Capability.SCALE_BY_CONCURRENCY, ("scale", "target_concurrency"), lambda value: value is not None),
    (Capability.SCALE_BY_STEPS, ("scale", "steps"), bool),
    (Capability.ISOLATION, ("serve", "isolated"), partial(eq, True)),
    *(
        (capability, ("serve", key), lambda value: value is not None)
        for capability, key in (
            (Capability.SERVING_NETWORK, "network"),
            (Capability.VOLUME_KEYS, "volume_key"),
            (Capability.CAPTURE, "capture"),
            (Capability.START_TIMEOUTS, "startup_timeout"),
            (Capability.START_TIMEOUTS, "download_timeout"),
            (Capability.HOST_IMAGES, "ami"),
        )
    ),
    (Capability.AWS_SECRETS, ("serve", "environment", "*", "secret", "ssm"), lambda value: value is not None),
    (
        Capability.AWS_SECRETS,
        ("serve", "environment", "*", "secret", "secretsmanager"),
        lambda value: value is not None,
    ),
    (Capability.AWS, ("environment", "cloud"), lambda value: value == "aws"),
    (Capability.NAMESPACES, ("environment", "namespace"), lambda value: value is not None),
    (Capability.CLUSTERS, ("environment", "cloud"), lambda value: value == "cluster"),
)
"""Which key asks a target for which capability, and with which values; `*` is any key."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or lists them when they are few."""
    words = sorted(known)
    close = difflib.get_close_matches(word.lower(), words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(words)}" if 0 < len(words) <= 12 else ""


def cross_check(document: Value, environment: str, known: KnownNames, where: str) -> list[Problem]:
    """Every broken rule of one environment's merged document."""
    wrong = [
        *names(document, environment, known),
        *catalogs(document, known),
        *capabilities(document, known),
        *hardware(document, known),
        *model(document),
        *data(document),
        *training(document),
        *paths(document),
        *secrets(document),
        *scale(document),
        *freeze(document),
        *rollout(document, target_of(document, known)),
        *hosting(document, target.hosts() if (target := target_of(document, known)) else None),
        *pools(document, known),
        *accounts(document, environment),
        *clusters(document, environment, target_of(document, known)),
        *governance(document),
    ]
    return [
        Problem(what, f"{where}:{at.line}" if at.line else where, at.path, hint) for at, what, hint in wrong
    ]


Wrong = Iterator[tuple[Value, str, str]]


def text(value: Value | None) -> str | None:
    return value.data if value and isinstance(value.data, str) else None


def number(value: Value | None) -> float | None:
    data = value.data if value else None
    return data if isinstance(data, int | float) and not isinstance(data, bool) else None


def below(high: Value | None, low: Value | None, default: float | None = None) -> Wrong:
    """`high` must not be below `low` (the value that stands there, or `default` when it does not)."""
    top, bottom = number(high), number(low) if low else default
    if high and top is not None and bottom is not None and top < bottom:
        name = low.path if low else high.path.rsplit(".", 1)[0] + ".min"
        yield high, f"{high.data} is below {name}: {bottom:g}", ""


def names(document: Value, environment: str, known: KnownNames) -> Wrong:
    at = document.at("service")
    service = text(at)
    target, space = target_of(document, known), document.at("environment", "namespace")
    namespace = text(space) or Environment(cloud="local").namespace
    if space and text(space) is not None and not (NAMESPACE.fullmatch(namespace) and len(namespace) <= 63):
        yield space, f"expected at most 63 of a-z, 0-9 and dashes between them, got {namespace!r}", ""
        target = None
    if at and service is not None:
        if not re.fullmatch(NAME_PATTERN, service) or len(service) > SERVICE_LENGTH:
            yield at, f"expected at most {SERVICE_LENGTH} of a-z, 0-9 and single dashes, got {service!r}", ""
        elif len(service) + len(environment) > NAMES_LENGTH:
            yield at, f"is too long together with {environment!r}: at most {NAMES_LENGTH} characters", ""
        elif target and len(service) + 1 + len(environment) > (most := target.longest_endpoint(namespace)):
            what = f"{service}-{environment} is too long for {target.name} in the namespace {namespace}"
            yield at, f"{what}: at most {max(most, 0)} characters", ""
    place = document.at("environment")
    if place and not re.fullmatch(NAME_PATTERN, environment):
        yield place, f"expected a-z, 0-9 and single dashes, got {environment!r}", ""


def catalogs(document: Value, known: KnownNames) -> Wrong:
    """A name with a colon is a plug-in by path (`./shop.py:ShopRecs`): its catalog checks it later."""
    passes = document.at("pack", "passes")
    listed = passes.data if passes and isinstance(passes.data, list) else []
    named = [each for each in listed if text(each) != AUTO]
    if len(named) < len(listed) > 1:
        yield next(each for each in listed if text(each) == AUTO), "auto stands alone", "passes: auto"
    for at, kind, words in (
        (document.at("usecase"), "use case", known.usecases),
        (document.at("serve", "target"), "target", known.targets.keys()),
        *((each, "pass", known.passes) for each in named),
    ):
        name = text(at)
        if at and name is not None and ":" not in name and name not in words:
            by_path = f"write {name}:ClassName, a class of that file" if name.endswith(".py") else ""
            yield at, f"unknown {kind} {name!r}", by_path or nearest(name, words)


def target_of(document: Value, known: KnownNames) -> Target | None:
    """The target that is asked for, or the default one; None when it is not known, or a plug-in by path."""
    return known.targets.get(text(document.at("serve", "target")) or ServeSpec().target)


def capabilities(document: Value, known: KnownNames) -> Wrong:
    """What the target cannot do is not asked of it."""
    target = target_of(document, known)
    for capability, path, asks in ASKED if target else ():
        for at in at_path(document, path) if target and capability in target.lacks else ():
            if target and asks(at.data):
                yield at, f"{target.name} cannot {capability}: {target.lacks[capability]}", ""


def at_path(document: Value, path: tuple[str, ...]) -> list[Value]:
    """What stands there; of several, where a key is `*`, each."""
    if "*" not in path:
        found = document.at(*path)
        return [found] if found else []
    star = path.index("*")
    above = document.at(*path[:star])
    each = above.data.values() if above and isinstance(above.data, dict) else ()
    return [one for value in each if isinstance(value.data, dict) for one in at_path(value, path[star + 1 :])]


def hardware(document: Value, known: KnownNames) -> Wrong:
    """The instance is the target's, and what the pack is for is what it has, as far as the file alone says it."""
    target, at = target_of(document, known), document.at("serve", "instance")
    if target is None:
        return
    hosts = target.hosts()
    name = text(at) or hosts.default or ServeSpec().instance
    if name not in hosts.instances:
        if at and text(at) is not None:
            yield unknown_instance(at, name, hosts)
        elif (chosen := document.at("serve", "target")) and not at:
            yield (
                chosen,
                f"needs serve.instance: {target.name} has no {name}, the default",
                f"like {hosts.with_gpu}",
            )
        return
    if scales(document) and (reason := hosts.unscalable.get(name.rpartition(".")[0])):
        where = at or document.at("scale")
        if where:
            hint = "another instance, or nothing under scale but min and max"
            yield where, f"{name} cannot scale automatically: {reason}", hint
    wanted = document.at("pack", "hardware")
    allowed = text(document.at("serve", "environment", ALLOW_CPU)) == "1"
    if wanted and text(wanted) == CUDA and not hosts.has_gpu(name) and not allowed:
        hint = f'an instance with a GPU, like {hosts.with_gpu}, or serve.environment: {{{ALLOW_CPU}: "1"}}'
        yield wanted, f"a GPU pack does not run on {name}, which has no GPU", hint
    image = document.at("serve", "ami")
    if image and text(image) is not None and hosts.images:
        if text(image) not in hosts.images:
            yield image, f"unknown AMI {image.data!r}", nearest(str(image.data), hosts.images)
        elif not hosts.has_gpu(name):
            yield image, f"the AMIs are for GPU instances, and {name} has no GPU", "leave it out"


def paths(document: Value) -> Wrong:
    """What no file can be called, told before the file system is asked."""
    for keys in (("model", "path"), ("data", "path"), ("data", "from"), ("usecase",)):
        at = document.at(*keys)
        name = (text(at) or "").encode(errors="replace")
        if at and (
            b"\0" in name or len(name) > LONGEST_PATH or max(map(len, name.split(b"/"))) > LONGEST_NAME
        ):
            yield at, "no file can have such a name", f"at most {LONGEST_NAME} characters between two slashes"


def secrets(document: Value) -> Wrong:
    """A secret of the environment is in exactly one place, and names of variables are such."""
    environment = document.at("serve", "environment")
    for name, value in environment.data.items() if environment and isinstance(environment.data, dict) else ():
        if name.startswith(SECRET_PREFIX) or not VARIABLE.fullmatch(name):
            yield value, f"{name!r} is no name for a variable", f"letters, digits and _; not {SECRET_PREFIX}…"
        place = value.at("secret") if isinstance(value.data, dict) else None
        if place is None or not isinstance(place.data, dict):
            continue
        if name.startswith(OF_THE_SERVER):
            hint = "write its value: it is no secret"
            yield place, f"{name} is read before the server looks secrets up", hint
        given = {key: one for key, one in place.data.items() if key in PLACES and one.data is not None}
        if len(given) != 1:
            yield place, f"a secret is in one place, not in {len(given)}", " or ".join(PLACES.values())
        for key, one in given.items():
            if text(one) is not None and not (VARIABLE if key == "env" else STORED).fullmatch(str(one.data)):
                yield one, f"expected a name, got {str(one.data)[:40]!r}", PLACES[key]


def unknown_instance(at: Value, name: str, hosts: Hosts) -> tuple[Value, str, str]:
    """What is wrong with an instance type that the target does not have."""
    if reason := hosts.unsupported.get(name.rpartition(".")[0]):
        hint = f"a CPU instance, or one with an NVIDIA GPU: {hosts.with_gpu}"
        return at, f"{name} is not supported: {reason}", hint
    same = name.removeprefix("ml.") if name.startswith("ml.") else f"ml.{name}"
    hint = f"did you mean {same}?" if same in hosts.instances else nearest(name, hosts.instances)
    return at, f"unknown instance type {name!r}", hint


def model(document: Value) -> Wrong:
    train, path = document.at("model", "train"), document.at("model", "path")
    if train and path and train.data is not None and path.data is not None:
        yield (
            path,
            "is given together with model.train; a model is either trained or taken",
            "leave one of them out",
        )


def scale(document: Value) -> Wrong:
    yield from below(document.at("scale", "max"), document.at("scale", "min"), 1)
    most, least = document.at("scale", "max"), document.at("scale", "min")
    if least and not most and (number(least) or 0) > 1:
        yield least, f"{least.data} is above scale.max: 1, its default", "give scale.max as well"
    yield from scaling_loads(document)
    for window in (each for key in SCHEDULES for each in items(document.at("scale", key))):
        yield from below(most, window.at("min"))
        yield from times(window)
    yield from schedules(document.at("scale"))


def scales(document: Value) -> bool:
    """Whether automatic scaling is asked for."""
    return bool(list_loads(document) or any(items(document.at("scale", key)) for key in SCHEDULES))


def freeze(document: Value) -> Wrong:
    for period in items(document.at("rollout", "freeze")):
        yield from times(period)


def pools(document: Value, known: KnownNames) -> Wrong:
    seen: dict[str, int] = {}
    for pool in items(document.at("platform", "gpu_pools")):
        yield from below(pool.at("max"), pool.at("min"), 0)
        yield from below(pool.at("max"), pool.at("desired"))
        yield from below(pool.at("desired"), pool.at("min"), 0)
        name, at = text(pool.at("name")), pool.at("name")
        if at and name is not None and name in seen:
            yield at, f"another pool is named {name!r} in line {seen[name]}", ""
        if at and name is not None and not re.fullmatch(NAME_PATTERN, name):
            yield at, f"expected a-z, 0-9 and single dashes, got {name!r}", ""
        seen.setdefault(name or "", at.line if at else 0)
        yield from who_brings(pool)
        yield from gpu_images(pool)
        for each in items(pool.at("instances")):
            if known.pool_instances and (word := text(each)) is not None and word not in known.pool_instances:
                yield each, f"unknown GPU instance type {word!r}", nearest(word, known.pool_instances)
