"""Commands as processes of their own, each forked from one that has imported everything: `python -m tests.chaos.stage`.

A line of JSON on standard input is an Order; each line on standard output is an Ended. What a command does until its
end goes through the command line's own wiring; only packs are words (word_builder.py) and what the order spoils.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from word_builder import WordBuilder
from word_pods import PodBuilder

from cli import wiring
from modelpack.errors import EcomdeployError
from modelpack.progress import Silent
from stacks import ship
from tests.chaos import sabotage
from tests.chaos.fuse import Fuse

ROOT = Path(__file__).resolve().parents[2]
KILLED = -9


@dataclass(frozen=True)
class Order:
    """`verb`: up, rollback (to release `number`), down (with everything); `word`: the pack; `project`: its folder."""

    verb: str
    word: str
    project: str
    number: int = 0
    at: int = 0
    how: str = "kill"
    lasts: int = 1
    when: str = ""
    spoilt: str = ""


@dataclass(frozen=True)
class Ended:
    """`status`: 0, 1 for an error in our words (`error`, `said`), 70 for any other, KILLED; `effects`: in order."""

    status: int
    said: str = ""
    error: str = ""
    outcome: Mapping[str, Any] = field(default_factory=dict)
    effects: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        return self.status == 0


@dataclass(frozen=True)
class StagedWiring(wiring.Wiring):
    """With a session whose clients are made already: AWS's models are read once, not by every process."""

    ready: Any = None

    @cached_property
    def session(self) -> Any:
        from infra.aws_session import refuse_other_account

        if self.target.on_cluster:
            return super().session
        refuse_other_account(self.ready, self.spec.environment.account)
        return self.ready


def make_session() -> Any:
    """Clients that have called nobody yet, so that processes which are forked share no connection."""
    from infra.aws_session import AwsSession

    region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    session = AwsSession({**os.environ, **wiring.local_cloud().environment(), **region})
    for service in (
        "sts",
        "s3",
        "ssm",
        "sagemaker",
        "sagemaker-runtime",
        "application-autoscaling",
        "cloudwatch",
    ):
        session.client(service)
    return session


def make_builder(target: str, word: str) -> WordBuilder:
    kind = PodBuilder if target == "kserve" else WordBuilder
    return kind(wiring.home(), word)


def carry_out(order: Order, told: int, session: Any) -> int:
    """In the forked process: the command; what it does and how it ends is written to the descriptor `told`."""

    def tell(kind: str, what: Any) -> None:
        os.write(told, json.dumps([kind, what]).encode() + b"\n")

    project = Path(order.project)
    os.chdir(project)
    try:
        spec = wiring.load_spec(project, "local")
        wire = sabotage.spoil(order.spoilt, StagedWiring(project, spec, Silent(), ready=session))
        deps = replace(wire.collaborators(), builder=make_builder(spec.serve.target, order.word))
        deps = sabotage.spoil_more(order.spoilt, wire, deps)
        within = (project, wiring.home().images)
        fuse = Fuse(order.at, order.how, within, lambda what: tell("effect", what), order.lasts, order.when)
        fuse.arm()
        if order.verb == "up":
            done = ship.up(deps, spec)
        elif order.verb == "rollback":
            done = ship.rollback(deps, spec, order.number or None)
        else:
            done = ship.down(deps, spec, everything=True)
    except EcomdeployError as error:
        tell("error", [type(error).__name__, str(error)])
        return 1
    except BaseException:
        tell("error", ["a traceback", traceback.format_exc()])
        return 70
    tell("outcome", done.document())
    tell("modules", sorted(sys.modules))
    return 0


def serve() -> None:
    """Fork for each order, and say how it ended."""
    session = None
    for line in sys.stdin:
        order = Order(**json.loads(line))
        session = session or make_session()
        assert threading.active_count() == 1, "a process with threads is not to be forked"
        reading, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os._exit(carry_out(order, told, session))
        os.close(told)
        said = []
        with open(reading) as lines:
            for one in lines:
                said.append(json.loads(one))
                if said[-1] == ["effect", "stopped"]:
                    print(json.dumps({"stopped": child}), flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        error, words = next((what for kind, what in said if kind == "error"), ("", ""))
        outcome: dict[str, Any] = next((what for kind, what in said if kind == "outcome"), {})
        import_all(next((what for kind, what in said if kind == "modules"), ()))
        effects = tuple(what for kind, what in said if kind == "effect")
        print(json.dumps(asdict(Ended(status, words, error, outcome, effects))), flush=True)


class Stage:
    """The process that forks, seen from the test. `variables`: ECOMDEPLOY_HOME and the like."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.line = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        path = os.pathsep.join((str(ROOT), str(ROOT / "tests" / "support")))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.stage"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**kept, **variables, "PYTHONPATH": path},
        )  # fmt: skip

    def begin(self, order: Order) -> None:
        """Let it run; `end` says how it ended."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(order)) + "\n")
        self.process.stdin.flush()

    def await_stop(self) -> int | None:
        """The process that has stopped itself; None when it has ended instead, and `end` says how."""
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        found = json.loads(self.line)
        if "stopped" not in found:
            return None
        self.line = ""
        return int(found["stopped"])

    def end(self) -> Ended:
        assert self.process.stdout is not None
        line, self.line = self.line or self.process.stdout.readline(), ""
        assert line, f"the stage has ended: {self.process.wait()}"
        found = json.loads(line)
        return Ended(**{**found, "effects": tuple(found["effects"])})

    def run(self, order: Order) -> Ended:
        self.begin(order)
        return self.end()

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def import_all(names: Iterable[str]) -> None:
    """What a command has imported as it went, once for all that come after it. pulumi_kubernetes' modules are named as
    the classes in them, and would take their places."""
    left_out = ("__", "pulumi_kubernetes.")
    missing = [name for name in names if name not in sys.modules and not name.startswith(left_out)]
    for name in missing:
        with suppress(ImportError):
            importlib.import_module(name)
    if missing:
        gc.freeze()


if __name__ == "__main__":
    gc.set_threshold(50_000)  # as cli/app.py does
    serve()
