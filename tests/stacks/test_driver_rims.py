"""The rims of the driver on the real CLI: locks, errors in words, Ctrl-C. A fake of the Automation API's Stack answers
as the CLI did (3.274.1, recorded)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pulumi.automation import CommandError, CommandResult, ConcurrentUpdateError

from infra.lookup.base import FakeResourceLookup, Remnant
from modelpack.errors import CloudRefused, EcomdeployError, Locked
from modelpack.progress import Silent
from stacks.pulumi_driver.automation import AutomationDriver
from stacks.pulumi_driver.changes import Watch
from stacks.pulumi_driver.driver import Stack
from stacks.pulumi_driver.patience import in_order
from stacks.pulumi_driver.refusals import explain, in_words

HERE = socket.gethostname()
SECONDS = 60.0


def locked_by(*owners: tuple[int, str, str]) -> ConcurrentUpdateError:
    """As checkForLock says it (pkg/backend/diy/lock.go)."""
    lines = [
        f"\n  file:///x/{pid}.json: created by kim@{host} (pid {pid}) at {since}"
        for pid, host, since in owners
    ]
    said = f"error: the stack is currently locked by {len(owners)} lock(s). Either wait for the other process(es)"
    return ConcurrentUpdateError(
        CommandResult(
            "", said + " to end or delete the lock file with `pulumi cancel`." + "".join(lines), 255
        )
    )


@dataclass
class FakeWorkspace:
    work_dir: str = "/x/base"


@dataclass
class FakeOpenedStack:
    """Stands for `pulumi.automation.Stack`: locked until it is cancelled."""

    refusal: Exception
    name: str = "shop-prod"
    cancelled: int = 0
    workspace: FakeWorkspace = field(default_factory=FakeWorkspace)

    def cancel(self) -> None:
        self.cancelled += 1

    def up(self, on_event: Callable[[Any], None]) -> str:
        if not self.cancelled:
            raise self.refusal
        return "done"


@pytest.fixture
def driver(tmp_path: Path) -> AutomationDriver:
    return AutomationDriver(
        "Pulumi CLI", "pulumi", tmp_path, tmp_path.as_uri(), {}, lambda: None, FakeResourceLookup()
    )


@pytest.fixture
def dead() -> int:
    """The pid of a process that has ended."""
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    return int(done.stdout)


def test_a_lock_whose_owner_is_gone_is_lifted_once(driver: AutomationDriver, dead: int) -> None:
    """We hold the lease, so nobody of ours is at work on the stack."""
    stack = FakeOpenedStack(locked_by((dead, HERE, "2026-01-01T00:00:00Z")))
    assert driver.call(stack, Watch(Silent()), stack.up) == "done"
    assert stack.cancelled == 1


def test_a_pid_that_another_process_has_now_is_no_owner(driver: AutomationDriver) -> None:
    stack = FakeOpenedStack(locked_by((os.getpid(), HERE, "2001-01-01T00:00:00+01:00")))
    assert driver.call(stack, Watch(Silent()), stack.up) == "done"


@pytest.mark.parametrize("host", [HERE, "elsewhere"])
def test_whoever_may_be_at_work_is_told_and_left_alone(
    driver: AutomationDriver, host: str, dead: int
) -> None:
    """Also when another lock beside it is dead: `pulumi cancel` would lift both."""
    stack = FakeOpenedStack(
        locked_by((dead, HERE, "2026-01-01T00:00:00Z"), (os.getpid(), host, "2999-01-01T00:00:00Z"))
    )
    with pytest.raises(Locked, match=rf"kim@{host} \(pid {os.getpid()}\) at 2999") as error:
        driver.call(stack, Watch(Silent()), stack.up)
    assert stack.cancelled == 0
    wanted = f"kill -INT {os.getpid()}" if host == HERE else "pulumi cancel --yes --stack shop-prod"
    assert wanted in error.value.hint


def test_a_lock_that_names_nobody_is_not_lifted(driver: AutomationDriver) -> None:
    conflict = "error: [409] Conflict: Another update is currently in progress."
    stack = FakeOpenedStack(ConcurrentUpdateError(CommandResult("", conflict, 255)))
    with pytest.raises(Locked, match="409"):
        driver.call(stack, Watch(Silent()), stack.up)
    assert stack.cancelled == 0


@pytest.mark.parametrize("verb", ["up", "preview", "destroy", "outputs"])
def test_errors_before_any_operation_are_told_in_the_clis_words(
    driver: AutomationDriver, tmp_path: Path, verb: str
) -> None:
    class Refusing:
        """The CLI when its backend's state is damaged: everything that selects a stack fails."""

        version = None

        def run(self, arguments: list[str], *rest: Any, **options: Any) -> CommandResult:
            raise CommandError(CommandResult("", "error: failed to load checkpoint: EOF", 255))

    (tmp_path / ".pulumi").mkdir()
    driver.command = Refusing
    stack = Stack("base", "shop-prod")
    calls: dict[str, Callable[[], object]] = {
        "up": lambda: driver.up(stack, {}, Silent(), refresh=False),
        "preview": lambda: driver.preview(stack, {}),
        "destroy": lambda: driver.destroy(stack, Silent()),
        "outputs": lambda: driver.outputs(stack),
    }
    with pytest.raises(EcomdeployError) as error:
        calls[verb]()
    assert str(error.value) == "shop-prod: failed to load checkpoint: EOF"
    assert error.value.hint


