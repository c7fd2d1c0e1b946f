"""The driver over `pulumi.automation`: the same calls drive the real Pulumi CLI and the embedded engine.

A program is run inline, in this process, from `stacks/programs/<name>/__main__.py` by `runpy`; that folder
never comes on sys.path. Pulumi is imported when first used: an unchanged `up` never gets here.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import secrets as random
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from infra.lookup.base import ResourceLookup
from modelpack.errors import CloudRefused, EcomdeployError
from modelpack.home import write_atomically
from modelpack.progress import Progress, Silent
from stacks.pulumi_driver.api import pulumi_automation
from stacks.pulumi_driver.changes import Watch
from stacks.pulumi_driver.driver import Change, Deployed, Settings, Stack
from stacks.pulumi_driver.locked import lift
from stacks.pulumi_driver.patience import in_order
from stacks.pulumi_driver.pending import recover
from stacks.pulumi_driver.refusals import in_words, words_of
from stacks.pulumi_driver.state_files import backend_url, mend_attributes

PROGRAMS = Path(__file__).parents[1] / "programs"
ROOT = PROGRAMS.parents[1]
"""The folder of our packages: what a program is made of lies in `infra` below it."""

ACCEPTED = "ECOMDEPLOY_ACCEPTED_OWNERS"
"""Whose things the embedded engine may take over; the CLI's providers take over none."""
CONFIDENTIAL = "confidential"
"""The global name under which a program finds them; nothing under `pulumi up`."""


