"""Settings that programs read, the specs they rebuild from them, and the public door."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

import ecomdeploy
from infra.program import Settings, parse
from infra.spec import AlarmSpec, GpuPoolSpec, PlatformSpec, ScaleSpec, Window
from infra.targets.base import Answer, Observation, Phase
from infra.targets.fakes import FakeTarget, FakeTraffic
from infra.targets.moves import ShiftPolicy
from modelpack.errors import BadInput, EcomdeployError, Unhealthy
from modelpack.progress import Silent

COMMON = {"environment": "prod", "cloud": "aws", "region": "cn-north-1", "account": "123456789012"}
ROOT = pathlib.Path(__file__).resolve().parents[2]


def wire(**sections: Any) -> Settings:
    """Settings with these sections, as Pulumi config carries them."""
    return parse(msgspec.json.encode({**COMMON, **sections}).decode())


def test_settings_know_their_partition() -> None:
    assert parse(json.dumps(COMMON)).partition == "aws-cn"
    assert parse(json.dumps({**COMMON, "region": "us-gov-west-1"})).partition == "aws-us-gov"
    assert parse(json.dumps({**COMMON, "region": "us-east-1"})).partition == "aws"


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '{"environment": "prod"}'])
def test_settings_that_are_none_are_refused_in_words(text: str) -> None:
    with pytest.raises(BadInput, match="settings"):
        parse(text)


def test_specs_come_back_from_settings_as_they_were() -> None:
    platform = PlatformSpec(
        gpu_pools=(GpuPoolSpec(name="g6", instances=("g6.xlarge",), capacity="spot", desired=1),),
        zones=("us-east-1c", "us-east-1d"),
    )
    assert wire(platform=platform).section("platform", PlatformSpec) == platform
    assert wire().section("platform", PlatformSpec) == PlatformSpec()
    start = datetime(2026, 11, 10, tzinfo=UTC)
    window = Window(name="sale", start=start, end=start + timedelta(days=1), min=3)
    scale = ScaleSpec(min=2, max=9, target_rps=1.5, schedule=(window,))
    assert wire(scale=scale).section("scale", ScaleSpec) == scale
    alarms = AlarmSpec(error_rate=None, p99_ms=3.0)
    assert wire(alarms=alarms).section("alarms", AlarmSpec) == alarms
    with pytest.raises(BadInput, match=r"scale does not read: Expected `int`.*min"):
        wire(scale={"min": "2"}).section("scale", ScaleSpec)


def test_a_moment_without_an_offset_is_utc() -> None:
    window = {"name": "sale", "start": "2026-11-10T00:00:00", "end": "2026-11-11T00:00:00", "min": 3}
    (found,) = wire(scale={"schedule": [window]}).section("scale", ScaleSpec).schedule
    assert found.start == datetime(2026, 11, 10, tzinfo=UTC)


@pytest.mark.parametrize("name", sorted(set(ecomdeploy.__all__)))
def test_every_name_at_the_public_door_is_there(name: str) -> None:
    assert getattr(ecomdeploy, name).__name__ == name
    assert name in dir(ecomdeploy)


def test_the_public_door_opens_without_weight_and_names_what_it_lacks() -> None:
    code = "import sys, ecomdeploy; assert not {'pulumi', 'torch', 'botocore'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="Nonsense"):
        _ = ecomdeploy.Nonsense


def test_the_fake_traffic_plays_scripts() -> None:
    traffic = FakeTraffic(images={"old": "i@sha256:1", "new": "i@sha256:2"})
    traffic.endpoints["shop"] = traffic.settle("old")
    assert FakeTarget(traffic).traffic({}) is traffic
    back = [
        Observation(phase=Phase.CHANGING, revision="old"),
        Observation(phase=Phase.SERVING, revision="old", failure="alarm"),
    ]
    traffic.scripts.append(back)
    assert traffic.shift("shop", "new", ShiftPolicy())
    with pytest.raises(Unhealthy, match="alarm"):
        traffic.wait("shop", "new", Silent(), 1.0)
    assert traffic.shift("shop", "new", ShiftPolicy())
    assert traffic.wait("shop", "new", Silent(), 1.0).images == ("i@sha256:2",)
    assert not traffic.shift("shop", "new", ShiftPolicy())
    assert traffic.obstacles("third")
    assert traffic.invoke("shop", b"").status == 200
    with pytest.raises(EcomdeployError):
        traffic.shift("other", "new", ShiftPolicy())


def test_the_fake_traffic_addresses_a_release() -> None:
    traffic = FakeTraffic(images={"old": "i@sha256:1", "new": "i@sha256:2"})
    traffic.endpoints["shop"] = traffic.settle("old")
    traffic.answers = {
        name: Answer(status=200, body=name.encode(), content_digest="", latency_ms=1.0)
        for name in ("old", "new")
    }
    assert traffic.invoke("shop", b"", release="old").body == b"old"
    with pytest.raises(EcomdeployError, match="takes no requests for new"):
        traffic.invoke("shop", b"", release="new")
    traffic.shares["shop"] = {"new"}
    assert traffic.invoke("shop", b"", release="new").body == b"new"
    assert traffic.invoke("shop", b"").body == b"old"
    assert traffic.calls[-2:] == ["invoke shop at new", "invoke shop"]