def test_a_missing_plugin_has_the_command_that_installs_it() -> None:
    """Words: MissingError, sdk/go/common/workspace/plugins.go."""
    words = (
        "no resource plugin 'pulumi-resource-aws' found in the workspace at version v7.51.1 or on your $PATH"
    )
    error = explain("s", [], words)
    assert error.hint == "pulumi plugin install resource aws 7.51.1"
    assert explain("s", [f"could not load plugin: {words.replace(' at version v7.51.1', '')}"], "").hint == (
        "pulumi plugin install resource aws"
    )


@pytest.mark.parametrize(
    "words",
    [
        "EntityAlreadyExists: Role with name shop-prod already exists.",
        "RepositoryAlreadyExistsException: The repository with name 'shop' already exists in the registry",
        "BucketAlreadyOwnedByYou: Your previous request to create the named bucket succeeded",
        "ParameterAlreadyExists: The parameter already exists",
        "ResourceInUseException: Cluster already exists with name: shop",
    ],
)
def test_a_taken_name_does_not_promise_that_the_same_command_helps(words: str) -> None:
    hint = explain("s", [words], "").hint
    assert "goes on from here" not in hint
    assert "pulumi import" in hint


@pytest.mark.parametrize(
    "words",
    [
        "ThrottlingException: Rate exceeded",
        "SlowDown: Please reduce your request rate.",
        "RequestLimitExceeded",
    ],
)
def test_who_is_throttled_is_told_to_wait(words: str) -> None:
    error = explain("s", [f"deleting aws:sagemaker/endpoint:Endpoint 'endpoint': {words}"], "")
    assert error.exit_code == 5
    assert error.hint.startswith("wait a minute, then type the same command again")


def test_a_refusal_stays_a_refusal_even_if_the_command_failed_without_events() -> None:
    with (
        pytest.raises(CloudRefused, match=r"^s: AccessDenied: not you$"),
        in_words("s"),
    ):
        raise CommandError(CommandResult("noise", "error: AccessDenied: not you", 255))


def test_half_written_attributes_are_removed_and_told(driver: AutomationDriver, tmp_path: Path) -> None:
    """A CLI that is killed while it writes one cannot read its state any more; the others stay."""
    folder = tmp_path / ".pulumi" / "stacks" / "ecomdeploy-base"
    folder.mkdir(parents=True)
    for name, content in (("shop.json", "{"), ("shop.json.attrs", ""), ("a.attrs", '{"u'), ("b.attrs", "{}")):
        (folder / name).write_text(content)
    told = Silent()
    given = driver.options(Stack("base", "shop-prod"), told)["opts"]
    assert sorted(path.name for path in folder.iterdir()) == ["b.attrs", "shop.json"]
    assert ["shop.json.attrs" in line for line in told.lines] == [False, True]
    assert given.env_vars["PULUMI_BACKEND_URL"] == f"{tmp_path.as_uri()}?metadata=skip"
    driver.backend = "s3://bucket/prefix"
    assert (
        driver.options(Stack("base", "shop-prod"), told)["opts"].env_vars["PULUMI_BACKEND_URL"]
        == driver.backend
    )