@dataclass
class AutomationDriver:
    """`folder` is `.ecomdeploy/<environment>/pulumi`; `backend` a Pulumi backend URL; `environment` what the
    command sees. `secrets` is a Pulumi secrets provider ("awskms://..."), or None for the generated
    passphrase. `lookup` finds what a killed run of the CLI has made. `confidential`: values of parameters by name, for
    the program alone: given to it in this process, they are in no configuration and no command line. `command` makes
    the `PulumiCommand`: the embedded engine's, or the real one's (`real_cli`). `has_state`: whether the backend holds
    any (None: it is `folder`): the CLI writes to an empty one whatever it is asked. `is_as_left`: whether nothing of a
    converged stack (its Pulumi project and name) was changed, where that can be told quicker than by a preview.
    """

    name: str
    kind: Literal["embedded", "pulumi"]
    folder: Path
    backend: str
    environment: Mapping[str, str]
    command: Callable[[], Any]
    lookup: ResourceLookup
    secrets: str | None = None
    confidential: Mapping[str, str] = field(default_factory=dict, repr=False)
    programs: Path = PROGRAMS
    raised: list[EcomdeployError] = field(default_factory=list)
    accepted: tuple[str, ...] = ()
    has_state: Callable[[], bool] | None = None
    is_as_left: Callable[[str, str], bool] | None = None

    @property
    def looks(self) -> bool:
        return self.is_as_left is not None

    def accept(self, owners: Collection[str]) -> None:
        self.accepted = tuple(sorted(owners))

    def up(self, stack: Stack, settings: Settings, progress: Progress, *, refresh: bool) -> Deployed:
        opened, watch = self.open(stack, settings, progress), Watch(progress)
        if refresh:
            self.recover(opened, progress)
        result = self.call(opened, watch, opened.up, **({"refresh": True} if refresh else {}))
        return Deployed({name: output.value for name, output in result.outputs.items()}, watch.changes())

    def preview(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        opened = self.select(stack)
        if opened is None:
            return self.preview_new(stack, settings)
        return self.preview_opened(opened, settings)

    def has_drifted(self, stack: Stack, settings: Settings) -> bool:
        try:
            if self.is_as_left is None:
                return bool(self.preview(stack, settings))
            return not self.is_as_left(project_name(self.programs / stack.program), stack.name)
        except Exception:  # whatever stands in the way, the run that follows says it in words
            return True

    def preview_opened(self, opened: Any, settings: Settings) -> tuple[Change, ...]:
        watch = Watch(Silent())
        self.configure(opened, settings)
        self.call(opened, watch, opened.preview, refresh=True)
        return watch.changes()

    def preview_new(self, stack: Stack, settings: Settings) -> tuple[Change, ...]:
        """A stack that is not there yet, in a state that is thrown away: making it would be a change."""
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "pulumi"
            folder.mkdir()
            elsewhere = replace(self, folder=folder, backend=folder.as_uri(), secrets=None)
            return elsewhere.preview_opened(elsewhere.open(stack, settings), settings)

    def destroy(self, stack: Stack, progress: Progress) -> tuple[Change, ...]:
        opened, watch = self.select(stack, progress), Watch(progress)
        if opened is None:
            self.refuse_remnants(
                stack,
                "there is no state of this stack here, but this carries its tags",
                "if its folder is lost: `ecomdeploy up` (or `platform up`) takes it into a state again, and then it "
                "can be taken down; or delete it by hand",
            )
            return ()
        self.recover(opened, progress)
        self.call(opened, watch, opened.destroy, refresh=True)
        if self.kind == "pulumi":
            self.refuse_remnants(
                stack,
                "the stack's resources are deleted, but this carries its tags and is in no state",
                "delete it (or take its tag ecomdeploy:stack off to keep it); then type the same command again",
            )
        with in_words(stack.name):
            opened.workspace.remove_stack(stack.name)
        return watch.changes()

    def recover(self, opened: Any, progress: Progress) -> None:
        """What a kill left pending is looked up and recorded; the embedded engine does that by itself."""
        if self.kind == "pulumi":
            with in_words(opened.name):
                self.lift_and(opened, lambda: recover(opened, self.lookup, progress))

    def refuse_remnants(self, stack: Stack, what: str, hint: str) -> None:
        """Nothing may be left that carries the stack's tags and is in no state any more. The embedded engine takes over
        what a kill left, so that only a lost state leaves something."""
        if left := self.list_remnants(stack):
            listed = "\n".join(f"  {each}" for each in left)
            raise EcomdeployError(f"{what}:\n{listed}", where=stack.name, hint=hint)

    def list_remnants(self, stack: Stack) -> tuple[str, ...]:
        tag = f"{project_name(self.programs / stack.program)}/{stack.name}"
        return tuple(f"{each.where} ({each.resource})" for each in self.lookup.remnants(tag))

    def strays(self, stack: Stack) -> tuple[str, ...]:
        return self.list_remnants(stack) if self.select(stack) is None else ()

    def outputs(self, stack: Stack) -> Mapping[str, Any] | None:
        opened = self.select(stack)
        if opened is None:
            return None
        with in_words(stack.name):
            return {name: output.value for name, output in opened.outputs().items()}

    def source(self, stack: Stack) -> str:
        """The program, everything of ours that it may use, and the versions of Pulumi's packages."""
        return hashlib.sha256(
            f"{self.used} {digest_sources([self.programs / stack.program])}".encode()
        ).hexdigest()

    @cached_property
    def used(self) -> str:
        """What every program may use: `infra`, but for what stands in for a cloud. It is read once, as Python does."""
        from importlib.metadata import version

        versions = [version(one) for one in ("pulumi", "pulumi-aws", "pulumi-kubernetes")]
        parts = sorted(one for one in (ROOT / "infra").iterdir() if one.name != "rehearsal")
        return " ".join([*versions, digest_sources(parts)])

    def select(self, stack: Stack, progress: Progress | None = None) -> Any:
        """The stack, or None when there is none. Raises what `in_words` raises."""
        there = self.has_state() if self.has_state else (self.folder / ".pulumi").exists()
        if not there:
            return None
        automation = pulumi_automation()
        with in_words(stack.name), suppress(automation.StackNotFoundError):
            return automation.select_stack(stack.name, **self.options(stack, progress))
        return None

    def open(self, stack: Stack, settings: Settings, progress: Progress | None = None) -> Any:
        """The stack with its settings, made if need be. Raises what `in_words` raises."""
        automation = pulumi_automation()

        with in_words(stack.name):
            opened = automation.create_or_select_stack(stack.name, **self.options(stack, progress))
        self.configure(opened, settings)
        return opened

    def configure(self, opened: Any, settings: Settings) -> None:
        """The settings, where the program will look: in a file of this folder."""
        value = pulumi_automation().ConfigValue(value=json.dumps(settings, sort_keys=True))
        with in_words(opened.name):
            opened.set_config("settings", value)

    def options(self, stack: Stack, progress: Progress | None) -> dict[str, Any]:
        automation = pulumi_automation()

        mend_attributes(self.folder, progress or Silent())
        work = self.folder / stack.program
        work.mkdir(parents=True, exist_ok=True)
        variables = {
            **self.environment,
            "PULUMI_BACKEND_URL": backend_url(self.backend) if self.kind == "pulumi" else self.backend,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            ACCEPTED: " ".join(self.accepted),
        }
        if self.secrets is None:
            variables["PULUMI_CONFIG_PASSPHRASE"] = passphrase(self.folder.parent / "passphrase")
        name = project_name(self.programs / stack.program)
        project = automation.ProjectSettings(name, "python", str(Path.cwd()))
        return {
            "project_name": name,
            "program": lambda: self.run(stack),
            "opts": automation.LocalWorkspaceOptions(
                work_dir=str(work),
                # written where it is given, and others may be reading it
                project_settings=None if _is_project(work / "Pulumi.yaml", name) else project,
                env_vars=variables,
                secrets_provider=self.secrets,
                pulumi_command=self.command(),
            ),
        }

    def run(self, stack: Stack) -> None:
        """The program itself; what it raises of ours is kept, since Pulumi would only print it."""
        try:
            given = {CONFIDENTIAL: dict(self.confidential)}
            file = self.programs / stack.program / "__main__.py"
            runpy.run_path(str(file), init_globals=given, run_name="ecomdeploy_program")
        except Exception as error:  # `infra.program.run` makes a RunError of ours: the cause is its context
            self.raised += [each for each in (error, error.__context__) if isinstance(each, EcomdeployError)]
            raise

    def call(self, opened: Any, watch: Watch, operation: Callable[..., Any], **options: Any) -> Any:
        """One Pulumi operation. A lock that a killed run left on this machine is lifted: we hold the lease.

        Raises:
            Locked: somebody else may be at work on the stack.
            CloudRefused, EcomdeployError: in the provider's words.
        """
        automation = pulumi_automation()

        def attempt() -> Any:
            if self.kind == "embedded":  # it ends in order by itself
                return operation(on_event=watch.see, **options)
            return in_order(lambda: operation(on_event=watch.see, **options), watch.progress)

        self.raised.clear()
        with in_words(opened.name, watch.errors):
            try:
                return self.lift_and(opened, attempt)
            except automation.CommandError:
                if self.raised:
                    raise self.raised[0] from None
                raise

    def lift_and(self, opened: Any, attempt: Callable[[], Any]) -> Any:
        """The attempt, and once more where only a dead process's lock was in its way. Raises what `lift` raises."""
        try:
            return attempt()
        except pulumi_automation().ConcurrentUpdateError as locked:
            lift(opened, words_of(locked), self.backend)
            return attempt()


def digest_sources(places: Iterable[Path]) -> str:
    """Of the sources in these files and folders."""
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix in (".py", ".json", ".yaml"):
                digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def passphrase(file: Path) -> str:
    """The generated passphrase of an environment's state; made on first use, readable by its owner only.

    Raises:
        EcomdeployError: it is damaged.
    """
    if not file.exists():
        # durable before the first state is, which nobody can read without it
        write_atomically(file, random.token_hex(32).encode(), private=True, durable=True)
    kept = file.read_bytes()
    try:
        if b"\0" not in kept:
            return kept.decode().strip()
    except UnicodeDecodeError:
        pass
    hint = "put it back from a backup: the secrets in Pulumi's state are encrypted with it"
    raise EcomdeployError(f"{file} is damaged", hint=hint)


@cache
def project_name(folder: Path) -> str:
    """`name` of the folder's Pulumi.yaml: the namespace of its configuration, here and under `pulumi up`."""
    return str(_read_project(folder / "Pulumi.yaml")["name"])


def _is_project(file: Path, name: str) -> bool:
    """Whether the file is that project's; not where it is missing or damaged."""
    from ruamel.yaml.error import YAMLError

    try:
        found = _read_project(file)
    except (OSError, UnicodeDecodeError, YAMLError):
        return False
    return isinstance(found, dict) and found.get("name") == name


def _read_project(file: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))


def real_cli() -> Any:
    """The Pulumi CLI of this machine.

    Raises:
        CloudRefused: there is none, or it is too old.
    """
    automation = pulumi_automation()

    try:
        return automation.PulumiCommand()
    except (FileNotFoundError, automation.InvalidVersionError) as error:
        hint = "install it: https://www.pulumi.com/docs/install/"
        raise CloudRefused(
            f"AWS is deployed to with the Pulumi CLI, and it cannot be used: {error}", hint=hint
        ) from None
