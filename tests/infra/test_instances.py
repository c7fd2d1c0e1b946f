"""The table of instance types: complete, dated, and helpful about names it does not have."""

from __future__ import annotations

import datetime
import gzip
import importlib.util
import json
import pathlib
from typing import Any

import pytest

from infra import instances
from infra.targets.sagemaker.hosts import hosts
from modelpack.errors import BadInput


def test_every_entry_reads_and_makes_sense() -> None:
    for names, read in (
        (hosts().instances.keys(), hosts().instance),
        (instances.table("pool").keys(), instances.pool),
    ):
        assert names
        for name in names:
            one = read(name)
            assert one.vcpus >= 2
            assert one.memory_mib >= 2048
            assert (one.usd_hour is None) == (one.price_basis == "unknown")
            assert one.usd_hour is None or 0.03 < one.usd_hour < 200
            if one.gpu:
                assert one.gpu.count >= 1
                assert one.gpu.memory_mib > 10_000
                assert 7 <= float(one.gpu.compute_capability) <= 12


def test_a_pool_has_gpus_and_sagemaker_charges_more_than_the_bare_machine() -> None:
    for name in instances.table("pool"):
        bare = instances.pool(name)
        assert bare.gpu is not None
        if f"ml.{name}" in hosts().instances:
            hosted = hosts().instance(f"ml.{name}")
            assert (hosted.vcpus, hosted.memory_mib, hosted.gpu) == (bare.vcpus, bare.memory_mib, bare.gpu)
            assert hosted.usd_hour is None or bare.usd_hour is None or hosted.usd_hour > bare.usd_hour


def test_bigger_machines_of_a_family_do_not_cost_less() -> None:
    families: dict[str, list[instances.Instance]] = {}
    for name in hosts().instances:
        families.setdefault(name.split(".")[1], []).append(hosts().instance(name))
    for family in families.values():
        for gpus in {one.gpu and one.gpu.count for one in family}:
            alike = [one for one in family if (one.gpu and one.gpu.count) == gpus and one.usd_hour]
            prices = [
                one.usd_hour or 0.0 for one in sorted(alike, key=lambda one: (one.vcpus, one.memory_mib))
            ]
            assert prices == sorted(prices)


def test_hosting_types_are_ones_that_the_api_takes() -> None:
    import botocore.loaders

    model = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")
    assert hosts().instances.keys() <= set(model["shapes"]["ProductionVariantInstanceType"]["enum"])


def test_hardware_is_what_ec2_describes() -> None:
    """Against EC2's DescribeInstanceTypes as moto records it, read without importing moto."""
    moto = importlib.util.find_spec("moto")
    assert moto is not None
    assert moto.origin is not None
    recorded = pathlib.Path(moto.origin).parent / "ec2/resources/instance_types.json.gz"
    described = json.loads(gzip.decompress(recorded.read_bytes()))
    names = sorted(hosts().instances.keys() | instances.table("pool").keys())
    assert len(names) > 100
    for name in names:
        found = (hosts().instance if name.startswith("ml.") else instances.pool)(name)
        said = described[name.removeprefix("ml.")]
        assert (found.vcpus, found.memory_mib) == (
            said["VCpuInfo"]["DefaultVCpus"],
            said["MemoryInfo"]["SizeInMiB"],
        )
        gpus = [(one["Name"], one["Count"], one["MemoryInfo"]["SizeInMiB"]) for one in gpus_of(said)]
        assert gpus == ([(found.gpu.name, found.gpu.count, found.gpu.memory_mib)] if found.gpu else []), name


def gpus_of(said: dict[str, Any]) -> list[dict[str, Any]]:
    return list((said.get("GpuInfo") or {}).get("Gpus", ()))


def test_prices_say_where_when_and_how_sure() -> None:
    file = pathlib.Path(instances.__file__).with_name("instances.json")
    prices = json.loads(file.read_text())["prices"]
    assert prices["region"] == "us-east-1"
    assert prices["currency"] == "USD"
    assert datetime.date.fromisoformat(prices["as_of"])
    assert "not" in prices["note"]
    assert prices["sources"]


def test_the_default_instance_is_known() -> None:
    from infra.spec import ServeSpec

    assert hosts().instance(ServeSpec().instance).gpu is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ml.c7i.xlarg", "ml.c7i.xlarge"),
        ("c7i.xlarge", "ml.c7i.xlarge"),
        ("ml.g6.xlage", "ml.g6.xlarge"),
        ("g6.xlarge", "ml.g6.xlarge"),
        ("banana", "for example"),
    ],
)
def test_an_unknown_type_is_answered_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(BadInput) as caught:
        hosts().instance(name)
    assert hint in caught.value.hint
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "reason"), [("ml.inf2.xlarge", "Neuron"), ("ml.c7g.large", "arm64"), ("ml.t3.medium", "t2")]
)
def test_types_that_cannot_be_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        hosts().instance(name)


def test_a_pool_does_not_take_hosting_names() -> None:
    with pytest.raises(BadInput) as caught:
        instances.pool("ml.g6.xlarge")
    assert "'g6.xlarge'" in caught.value.hint
