"""A clock that is set, back or on: what takes its time, what comes after what, and what is valid, do not follow it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from infra.rehearsal.cloud.aws.lifecycle import Record
from infra.rehearsal.cloud.kubernetes.certificates import CERTIFICATES, Certificates
from infra.rehearsal.cloud.servers.models import ModelHost, list_logs, number_of
from infra.rehearsal.engine.state.checkpoint import StackFiles

HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("gone", "settled"), [(0, False), (4.9, False), (5, True), (DAY, True), (-HOUR, True), (-DAY, True)]
)
def test_what_takes_five_seconds_takes_no_hour(gone: float, settled: bool) -> None:
    record = Record(fields={})
    record.become("CREATING", "ACTIVE", 5)
    begun = record.until - 5
    assert (record.status_at(begun + gone) == "ACTIVE") == settled


def test_a_record_of_an_earlier_snapshot_settles_once() -> None:
    record = Record(fields={}, state="CREATING", then="ACTIVE", until=1000.0)
    assert record.status_at(1000) == "ACTIVE"
    assert record.status_at(0) == "ACTIVE"


def test_the_history_of_a_stack_is_in_the_order_it_happened(tmp_path: Path) -> None:
    moments = iter([1_764_000_000_000_000_000, 1_763_996_400_000_000_000, 7, 1_764_086_400_000_000_000])
    files = StackFiles(tmp_path, "shop", "dev", lambda: next(moments))
    for word in "abcd":
        files.record({"kind": word})
    told = [json.loads(each.read_bytes()) for each in files.records()]
    assert [(each["version"], each["kind"]) for each in told] == [(4, "d"), (3, "c"), (2, "b"), (1, "a")]


def test_logs_come_in_the_order_of_their_servers(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name, written in (("aaaaaaaa-9-x", 3 * DAY), ("aaaaaaaa-10-y", DAY), ("bbbbbbbb-11-z", 2 * DAY)):
        log = tmp_path / "logs" / f"{name}.log"
        log.touch()
        os.utime(log, (written, written))
    assert [each.stem for each in list_logs(tmp_path, "aaaaaaaa")] == ["aaaaaaaa-9-x", "aaaaaaaa-10-y"]
    host = ModelHost(tmp_path, "127.0.0.1:1")
    assert [number_of(each) for each in list_logs(tmp_path)] == [9, 10, 11]
    assert next(host._numbers) == 12, "the next start of the local cloud goes on counting"


def test_the_local_clusters_certificates_are_valid_whatever_day_it_was(tmp_path: Path) -> None:
    made = Certificates(tmp_path / "pki")
    made.ensure()
    for name in ("ca", *(each.name for each in CERTIFICATES)):
        found = x509.load_pem_x509_certificate(made.certificate(name).read_bytes())
        for year in (2020, 2026, 2100):
            day = datetime(year, 6, 1, tzinfo=UTC)
            assert found.not_valid_before_utc <= day <= found.not_valid_after_utc
