"""Pipelines for a repository of services: one template a provider (cli/templates/ci), one pipeline a service.

A template says by `#: file PATH` where each of its files goes; `once` behind it: the file is the user's from then on.
Words between two @ are filled in from the specs. What is written depends on nothing else, so that `differences` can
tell what somebody has changed since, or what this version writes otherwise.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cli import wiring
from infra.deployer.service import DeployerScope, list_reading, list_shipping
from infra.deployer.state import Statement, keys_of
from modelpack.errors import BadInput
from stacks.spec import Spec

FILE = re.compile(r"^#: file (?P<path>\S+)(?P<once> once)?\n", re.MULTILINE)
WRITTEN = re.compile(
    r"`ecomdeploy ci init (?P<provider>\S+) --staging (?P<staging>\S+) --production (?P<production>\S+)`"
)
NOT_SEARCHED = frozenset({".git", ".ecomdeploy", ".venv", "node_modules"})
SUFFIX = ".tmpl"


@dataclass(frozen=True, kw_only=True)
class RepositoryService:
    """One `ecomdeploy.yaml` of a repository. `folder`: below the root, "." or "services/shop"."""

    folder: str
    staging: Spec
    production: Spec

    def scope(self) -> DeployerScope:
        """Whom the roles are for, with what a template of CloudFormation fills in when it is deployed."""
        both = (self.staging, self.production)
        bounds = (one.governance.permissions_boundary for one in both)
        return DeployerScope(
            service=self.staging.service,
            environment="${Environment}",
            account="${AWS::AccountId}",
            region="${AWS::Region}",
            partition="${AWS::Partition}",
            state="${StateBucket}",
            prefix="${StatePrefix}",
            secrets=tuple(sorted({key for one in both for key in keys_of(one.environment.secrets or "")})),
            boundaries=tuple(sorted({one for one in bounds if one})),
            budget=any(one.governance.monthly_budget for one in both),
            network=any(one.serve.network for one in both),
            training=any(one.model.trained_elsewhere for one in both),
        )

    def words(self) -> dict[str, str]:
        """What a template may ask for."""
        found = {
            "SERVICE": self.staging.service,
            "FOLDER": self.folder,
            "BELOW": "" if self.folder == "." else f"{self.folder}/",
            "EXTRA": "" if self.staging.model.path else "[train]",
            "VERSION": version("ecomdeploy"),
            "FROM_ROLE": "",
            "READING": write_statements(list_reading(self.scope())),
            "SHIPPING": write_statements(list_shipping(self.scope())),
        }
        for name, spec in (("STAGING", self.staging), ("PRODUCTION", self.production)):
            place = spec.environment
            found[name] = place.name
            found[f"{name}_ACCOUNT"], found[f"{name}_REGION"] = place.account, place.region
            for task in ("plan", "deploy"):
                found[f"{name}_{task.upper()}_ROLE"] = role_of(spec, task)
        if self.staging.environment.account != self.production.environment.account:
            found["FROM_ROLE"] = f" --from-role {role_of(self.staging, 'plan')}"
        return found


@dataclass(frozen=True, kw_only=True)
class PipelineFile:
    """A file of a pipeline. `once`: written where there is none, and never compared."""

    path: Path
    text: str
    once: bool = False


def role_of(spec: Spec, task: str) -> str:
    """The role that a pipeline assumes, by name: docs/ci.md says what it may."""
    return f"arn:aws:iam::{spec.environment.account}:role/ecomdeploy-{spec.name}-{task}"


def write_statements(statements: Iterable[Statement], indent: int = 10) -> str:
    """A policy's statements in CloudFormation's YAML."""
    lines = []
    for one in statements:
        for place, (key, value) in enumerate(one.items()):
            lines += write_value("- " if place == 0 else "  ", key, value)
    return "\n".join(" " * indent + line for line in lines)


def write_value(lead: str, key: str, value: Any) -> list[str]:
    """One key of a statement: a text, a list of them, or a condition."""
    if isinstance(value, str):
        return [f"{lead}{key}: {write_text(value)}"]
    if isinstance(value, list):
        return [f"{lead}{key}:", *(f"    - {write_text(one)}" for one in value)]
    return [f"{lead}{key}:", *(f"    {operator}: {write_condition(value[operator])}" for operator in value)]


def write_text(value: str) -> str:
    return f"!Sub {value}" if "${" in value else json.dumps(value) if value == "*" else value


def write_condition(wanted: Mapping[str, Any]) -> str:
    text = json.dumps(wanted)
    return text if "${" not in text else re.sub(r'"([^"]*\$\{[^"]*)"', r'!Sub "\1"', text)


def list_providers() -> list[str]:
    """The names of the templates."""
    folder = resources.files("cli") / "templates" / "ci"
    return sorted(one.name.removesuffix(SUFFIX) for one in folder.iterdir() if one.name.endswith(SUFFIX))


def check_provider(name: str) -> None:
    """Raises BadInput: there is none of that name."""
    if name not in (known := list_providers()):
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(known)}"
        raise BadInput(f"unknown provider {name!r}", hint=hint)


def find_root(folder: Path) -> Path:
    """The repository that a folder lies in, or the folder where there is none."""
    here = folder.resolve()
    return next((one for one in (here, *here.parents) if (one / ".git").exists()), here)


def find_services(root: Path, staging: str, production: str) -> list[RepositoryService]:
    """Every service below the root, by folder.

    Raises:
        BadInput: there is none, a spec is wrong, two have one name, or an environment is not in it.
    """
    found = [
        RepositoryService(
            folder=folder.relative_to(root).as_posix(),
            staging=load(folder, staging, "--staging"),
            production=load(folder, production, "--production"),
        )
        for folder in sorted(find_specs(root))
    ]
    names = [each.staging.service for each in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadInput(f"two services are called {', '.join(twice)}", hint="give each its own `service`")
    if not found:
        raise BadInput(f"no {wiring.SPEC} below {root}", hint="ecomdeploy init recommendation shop")
    return found


def load(folder: Path, environment: str, option: str) -> Spec:
    """The spec in an environment that `option` names. Raises BadInput."""
    try:
        return wiring.load_spec(folder, environment)
    except BadInput as wrong:
        if any(one.path == "environments" for one in wrong.problems):
            raise BadInput(wrong.problems, hint=f"{wrong.hint}, or name another: {option} ENV") from None
        raise


def find_specs(folder: Path) -> Iterator[Path]:
    """Folders with a spec, this one and those below."""
    if (folder / wiring.SPEC).is_file():
        yield folder
    for inner in folder.iterdir():
        if inner.is_dir() and not inner.is_symlink() and inner.name not in NOT_SEARCHED:
            yield from find_specs(inner)


def render(provider: str, services: Iterable[RepositoryService], root: Path) -> list[PipelineFile]:
    """What `init` writes: the files of all services, each path once.

    Raises:
        BadInput: there is no such provider.
    """
    check_provider(provider)
    template = resources.files("cli") / "templates" / "ci" / f"{provider}{SUFFIX}"
    text, files = template.read_text(encoding="utf-8"), dict[Path, PipelineFile]()
    for service in services:
        for one in split(fill_in(text, service.words()), root):
            files.setdefault(one.path, one)
    return list(files.values())


def split(text: str, root: Path) -> Iterator[PipelineFile]:
    """A template's files."""
    heads = list(FILE.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        body = text[head.end() : following.start() if following else len(text)]
        yield PipelineFile(path=root / head["path"], text=body.rstrip("\n") + "\n", once=bool(head["once"]))


def fill_in(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([A-Z_]+)@", lambda found: words[found[1]], text)


def write(files: Iterable[PipelineFile], force: bool) -> list[Path]:
    """Write them; what is there already and the same stays. Returns the paths written.

    Raises:
        BadInput: one is there with another content, and there is no `force`. None is written then.
    """
    due = [one for one in files if not (one.path.exists() and (one.once or one.path.read_text() == one.text))]
    if (others := [str(one.path) for one in due if one.path.exists()]) and not force:
        hint = "ecomdeploy ci check tells what differs; --force writes them anew"
        raise BadInput(f"{', '.join(others)}: there already, with another content", hint=hint)
    for one in due:
        one.path.parent.mkdir(parents=True, exist_ok=True)
        one.path.write_text(one.text, encoding="utf-8")
    return [one.path for one in due]


def find_written(root: Path) -> list[tuple[str, str, str]]:
    """Which pipelines `init` has written here: provider, staging and production, from the files' own words."""
    beside = [one for folder in find_specs(root) for one in folder.iterdir() if one.is_file()]
    searched = [*root.glob(".github/workflows/*.yml"), *root.glob(".gitlab/*.yml"), *beside]
    found = (WRITTEN.search(one.read_text(encoding="utf-8", errors="replace")) for one in searched)
    return sorted({(one["provider"], one["staging"], one["production"]) for one in found if one})


def differences(files: Iterable[PipelineFile], root: Path) -> Iterator[str]:
    """What is in the repository against what `init` would write today, as unified diffs."""
    for one in files:
        there = one.path.read_text(encoding="utf-8") if one.path.exists() else ""
        if not (one.once and there):
            name = one.path.relative_to(root).as_posix()
            lines = difflib.unified_diff(
                there.splitlines(), one.text.splitlines(), f"{name} (here)", f"{name} (init)", lineterm=""
            )
            if text := "\n".join(lines):
                yield text
