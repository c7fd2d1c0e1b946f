"""One pack, one spec, two targets beside each other in one local cloud: what is answered, and what the spec means, is
the same on both. The page's rows are the tests' rows."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lent_layers import lend
from packed import copy_packed
from typed import Poller, Terminal

from tests.conformance.targets.clients import Reply, Shipped, ship_on_kserve, ship_on_sagemaker
from tests.kubernetes_cluster import request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.kubernetes, pytest.mark.timeout(3600)]

PAGE = Path(__file__).parents[3] / "docs" / "kserve.md"
REQUESTS = 300
FIRST, SECOND = "planted-f4e1a7c0", "planted-90b2d3aa"
OF_ITS_OWN = {"service", "endpoint", "changes", "pushed_bytes", "record", "image", "isolation"}
"""What two services of the same pack are told differently; how SageMaker's local servers are kept apart is told of
these alone."""


@pytest.fixture(scope="module")
def both(
    packed: Terminal, shared_layers: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Shipped]]:
    """By target: the first release, with two servers and a secret."""
    request_or_skip()
    root = tmp_path_factory.mktemp("both")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SHOP_TOKEN", FIRST)
        lend(shared_layers, root / "home" / "images")
        shops = {name: copy_packed(packed, root / name, root / "home") for name in ("sagemaker", "kserve")}
        for shop in shops.values():
            shop.edit(r"^serve:\n", "serve:\n  environment: {TOKEN: {secret: {env: SHOP_TOKEN}}}\n")
            shop.edit(r"^scale: \{min: 1", "scale: {min: 2")
        yield {
            "sagemaker": ship_on_sagemaker(shops["sagemaker"]),
            "kserve": ship_on_kserve(shops["kserve"]),
        }
        shops["kserve"].end()


@pytest.fixture(scope="module")
def golden(both: Mapping[str, Shipped]) -> list[Any]:
    """The pack's own."""
    [file] = (both["kserve"].shop.home / "packs").glob("*.json")
    found: list[Any] = [one["request"] for one in json.loads(file.read_text())["golden"]]
    return found


def test_the_image_is_the_same(both: Mapping[str, Shipped]) -> None:
    assert len({one.first["image"].rpartition("@")[2] for one in both.values()}) == 1


def test_every_golden_request_is_answered_the_same(both: Mapping[str, Shipped], golden: list[Any]) -> None:
    for request in golden:
        replies = replies_of(both, json.dumps(request).encode())
        assert replies["sagemaker"].status == 200
        assert replies["sagemaker"] == replies["kserve"]


def test_hundreds_of_further_requests_are_answered_the_same(
    both: Mapping[str, Shipped], golden: list[Any]
) -> None:
    seen = set()
    for body, content_type in further_requests(golden):
        replies = replies_of(both, body, content_type)
        assert replies["sagemaker"] == replies["kserve"], body
        seen.add(replies["kserve"].status)
    assert {200, 400} <= seen


def replies_of(
    both: Mapping[str, Shipped], body: bytes, content_type: str = "application/json"
) -> dict[str, Reply]:
    return {name: one.ask(body, content_type) for name, one in both.items()}


def further_requests(golden: list[Any]) -> Iterator[tuple[bytes, str]]:
    """Of one row and of several, with histories of any length, one in eight of them broken in some way."""
    draw = random.Random(7)
    known = sorted({item for one in golden for row in one["instances"] for item in row["history"]})
    for number in range(REQUESTS):
        rows: list[Any] = [
            {"household": draw.randrange(1, 3000), "history": draw.choices(known, k=draw.randrange(1, 80))}
            for _ in range(draw.randrange(1, 6))
        ]
        if number % 8 == 7:
            rows[-1] = draw.choice([{}, 3, {"household": "x", "history": [1]}, rows[-1] | {"strange": 1}])
        body = json.dumps({"instances": rows}).encode()
        if number % 40 == 39:
            body = body[: draw.randrange(len(body))]
        if number % 10 == 5:
            yield "\n".join(map(json.dumps, rows)).encode(), "application/jsonlines"
        else:
            yield body, "application/json"


# ---- what a spec means ----


def two_servers(shipped: Shipped) -> object:
    return shipped.servers()


