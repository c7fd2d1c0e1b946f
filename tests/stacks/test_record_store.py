"""All stores keep the same promises; S3's against moto's server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from modelpack.errors import CloudRefused, Locked
from modelpack.home import hold_lock
from modelpack.progress import Progress
from stacks import ship
from stacks.adapters.bucket import CloudSweeper, S3Publisher
from stacks.collaborators import FakeImageRegistry
from stacks.records.s3_store import S3Store
from stacks.records.store import FolderStore, InMemoryStore, RecordStore


@pytest.fixture(scope="module")
def cloud() -> Iterator[Callable[[str], Any]]:
    """Clients of moto's server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield lambda service: boto3.client(
        service,
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    server.stop()


@pytest.fixture(params=["memory", "directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> RecordStore:
    if request.param == "memory":
        return InMemoryStore()
    if request.param == "directory":
        return FolderStore(tmp_path / "deep" / "ledger")
    cloud = request.getfixturevalue("cloud")
    bucket = f"store-{abs(hash(tmp_path))}"
    cloud("s3").create_bucket(Bucket=bucket)
    return S3Store(lambda: cloud("s3"), bucket, "ledger/")


def test_a_record_is_written_only_over_what_was_seen(store: RecordStore) -> None:
    assert store.read("a/one") is None
    assert store.age("a/one") is None
    assert not store.write("a/one", b"1", was=b"0")
    assert store.write("a/one", b"1", was=None)
    assert not store.write("a/one", b"2", was=None)
    assert store.read("a/one") == b"1"
    assert not store.write("a/one", b"2", was=b"9")
    assert store.write("a/one", b"2", was=b"1")
    assert store.read("a/one") == b"2"
    age = store.age("a/one")
    assert age is not None
    assert 0 <= age < 60


def test_a_record_is_removed_only_as_it_was_seen(store: RecordStore) -> None:
    store.write("one", b"1", was=None)
    assert not store.remove("one", was=b"2")
    assert store.remove("one", was=b"1")
    assert not store.remove("one", was=b"1")
    assert store.read("one") is None


def test_another_s3_writer_between_look_and_write_wins(cloud: Callable[[str], Any]) -> None:
    cloud("s3").create_bucket(Bucket="race")
    mine = S3Store(lambda: cloud("s3"), "race")
    theirs = S3Store(lambda: cloud("s3"), "race")
    mine.write("lease", b"0", was=None)

    class Late(S3Store):
        def fetch(self, name: str) -> tuple[bytes, str] | None:
            found = super().fetch(name)
            theirs.write("lease", b"theirs", was=b"0")
            return found

    assert not Late(lambda: cloud("s3"), "race").write("lease", b"mine", was=b"0")
    assert mine.read("lease") == b"theirs"


def test_a_missing_bucket_is_the_cloud_refusing(cloud: Callable[[str], Any]) -> None:
    with pytest.raises(CloudRefused, match="s3://no-such-bucket"):
        S3Store(lambda: cloud("s3"), "no-such-bucket").write("a", b"1", was=None)


def test_records_are_published_only_when_they_differ(cloud: Callable[[str], Any]) -> None:
    s3 = cloud("s3")
    publisher = S3Publisher(lambda: s3)
    assert not publisher.is_reachable("records")
    s3.create_bucket(Bucket="records")
    assert publisher.is_reachable("records")
    records = {"releases/shop/1.json": b"one", "releases/shop/2.json": b"two"}
    assert publisher.publish("records", records) == 2
    assert publisher.publish("records", records) == 0
    assert publisher.publish("records", {**records, "releases/shop/2.json": b"zwei"}) == 1
    s3.delete_object(Bucket="records", Key="releases/shop/1.json")
    assert publisher.publish("records", {**records, "releases/shop/2.json": b"zwei"}) == 1
    assert s3.get_object(Bucket="records", Key="releases/shop/2.json")["Body"].read() == b"zwei"


@pytest.mark.parametrize("operation", ["head_bucket", "list_objects_v2"])
def test_who_may_not_look_into_a_bucket_is_not_told_that_it_is_empty(operation: str) -> None:
    s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(s3) as stubbed:
        if operation == "list_objects_v2":
            stubbed.add_response("head_bucket", {})
        code = "403" if operation == "head_bucket" else "AccessDenied"
        stubbed.add_client_error(operation, service_error_code=code, http_status_code=403)
        with pytest.raises(CloudRefused, match=code):
            S3Publisher(lambda: s3).names("records", "releases/shop/")


def test_a_base_without_a_release_is_taken_down(
    cloud: Callable[[str], Any], world: Any, spec_of: Any, wanted_of: Any
) -> None:
    class Refusing(FakeImageRegistry):
        def push(self, repository: str, digest: str, progress: Progress) -> int:
            raise CloudRefused("denied: the registry takes nothing")

    cloud("s3").create_bucket(Bucket=wanted_of().bucket)

    def process() -> Any:
        deps = world.process("one")
        images = Refusing(lambda: world.repositories)
        publisher = S3Publisher(lambda: cloud("s3"))
        return replace(deps, images=images, publisher=publisher)

    with pytest.raises(CloudRefused, match="denied"):
        ship.up(process(), spec_of())
    left = ship.down(process(), spec_of())
    assert (left.done, left.release, left.remaining) == ("removed", None, ("base/shop-local",))


def test_the_sweeper_empties_all_versions_and_does_not_mind_what_is_gone(cloud: Callable[[str], Any]) -> None:
    s3 = cloud("s3")
    s3.create_bucket(Bucket="swept")
    s3.put_bucket_versioning(Bucket="swept", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket="swept", Key="a", Body=body)
    s3.delete_object(Bucket="swept", Key="a")
    cloud("ecr").create_repository(repositoryName="swept")
    sweeper = CloudSweeper(cloud)
    sweeper.empty("swept", "127.0.0.1:5000/swept")
    left = s3.list_object_versions(Bucket="swept")
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")
    s3.delete_bucket(Bucket="swept")
    sweeper.empty("swept", "127.0.0.1:5000/gone")
    sweeper.empty("swept", "")


@pytest.mark.parametrize("order", ["write", "remove"])
def test_a_writer_that_stands_still_is_told_and_not_waited_for(tmp_path: Path, order: str) -> None:
    store = FolderStore(tmp_path / "of a shop", patience=0.1)
    assert store.write("lease.json", b"1", was=None)

    def change() -> bool:
        if order == "write":
            return store.write("lease.json", b"2", was=b"1")
        return store.remove("lease.json", was=b"1")

    with hold_lock(store.root / ".guard"), pytest.raises(Locked) as told:
        change()
    assert f"fuser '{store.root}/.guard'" in str(told.value)
    assert store.read("lease.json") == b"1"
    assert change()
