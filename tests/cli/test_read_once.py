"""What a command reads, makes or computes once, however often it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cli.placed.embedded import EmbeddedPulumi
from infra.aws_session import AwsSession
from infra.rehearsal.providers.aws.clients import Sessions
from infra.rehearsal.providers.aws.provider import AwsProvider
from infra.targets.catalog import targets
from infra.targets.sagemaker.traffic import SageMakerTraffic

SPEC = """version: 1
service: shop
usecase: recommendation
pack: {passes: [onnx, int8]}
serve: {target: sagemaker}
environments:
  staging: {cloud: aws, account: "123456789012", region: us-east-1, state: s3://state}
  prod: {cloud: aws, account: "123456789012", region: us-east-1, state: s3://state}
"""
SCRIPT = """
import sys
from collections import Counter
from pathlib import Path

read = Counter()

def hear(event, details):
    if event == "open" and str(details[0]).endswith(".py") and str(details[0]).startswith(sys.argv[1]):
        read[str(details[0])] += 1

sys.addaudithook(hear)
from cli import wiring
from cli.placed.drivers import make_cluster_driver
from infra.targets.catalog import targets
from modelpack.usecases.base import usecases
from stacks.pulumi_driver.driver import Stack

folder = Path.cwd()
spec = wiring.load_spec(folder, "local")
for _ in range(3):
    targets().get("sagemaker"), targets().get("kserve"), usecases().get("recommendation")
driver = make_cluster_driver(spec, folder, {})
for program in ("base", "service", "platform", "service"):
    driver.source(Stack(program, "shop-local"))
print(*read.most_common(1)[0])
"""


def test_a_source_is_read_for_python_its_catalogue_and_its_digest_alone(
    tmp_path: Path, repository: Path
) -> None:
    (tmp_path / "ecomdeploy.yaml").write_text(SPEC)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(repository)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    name, times = done.stdout.split()
    assert int(times) <= 3, f"{name} is read {times} times"


def test_what_runs_a_stack_and_what_looks_at_it_share_their_clients(tmp_path: Path) -> None:
    engine = EmbeddedPulumi(tmp_path, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    first, second = (engine.providers("aws", {}, engine.environment) for _ in range(2))
    assert isinstance(first, AwsProvider)
    assert isinstance(second, AwsProvider)
    assert first.sessions is second.sessions
    assert engine.command().providers is engine.providers


def test_a_client_is_made_once_for_a_place_and_its_keys() -> None:
    sessions, here = Sessions(), ("s3", "us-east-1", "http://127.0.0.1:1", ("me", "secret"))
    assert sessions.client(*here) is sessions.client(*here)
    others = [
        ("sts", *here[1:]),
        ("s3", "eu-west-1", *here[2:]),
        ("s3", "us-east-1", "http://127.0.0.1:2", here[3]),
        (*here[:3], ("another", "secret")),
    ]
    made = [sessions.client(*other) for other in others]
    assert len({id(one) for one in [sessions.client(*here), *made]}) == 1 + len(others)


def test_traffic_asks_by_the_clients_that_there_are() -> None:
    session = AwsSession({"AWS_REGION": "us-east-1"})
    traffic = targets().get("sagemaker").traffic(session.environment, session)
    assert isinstance(traffic, SageMakerTraffic)
    assert traffic.session is session
