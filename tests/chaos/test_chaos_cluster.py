"""One point of each command on the real control plane; `make chaos` takes them all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos import cluster
from tests.kubernetes_cluster import cache, request_or_skip

pytestmark = [pytest.mark.slow, pytest.mark.kubernetes, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.ClusterShop]:
    request_or_skip()
    made = cluster.ClusterShop(tmp_path_factory.mktemp("chaos"), cache())
    yield made
    made.close()


@pytest.mark.nightly(like="tests/chaos/test_chaos.py::test_a_sample_of_points")
def test_a_point_of_each_command(shop: cluster.ClusterShop) -> None:
    failed = {}
    for row in cluster.rows(lambda: shop):
        at = max(1, row.count() * 2 // 3)  # where releases are made, or traffic moves
        if failure := row.try_at(at):
            failed[f"{row.name}, {at}"] = failure
    assert failed == {}
