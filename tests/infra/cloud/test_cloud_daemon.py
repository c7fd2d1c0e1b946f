"""The daemon's life: on demand, once, kept ports, killed and brought back, stopped exactly, emptied."""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

from infra.rehearsal.cloud.addresses import Identity
from infra.rehearsal.cloud.client import RENEWED, LocalCloud
from infra.rehearsal.cloud.sources import name_sources
from infra.rehearsal.cloud.starting import explain_wait
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import Home
from modelpack.progress import Silent

SPEAKING = f"{Path(__file__).resolve().parents[2] / 'support' / 'speaking.py'}:SpeakingHost"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[LocalCloud]:
    """A cloud that is not running yet, and is not left running."""
    local = LocalCloud(Home(tmp_path, tmp_path / "cache"), host=SPEAKING)
    yield local
    local.stop()


def kill(cloud: LocalCloud) -> None:
    running = cloud.running()
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    wait_for(lambda: Identity.of(running.pid) is None)


def stopped(pid: int) -> bool:
    """Whether every thread is. SIGSTOP is taken by one of them; until it gets a core, the others go on answering."""
    states = [path.read_text().rpartition(") ")[2][0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_it_starts_once_whoever_asks_and_keeps_its_ports(own: LocalCloud) -> None:
    assert own.running() is None
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: own.ensure(), range(4)))
    assert len({running.pid for running in found}) == 1
    assert own.stop()
    assert not own.stop()
    again = own.ensure()
    assert (again.aws_url, again.registry_url) == (found[0].aws_url, found[0].registry_url)
    assert again.pid != found[0].pid


def test_processes_that_start_it_together_share_one(own: LocalCloud) -> None:
    code = (
        "import sys; from pathlib import Path; from modelpack.home import Home\n"
        "from infra.rehearsal.cloud.client import LocalCloud\n"
        f"print(LocalCloud(Home(Path(sys.argv[1]), Path('x')), host='{SPEAKING}').ensure().pid)"
    )
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", code, str(own.home.root)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) for _ in range(3)]
    pids = {process.communicate()[0] for process in started}
    assert len(pids) == 1


def test_the_client_is_light() -> None:
    code = (
        "import sys, infra.rehearsal.cloud.client\n"
        "assert not {'moto', 'boto3', 'botocore', 'waitress', 'werkzeug'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])


def test_code_that_was_renewed_under_it_is_told(own: LocalCloud, tmp_path: Path) -> None:
    own.ensure()
    own.ensure(told := Silent())
    assert told.lines == []
    renewed = tmp_path / "renewed"
    renewed.mkdir()
    (renewed / "client.py").write_text("VERSION = 2\n")
    LocalCloud(own.home, own.host, sources=renewed).ensure(told)
    assert told.lines == [RENEWED]


def test_sources_are_named_by_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a.py", "inner/b.py"):
        (tmp_path / name).write_text("x = 1\n")
    first = name_sources(tmp_path)
    os.utime(tmp_path / "a.py", (0, 0))
    (tmp_path / "a.txt").write_text("not code")
    assert name_sources(tmp_path) == first
    (tmp_path / "inner" / "b.py").write_text("x = 2\n")
    assert name_sources(tmp_path) != first


def test_a_start_that_has_nothing_to_bring_back_does_not_say_so(own: LocalCloud) -> None:
    assert "back" not in explain_wait(own.folder)
    own.folder.claim()
    own.folder.snapshot.write_bytes(b"of an earlier life")
    assert "Bringing the model servers of live endpoints back up" in explain_wait(own.folder)


def test_a_stale_pid_file_is_no_daemon(own: LocalCloud) -> None:
    own.folder.root.mkdir(parents=True)
    (own.folder.root / "daemon.json").write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert own.running() is None
    assert own.ensure().pid != os.getpid()


def test_a_port_of_another_program_is_bad_input(own: LocalCloud) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port} is in use") as caught:
            own.ensure(port=port)
        assert caught.value.hint.startswith("ecomdeploy cloud start --port ")
        own.folder.root.mkdir(parents=True, exist_ok=True)
        (own.folder.root / "cloud.json").write_text(json.dumps({"aws_port": port, "registry_port": 1}))
        with pytest.raises(BadInput, match="in use"):
            own.ensure()
        free = int(caught.value.hint.rpartition(" ")[2])
        assert own.ensure(port=free).aws_url.endswith(f":{free}")
    with pytest.raises(BadInput, match="already runs on port"):
        own.ensure(port=free + 1)


def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = LocalCloud(Home(tmp_path, tmp_path / "cache"), host="infra.rehearsal.cloud.nothing:Here")
    with pytest.raises(EcomdeployError, match="No module named"):
        broken.ensure()
    assert broken.running() is None


