"""When a call fails or the process dies: what stands, what is said, how the next run goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pulumi
import pytest
from pulumi import automation
from waiting import SECONDS, wait_for

from infra.rehearsal.engine.provider import PartialFailure, ProviderError, Thing

INTERRUPTED = """
import json, os, pathlib, signal, sys, threading
import pulumi
from pulumi import automation
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import Fake

root = pathlib.Path(sys.argv[1])

class Sort(pulumi.CustomResource):
    def __init__(self, name, opts=None):
        super().__init__("fake:index:Thing", name, {"arn": None}, opts)

def program():
    Sort("late", pulumi.ResourceOptions(depends_on=[Sort("slow")]))

taken = threading.Event()

def take(*seen):
    taken.set()
    signal.default_int_handler(*seen)

signal.signal(signal.SIGINT, take)

class Interrupting(Fake):
    def create(self, type, who, inputs, *, preview):
        os.kill(os.getpid(), signal.SIGINT)
        taken.wait()
        threading.Event().wait(1)
        return super().create(type, who, inputs, preview=preview)

fake = Interrupting()
options = automation.LocalWorkspaceOptions(
    work_dir=str(root / "work"), pulumi_command=EmbeddedPulumiCommand(fake),
    env_vars={"PULUMI_BACKEND_URL": f"file://{root}", "PULUMI_CONFIG_PASSPHRASE": "correct horse"})
stack = automation.create_or_select_stack("dev", project_name="shop", program=program, opts=options)
try:
    stack.up()
except KeyboardInterrupt:
    print(fake.calls)
