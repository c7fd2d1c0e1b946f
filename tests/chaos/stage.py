"""Commands as processes of their own, each forked from one of a home, which has AWS's models read, and which itself is
forked from one that has imported everything (tests/support/warm_commands.py).

What a command does until its end goes through the command line's own wiring; only packs are words (word_builder.py)
and what the order spoils.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from warm_commands import warm_context
from word_builder import WordBuilder
from word_pods import PodBuilder

from cli import wiring
from cli.placed.rehearsal import LocalWiring
from modelpack.errors import EcomdeployError
from modelpack.progress import Silent
from stacks import ship
from stacks.records.lease import JointLease
from stacks.spec import Spec
from tests.chaos import sabotage
from tests.chaos.fuse import Fuse

KILLED = -9
FOREVER = 3600.0
SPOKEN = (
    "application-autoscaling",
    "cloudwatch",
    "ecr",
    "iam",
    "kms",
    "logs",
    "resourcegroupstaggingapi",
    "s3",
    "sagemaker",
    "sagemaker-runtime",
    "service-quotas",
    "ssm",
    "sts",
)
"""Services that a command of a service without a platform speaks to."""
LATE = (
    "cryptography.hazmat.primitives.ciphers.aead",
    "encodings.idna",
    "encodings.utf_8_sig",
    "grpc._channel",
    "grpc._server",
    "grpc.experimental",
    "httpcore._sync.http11",
    "importlib.readers",
)
"""What is imported when a client first calls."""


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
class StagedWiring(LocalWiring):
    """With a session whose clients are made already: AWS's models are read once, not by every process."""

    ready: Any = None

    @cached_property
    def session(self) -> Any:
        from infra.aws_session import refuse_other_account

        if self.target.on_cluster:
            return super().session
        refuse_other_account(self.ready, self.spec.environment.account)
        return self.ready


def stage(project: Path, spec: Spec, session: Any) -> StagedWiring:
    """The command line's wiring of a project on the local cloud."""
    return StagedWiring(project, spec, Silent(), wiring.home(), wiring.builder(project), ready=session)


def make_session() -> Any:
    """Clients that have called nobody yet, so that processes which are forked share no connection."""
    from infra.aws_session import AwsSession

    region = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    session = AwsSession({**os.environ, **wiring.local_cloud().environment(), **region})
    for service in SPOKEN:
        session.client(service)
    return session


def warm() -> None:
    """What every command does alike and none does twice: the spec's validator, what clients import when they call."""
    from stacks.reading.load import adapter

    adapter()
    for name in LATE:
        importlib.import_module(name)


def make_builder(target: str, word: str) -> WordBuilder:
    kind = PodBuilder if target == "kserve" else WordBuilder
    return kind(wiring.home(), word)


def still(lease: Any) -> None:
    """Let it not be renewed while it is held: a command that takes long on a busy machine would have effects more than
    one that does not, and effects are counted."""
    for one in (lease.mine, lease.shared) if isinstance(lease, JointLease) else (lease,):
        one.beat = FOREVER


def carry_out(order: Order, told: int, session: Any) -> int:
    """In the forked process: the command; what it does and how it ends is written to the descriptor `told`."""

    def tell(kind: str, what: Any) -> None:
        os.write(told, json.dumps([kind, what]).encode() + b"\n")

    project = Path(order.project)
    os.chdir(project)
    try:
        spec = wiring.load_spec(project, "local")
        wire = sabotage.spoil(order.spoilt, stage(project, spec, session))
        deps = replace(wire.collaborators(), builder=make_builder(spec.serve.target, order.word))
        still(deps.lease)
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
    return 0


def serve(orders: Connection, variables: Mapping[str, str]) -> None:
    """Fork for each order, and say how it ended; before that, by its number, which process has stopped itself."""
    gc.set_threshold(50_000)  # as cli/app.py does
    os.environ.clear()
    os.environ.update(variables)
    warm()
    session = None
    while order := orders.recv():
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
                    orders.send(child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        error, words = next((what for kind, what in said if kind == "error"), ("", ""))
        outcome: dict[str, Any] = next((what for kind, what in said if kind == "outcome"), {})
        effects = tuple(what for kind, what in said if kind == "effect")
        orders.send(Ended(status, words, error, outcome, effects))


class Stage:
    """The process that forks, seen from the test. `variables`: ECOMDEPLOY_HOME and the like."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PULUMI_"))}
        self.early: Ended | None = None
        self.orders, theirs = multiprocessing.Pipe()
        self.process = warm_context().Process(target=serve, args=(theirs, {**kept, **variables}), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, order: Order) -> None:
        """Let it run; `end` says how it ended."""
        self.orders.send(order)

    def await_stop(self) -> int | None:
        """The process that has stopped itself; None when it has ended instead, and `end` says how."""
        found = self.orders.recv()
        if isinstance(found, int):
            return found
        self.early = found
        return None

    def end(self) -> Ended:
        found, self.early = self.early or self.orders.recv(), None
        assert isinstance(found, Ended), "it has stopped itself"
        return found

    def run(self, order: Order) -> Ended:
        self.begin(order)
        return self.end()

    def close(self) -> None:
        self.orders.send(None)
        self.process.join()
        self.orders.close()
