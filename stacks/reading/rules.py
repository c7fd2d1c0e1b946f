"""Rules that span keys, or need the catalogs.

They read the plain document, so that they speak even where types are wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from infra.hosts import Hosts
from infra.spec import ServeSpec
from infra.targets.base import Capability, Target
from modelpack.errors import Problem
from modelpack.inputs.spec import AUTO
from modelpack.runtimes.hardware import CUDA
from modelpack.server.secrets import PREFIX as SECRET_PREFIX
from stacks.hardware import ALLOW_CPU
from stacks.reading.document import Value
from stacks.spec import NAME_PATTERN, NAMES_LENGTH, SERVICE_LENGTH, KnownNames

LONGEST_NAME, LONGEST_PATH = 255, 4095
VARIABLE, STORED = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,200}"), re.compile(r"[A-Za-z0-9/_+=.@:-]{1,700}")
PLACES = {
    "env": "{env: NAME_OF_A_VARIABLE}",
    "ssm": "{ssm: /path/of/a/parameter}",
    "secretsmanager": "{secretsmanager: name-or-arn}",
}
ASKED: tuple[tuple[Capability, tuple[str, ...], Callable[[object], bool]], ...] = (
    (Capability.SCALE_TO_ZERO, ("scale", "min"), lambda value: value == 0 and value is not False),
    (Capability.HOST_IMAGES, ("serve", "ami"), lambda value: value is not None),
)
"""Which key asks a target for which capability, and with which values."""


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
        *names(document, environment),
        *catalogs(document, known),
        *capabilities(document, known),
        *hardware(document, known),
        *model(document),
        *paths(document),
        *secrets(document),
        *scale(document),
        *freeze(document),
        *pools(document, known),
        *account(document),
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


def names(document: Value, environment: str) -> Wrong:
    at = document.at("service")
    service = text(at)
    if at and service is not None:
        if not re.fullmatch(NAME_PATTERN, service) or len(service) > SERVICE_LENGTH:
            yield at, f"expected at most {SERVICE_LENGTH} of a-z, 0-9 and single dashes, got {service!r}", ""
        elif len(service) + len(environment) > NAMES_LENGTH:
            yield at, f"is too long together with {environment!r}: at most {NAMES_LENGTH} characters", ""
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
        at = document.at(*path)
        if target and at and capability in target.lacks and asks(at.data):
            yield at, f"{target.name} cannot {capability}: {target.lacks[capability]}", ""


def hardware(document: Value, known: KnownNames) -> Wrong:
    """The instance is the target's, and what the pack is for is what it has, as far as the file alone says it."""
    target, at = target_of(document, known), document.at("serve", "instance")
    if target is None:
        return
    hosts, name = target.hosts(), text(at) or ServeSpec().instance
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
            hint = "another instance, or neither scale.target_rps nor scale.schedule"
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
    for keys in (("model", "path"), ("data", "path"), ("usecase",)):
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
    return at, f"unknown instance type {name!r}", nearest(name, hosts.instances)


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
    for window in items(document.at("scale", "schedule")):
        yield from below(most, window.at("min"))
        yield from times(window)


def scales(document: Value) -> bool:
    """Whether automatic scaling is asked for."""
    load = document.at("scale", "target_rps")
    return bool((load and load.data is not None) or items(document.at("scale", "schedule")))


def freeze(document: Value) -> Wrong:
    for period in items(document.at("rollout", "freeze")):
        yield from times(period)


def items(value: Value | None) -> list[Value]:
    return value.data if value and isinstance(value.data, list) else []


def times(window: Value) -> Wrong:
    moments = {}
    for word in ("from", "to"):
        at = window.at(word)
        try:
            moment = datetime.fromisoformat(text(at) or "")
        except ValueError:
            continue
        if at and moment.tzinfo is None:
            yield at, "needs its offset from UTC", f'like "{at.data}+08:00"'
        else:
            moments[word] = moment
    end = window.at("to")
    if end and len(moments) == 2 and moments["to"] <= moments["from"]:
        yield end, f"{end.data} is not after {window.path}.from", ""


def pools(document: Value, known: KnownNames) -> Wrong:
    listed = document.at("platform", "gpu_pools")
    seen: dict[str, int] = {}
    for pool in listed.data if listed and isinstance(listed.data, list) else ():
        yield from below(pool.at("max"), pool.at("min"), 0)
        yield from below(pool.at("max"), pool.at("desired"))
        yield from below(pool.at("desired"), pool.at("min"), 0)
        name, at = text(pool.at("name")), pool.at("name")
        if at and name is not None and name in seen:
            yield at, f"another pool is named {name!r} in line {seen[name]}", ""
        if at and name is not None and not re.fullmatch(NAME_PATTERN, name):
            yield at, f"expected a-z, 0-9 and single dashes, got {name!r}", ""
        seen.setdefault(name or "", at.line if at else 0)
        instances = pool.at("instances")
        for each in instances.data if instances and isinstance(instances.data, list) else ():
            word = text(each)
            if known.pool_instances and word is not None and word not in known.pool_instances:
                yield each, f"unknown GPU instance type {word!r}", nearest(word, known.pool_instances)


def account(document: Value) -> Wrong:
    """AWS wants an account that guards against the wrong one; the local cloud has its own."""
    environment = document.at("environment")
    if environment is None:
        return
    number_at, cloud = document.at("environment", "account"), text(document.at("environment", "cloud"))
    digits = text(number_at)
    if number_at and digits is not None and not re.fullmatch(r"\d{12}", digits):
        yield number_at, f"expected 12 digits in quotes, got {digits!r}", ""
    if cloud == "aws":
        for key in ("account", "region"):
            if document.at("environment", key) is None:
                yield environment, f"an AWS environment needs {key}", f"add {key} under {environment.path}"
    if cloud == "local" and number_at:
        yield number_at, "the local cloud has its own account", "leave it out"
    for key, scheme in (("state", "s3://"), ("secrets", "awskms://")):
        at = document.at("environment", key)
        if at and text(at) is not None and not str(at.data).startswith(scheme):
            yield at, f"expected {scheme}..., got {at.data!r}", ""
