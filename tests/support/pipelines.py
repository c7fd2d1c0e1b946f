"""Generated pipelines, read as their runners read them: jobs in order, conditions, artifacts, and every line of shell.

What is no shell is left out: actions that fetch the code (a fresh clone is made for each job), that log in (the local
cloud is in the place of both accounts) and that keep caches. Conditions know no more than the templates write.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML

SECONDS = 1800


@dataclass(frozen=True, kw_only=True)
class Step:
    """Shell, in a folder of the clone. `always`: also after a step that failed."""

    script: str
    folder: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    always: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """`takes` and `gives`: paths below the clone, from and for other jobs."""

    name: str
    steps: tuple[Step, ...]
    needs: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()


class Provider(Protocol):
    def jobs(self, clone: Path, event: str) -> list[Job]:
        """The jobs of an event (pull, push, schedule) in the order in which they run."""
        ...

    def variables(self, event: str, comments: str) -> dict[str, str]:
        """What its runner sets. `comments`: the address of its API."""
        ...


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


def holds(condition: str, values: Mapping[str, str]) -> bool:
    """A condition of comparisons; every name must be known."""
    words = re.findall(r"always\(\)|\$?[A-Za-z_][\w.]*|'[^']*'|\"[^\"]*\"|==|&&|\|\|", condition)
    plain = [values[one] if one in values else one.strip("'\"") for one in words]

    def compare(part: list[str]) -> bool:
        return part == ["always()"] or (part[1] == "==" and part[0] == part[2])

    return any(all(compare(one) for one in split_at(either, "&&")) for either in split_at(plain, "||"))


def split_at(words: list[str], mark: str) -> Iterator[list[str]]:
    part: list[str] = []
    for word in words:
        if word == mark:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def in_order(jobs: list[Job]) -> list[Job]:
    """After what they need; a job whose need does not run does not run either."""
    placed: list[Job] = []
    for _ in jobs:
        placed += [
            job for job in jobs
            if job not in placed and set(job.needs) <= {one.name for one in placed}
        ]  # fmt: skip
    return placed


@dataclass(frozen=True)
class GitHub:
    """Jobs of .github/workflows/ecomdeploy-SERVICE.yml, with the composite action in their place."""

    service: str

    def variables(self, event: str, comments: str) -> dict[str, str]:
        return {
            "GITHUB_REF": "refs/pull/7/merge" if event == "pull" else "refs/heads/main",
            "GITHUB_API_URL": comments,
            "GITHUB_REPOSITORY": "shop/models",
        }

    def jobs(self, clone: Path, event: str) -> list[Job]:
        document = load(clone / f".github/workflows/ecomdeploy-{self.service}.yml")
        name = {"pull": "pull_request"}.get(event, event)
        assert name in document["on"]
        values = {
            "github.event_name": name,
            "github.event.pull_request.head.repo.full_name": "shop/models" if event == "pull" else "",
            "github.repository": "shop/models",
        }
        folder = document["defaults"]["run"]["working-directory"]
        found = []
        for key, job in document["jobs"].items():
            if not holds(job.get("if", "always()"), values):
                continue
            needs = job.get("needs", [])
            for values_of in job.get("strategy", {}).get("matrix", {}).get("include", [{}]):
                steps = [one for step in job["steps"] for one in self.steps(clone, folder, step)]
                environment = {
                    name: re.sub(r"\$\{\{ matrix\.(\w+) \}\}", lambda one: values_of[one[1]], value)  # noqa: B023
                    for name, value in job.get("env", {}).items()
                }
                found.append(
                    Job(
                        name=" ".join([key, *environment.values()]),
                        steps=tuple(
                            Step(
                                script=one.script,
                                folder=one.folder,
                                environment={**environment, **one.environment},
                                always=one.always,
                            )
                            for one in steps
                        ),
                        needs=(needs,) if isinstance(needs, str) else tuple(needs),
                        gives=tuple(self.artifacts(job)),
                    )
                )
        return in_order(found)

    def steps(self, clone: Path, folder: str, step: Mapping[str, Any]) -> Iterator[Step]:
        always = step.get("if", "") == "always()"
        if str(step.get("uses", "")).startswith("./"):
            inputs = {f"${{{{ inputs.{name} }}}}": value for name, value in step["with"].items()}
            for inner in load(clone / step["uses"] / "action.yml")["runs"]["steps"]:
                if "run" in inner:
                    yield Step(script=inner["run"], folder=inputs[inner["working-directory"]])
        elif "run" in step:
            token = {
                name: value.replace("${{ github.token }}", "t0ken")
                for name, value in step.get("env", {}).items()
            }
            yield Step(script=step["run"], folder=folder, environment=token, always=always)

    def artifacts(self, job: Mapping[str, Any]) -> Iterator[str]:
        for step in job["steps"]:
            if "upload-artifact" in step.get("uses", ""):
                yield from re.sub(r"\$\{\{ matrix\.\w+ \}\}", "*", step["with"]["path"]).split()


@dataclass(frozen=True)
class GitLab:
    """Jobs of what .gitlab-ci.yml includes, with what they extend."""

    service: str

    def variables(self, event: str, comments: str) -> dict[str, str]:
        request = {"CI_MERGE_REQUEST_IID": "7"} if event == "pull" else {}
        return {
            **request,
            "CI_API_V4_URL": comments,
            "CI_PROJECT_ID": "3",
            "CI_PIPELINE_ID": "11",
            "ECOMDEPLOY_COMMENT_TOKEN": "t0ken",
            "ECOMDEPLOY_ID_TOKEN": "signed by GitLab",
        }

    def jobs(self, clone: Path, event: str) -> list[Job]:
        root = load(clone / ".gitlab-ci.yml")
        (included,) = (path for one in root["include"] for path in clone.glob(one["local"]))
        document = load(included)
        source = {"pull": "merge_request_event"}.get(event, event)
        values = {
            "$CI_PIPELINE_SOURCE": source,
            "$CI_COMMIT_BRANCH": "main",
            "$CI_DEFAULT_BRANCH": "main",
            "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "3" if event == "pull" else "",
            "$CI_PROJECT_ID": "3",
        }
        found = []
        for name in document:
            job = self.extended(document, name)
            if name.startswith(".") or not any(holds(rule["if"], values) for rule in job["rules"]):
                continue
            assert job["stage"] in root["stages"]
            lines = [*job["before_script"], *job["script"]]
            step = Step(script="\n".join(lines), environment=job.get("variables", {}))
            found.append(
                Job(
                    name=name,
                    steps=(step,),
                    needs=tuple(job.get("needs", ())),
                    gives=tuple(job.get("artifacts", {}).get("paths", ())),
                )
            )
        return in_order(
            sorted(found, key=lambda job: root["stages"].index(document[job.name].get("stage", "drift")))
        )

    def extended(self, document: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Later ones over earlier ones, the job's own over all; maps are merged."""
        job, whole = document[name], dict[str, Any]()
        bases = job.get("extends", [])
        for base in [bases] if isinstance(bases, str) else bases:
            whole = merge(whole, self.extended(document, base))
        return merge(whole, job)


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        merged[key] = merge(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return merged


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a job ended and what it said, both streams together."""

    name: str
    code: int
    said: str


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs jobs, each in a fresh clone of `origin`. `state` stands for the state buckets: what a job leaves in
    `.ecomdeploy` is there for the next. `variables` are the machine's; artifacts are kept in `root`."""

    origin: Path
    root: Path
    state: Path
    variables: Mapping[str, str]

    def run(self, job: Job, branch: str, more: Mapping[str, str]) -> Ran:
        clone = self.clone(branch, job.name)
        for needed in job.needs:
            shutil.copytree(self.root / "artifacts" / needed, clone, dirs_exist_ok=True)
        code, said = 0, ""
        for step in job.steps:
            if code and not step.always:
                continue
            ended, words = self.shell(step, clone, more)
            code, said = code or ended, f"{said}{words}"
        kept = self.root / "artifacts" / job.name
        kept.mkdir(parents=True, exist_ok=True)
        for pattern in job.gives:
            for path in clone.glob(pattern):
                target = kept / path.relative_to(clone)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        return Ran(name=job.name, code=code, said=said)

    def clone(self, branch: str, name: str) -> Path:
        """A clone that nobody used, with the shared state."""
        count = sum(1 for _ in self.root.glob("clone-*"))
        target = self.root / f"clone-{count}-{name.replace(' ', '-')}"
        git = ["git", "clone", "--quiet", "--branch", branch, str(self.origin), str(target)]
        subprocess.run(git, check=True, capture_output=True)
        for spec in target.rglob("ecomdeploy.yaml"):
            (spec.parent / ".ecomdeploy").symlink_to(self.state)
        return target

    def shell(self, step: Step, clone: Path, more: Mapping[str, str]) -> tuple[int, str]:
        """As both runners do it: bash that stops at the first command that fails."""
        own = {
            "CI_PROJECT_DIR": str(clone),
            "CI_BUILDS_DIR": str(self.root),
            "GITHUB_STEP_SUMMARY": str(self.root / "summary.md"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step.script],
            cwd=clone / step.folder,
            env={**step.environment, **more, **self.variables, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, f"$ {step.script}\n{done.stdout}"