def one_that_ends_gets_no_traffic(shipped: Shipped) -> object:
    """Its server refuses its own settings."""
    shipped.shop.edit(r"^  environment: \{", "  environment: {ECOMDEPLOY_LIMIT_ROWS: none, ")
    with Poller(lambda: must_answer(shipped)) as poller:
        failed = shipped.shop.type("up", "--yes", "--json", expect=None)
    assert poller.errors == []
    assert "is not a whole number above 0" in failed.json["error"]["what"], failed.out
    shipped.shop.edit("ECOMDEPLOY_LIMIT_ROWS: none, ", "")
    return failed.code, *state(shipped)


def must_answer(shipped: Shipped) -> None:
    reply = shipped.ask(b'{"instances": [{"household": 1, "history": [1005186]}]}')
    assert reply.status == 200, reply


def one_that_answers_otherwise_is_not_kept(shipped: Shipped) -> object:
    shipped.shop.edit(r"^  environment: \{", '  environment: {ECOMDEPLOY_LIMIT_BODY: "5", ')
    failed = shipped.shop.type("up", "--yes", "--json", expect=None)
    assert "golden request 1: answered 413" in failed.json["error"]["what"], failed.out
    shipped.shop.edit(r'ECOMDEPLOY_LIMIT_BODY: "5", ', "")
    return failed.code, *state(shipped)


def another_value_is_another_release(shipped: Shipped) -> object:
    os.environ["SHOP_TOKEN"] = SECOND
    planned = shipped.shop.type("plan", "--json").json["changes"]
    done = shipped.shop.type("up", "--yes", "--json").json
    files = [one for one in shipped.shop.folder.rglob("*") if one.is_file() and holds(one)]
    os.environ["SHOP_TOKEN"] = FIRST
    return bool(planned), done["state"], done["verified"], files


def holds(file: Path) -> bool:
    with suppress(OSError):
        data = file.read_bytes()
        return any(value.encode() in data for value in (FIRST, SECOND))
    return False


def the_former_comes_back(shipped: Shipped) -> object:
    """From a release of its own, whatever the other rows have left."""
    former = shipped.shop.type("status", "--json").json["release"]
    shipped.shop.edit(r"^  environment: \{", "  environment: {MARK: another, ")
    shipped.shop.type("up", "--yes", "--json")
    done = shipped.shop.type("rollback", "--yes", "--json").json
    shipped.shop.edit("MARK: another, ", "")
    assert done["image"] == shipped.first["image"]
    return done["outcome"], done["restores"] == former, done["verified"], shipped.servers()


def no_change_is_nothing_to_do(shipped: Shipped) -> object:
    told = shipped.shop.type("up", "--yes", "--json").json
    return told["outcome"], shipped.shop.type("plan", "--json").json["changes"]


def what_is_told(shipped: Shipped) -> object:
    """The documents of programs that read `--json`, but for what is the service's own."""
    documents = [shipped.first, shipped.shop.type("status", "--json").json]
    return [
        (sorted(one), {key: value for key, value in one.items() if key not in OF_ITS_OWN})
        for one in documents
    ]


def state(shipped: Shipped) -> tuple[object, ...]:
    """What lives and is verified, and how the newest release ended."""
    status = shipped.shop.type("status", "--json").json
    newest = shipped.shop.type("releases", "--json").json[-1]["state"]
    return status["release"], status["verified"], newest, shipped.servers()


MEANINGS: Mapping[str, tuple[Callable[[Shipped], object], object]] = {
    "`scale: {min: 2}`": (two_servers, 2),
    "a release whose server ends at its start": (
        one_that_ends_gets_no_traffic,
        (4, 1, True, "failed", 2),
    ),
    "a release that answers the golden requests otherwise": (
        one_that_answers_otherwise_is_not_kept,
        (4, 1, True, "failed", 2),
    ),
    "`up` without a change": (no_change_is_nothing_to_do, ("nothing to do", [])),
    "a secret `{env: NAME}`": (another_value_is_another_release, (True, "live", True, [])),
    "`rollback`": (the_former_comes_back, ("rolled back", True, True, 2)),
}

SLOWEST = (
    "a release whose server ends at its start",
    "a release that answers the golden requests otherwise",
    "a secret `{env: NAME}`",
)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=pytest.mark.nightly(like="test_it_means_the_same")) if row in SLOWEST else row
        for row in MEANINGS
    ],
)
def test_it_means_the_same(both: Mapping[str, Shipped], row: str) -> None:
    ask, expected = MEANINGS[row]
    assert {name: ask(one) for name, one in both.items()} == dict.fromkeys(both, expected)


def test_programs_are_told_the_same(both: Mapping[str, Shipped]) -> None:
    told = {name: what_is_told(one) for name, one in both.items()}
    assert told["sagemaker"] == told["kserve"]
