"""Runs one scenario on one engine and records what happened, in the form of the golden files."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi import automation
from waiting import wait_for
from warm_commands import warm_context

from tests.reality.engines import Engine
from tests.reality.file_cloud import FOLDER, MUTATING, FileCloud
from tests.reality.normal import normal_state, tidy

PASSPHRASE = "correct horse"
Program = Callable[[], object]
Record = dict[str, Any]


@dataclass
class Bench:
    """A backend folder, a cloud and an engine; `records` has one entry for each thing done."""

    root: Path
    engine: Engine
    stack_name: str = "dev"
    salt: str = ""
    records: list[Record] = field(default_factory=list)
    told: list[list[str]] = field(default_factory=list)
    """The errors of each thing done; engines may word them as they like."""

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        self.cloud = FileCloud(self.root / "cloud")

    @property
    def work(self) -> Path:
        return self.root / "work"

    def stack(self, program: Program = lambda: None) -> automation.Stack:
        def declare() -> None:
            program()

        settings = self.work / f"Pulumi.{self.stack_name}.yaml"
        if self.salt and not settings.exists():
            settings.write_text(f"encryptionsalt: {self.salt}\n")
        variables = {
            "PULUMI_BACKEND_URL": self.root.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            FOLDER: str(self.cloud.folder),
            **self.engine.variables(),
        }
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self.work), pulumi_command=self.engine.command(), env_vars=variables
        )
        return automation.create_or_select_stack(
            self.stack_name, project_name="shop", program=declare, opts=options
        )

    def up(self, program: Program, **options: Any) -> None:
        self.operate("up", program, **options)

    def preview(self, program: Program, **options: Any) -> None:
        self.operate("preview", program, **options)

    def refresh(self, **options: Any) -> None:
        self.operate("refresh", **options)

    def destroy(self, **options: Any) -> None:
        self.operate("destroy", **options)

    def operate(
        self,
        verb: str,
        program: Program = lambda: None,
        config: Mapping[str, automation.ConfigValue] | None = None,
        **options: Any,
    ) -> None:
        """One operation, well or not. One call at a time, unless `parallel` says otherwise."""
        events: list[automation.events.EngineEvent] = []
        since, said = len(self.cloud.calls()), []
        record: Record = {"do": verb, "result": "ok"}
        stack = self.stack(program)
        for key, value in (config or {}).items():
            stack.set_config(key, value)
        try:
            done = getattr(stack, verb)(on_event=events.append, **{"parallel": 1, **options})
            if verb == "up":
                record["outputs"] = {name: told(one) for name, one in sorted(done.outputs.items())}
        except Exception as error:
            record["result"] = "failed"
            said = [str(error)]
        record |= hear(events)
        self.look(record, since)
        self.told.append([*said, *(line for event in events for line in error_of(event))])

    def kill(self, verb: str, program: Program) -> None:
        """The operation in a process group of its own, which is killed (-9) once a call hangs."""
        since = len(self.cloud.calls())
        process = warm_context().Process(
            target=operate_alone, args=(self.root, self.engine, self.salt, verb, program)
        )
        process.start()
        wait_for(lambda: self.cloud.hanging.exists() or not process.is_alive())
        assert process.is_alive(), "the operation ended by itself"
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        self.cloud.hanging.unlink()
        self.cloud.plant()
        record: Record = {"do": f"{verb}, killed", "result": "killed"}
        self.engine.bury(self.stack())
        self.look(record, since)
        self.told.append([])

    def look(self, record: Record, since: int) -> None:
        """What is there now."""
        record["calls"] = sorted(call for call in self.cloud.calls()[since:] if call.startswith(MUTATING))
        record["cloud"] = sorted(self.cloud.things)
        path = self.root / ".pulumi" / "stacks" / "shop" / f"{self.stack_name}.json"
        latest = json.loads(path.read_text())["checkpoint"].get("latest") or {} if path.exists() else {}
        record["state"] = normal_state(latest.get("resources") or [])
        pending = latest.get("pending_operations") or []
        record["pending"] = sorted(
            f"{one['type']} {one['resource']['urn'].split('::')[-1]}" for one in pending
        )
        self.records.append(record)


def operate_alone(root: Path, engine: Engine, salt: str, verb: str, program: Program) -> None:
    """The process that is killed."""
    os.setsid()
    Bench(root, engine, salt=salt).operate(verb, program)


def told(output: automation.OutputValue) -> str:
    return str(tidy(("[secret] " if output.secret else "") + json.dumps(output.value, sort_keys=True)))


def error_of(event: automation.events.EngineEvent) -> list[str]:
    found = event.diagnostic_event
    return [found.message] if found and found.severity in ("error", "warning") else []


def hear(events: list[automation.events.EngineEvent]) -> Record:
    """Each step once, and the counts. Order is not the engines' promise, and a preview tells components twice."""
    steps, counts = set(), {}
    for event in events:
        if event.res_outputs_event:
            steps.add(describe(event.res_outputs_event.metadata))
        if event.res_op_failed_event:
            steps.add(describe(event.res_op_failed_event.metadata, " FAILED"))
        if event.summary_event:
            counts = dict(event.summary_event.resource_changes or {})
    return {"steps": sorted(steps), "counts": {str(op): count for op, count in sorted(counts.items())}}


def describe(metadata: Any, ending: str = "") -> str:
    op = str(getattr(metadata.op, "value", metadata.op))
    words = f"{op} {metadata.type.split(':')[-1]} {metadata.urn.rsplit('::', 1)[-1]}{ending}"
    if metadata.diffs and op != "same":
        words += f" diffs={','.join(sorted(metadata.diffs))}"
    if metadata.keys:
        words += f" keys={','.join(sorted(metadata.keys))}"
    return str(tidy(words))