"""


def test_ctrl_c_lets_what_is_under_way_end_and_records_it(tmp_path: Any) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    (tmp_path / "work").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(tmp_path)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=SECONDS
    )
    assert done.stdout.splitlines()[-1] == "['create slow']"
    latest = json.loads((tmp_path / ".pulumi/stacks/shop/dev.json").read_text())["checkpoint"]["latest"]
    assert latest["resources"][-1]["urn"].endswith("::slow")
    assert latest["pending_operations"] == []
    assert list((tmp_path / ".pulumi/locks").rglob("*.json")) == []


def test_a_program_that_breaks_off_keeps_the_last_outputs(lab: Any) -> None:
    lab.up(lambda: pulumi.export("answer", 42))

    def broken() -> None:
        raise RuntimeError("boom")

    with pytest.raises(automation.InlineSourceRuntimeError):
        lab.up(broken)
    assert lab.stack().outputs()["answer"].value == 42


def siblings(thing: Any) -> Any:
    def program() -> None:
        for name in ("a", "bad", "c"):
            thing(name)
        late = thing("late", {}, pulumi.ResourceOptions(depends_on=[thing("bad2")]))
        pulumi.export("late", late.arn)

    return program


def test_failed_create_leaves_its_siblings_and_says_why(lab: Any, thing: Any) -> None:
    lab.fake.fail["create bad2"] = ProviderError("ResourceLimitExceeded", "no more")
    lab.fake.delay["create bad2"] = 0.05
    with pytest.raises(automation.CommandError) as caught:
        lab.up(siblings(thing))
    text = str(caught.value)
    assert (
        "fake:index:Thing (bad2): error: creating fake:index:Thing 'bad2': ResourceLimitExceeded: no more"
        in text
    )
    assert "error: update failed" in text
    assert "Traceback" not in text
    assert {"a", "bad", "c"} == set(lab.resources)
    assert "create late" not in lab.fake.calls
    assert lab.deployment["pending_operations"] == []
    assert lab.stack().info().result == "failed"
    lab.fake.fail.clear()
    assert lab.up(siblings(thing)).counts == {"same": 4, "create": 2}


def test_nothing_is_deleted_after_a_failure(lab: Any, thing: Any) -> None:
    def program(names: Any) -> Any:
        return lambda: [thing(name) for name in names] and None

    lab.up(program(["old"]))
    lab.fake.fail["create new"] = ProviderError("Nope", "no")
    with pytest.raises(automation.CommandError):
        lab.up(program(["new"]))
    assert "delete old" not in lab.fake.calls


def test_partial_failure_goes_to_the_state_and_is_mended(lab: Any, thing: Any) -> None:
    lab.fake.fail["create first"] = PartialFailure(
        "Timeout", "never ready", id="i-1", outputs={"arn": "half"}
    )
    with pytest.raises(automation.CommandError, match="Timeout: never ready"):
        lab.up(lambda: thing("first") and None)
    first = lab.resources["first"]
    assert (first["id"], first["outputs"]) == ("i-1", {"arn": "half"})
    assert "never ready" in first["initErrors"][0]
    (made,) = lab.fake.things
    lab.fake.things["i-1"] = lab.fake.things.pop(made)
    lab.fake.fail.clear()
    assert lab.up(lambda: thing("first") and None).changed == [("update", "first")]
    assert "initErrors" not in lab.resources["first"]
    assert lab.up(lambda: thing("first") and None).changed == []


def test_check_failures_name_resource_property_and_reason(lab: Any, thing: Any) -> None:
    with pytest.raises(automation.CommandError) as caught:
        lab.up(lambda: thing("first", {"unwanted": 1}) and None)
    assert "fake:index:Thing resource 'first' has a problem: unwanted: is not a property of this type" in str(
        caught.value
    )


def test_broken_program_is_an_inline_source_error(lab: Any, thing: Any) -> None:
    def program() -> None:
        thing("first")
        raise RuntimeError("boom in the program")

    with pytest.raises(automation.InlineSourceRuntimeError, match="boom in the program"):
        lab.up(program)


def test_duplicate_names_are_refused(lab: Any, thing: Any) -> None:
    with pytest.raises(automation.CommandError, match="Duplicate resource URN"):
        lab.up(lambda: print(thing("first"), thing("first")))


def test_unclear_outcome_stays_on_record_and_is_resolved(lab: Any, thing: Any) -> None:
    lab.fake.fail["create first"] = ConnectionResetError("reset by peer")
    with pytest.raises(automation.CommandError, match="ConnectionResetError: reset by peer"):
        lab.up(lambda: thing("first") and None)
    (pending,) = lab.deployment["pending_operations"]
    assert pending["type"] == "creating"
    name = pending["resource"]["inputs"]["name"]
    urn = pending["resource"]["urn"]
    lab.fake.things["made-after-all"] = Thing("fake:index:Thing", urn, {"name": name})
    lab.fake.fail.clear()
    run = lab.up(lambda: thing("first") and None)
    assert run.counts == {"same": 2}
    assert "picking up an interrupted run: creating first" in run.text
    assert list(lab.fake.things) == ["made-after-all"]
    assert lab.deployment["pending_operations"] == []


def test_destroy_reports_what_is_still_unclear(lab: Any, thing: Any) -> None:
    lab.fake.fail["create first"] = ConnectionResetError("reset by peer")
    with pytest.raises(automation.CommandError):
        lab.up(lambda: thing("first") and None)
    with pytest.raises(automation.CommandError, match="still unclear whether this was created"):
        lab.destroy()
    lab.stack().refresh(clear_pending_creates=True)
    assert lab.deployment["pending_operations"] == []


def test_second_writer_gets_a_concurrent_update_error(lab: Any, thing: Any) -> None:
    started, go = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        go.wait(20)

    first = threading.Thread(target=lambda: lab.up(slow))
    first.start()
    try:
        assert started.wait(20)
        with pytest.raises(automation.ConcurrentUpdateError, match=f"pid {os.getpid()}"):
            lab.up(lambda: None)
        assert lab.preview(lambda: None).counts == {"create": 1}
        with pytest.raises(automation.CommandError, match="interrupt it there"):
            lab.stack().cancel()
    finally:
        go.set()
        first.join()
    lab.up(lambda: None)


def lock_file(pid: int, host: str, since: str) -> str:
    """As the CLI writes it (pkg/backend/diy/lock.go, lockContent)."""
    return json.dumps({"pid": pid, "username": "kim", "hostname": host, "timestamp": since})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"pid": 1}', "does not say who it is"),
        ("", "does not say who it is"),
        (lock_file(4711, "elsewhere", "2026-11-20T10:00:00.123456789Z"), r"kim@elsewhere \(pid 4711\)"),
        (lock_file(1, socket.gethostname(), "2999-01-01T00:00:00Z"), r"\(pid 1\)"),
    ],
    ids=["no owner", "half written", "another machine", "at work here"],
)
def test_the_lock_of_another_tool_is_respected_and_told_with_what_to_type(
    lab: Any, content: str, told: str
) -> None:
    lab.up(lambda: None)
    theirs = lab.root / ".pulumi/locks/organization/shop/dev/7c1e.json"
    theirs.write_text(content)
    for refused in (lambda: lab.up(lambda: None), lab.stack().cancel):
        with pytest.raises(automation.ConcurrentUpdateError, match=f"another tool.*{told}") as error:
            refused()
        assert "pulumi cancel --yes --stack organization/shop/dev" in str(error.value)
    assert [path.name for path in theirs.parent.iterdir()] == ["7c1e.json"], "our own file is gone again"
    theirs.unlink()
    lab.up(lambda: None)


def test_a_lock_whose_owner_is_gone_is_lifted(lab: Any) -> None:
    lab.up(lambda: None)
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    folder = lab.root / ".pulumi/locks/organization/shop/dev"
    (folder / "7c1e.json").write_text(
        lock_file(int(done.stdout), socket.gethostname(), "2026-01-01T00:00:00Z")
    )
    (folder / "7c1e.json.attrs").write_text("{}")
    # A pid that another process has got since.
    (folder / "8d2f.json").write_text(lock_file(os.getpid(), socket.gethostname(), "2001-01-01T00:00:00Z"))
    lab.up(lambda: None)
    assert list(folder.iterdir()) == []


def test_nothing_of_ours_is_left_among_pulumis_locks(lab: Any) -> None:
    """The CLI reads every file there as a lock; an earlier version of ours left an empty one."""
    lab.up(lambda: None)
    folder = lab.root / ".pulumi/locks/organization/shop/dev"
    assert list(folder.iterdir()) == []
    (folder / ".guard").touch()
    seen: list[list[str]] = []
    lab.up(lambda: seen.append([json.loads(path.read_text())["username"] for path in folder.iterdir()]))
    assert [len(names) for names in seen] == [1], "while it works: one lock, as the CLI reads it"
    assert list(folder.iterdir()) == []


CRASHER = """
import json, pathlib, sys, threading
import pulumi
from pulumi import automation
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.engine.provider import Fake, Thing

