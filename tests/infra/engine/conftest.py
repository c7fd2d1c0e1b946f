"""A laboratory for the embedded engine: the unmodified Automation API, a fake cloud, a state folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation

from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import Fake
from infra.rehearsal.engine.state.crypt import Keyring
from tests.infra.engine.embedded_alone import EMBEDDED_ALONE
from tests.reality.extent import sample
from tests.reality.plugins import PluginHub

PASSPHRASE = "correct horse"
IN_A_SAMPLE = 6
Program = Callable[[], None]


class Thing(pulumi.CustomResource):
    """A resource of the fake package, inputs as given, outputs by the same names and `arn`."""

    arn: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        inputs: Mapping[str, Any] | None = None,
        opts: pulumi.ResourceOptions | None = None,
        kind: str = "Thing",
    ) -> None:
        super().__init__(f"fake:index:{kind}", name, {"arn": None, **(inputs or {})}, opts)


class Group(pulumi.ComponentResource):
    """A component."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("shop:index:Group", name, {}, opts)


class FakeProvider(pulumi.ProviderResource):
    """An explicit provider of the fake package."""

    def __init__(
        self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fake", name, dict(inputs), opts)


@dataclass
class Run:
    """What an operation did: steps as (op, name), the summary's counts, outputs, all output text."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    events: list[automation.events.EngineEvent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, automation.OutputValue] = field(default_factory=dict)
    text: str = ""

    def heard(self, event: automation.events.EngineEvent) -> None:
        self.events.append(event)
        if event.res_outputs_event:
            metadata = event.res_outputs_event.metadata
            self.steps.append((metadata.op.value, metadata.urn.rpartition("::")[2]))

    @property
    def changed(self) -> list[tuple[str, str]]:
        return [step for step in self.steps if step[0] != "same"]


@dataclass
class Lab:
    """One backend folder and one fake cloud."""

    root: Path
    fake: Fake = field(default_factory=Fake)
    keyring: Keyring = field(default_factory=Keyring)
    passphrase: str = PASSPHRASE
    project: str = "shop"

    command: Any = None
    """What runs an operation: the embedded engine, unless it is the real CLI."""
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.command = self.command or EmbeddedPulumiCommand(self.fake, keyring=self.keyring)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PULUMI_BACKEND_URL": f"file://{self.root}",
            "PULUMI_CONFIG_PASSPHRASE": self.passphrase,
            **self.variables,
        }

    def stack(self, program: Program = lambda: None, name: str = "dev") -> automation.Stack:
        self.work.mkdir(parents=True, exist_ok=True)
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self.work), pulumi_command=self.command, env_vars=self.environment
        )
        return automation.create_or_select_stack(
            name, project_name=self.project, program=program, opts=options
        )

    def _run(self, operate: Callable[..., Any], **options: Any) -> Run:
        run = Run()
        result = operate(on_event=run.heard, **options)
        summary = getattr(result, "summary", None)
        run.counts = dict(summary.resource_changes if summary else result.change_summary)
        run.outputs = dict(getattr(result, "outputs", {}))
        run.text = result.stdout
        self.check_integrity()
        return run

    def check_integrity(self) -> None:
        """Pulumi's own rule for states: whatever a resource needs comes before it."""
        seen: set[str] = set()
        for one in self.deployment["resources"]:
            needs = {
                *one.get("dependencies", ()),
                one.get("parent"),
                one.get("provider", "").rpartition("::")[0],
            }
            needs.update(urn for urns in one.get("propertyDependencies", {}).values() for urn in urns)
            assert needs - {None, ""} <= seen, one["urn"]
            assert one.get("delete") or one["urn"] not in seen, one["urn"]
            seen.add(one["urn"])

    def up(self, program: Program, **options: Any) -> Run:
        return self._run(self.stack(program).up, **options)

    def preview(self, program: Program, **options: Any) -> Run:
        return self._run(self.stack(program).preview, **options)

    def refresh(self, **options: Any) -> Run:
        return self._run(self.stack().refresh, **options)

    def destroy(self, **options: Any) -> Run:
        return self._run(self.stack().destroy, **options)

    @property
    def checkpoint(self) -> Path:
        return self.root / ".pulumi" / "stacks" / self.project / "dev.json"

    @property
    def deployment(self) -> dict[str, Any]:
        """The CLI leaves out what is empty."""
        latest = json.loads(self.checkpoint.read_text())["checkpoint"].get("latest") or {}
        return {"resources": [], "pending_operations": [], **latest}

    @property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The state's live resources by name, without stack and providers."""
        return {
            one["urn"].rpartition("::")[2]: one
            for one in self.deployment["resources"]
            if one["type"].startswith(("fake:", "shop:")) and not one.get("delete")
        }


@pytest.fixture(scope="session")
def keys() -> tuple[Keyring, str]:
    """One key derivation for the whole session: it takes a good tenth of a second each."""
    keyring = Keyring()
    return keyring, keyring.fresh_salt(PASSPHRASE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of the laboratory runs on the embedded engine and on the real CLI, but for those in the table."""
    if "lab" not in metafunc.fixturenames:
        return
    engines = [pytest.param("embedded")]
    if metafunc.function.__name__ not in EMBEDDED_ALONE:
        engines.append(pytest.param("cli", marks=[pytest.mark.slow, pytest.mark.reality]))
    metafunc.parametrize("lab", engines, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of the CLI's a sample, or with ALL=1 all: each takes some seconds."""
    ours = [
        item for item in items if item.path.parent == Path(__file__).parent and "reality" in item.keywords
    ]
    left_out = {*ours} - {*sample(ours, IN_A_SAMPLE)}
    config.hook.pytest_deselected(items=[item for item in items if item in left_out])
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture
def embedded_lab(tmp_path: Path, keys: tuple[Keyring, str]) -> Lab:
    return set_up(Lab(tmp_path, keyring=keys[0]), keys[1])


@pytest.fixture
def cli_lab(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    keys: tuple[Keyring, str],
    pulumi_binary: Path,
) -> Iterator[Lab]:
    """The provider is this process's own, so a test sees its calls as it does the engine's."""
    hub, fake = PluginHub(tmp_path_factory.mktemp("pulumi-home")), Fake()
    hub.install("fake", "1.0.0", fake)
    variables = {
        "PULUMI_HOME": str(hub.home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    command = automation.PulumiCommand(root=str(pulumi_binary.parents[1]))
    yield set_up(Lab(tmp_path, fake, command=command, variables=variables), keys[1])
    hub.close()


def set_up(lab: Lab, salt: str) -> Lab:
    lab.work.mkdir()
    (lab.work / "Pulumi.dev.yaml").write_text(f"encryptionsalt: {salt}\n")
    return lab


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Lab:
    made: Lab = request.getfixturevalue(f"{request.param}_lab")
    return made


@pytest.fixture
def thing() -> type[Thing]:
    return Thing


@pytest.fixture
def group() -> type[Group]:
    return Group


@pytest.fixture
def fake_provider() -> type[FakeProvider]:
    return FakeProvider
