"""What a service on a cluster has of its own there: the lease, the release records, the base that is given."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.kubernetes.base import FakeKubernetes
from modelpack.errors import Locked
from modelpack.progress import Silent
from stacks.adapters.config_maps import ClusterRecords
from stacks.adapters.lease_object import LeaseObject
from stacks.pulumi_driver.converged import ConvergedStates, provision
from stacks.pulumi_driver.driver import FakeDriver, Stack
from stacks.pulumi_driver.given import GivenBase
from stacks.records.lease import JointLease, Lease
from stacks.records.process import Process
from stacks.records.store import FolderStore, InMemoryStore

HERE = Process(pid=1, started=10, boot="a", host="here")
THERE = Process(pid=2, started=20, boot="b", host="there")


def clock() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def lease_of(api: FakeKubernetes, folder: Path, process: Process) -> JointLease:
    shared = LeaseObject(api, "ml", "ecomdeploy-shop-gke", 60)
    who = f"somebody@{process.host}"
    mine = Lease(FolderStore(folder), who, process, clock, lives=lambda one: True)
    return JointLease(mine, Lease(shared, who, process, clock, lives=lambda one: True))


def test_two_folders_with_one_cluster_have_one_writer(tmp_path: Path) -> None:
    api = FakeKubernetes()
    with lease_of(api, tmp_path / "one", HERE).hold("up") as grant:
        assert grant.token == 1
        (found,) = api.list("coordination.k8s.io/v1", "Lease", "ml")
        assert found["spec"]["holderIdentity"] == "somebody@here"
        with (
            pytest.raises(Locked, match="is at work on here"),
            lease_of(api, tmp_path / "two", THERE).hold("up"),
        ):
            pass
    assert api.list("coordination.k8s.io/v1", "Lease", "ml") == []
    with lease_of(api, tmp_path / "one", HERE).hold("rollback") as grant:
        assert grant.token == 2  # the folder's, which its ledger is fenced by
    with lease_of(api, tmp_path / "two", THERE).hold("up") as grant:
        assert grant.token == 2  # it had its own folder's before, until it was refused


def test_a_refused_second_frees_its_own_folder(tmp_path: Path) -> None:
    api = FakeKubernetes()
    first, second = lease_of(api, tmp_path / "one", HERE), lease_of(api, tmp_path / "two", THERE)
    with first.hold("up"), pytest.raises(Locked), second.hold("up"):
        pass
    with lease_of(api, tmp_path / "two", THERE).hold("up") as grant:
        assert grant.note == ""


def test_its_age_is_by_the_api_servers_clock() -> None:
    api = FakeKubernetes()
    lease = LeaseObject(api, "ml", "lease", 60)
    assert lease.age("") is None
    record = json.dumps({"who": "one", "token": 1}).encode()
    lease.write("", record, was=None)
    api.moment = "2026-01-01T00:00:45Z"
    assert lease.age("") == 45
    assert lease.write("", record, was=record)  # renewed
    assert lease.age("") == 0
    assert len(api.objects) == 1


def test_only_the_lease_that_is_in_hand_is_changed(tmp_path: Path) -> None:
    api = FakeKubernetes()
    lease = LeaseObject(api, "ml", "lease", 60)
    record = json.dumps({"who": "one", "token": 1}).encode()
    assert lease.write("", record, was=None)
    assert not lease.write("", record, was=None)
    assert lease.read("") == record
    other = json.dumps({"who": "two", "token": 2}).encode()
    assert not lease.write("", other, was=b"something else")
    assert lease.write("", other, was=record)
    assert not lease.write("", b'{"free": true}', was=record)
    assert lease.write("", b'{"free": true}', was=other)
    assert lease.read("") is None


def test_records_are_config_maps_of_their_endpoint_and_only_what_differs_is_written() -> None:
    api = FakeKubernetes()
    records = ClusterRecords(lambda: api, "ml", "shop-gke")
    other = ClusterRecords(lambda: api, "ml", "shop-staging")
    told = {"releases/shop/1.json": b"{}", "owner.json": b'{"id": "a"}'}
    assert records.publish("", told) == 2
    assert records.publish("", {**told, "releases/shop/1.json": b'{"state": "live"}'}) == 1
    assert other.publish("", {"releases/shop/1.json": b"theirs"}) == 1
    assert records.names("", "releases/shop/") == ("1.json",)
    assert records.read("", ("releases/shop/1.json", "none")) == {
        "releases/shop/1.json": b'{"state": "live"}'
    }
    seldom = {"rollouts/shop/1.json": b"seen", "packs/aa.json": b"measured"}
    assert records.publish("", seldom) == 2
    assert records.read("", (*seldom, "owner.json")) == {**seldom, "owner.json": told["owner.json"]}
    assert records.names("", "rollouts/shop/") == ("1.json",)
    often = api.list("v1", "ConfigMap", "ml", labels="ecomdeploy.dev/records=shop-gke")
    assert len(often) == 2, "what is read at every `up` has nothing of them"
    records.empty("", "")
    assert records.names("", "rollouts/shop/") == ()
    assert records.names("", "releases/shop/") == ()
    assert other.names("", "releases/shop/") == ("1.json",)


def test_the_base_is_given_and_no_stack_of_pulumis() -> None:
    inside = FakeDriver()
    driver = GivenBase(inside, {"repository_url": "ghcr.io/shop/shop-gke", "bucket": ""})
    base, service = Stack("base", "shop-gke"), Stack("service", "shop-gke")
    states = ConvergedStates(InMemoryStore(), lambda: "one")
    done = provision(driver, states, base, {"a": 1}, Silent())
    assert done.outputs == {"repository_url": "ghcr.io/shop/shop-gke", "bucket": ""}
    assert (driver.preview(base, {}), driver.outputs(base), driver.destroy(base, Silent())) == ((), None, ())
    assert inside.calls == []
    provision(driver, states, service, {"a": 1}, Silent())
    assert [change.op for change in driver.destroy(service, Silent())] == ["delete"]
    assert inside.calls == ["up service/shop-gke --refresh", "destroy service/shop-gke"]
    assert driver.source(base) != GivenBase(inside, {"repository_url": "elsewhere"}).source(base)