root, call, when = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
cloud = root / "cloud.json"

class Durable(Fake):
    def hang(self, verb, urn, moment):
        with self.lock:
            part = cloud.with_suffix(".part")
            part.write_text(json.dumps({key: vars(one) for key, one in self.things.items()}))
            part.replace(cloud)
        if (f"{verb} {urn.rpartition('::')[2]}", moment) == (call, when):
            (root / "hanging").touch()
            threading.Event().wait()
    def create(self, type, who, inputs, *, preview):
        self.hang("create", who.urn, "before")
        made = super().create(type, who, inputs, preview=preview)
        self.hang("create", who.urn, "after")
        return made
    def update(self, old, news, **options):
        urn = self.things[old.id].urn
        self.hang("update", urn, "before")
        made = super().update(old, news, **options)
        self.hang("update", urn, "after")
        return made
    def delete(self, known):
        urn = self.things[known.id].urn
        self.hang("delete", urn, "before")
        super().delete(known)
        self.hang("delete", urn, "after")

class Sort(pulumi.CustomResource):
    def __init__(self, name, inputs, opts=None):
        super().__init__("fake:index:Thing", name, {"arn": None, **inputs}, opts)

def program(generation):
    def run():
        first = Sort("first", {"kind": "x", "size": generation})
        Sort("second", {"of": first.arn, "pw": pulumi.Output.secret("opensesame")})
        Sort("swap", {"kind": f"k{generation}"}, pulumi.ResourceOptions(delete_before_replace=True))
        Sort("turn", {"kind": f"k{generation}"})
        if generation == 1:
            Sort("gone", {})
        else:
            Sort("fresh", {"pw": pulumi.Output.secret("opensesame")})
    return run

fake = Durable()
there = json.loads(cloud.read_text()) if cloud.exists() else {}
fake.things = {key: Thing(**one) for key, one in there.items()}
options = automation.LocalWorkspaceOptions(
    work_dir=str(root / "work"), pulumi_command=EmbeddedPulumiCommand(fake),
    env_vars={"PULUMI_BACKEND_URL": f"file://{root}", "PULUMI_CONFIG_PASSPHRASE": "correct horse"})
def stack(generation):
    run = program(generation)
    return automation.create_or_select_stack("dev", project_name="shop", program=run, opts=options)
if call != "none":
    stack(1).up()
run = stack(2).up()
changes = dict(run.summary.resource_changes)
again = dict(stack(2).up().summary.resource_changes)
names = sorted(one.urn.rpartition("::")[2] for one in fake.things.values())
stack(2).destroy()
print(json.dumps({"changes": changes, "again": again, "names": names, "left": len(fake.things)}))
"""


QUICK: list[Any] = [("create fresh", "after"), ("delete swap", "after"), ("update first", "before")]
CALLS = [
    "create fresh",
    "update first",
    "delete gone",
    "delete swap",
    "create swap",
    "create turn",
    "delete turn",
]
SLOW: list[Any] = [
    pytest.param(call, when, marks=pytest.mark.slow)
    for call in CALLS
    for when in ("before", "after")
    if (call, when) not in QUICK
]


@pytest.mark.parametrize(("call", "when"), QUICK + SLOW)
def test_killed_at_any_call_the_next_run_converges(tmp_path: Any, call: Any, when: Any) -> None:
    script = tmp_path / "crasher.py"
    script.write_text(textwrap.dedent(CRASHER))
    (tmp_path / "work").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(tmp_path)]
    # "create swap" and "create turn" also happen in generation 1, so that hang comes before anything is up.
    process = subprocess.Popen([*command, call, when], env=environment)
    try:

        def hanging() -> bool:
            assert process.poll() is None
            return bool((tmp_path / "hanging").exists())

        wait_for(hanging)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    checkpoint = json.loads((tmp_path / ".pulumi/stacks/shop/dev.json").read_text())["checkpoint"]["latest"]
    assert call.split()[1] in [
        one["resource"]["urn"].rpartition("::")[2] for one in checkpoint["pending_operations"]
    ]
    done = subprocess.run(
        [*command, "none", ""], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["names"] == ["first", "fresh", "second", "swap", "turn"]
    assert result["again"] == {"same": 6}
    assert result["left"] == 0
    for path in tmp_path.rglob("*.json*"):
        if path.name != "cloud.json":
            assert "opensesame" not in path.read_text()