def fill(aws: Any) -> tuple[Any, ...]:
    """A little of every service."""
    aws("s3").create_bucket(Bucket="ledger")
    aws("s3").put_object(Bucket="ledger", Key="a", Body=b"1")
    vpc = aws("ec2").create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    key = aws("kms").create_key()["KeyMetadata"]["KeyId"]
    rsa = aws("kms").create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    aws("cloudwatch").put_metric_alarm(
        AlarmName="a",
        MetricName="m",
        Namespace="n",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    image = aws.release("one")
    aws.endpoint("shop", "one")
    aws("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/shop/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    return vpc, key, rsa, image


def look(aws: Any) -> dict[str, Any]:
    """Everything `fill` made, as the API tells it."""
    return {
        "object": aws("s3").get_object(Bucket="ledger", Key="a")["Body"].read(),
        "vpcs": aws("ec2").describe_vpcs()["Vpcs"],
        "keys": aws("kms").list_keys()["Keys"],
        "alarms": [item["AlarmName"] for item in aws("cloudwatch").describe_alarms()["MetricAlarms"]],
        "targets": aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
            "ScalableTargets"
        ],
        "images": aws("ecr").describe_images(repositoryName="shop")["imageDetails"],
        "model": aws("sagemaker").describe_model(ModelName="one")["CreationTime"],
        "endpoint": aws("sagemaker").describe_endpoint(EndpointName="shop")["ProductionVariants"],
        "answer": aws.invoke("shop")["CustomAttributes"],
    }


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_everything_is_there_again(own: LocalCloud, client_of: Callable[[LocalCloud], Any], end: str) -> None:
    own.ensure()
    aws = client_of(own)
    _, _, rsa, _ = fill(aws)
    before = look(aws)
    if end == "stop":
        own.stop()
    else:
        aws.kept()
        kill(own)
    own.ensure()
    assert look(aws) == before
    assert own.status()["notes"] == []
    signed = aws("kms").sign(KeyId=rsa, Message=b"x", SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")
    assert signed["Signature"]
    aws("ec2").create_subnet(VpcId=before["vpcs"][-1]["VpcId"], CidrBlock="10.1.1.0/24")


def test_a_move_that_a_kill_interrupted_goes_on(
    own: LocalCloud, client_of: Callable[[LocalCloud], Any], tmp_path: Path
) -> None:
    own.ensure()
    aws = client_of(own)
    aws.release("one")
    may_start = tmp_path / "may-start"
    second = aws.release("two", {"START_WHEN": str(may_start)})
    aws.endpoint("shop", "one")
    aws("sagemaker").update_endpoint(EndpointName="shop", EndpointConfigName="two")
    aws.kept()
    kill(own)
    may_start.touch()
    own.ensure()
    assert aws.invoke("shop")["json"]["digest"]
    assert aws.settled("shop")["EndpointConfigName"] == "two"
    assert second.endswith(aws.invoke("shop")["CustomAttributes"])


def test_a_snapshot_of_another_release_is_put_aside(
    own: LocalCloud, client_of: Callable[[LocalCloud], Any]
) -> None:
    own.ensure()
    client_of(own)("s3").create_bucket(Bucket="old")
    own.stop()
    path = own.folder.snapshot
    path.write_bytes(b"format 1, moto 4.0.0, Python 3.11\n" + path.read_bytes().partition(b"\n")[2])
    own.ensure()
    assert client_of(own)("s3").list_buckets()["Buckets"] == []
    (note,) = own.status()["notes"]
    assert "moto 4.0.0" in note
    assert list(path.parent.glob("snapshot.*.old"))


def test_a_damaged_snapshot_is_put_aside(own: LocalCloud, client_of: Callable[[LocalCloud], Any]) -> None:
    own.ensure()
    client_of(own)("s3").create_bucket(Bucket="old")
    own.stop()
    path = own.folder.snapshot
    path.write_bytes(path.read_bytes()[:-20])
    own.ensure()
    assert client_of(own)("s3").list_buckets()["Buckets"] == []
    assert "damaged" in own.status()["notes"][0]


def test_a_lost_server_is_replaced(own: LocalCloud, client_of: Callable[[LocalCloud], Any]) -> None:
    """SageMaker replaces instances that fail; requests meanwhile get 503."""
    own.ensure()
    aws = client_of(own)
    aws.release("one", {"LIVES": "3"})
    aws.endpoint("shop", "one")
    statuses: list[int] = []

    def replaced() -> bool:
        try:
            statuses.append(aws.invoke("shop")["ResponseMetadata"]["HTTPStatusCode"])
        except ClientError as error:
            statuses.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return statuses[-2:] == [503, 200]

    wait_for(replaced)
    assert statuses[:3] == [200, 200, 200]


def test_calls_are_counted_by_what_they_are(own: LocalCloud, client_of: Callable[[LocalCloud], Any]) -> None:
    own.ensure()
    aws = client_of(own)
    aws("s3").create_bucket(Bucket="bucket")
    aws("s3").list_buckets()
    aws("s3").head_bucket(Bucket="bucket")
    aws("sts").get_caller_identity()
    aws("iam").list_roles()
    aws("ecr").create_repository(repositoryName="shop")
    aws("ecr").describe_repositories()
    assert own.counts() == {"mutating": 2, "reading": 5}
    aws.push("shop")
    assert own.counts() == {"mutating": 5, "reading": 5}
    assert own.operations()["s3:CreateBucket"] == 1


def test_reset_empties_account_registry_and_servers(
    own: LocalCloud, client_of: Callable[[LocalCloud], Any]
) -> None:
    own.ensure()
    aws = client_of(own)
    fill(aws)
    own.plant({"kind": "capacity"})
    own.reset()
    assert aws("s3").list_buckets()["Buckets"] == []
    assert aws("sagemaker").list_endpoints()["Endpoints"] == []
    assert aws("ecr").describe_repositories()["repositories"] == []
    status = own.status()
    assert (status["endpoints"], status["images"], status["faults"]) == ([], [], [])
    with pytest.raises(Exception, match="not found"):
        aws.invoke("shop")
    fill(aws)
    assert own.status()["endpoints"][0]["status"] == "InService"


def test_bad_faults_are_bad_input(own: LocalCloud) -> None:
    own.ensure()
    for fault, words in (
        ({"kind": "fire"}, "no fault is called 'fire'"),
        ({"kind": "api-error"}, "needs the operation"),
        ({"kind": "crash", "count": 0}, "count is 0"),
        ({"kind": "crash", "where": "x"}, "a fault has no where"),
    ):
        with pytest.raises(BadInput, match=words):
            own.plant(fault)
    own.plant({"kind": "crash", "endpoint": "shop", "count": 2})
    assert own.status()["faults"][0]["count"] == 2
    own.clear_faults()
    assert own.status()["faults"] == []


def test_what_is_not_emulated_is_named_and_not_retried(
    own: LocalCloud, client_of: Callable[[LocalCloud], Any]
) -> None:
    own.ensure()
    aws = client_of(own)
    with pytest.raises(Exception, match="the local cloud does not have eks ListInsights"):
        aws("eks").list_insights(clusterName="x")
    with pytest.raises(Exception, match="does not have sagemaker CreateInferenceComponent"):
        aws("sagemaker").create_inference_component(
            InferenceComponentName="x", EndpointName="x", VariantName="x", Specification={"ModelName": "x"}
        )


def test_the_variables_alone_point_any_client_at_it(own: LocalCloud) -> None:
    own.ensure()
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    theirs = {
        "AWS_PROFILE": "prod",
        "AWS_SESSION_TOKEN": "x",
        "AWS_CONFIG_FILE": "/nowhere",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=theirs | own.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "123456789012\n", done.stderr


def test_web_pages_are_turned_away(own: LocalCloud) -> None:
    url = own.ensure().aws_url
    for path, headers in (
        ("/_ecomdeploy/status", {"Host": "evil.example"}),
        ("/_ecomdeploy/stop", {"Origin": "http://evil.example", "Content-Type": "application/json"}),
        ("/moto-api/reset", {"Origin": "http://evil.example"}),
    ):
        request = urllib.request.Request(url + path, b"{}", headers, method="POST")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request)
    assert own.running() is not None


def test_a_daemon_that_is_just_ending_is_waited_for(own: LocalCloud) -> None:
    first = own.ensure()
    os.kill(first.pid, signal.SIGTERM)
    wait_for(lambda: own.ensure().pid != first.pid)  # until the signal is taken the first one answers
    assert own.running() is not None


def test_a_daemon_that_hangs_is_said_to(own: LocalCloud) -> None:
    running = own.ensure()
    os.kill(running.pid, signal.SIGSTOP)
    wait_for(lambda: stopped(running.pid))
    try:
        with pytest.raises(EcomdeployError, match="does not answer") as caught:
            LocalCloud(own.home, own.host, answer_seconds=0.5).ensure()
        assert caught.value.hint == f"kill -9 {running.pid}"
    finally:
        os.kill(running.pid, signal.SIGCONT)
