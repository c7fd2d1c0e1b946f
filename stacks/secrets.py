"""A spec's secrets, once the variables of whoever ships are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.secrets import LONGEST, own_parameters, reference
from infra.spec import SecretName
from modelpack.errors import BadInput, Problem
from modelpack.server.secrets import PREFIX
from stacks.records.release import Release
from stacks.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Confidential:
    """`environment`: of the release, with references; `values`: of parameters that the service stack makes, by name;
    `problems`: why some have none."""

    environment: Mapping[str, str]
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()


def read_secrets(spec: Spec, variables: Mapping[str, str]) -> Confidential:
    """What stands in the release's environment, and the values behind it."""
    environment: dict[str, str] = {}
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for name, given in spec.serve.environment.items():
        if not isinstance(given, SecretName):
            environment[name] = given
            continue
        variable = given.secret.env
        value = variables.get(variable, "") if variable else ""
        if variable and (problem := find_fault(variable, value)):
            problems.append(Problem(problem, path=f"serve.environment.{name}", hint=f"export {variable}=…"))
            value = ""  # what is no value has no fingerprint
        where = reference(given.secret, spec.name, name, value)
        environment[f"{PREFIX}{name}"] = where
        if variable:
            values[where.removeprefix("ssm:")] = value
    return Confidential(environment=environment, values=values, problems=tuple(problems))


def find_fault(variable: str, value: str) -> str | None:
    """Why a variable's value is none, in words that do not tell it."""
    if not value:
        return f"the variable {variable} is not set, or empty"
    if len(value.encode(errors="surrogateescape")) > LONGEST:
        return f"the variable {variable} holds more than {LONGEST:,} bytes"
    if not value.isprintable() and not value.replace("\n", "").replace("\t", "").isprintable():
        return f"the variable {variable} holds characters that are no text"
    return None


def refuse_unset(found: Confidential) -> None:
    """Raises BadInput where a variable that a secret is read from is not set."""
    if found.problems:
        raise BadInput(list(found.problems), hint="set them where you type this command; nothing was changed")


def find_unknown(release: Release, found: Confidential) -> tuple[str, ...]:
    """Parameters of a release whose values are not in hand."""
    return tuple(name for name in own_parameters(release.serving.environment) if name not in found.values)
