"""What a snapshot keeps, what it says it cannot keep, and whose snapshots are not even opened."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from programs import SPEAKING
from typed import Terminal
from waiting import wait_for

from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.cloud.daemon import snapshot
from modelpack.home import Home, write_atomically

KEY = "k" * 64
READS: dict[str, Callable[[Any], Any]] = {
    "ssm": lambda client: client.describe_parameters()["Parameters"],
    "lambda": lambda client: client.list_functions()["Functions"],
    "secretsmanager": lambda client: client.list_secrets()["SecretList"],
    "dynamodb": lambda client: client.list_tables()["TableNames"],
    "sqs": lambda client: client.list_queues(),
    "sns": lambda client: client.list_topics()["Topics"],
    "logs": lambda client: client.describe_log_groups()["logGroups"],
    "autoscaling": lambda client: client.describe_auto_scaling_groups()["AutoScalingGroups"],
    "elbv2": lambda client: client.describe_load_balancers()["LoadBalancers"],
    "events": lambda client: client.list_rules()["Rules"],
}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalCloud]:
    local = LocalCloud(Home(tmp_path, tmp_path / "cache"), host=SPEAKING)
    yield local
    local.stop()


def test_a_read_of_any_service_loses_nothing(own: LocalCloud, client_of: Callable[[LocalCloud], Any]) -> None:
    """SSM's tags and Lambda's functions are kept by objects that pickle alone cannot write."""
    own.ensure()
    aws = client_of(own)
    for service, read in READS.items():
        assert read(aws(service)) is not None
    aws("ssm").put_parameter(Name="/shop/a", Value="1", Type="String", Tags=[{"Key": "who", "Value": "me"}])
    aws("s3").create_bucket(Bucket="after")
    stopped = own.stop()
    assert stopped is not None
    assert stopped.lost == ()
    own.ensure()
    assert own.status()["notes"] == []
    assert [bucket["Name"] for bucket in aws("s3").list_buckets()["Buckets"]] == ["after"]
    tags = aws("ssm").list_tags_for_resource(ResourceType="Parameter", ResourceId="/shop/a")["TagList"]
    assert tags == [{"Key": "who", "Value": "me"}]
    aws("ssm").put_parameter(Name="/shop/b", Value="1", Type="String", Tags=[{"Key": "x", "Value": "y"}])


ALL = """
import sys
from contextlib import nullcontext
from pathlib import Path
from moto.backends import get_backend, list_of_moto_modules
from infra.rehearsal.cloud.daemon import snapshot
from modelpack.home import write_atomically
from infra.rehearsal.cloud.daemon.pickling import _backends

def make():
    for module in list_of_moto_modules():
        try:
            store = get_backend(module)
        except (ImportError, AttributeError):
            continue  # what it needs is not installed, or it is no service
        for region in ("us-east-1", "aws", "global"):
            try:
                store["123456789012"][region]
                break
            except KeyError:
                continue

path = Path(sys.argv[1])
if sys.argv[2] == "write":
    make()
    dumped = snapshot.dump({"a": 1}, "k", nullcontext())
    assert dumped.left_out == (), dumped.left_out
    write_atomically(path, dumped.data, private=True)
else:
    assert snapshot.load(path, "k") == {"a": 1}
names = sorted(name for name, backend in _backends())
assert all(vars(backend) for name, backend in _backends())
print(len(names), hash(tuple(names)))
"""


@pytest.mark.slow
def test_every_service_that_moto_has_is_kept(tmp_path: Path, repository: Path) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", ALL, str(tmp_path / "snapshot.pickle"), what],
            cwd=repository,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        for what in ("write", "read")
    ]
    assert [done.stderr for done in said] == ["", ""]
    assert said[0].stdout == said[1].stdout
    assert int(said[0].stdout.split()[0]) > 150


class Unreadable(Exception):
    """Can be written, and not read back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def test_what_is_of_a_new_kind_is_read_back_at_once() -> None:
    """Though the last one was read a moment ago."""
    read_back, lock = snapshot.ReadBack(), contextlib.nullcontext()
    assert snapshot.dump({"good": Path("a")}, KEY, lock, read_back).left_out == ()
    [left_out] = snapshot.dump({"good": Path("a"), "bad": Unreadable(1, 2)}, KEY, lock, read_back).left_out
    assert left_out.startswith("state of bad")
    read_back.kinds.add(Unreadable)
    assert snapshot.dump({"bad": Unreadable(1, 2)}, KEY, lock, read_back).left_out == ()
    read_back.at -= snapshot.READ_AGAIN_SECONDS
    assert snapshot.dump({"bad": Unreadable(1, 2)}, KEY, lock, read_back).left_out != ()


UNFIT = """
import sys, threading
from contextlib import nullcontext
from pathlib import Path

class Unreadable(Exception):
    def __init__(self, one, two):
        super().__init__(one)

from moto.sqs.models import sqs_backends
from moto.s3.models import s3_backends
from infra.rehearsal.cloud.daemon import snapshot
from modelpack.home import write_atomically

path = Path(sys.argv[1])
if sys.argv[2] == "write":
    sqs_backends["123456789012"]["us-east-1"].queues = {"q": threading.Thread()}
    sqs_backends["123456789012"]["us-east-1"].word = "kept"
    sqs_backends["123456789012"]["us-east-1"].tagger = Unreadable(1, 2)
    s3_backends["123456789012"]["aws"].buckets["b"] = "bucket"
    dumped = snapshot.dump({"good": 1, "bad": (x for x in ())}, "k", nullcontext())
    print(dumped.left_out)
    write_atomically(path, dumped.data, private=True)
else:
    print(snapshot.load(path, "k"), sqs_backends["123456789012"]["us-east-1"].queues)
    print(sqs_backends["123456789012"]["us-east-1"].word, s3_backends["123456789012"]["aws"].buckets)
"""


