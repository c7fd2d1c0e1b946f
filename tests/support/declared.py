"""Run Pulumi code without an engine and keep what it declared, with the options it gave."""

from __future__ import annotations

import asyncio
import json
import pathlib
import runpy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime import test as awaited  # (its name would make pytest collect it)

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCAL = {"environment": "local", "cloud": "local", "region": "us-east-1", "account": "123456789012"}


@dataclass(frozen=True)
class Resource:
    """One registration as it went over the wire."""

    type: str
    name: str
    parent: str
    provider: str
    custom: bool
    inputs: Mapping[str, Any]
    ignored: tuple[str, ...]
    depends_on: tuple[str, ...]


@dataclass
class Declaration:
    """Everything declared, and the stack's outputs."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def custom(self) -> list[Resource]:
        """What exists in the cloud."""
        return [one for one in self.resources if one.custom and not one.type.startswith("pulumi:")]

    def of(self, kind: str) -> list[Resource]:
        """All cloud resources (and providers) of a type, given by its last word ("Subnet")."""
        return [one for one in self.resources if one.custom and one.type.endswith(f":{kind}")]

    def one(self, kind: str) -> Resource:
        (found,) = self.of(kind)
        return found


class Answers(mocks.Mocks):
    """Stands for a provider: every resource gets an id and what AWS would compute."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        computed = {
            "arn": f"arn:aws:mock:us-east-1:123456789012:{args.name}",
            "keyId": f"{args.name}-key",
            "repositoryUrl": f"registry.test/{args.inputs.get('name', '')}",
            "latestVersion": 1.0,
            "endpoint": "https://cluster.test",
            "certificateAuthority": {"data": "authority"},
        }
        return f"{args.name}-id", {**computed, **args.inputs}

    def call(self, args: mocks.MockCallArgs) -> Any:
        raise AssertionError(f"{args.token}: a program asks nothing of the cloud")


class Recorder(mocks.MockMonitor):
    def __init__(self, declaration: Declaration) -> None:
        super().__init__(Answers())
        self.declaration = declaration

    def RegisterResource(self, request: Any) -> Any:
        if request.type != "pulumi:pulumi:Stack":
            self.declaration.resources.append(
                Resource(
                    type=request.type,
                    name=request.name,
                    parent=request.parent,
                    provider=request.provider,
                    custom=request.custom,
                    inputs=rpc.deserialize_properties(request.object),
                    ignored=tuple(request.ignoreChanges),
                    depends_on=tuple(request.dependencies),
                )
            )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def declare(code: Callable[[], Any], *, project: str = "project", stack: str = "local") -> Declaration:
    """What `code` declares; its exceptions come through."""
    declaration = Declaration()
    # Pulumi asks for the thread's event loop, and an `asyncio.run` of another test leaves the thread without one.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        pulumi.runtime.set_mocks(Answers(), project=project, stack=stack, monitor=Recorder(declaration))
        awaited(code)()  # type: ignore[no-untyped-call]
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return declaration


def program(name: str, settings: Mapping[str, Any], *, stack: str = "shop-local") -> Declaration:
    """What the program of `stacks/programs/<name>` declares with these settings."""
    project = f"ecomdeploy-{name}"

    def run() -> Any:
        pulumi.runtime.set_all_config({f"{project}:settings": json.dumps({**LOCAL, **settings})})
        root: Any = pulumi.runtime.get_root_resource()
        root.outputs.clear()
        runpy.run_path(str(ROOT / "stacks" / "programs" / name / "__main__.py"), run_name="__main__")
        return pulumi.Output.from_input(dict(root.outputs)).apply(outputs.update)

    outputs: dict[str, Any] = {}
    declaration = declare(run, project=project, stack=stack)
    declaration.outputs |= outputs
    return declaration
