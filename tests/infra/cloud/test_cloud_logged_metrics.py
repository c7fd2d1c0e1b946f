"""Metrics in logs: what of a line CloudWatch takes for a metric, and what of a file is read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from infra.rehearsal.cloud.aws.overlay.base import Surroundings
from infra.rehearsal.cloud.aws.sagemaker_runtime.invocations import Invocations, WeightedServer
from infra.rehearsal.cloud.aws.watching.log_reader import LogReader
from infra.rehearsal.cloud.aws.watching.logged_metrics import read_line
from infra.rehearsal.cloud.aws.watching.points import MetricKey, Points
from infra.rehearsal.cloud.servers.host import FakeHost
from modelpack.server.guardrails import metric_line

WHEN = 1_700_000_000.0
DIRECTIVE = {"Namespace": "shop", "Dimensions": [["Release"]], "Metrics": [{"Name": "wrong"}]}


def line(directive: dict[str, Any] = DIRECTIVE, **more: Any) -> str:
    about = {"Timestamp": int(WHEN * 1000), "CloudWatchMetrics": [directive]}
    return json.dumps({"_aws": about, "Release": "one", "wrong": 3, **more})


def test_the_line_that_our_server_writes_is_read_as_the_specification_says() -> None:
    found = list(read_line(metric_line("shop-1", {"GuardedAnswers": 12, "price_too_high": 6}, WHEN)))
    assert [(one.namespace, one.name, one.values, one.when) for one in found] == [
        ("ecomdeploy", "GuardedAnswers", (12.0,), 1_700_000_000_000),
        ("ecomdeploy", "price_too_high", (6.0,), 1_700_000_000_000),
    ]
    assert {one.dimensions for one in found} == {frozenset({("EndpointConfigName", "shop-1")})}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (line(), [(3.0,)]),
        (line(wrong=[1, 2]), [(1.0, 2.0)]),
        (line({**DIRECTIVE, "Dimensions": [["Release"], []]}), [(3.0,), (3.0,)]),
        (line({**DIRECTIVE, "Dimensions": [["Shop"]]}), []),
        (line(wrong="many"), []),
        (line({**DIRECTIVE, "Dimensions": [[str(one) for one in range(31)]]}), []),
        ('{"_aws": 7}', []),
        ('{"_aws": {"Timestamp": 1, "CloudWatchMetrics": 2}}', []),
        ('{"event": "ready"}', []),
        ("no JSON, and _aws in it", []),
    ],
)
def test_what_is_not_in_the_format_is_a_line_of_a_log(text: str, values: list[tuple[float, ...]]) -> None:
    assert [one.values for one in read_line(text)] == values


@dataclass
class Account:
    """What the reader uses of one."""

    host: FakeHost
    invocations: Invocations = field(default_factory=Invocations)


def test_each_line_counts_once_and_a_line_that_is_being_written_later(tmp_path: Path) -> None:
    account = Account(FakeHost(logs=tmp_path))
    server = account.host.start("shop@sha256:00", {})
    account.invocations.flip(
        ("us-east-1", "shop"), (WeightedServer(variant="all", weight=1.0, server=server),)
    )
    reader, log = LogReader(cast("Surroundings", account)), account.host.log(server.id)
    reader.read()
    whole = metric_line("shop-1", {"price_too_high": 6}, WHEN)
    log.write_text("starting\n" + whole + whole[:20])
    reader.read()
    reader.read()
    with log.open("a") as file:
        file.write(whole[20:])
    reader.read()
    points = Points(account.invocations.metrics, account.invocations.logged)
    key = MetricKey(
        namespace="ecomdeploy",
        name="price_too_high",
        dimensions=frozenset({("EndpointConfigName", "shop-1")}),
    )
    assert key in set(points.metrics("us-east-1"))
    start = int(WHEN * 1000) - 120_000
    (found,) = points.by_period("us-east-1", key, start, start + 240_000, 240_000).values()
    assert (found.count, found.total) == (2, 12.0)