def test_what_cannot_be_kept_is_left_out_by_name(tmp_path: Path, repository: Path) -> None:
    """The rest is kept, and the part that is not begins again as its service makes it."""
    wrote, read = (
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", UNFIT, str(tmp_path / "snapshot.pickle"), what],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        for what in ("write", "read")
    )
    assert "sqs in us-east-1: queues (cannot pickle" in wrote.stdout, wrote.stderr
    assert "sqs in us-east-1: tagger (" in wrote.stdout, "written without complaint, but not to be read back"
    assert "state of bad (cannot pickle 'generator' object" in wrote.stdout
    assert read.stdout == "{'good': 1} {}\nkept {'b': 'bucket'}\n", read.stderr


def test_a_snapshot_that_cannot_be_written_is_told(
    own: LocalCloud, client_of: Callable[[LocalCloud], Any], tmp_path: Path
) -> None:
    """`cloud stop` fails, `cloud status` says so, and what others remember of the account no longer counts."""
    own.ensure()
    before = own.generation()
    aws = client_of(own)
    own.folder.snapshot.mkdir()
    (own.folder.snapshot / "x").touch()
    aws("s3").create_bucket(Bucket="lost")
    wait_for(lambda: own.status()["notes"])
    assert "everything since the last snapshot" in own.status()["notes"][0]
    terminal = Terminal(tmp_path, tmp_path)
    stopped = terminal.type("cloud", "stop", expect=1)
    assert "not all of its state is kept" in stopped.err + stopped.out
    assert own.running() is None
    (own.folder.snapshot / "x").unlink()
    own.folder.snapshot.rmdir()
    own.ensure()
    assert own.status()["notes"][0].startswith("lost when it last ended: everything since")
    assert own.generation() != before


class Planted:
    """A pickle that runs a command when it is read."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def signed_snapshot(body: bytes, key: str) -> bytes:
    return snapshot._hide(snapshot.release().encode(), body, key)


def test_a_copy_of_a_snapshot_tells_no_secret(tmp_path: Path) -> None:
    planted = "planted-" + os.urandom(8).hex()
    path = tmp_path / "snapshot.pickle"
    write_atomically(
        path, snapshot.dump({"planted": planted}, KEY, contextlib.nullcontext()).data, private=True
    )
    assert planted.encode() not in path.read_bytes()
    assert snapshot.load(path, KEY) == {"planted": planted}


@pytest.mark.parametrize("kind", ["unsigned", "another key", "another release", "changed", "cut"])
def test_a_snapshot_of_somebody_else_is_not_opened(tmp_path: Path, kind: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / "snapshot.pickle"
    body = pickle.dumps(Planted(canary))
    good = signed_snapshot(body, KEY)
    written = {
        "unsigned": snapshot.release().encode() + b"\n" + body,
        "another key": signed_snapshot(body, "another"),
        "another release": signed_snapshot(body, KEY).replace(b"format 4", b"format 3"),
        "changed": good[:-1] + bytes([good[-1] ^ 1]),
        "cut": good[:40],
    }
    write_atomically(path, written[kind], private=True)
    with pytest.raises(snapshot.UnusableSnapshot):
        snapshot.load(path, KEY)
    assert not canary.exists()
    assert not path.exists()
    assert list(tmp_path.glob("snapshot.*.old"))


@pytest.mark.parametrize("how", ["owner", "others may write", "link", "folder of another"])
def test_a_snapshot_that_another_user_could_have_written_is_not_opened(tmp_path: Path, how: str) -> None:
    """Even with the right signature."""
    canary, home = tmp_path / "canary", tmp_path / "home"
    cloud = LocalCloud(Home(home, tmp_path / "cache"), host=SPEAKING)
    key = cloud.folder.secret("snapshot")
    write_atomically(cloud.folder.snapshot, signed_snapshot(pickle.dumps(Planted(canary)), key), private=True)
    if how != "others may write" and how != "link" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    if how == "owner":
        os.chown(cloud.folder.snapshot, 65534, 65534)
    elif how == "others may write":
        cloud.folder.snapshot.chmod(0o666)
    elif how == "link":
        cloud.folder.snapshot.rename(tmp_path / "elsewhere")
        cloud.folder.snapshot.symlink_to(tmp_path / "elsewhere")
    else:
        os.chown(cloud.folder.root, 65534, 65534)
        done = Terminal(tmp_path, home).type("cloud", "start", "--json", expect=2)
        assert "belongs to user 65534" in json.loads(done.out)["error"]["what"]
        assert not canary.exists()
        return
    cloud.ensure()
    try:
        assert "not trusted" in cloud.status()["notes"][0]
        assert not canary.exists()
    finally:
        cloud.stop()