class RecordingCommand:
    """The CLI of an empty stack: every command succeeds; `lines` are theirs."""

    version = "3.274.1"
    history = [{"kind": "update", "startTime": "2026-11-20T10:00:00.000Z", "message": "", "environment": {}}]

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    def run(self, words: list[str], *rest: Any, **options: Any) -> CommandResult:
        self.lines.append(words)
        now = {"config": {}, "result": "succeeded", "endTime": "2026-11-20T10:00:01.000Z", "version": 1}
        said = json.dumps([{**self.history[0], **now}]) if words[:2] == ["stack", "history"] else "{}"
        return CommandResult(said, "", 0)


def test_a_refresh_is_no_command_of_its_own_and_comes_after_the_look_at_what_is_pending(
    driver: AutomationDriver, tmp_path: Path
) -> None:
    command, stack = RecordingCommand(), Stack("base", "shop-prod")
    driver.command = lambda: command
    (tmp_path / ".pulumi").mkdir()
    driver.up(stack, {}, Silent(), refresh=True)
    driver.destroy(stack, Silent())
    done = [line for line in command.lines if line[0] in ("up", "refresh", "destroy") or "export" in line]
    assert [line[0] for line in done] == ["stack", "up", "stack", "destroy"]
    assert all("--refresh" in line for line in done if line[0] != "stack")
    command.lines.clear()
    driver.up(stack, {}, Silent(), refresh=False)
    assert not any("export" in line or "--refresh" in line for line in command.lines)


def test_what_is_left_of_a_stack_without_a_state_is_told(driver: AutomationDriver) -> None:
    left = Remnant("arn:aws:kms:us-east-1:123456789012:key/1234", "key")
    driver.lookup = FakeResourceLookup(left={"ecomdeploy-base/shop-prod": (left,)})
    with pytest.raises(EcomdeployError, match="key/1234"):
        driver.destroy(Stack("base", "shop-prod"), Silent())
    assert driver.destroy(Stack("base", "another"), Silent()) == ()


def interrupt_when(ready: threading.Event) -> None:
    """Ctrl-C for this process, once the work is under way."""

    def send() -> None:
        assert ready.wait(SECONDS)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send, daemon=True).start()


def test_ctrl_c_waits_for_what_is_under_way() -> None:
    begun, told, ended = threading.Event(), Silent(), threading.Event()

    def work() -> None:
        begun.set()
        while not told.lines:
            time.sleep(0.01)
        ended.set()

    interrupt_when(begun)
    with pytest.raises(KeyboardInterrupt):
        in_order(work, told)
    assert ended.is_set()
    assert "Ctrl-C again" in told.lines[0]


def test_a_second_ctrl_c_does_not_wait() -> None:
    begun, told, never = threading.Event(), Silent(), threading.Event()

    def work() -> None:
        begun.set()
        never.wait()

    class Impatient(Silent):
        def note(self, text: str) -> None:
            super().note(text)
            interrupt_when(begun)

    told = Impatient()
    interrupt_when(begun)
    try:
        with pytest.raises(KeyboardInterrupt):
            in_order(work, told)
    finally:
        never.set()


def test_what_fails_while_it_is_waited_for_is_still_an_interruption() -> None:
    begun, told = threading.Event(), Silent()

    def work() -> None:
        begun.set()
        while not told.lines:
            time.sleep(0.01)
        raise CommandError(CommandResult("", "error: update cancelled", 255))

    interrupt_when(begun)
    with pytest.raises(KeyboardInterrupt):
        in_order(work, told)


CHILD = """
import signal, subprocess, sys, threading
from modelpack.progress import Silent
from stacks.pulumi_driver.patience import in_order

def interrupt(signum, frame):
    raise KeyboardInterrupt(signum)

signal.signal(signal.SIGTERM, interrupt)
command = (
    "import signal, time; signal.signal(signal.SIGINT, lambda *_: exit(7)); "
    "print('up', flush=True); time.sleep(600)"
)
codes = []

def work():
    process = subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    print("under way", flush=True)
    codes.append(process.wait())

try:
    in_order(work, Silent())
except KeyboardInterrupt:
    print(codes, flush=True)
"""


def test_sigterm_goes_on_to_the_command_as_ctrl_c() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    assert process.stdout.readline() == "under way\n"
    process.terminate()
    assert process.communicate(timeout=SECONDS)[0] == "[7]\n"
