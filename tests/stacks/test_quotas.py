"""Quotas are asked before anything changes; what is not known never stops, and an unchanged `up` asks for none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from infra.ground.layout import lay_out
from infra.ground.survey import AvailabilityZone, Offer, Standing, StandingCluster
from infra.quotas.catalogue import vcpu_quota
from infra.quotas.platform import node_demands, platform_demands
from infra.quotas.quota import QuotaDemand, QuotaReading
from infra.spec import AlarmSpec, ExistingVpc, GpuPoolSpec, PlatformSpec, ScaleSpec, ServeSpec
from infra.targets.base import Observation, Phase
from infra.targets.sagemaker.target import SageMaker
from modelpack.errors import CloudRefused
from stacks import platform, ship
from stacks.plan import plan
from stacks.quotas import service_demands, tell_remedy
from stacks.rollout.choice import choose
from stacks.spec import Environment, RollingSpec, RolloutSpec
from stacks.wanted import Wanted

CPU, GPU = "ml.c7i.xlarge for endpoint usage", "ml.g6.xlarge for endpoint usage"
OFFER = Offer(zones=(AvailabilityZone("us-east-1a", "use1-az1"), AvailabilityZone("us-east-1b", "use1-az2")))


def test_up_refuses_before_anything_changes(world: Any, spec_of: Any) -> None:
    world.quotas.limits = {CPU: 0}
    deps = world.process("one")
    with pytest.raises(CloudRefused) as caught:
        ship.up(deps, spec_of())
    assert str(caught.value).startswith(
        f"0 of 1 {CPU}: quota L-FAKE0000 is 0, 0 in use; a release starts with 1"
    )
    assert f'ecomdeploy cloud quota "{CPU}" 1' in caught.value.hint
    assert (world.mutations, deps.builder.built, deps.ledger.releases()) == ([], 0, ())


def test_plan_says_what_up_will_refuse_and_shows_the_figures(world: Any, spec_of: Any) -> None:
    world.quotas.limits = {CPU: 0}
    found = plan(world.process("one"), spec_of())
    assert any(note.startswith(f"`up` will refuse: 0 of 1 {CPU}") for note in found.notes)
    assert found.hint == f'ecomdeploy cloud quota "{CPU}" 1'
    (figures,) = found.document()["quotas"]
    assert {key: figures[key] for key in ("service", "name", "limit", "used", "needed")} == {
        "service": "sagemaker",
        "name": CPU,
        "limit": 0,
        "used": 0,
        "needed": 1,
    }


def test_a_new_release_needs_its_instances_beside_those_that_serve(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.quotas.limits, world.quotas.used = {CPU: 1}, {CPU: 1}
    before = list(world.mutations)
    deps = world.process("two")
    with pytest.raises(CloudRefused, match="1 start beside the 1 that serve, until traffic has moved"):
        ship.up(deps, spec_of())
    assert world.mutations == before
    assert deps.ledger.live().number == 1
    world.quotas.limits = {CPU: 2}
    assert ship.up(world.process("two"), spec_of()).release.number == 2


def test_a_rolling_update_needs_a_batch_beside_what_serves(spec_of: Any) -> None:
    rolling = replace(spec_of(), rollout=RolloutSpec(strategy="rolling", rolling=RollingSpec(batch=25)))
    seen = Observation(phase=Phase.SERVING, replicas=6)
    amounts = {}
    for wanted in (Wanted.of(spec_of(), SageMaker().hosts()), Wanted.of(rolling, SageMaker().hosts())):
        (one,) = service_demands(wanted.hosts, wanted, seen, wanted.serving.instance)
        amounts[wanted.spec.rollout.strategy] = one.amount
    assert amounts == {"all-at-once": 6, "rolling": 2}


@pytest.mark.parametrize(
    ("replicas", "free", "strategy", "batch", "said"),
    [
        (4, 4, "blue-green", 50, "room for 4 beside the 4"),
        (4, 3, "rolling", 50, "rolling by 2 of 4, for there is room for 3 more and blue-green takes 4"),
        (10, 1, "rolling", 10, "rolling by 1 of 10"),
        (1, 0, "blue-green", 50, "none fits"),
        (30, 1, "blue-green", 50, "none fits"),
        (3, None, "blue-green", 50, "the quota is not known"),
    ],
)
def test_auto_is_what_there_is_room_for(
    replicas: int, free: int | None, strategy: str, batch: int, said: str
) -> None:
    chosen = choose(RolloutSpec(strategy="auto", rolling=RollingSpec(batch=50)), replicas, free)
    assert (chosen.rollout.strategy, chosen.rollout.rolling.batch) == (strategy, batch)
    assert said in chosen.why


def test_plan_and_up_say_why_auto_is_what_it_is(world: Any, spec_of: Any) -> None:
    auto = replace(spec_of(), rollout=RolloutSpec(strategy="auto", alarms=AlarmSpec(no_data="good")))
    ship.up(world.process("one"), auto)
    other = replace(auto, serve=ServeSpec(instance="ml.c7i.xlarge", environment={"THREADS": "2"}))
    why = "strategy auto: blue-green, for there is room for 100000 beside the 1 that serve"
    found = plan(world.process("two"), other)
    assert why in found.notes
    assert any(note.startswith("traffic moves blue-green: 100 %") for note in found.notes)
    deps = world.process("three")
    ship.up(deps, other)
    assert why in deps.progress.lines
    world.quotas.limits, world.quotas.used = {CPU: 1}, {CPU: 1}
    third = replace(auto, serve=ServeSpec(instance="ml.c7i.xlarge", environment={"THREADS": "3"}))
    with pytest.raises(CloudRefused, match="1 start beside the 1 that serve"):
        ship.up(world.process("four"), third)


def test_another_instance_type_is_asked_for_before_the_pack_is_built(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.quotas.limits = {"ml.m5.xlarge for endpoint usage": 0}
    deps = world.process("one")
    with pytest.raises(CloudRefused, match=r"0 of 1 ml\.m5\.xlarge for endpoint usage"):
        ship.up(deps, replace(spec_of(), serve=ServeSpec(instance="ml.m5.xlarge")))
    assert deps.builder.built == 0


def test_an_unchanged_up_and_its_plan_ask_nothing(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.quotas.asked.clear()
    world.quotas.limits = {CPU: 0}
    assert ship.up(world.process("one"), spec_of()).done == "nothing to do"
    deps = world.process("one")
    deps.builder.is_known = True
    assert plan(deps, spec_of()).document()["quotas"] == []
    assert world.quotas.asked == []


def test_more_replicas_of_what_serves_are_asked_for(world: Any, spec_of: Any) -> None:
    ship.up(world.process("one"), spec_of())
    world.quotas.limits, world.quotas.used = {CPU: 2}, {CPU: 1}
    more = replace(spec_of(), scale=ScaleSpec(min=3, max=3))
    with pytest.raises(CloudRefused, match=f"1 of 2 {CPU}.*2 more replicas"):
        ship.up(world.process("one"), more)


def test_what_an_autoscaler_could_not_get_is_told_and_does_not_stop(world: Any, spec_of: Any) -> None:
    world.quotas.limits = {CPU: 3}
    grown = replace(spec_of(), scale=ScaleSpec(min=1, max=20, target_rps=10))
    (note,) = (one for one in plan(world.process("one"), grown).notes if "grow" in one)
    assert note.startswith(f"not enough to grow to: 3 of 20 {CPU}")
    assert ship.up(world.process("one"), grown).release.number == 1


def test_without_the_right_to_read_it_is_a_note(world: Any, spec_of: Any) -> None:
    world.quotas.refuse = CloudRefused("not authorized to perform: servicequotas:ListServiceQuotas")
    assert any("quotas were not read" in note for note in plan(world.process("one"), spec_of()).notes)
    assert ship.up(world.process("one"), spec_of()).release.number == 1


def test_a_quota_that_nobody_knows_is_a_note(world: Any, spec_of: Any) -> None:
    world.quotas.otherwise = None
    assert f"Service Quotas has no {CPU!r}: not checked" in plan(world.process("one"), spec_of()).notes
    assert ship.up(world.process("one"), spec_of()).release.number == 1


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "eu-west-1.console.aws.amazon.com"), ("cn-north-1", "cn-north-1.console.amazonaws.cn")],
)
def test_the_remedy_on_aws_can_be_typed_or_clicked(spec_of: Any, region: str, host: str) -> None:
    place = Environment(name="prod", cloud="aws", account="123456789012", region=region)
    asked = QuotaDemand(service="sagemaker", name=GPU, amount=2, growth=3, why="a release")
    reading = QuotaReading(demand=asked, name=GPU, code="L-0A1B2C3D", limit=1, used=1)
    remedy = tell_remedy(replace(spec_of(), environment=place), reading)
    assert remedy == (
        "aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code L-0A1B2C3D "
        f"--desired-value 6 --region {region}, or "
        f"https://{host}/servicequotas/home/services/sagemaker/quotas/L-0A1B2C3D"
    )


# ---- platform ----


def pools(*pools: GpuPoolSpec, **more: Any) -> PlatformSpec:
    return PlatformSpec(gpu_pools=pools, **more)


def demands_of(wanted: PlatformSpec, standing: Standing) -> dict[str, tuple[int, int]]:
    layout = lay_out(wanted, "us-east-1", OFFER, standing)
    found = platform_demands(wanted, layout, standing)
    return {f"{one.name}{one.zone}": (one.amount, one.growth) for one in found}


def test_a_new_platform_asks_for_all_that_it_makes() -> None:
    wanted = pools(
        GpuPoolSpec(name="g6", instances=("g6.xlarge", "g6.2xlarge"), min=1, max=4),
        GpuPoolSpec(name="g5", instances=("g5.xlarge",), min=0, max=2),
        GpuPoolSpec(name="spot", instances=("g6.xlarge",), min=0, max=3, capacity="spot"),
        nat="per-zone",
    )
    assert demands_of(wanted, Standing()) == {
        "VPCs per Region": (1, 0),
        "EC2-VPC Elastic IPs": (2, 0),
        "NAT gateways per Availability Zoneus-east-1a": (1, 0),
        "NAT gateways per Availability Zoneus-east-1b": (1, 0),
        "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances": (4, 4),
        "Running On-Demand G and VT instances": (4, 20),
        "All G and VT Spot Instance Requests": (0, 12),
    }


def test_a_network_that_is_there_already_needs_none() -> None:
    wanted = PlatformSpec(vpc=ExistingVpc(id="vpc-1", subnets=("subnet-1", "subnet-2")))
    assert demands_of(wanted, Standing()) == {}


def test_a_platform_that_stands_asks_only_for_what_is_missing() -> None:
    wanted = pools(GpuPoolSpec(name="g6", instances=("g6.xlarge",), min=1, max=4))
    layout = lay_out(wanted, "us-east-1", OFFER, Standing())
    groups = {"system": 2, "g6": 1}
    names = {one.split("-")[0]: one for one in group_names(wanted)}
    standing = Standing(
        blocks={"us-east-1a": "10.42.32.0/19"},
        cidr=wanted.cidr,
        nat=layout.nat,
        nats=frozenset({layout.nat}),
        cluster=StandingCluster(
            version="1.35",
            role="ecomdeploy-us-east-1-cluster",
            zones=("us-east-1a", "us-east-1b"),
            counts={names[word]: count for word, count in groups.items()},
        ),
    )
    settled = replace(layout, slots={"us-east-1a": 0})
    assert platform_demands(wanted, settled, standing) == ()
    raised = pools(GpuPoolSpec(name="g6", instances=("g6.xlarge",), min=3, max=4))
    (one,) = node_demands(raised, settled, standing)
    assert (one.name, one.amount, one.growth) == ("Running On-Demand G and VT instances", 8, 4)


def group_names(wanted: PlatformSpec) -> list[str]:
    from infra.components import gpu_pool, system_nodes

    groups = [system_nodes.want_nodes(wanted.system_nodes), *map(gpu_pool.want_nodes, wanted.gpu_pools)]
    return [one.group_name for one in groups]


@pytest.mark.parametrize(
    ("instance", "spot", "code"),
    [
        ("g6.xlarge", False, "L-DB2E81BA"),
        ("g6.xlarge", True, "L-3819A6DF"),
        ("vt1.3xlarge", False, "L-DB2E81BA"),
        ("p5.48xlarge", False, "L-417A185B"),
        ("m6i.large", False, "L-1216C47A"),
        ("t3.large", True, "L-34B43A08"),
    ],
)
def test_instances_count_against_their_families_quota(instance: str, spot: bool, code: str) -> None:
    found = vcpu_quota(instance, spot=spot)
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize(
    ("instance", "spot"), [("p5.48xlarge", True), ("inf2.xlarge", False), ("trn1.2xlarge", False)]
)
def test_quotas_that_we_do_not_know_are_not_guessed(instance: str, spot: bool) -> None:
    assert vcpu_quota(instance, spot=spot) is None


def test_platform_up_refuses_before_anything_changes(world: Any, spec_of: Any) -> None:
    world.quotas.limits = {"VPCs per Region": 5, "EC2-VPC Elastic IPs": 5}
    world.quotas.used = {"VPCs per Region": 5, "EC2-VPC Elastic IPs": 5}
    deps = world.process("one")
    wanted = replace(spec_of(), platform=pools(GpuPoolSpec(name="g6", instances=("g6.xlarge",))))
    planned = platform.plan(deps, wanted)
    refused = "`platform up` will refuse: 0 of 1 VPCs per Region: quota L-F678F1CE is 5"
    assert any(note.startswith(refused) for note in planned.notes)
    assert planned.hint == 'ecomdeploy cloud quota "VPCs per Region" 6'
    with pytest.raises(CloudRefused, match="0 of 1 VPCs per Region") as error:
        platform.up(deps, wanted)
    every = f'{planned.hint}; ecomdeploy cloud quota "EC2-VPC Elastic IPs" 6'
    assert error.value.hint == f"nothing was changed. Ask for more: {every}"
    assert world.mutations == []
    assert [call for call in deps.driver.calls if call.startswith("up")] == []
