"""From a spec to what a release keeps of its pack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from infra.targets.sagemaker.target import SageMaker
from modelpack.gate.cost import add_prices
from modelpack.home import Home
from modelpack.pack import Pack, from_data
from modelpack.server.golden import Golden, compare
from stacks.adapters.builder import PackBuilder, summarize
from stacks.records.release import Release, ServingConfiguration, release_of


def pack() -> Pack:
    return Pack(
        digest="sha256:d",
        platform="linux/amd64",
        content_digest="sha256:c",
        input_digest="sha256:i",
        usecase="recommendation",
        size_bytes=9,
        record={"metric": {"value": 0.5}},
        golden=(
            Golden({"instances": [{"household": 1}]}, {"predictions": [{"products": [1], "scores": [0.5]}]}),
        ),
        tolerance={"scores": {"kind": "close", "rtol": 0.01, "atol": 0.001}},
    )


def test_a_release_keeps_enough_of_its_pack_to_verify_it_from_its_record_alone() -> None:
    for made in (pack(), from_data(json.loads(json.dumps(pack().as_data())))):
        contract = ServingConfiguration(target="sagemaker", instance="ml.c7i.xlarge")
        release = Release(
            number=1,
            service="s",
            environment="e",
            pack=summarize(made),
            image="r@sha256:d",
            serving=contract,
        )
        again = release_of(json.loads(json.dumps(release.document())))
        (golden,) = again.pack.golden
        near = {"predictions": [{"products": [1], "scores": [0.5004]}]}
        assert compare(golden["answer"], near, again.pack.tolerance) == ()
        assert compare(
            golden["answer"], {"predictions": [{"products": [2], "scores": [0.5]}]}, again.pack.tolerance
        )


def test_a_request_says_all_that_the_spec_says(tmp_path: Path, wanted_of: Any) -> None:
    wanted = wanted_of(instance="ml.c7i.2xlarge")
    spec, request = wanted.spec, PackBuilder(Home(tmp_path, tmp_path), tmp_path).request(wanted, regate=True)
    assert (request.usecase, request.model, request.pack) == (spec.usecase, spec.model, spec.pack)
    assert (request.instance, request.project, request.regate) == ("ml.c7i.2xlarge", tmp_path, True)
    assert request.usd_hour == SageMaker().hosts().instance("ml.c7i.2xlarge").usd_hour


def test_a_record_is_priced_by_the_hour_or_not_at_all() -> None:
    figures = {"rows_per_cpu_s": 1000.0}
    record = {"reference": figures, "chosen": figures, "passes": [{"name": "x", "rows_per_cpu_s": None}]}
    found = add_prices({**record, "search": {"points": [figures]}}, "ml.m5.large", 0.36)
    assert found["chosen"]["usd_per_million"] == found["search"]["points"][0]["usd_per_million"] == 0.1
    assert found["passes"][0]["usd_per_million"] is None
    assert found["cost"] == {"instance": "ml.m5.large", "usd_hour": 0.36}
    again = add_prices(found, "ml.x", None)
    assert again["chosen"]["usd_per_million"] is None
