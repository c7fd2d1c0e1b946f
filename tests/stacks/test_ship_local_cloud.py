"""The whole way over the local cloud: programs, embedded engine, provider, registry, endpoint.

Only the model servers are threads that echo (no training, no images worth the name). Run as a program this file is
the writer that gets killed: `python test_ship_local_cloud.py HOME PROJECT WORD`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from deployer_calls import list_requests
from iam_policies import is_allowed
from waiting import wait_for
from word_builder import WordBuilder

from cli.ci.policy import TASKS, write_policy
from infra.aws_session import AwsSession
from infra.deployer.service import DeployerScope
from infra.ground.survey import AwsSurvey
from infra.hosting import CaptureSpec, ServingNetwork
from infra.lookup.base import FakeResourceLookup
from infra.quotas.reading import AwsQuotas
from infra.rehearsal.cloud.client import LocalCloud
from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
from infra.rehearsal.providers.aws.provider import AwsProviders
from infra.spec import ScaleSpec, ScaleStep, SecretName, SecretPlace, ServeSpec
from infra.targets.sagemaker.target import SageMaker
from infra.targets.sagemaker.traffic import SageMakerTraffic
from modelpack.errors import BadInput, CloudRefused, EcomdeployError, Unhealthy
from modelpack.home import Home
from modelpack.progress import Progress, Silent
from stacks import ship
from stacks.adapters.bucket import CloudSweeper, S3Publisher
from stacks.adapters.images import RegistryImages
from stacks.adapters.parameters import SsmParameters
from stacks.collaborators import Collaborators
from stacks.plan import plan
from stacks.pulumi_driver.automation import AutomationDriver
from stacks.pulumi_driver.converged import ConvergedStates
from stacks.records.lease import Lease
from stacks.records.ledger import Ledger
from stacks.records.owner import Owner
from stacks.records.process import this_process
from stacks.records.store import FolderStore
from stacks.recover import recover
from stacks.secrets import read_secrets
from stacks.spec import Environment, Spec
from stacks.steps import PAUSED

SPEAKING = f"{Path(__file__).resolve().parents[1] / 'support' / 'speaking.py'}:SpeakingHost"
pytestmark = pytest.mark.slow


def spec(instance: str = "ml.c7i.xlarge") -> Spec:
    return Spec(
        version=1,
        service="shop",
        usecase="recommendation",
        serve=ServeSpec(instance=instance),
        scale=ScaleSpec(max=4, target_rps=50.0),
        environment=Environment(name="local", cloud="local"),
    )


def secret_spec() -> Spec:
    """Its password is in a variable, its token in the cloud."""
    environment: dict[str, str | SecretName] = {
        "PASSWORD": SecretName(secret=SecretPlace(env="SHOP_PASSWORD")),
        "TOKEN": SecretName(secret=SecretPlace(secretsmanager="shop/token")),
        "PLAIN": "1",
    }
    return replace(spec(), serve=ServeSpec(environment=environment))


@dataclass(frozen=True)
class Place:
    """One project on one local cloud."""

    cloud: LocalCloud
    home: Home
    project: Path

    def collaborators(
        self, word: str, progress: Progress | None = None, variables: Mapping[str, str] | None = None
    ) -> Collaborators:
        environment, state = self.cloud.environment(), self.project / ".ecomdeploy" / "local"
        session, store = AwsSession(environment), FolderStore(state)
        folder = state / "pulumi"
        driver = AutomationDriver(
            "embedded engine",
            "embedded",
            folder,
            folder.as_uri(),
            environment,
            lambda: EmbeddedPulumiCommand(AwsProviders(), environment=environment),
            FakeResourceLookup(),
            confidential=read_secrets(secret_spec(), variables or {}).values,
        )
        return Collaborators(
            builder=WordBuilder(self.home, word),
            hosts=SageMaker().hosts(),
            images=RegistryImages(self.home, "http", lambda host: self.cloud.folder.registry_login),
            driver=driver,
            converged=ConvergedStates(store, lambda: "1"),
            store=store,
            ledger=Ledger(store, now, "ledger/"),
            lease=Lease(store, "test", this_process(), now),
            platform_store=store,
            platform_lease=Lease(store, "test", this_process(), now, name="platform-lease.json"),
            traffic=SageMakerTraffic(session),
            publisher=S3Publisher(lambda: session.client("s3")),
            sweeper=CloudSweeper(session.client),
            progress=progress or Silent(),
            who="test",
            parameters=SsmParameters(lambda: session.client("ssm")),
            me=Owner(id="", folder=str(self.project), host="here", who="someone"),
            stands=lambda owner: (Path(owner.folder) / ".ecomdeploy/local/owner.json").exists(),
            survey=AwsSurvey(session),
            quotas=AwsQuotas(session),
            variables=variables or {},
        )

    def client(self, service: str) -> Any:
        return AwsSession(self.cloud.environment()).client(service)

    def names(self) -> dict[str, int]:
        """How many of each there are."""
        sagemaker = self.client("sagemaker")
        return {
            "endpoints": len(sagemaker.list_endpoints()["Endpoints"]),
            "configurations": len(sagemaker.list_endpoint_configs()["EndpointConfigs"]),
            "models": len(sagemaker.list_models()["Models"]),
        }

    def scaling(self) -> list[tuple[str, int, int]]:
        """What scales automatically, and in which range."""
        found = self.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
        return [
            (one["ResourceId"], one["MinCapacity"], one["MaxCapacity"]) for one in found["ScalableTargets"]
        ]

    def asked_for_quotas(self) -> int:
        counts = self.cloud.operations().items()
        return sum(count for name, count in counts if name.startswith("servicequotas:"))

    def mutations(self) -> int:
        return int(self.cloud.counts()["mutating"])


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    root = tmp_path_factory.mktemp("home")
    local = LocalCloud(Home(root, root / "cache"), host=SPEAKING)
    local.ensure()
    yield local
    local.stop()


@pytest.fixture
def place(cloud: LocalCloud, tmp_path: Path) -> Place:
    cloud.reset()
    return Place(cloud, cloud.home, tmp_path)


def test_three_releases_and_back(place: Place) -> None:
    before = place.mutations()
    ahead = plan(place.collaborators("one"), spec())
    assert {change.op for change in ahead.changes} == {"create"}
    assert place.mutations() == before, "a plan changes nothing"

    first = ship.up(place.collaborators("one"), spec())
    assert (first.release.number, first.verified) == (1, True)
    assert first.pushed_bytes > 3000

    before = place.mutations()
    again = ship.up(place.collaborators("one"), spec())
    assert again.done == "nothing to do"
    assert place.mutations() == before
    assert plan(place.collaborators("one"), spec()).changes == ()

    types = {change.type for change in plan(place.collaborators("two"), spec()).changes}
    assert types == {
        *("aws:sagemaker/model:Model", "aws:sagemaker/endpointConfiguration:EndpointConfiguration"),
        "aws:cloudwatch/metricAlarm:MetricAlarm",
    }
    second = ship.up(place.collaborators("two"), spec())
    assert (second.release.number, second.verified) == (2, True)
    assert place.names() == {"endpoints": 1, "configurations": 2, "models": 2}

    place.cloud.plant({"kind": "wrong-answers"})
    with pytest.raises(Unhealthy, match=r"golden request 1.*Release 2 serves"):
        ship.up(place.collaborators("three"), spec())
    assert ship.status(place.collaborators("two"), spec()).verified
    assert place.names() == {"endpoints": 1, "configurations": 2, "models": 2}
    with pytest.raises(BadInput, match="this very pack was release 3, and it failed"):
        ship.up(place.collaborators("three"), spec())

    back = ship.rollback(place.collaborators("two"), spec())
    assert (back.release.restores, back.verified, back.changes) == (1, True, ())
    assert back.release.image == first.release.image
    images = place.client("sagemaker").describe_endpoint(EndpointName="shop-local")
    assert images["ProductionVariants"][0]["DeployedImages"][0]["ResolvedImage"] == first.release.image

    history = place.collaborators("one").ledger.releases()
    keys = place.client("s3").list_objects_v2(Bucket="shop-local-123456789012", Prefix="releases/")[
        "Contents"
    ]
    assert {each["Key"] for each in keys} == {f"releases/shop/{each.number}.json" for each in history}

    assert ship.down(place.collaborators("one"), spec()).remaining == ("base/shop-local",)
    assert place.names() == {"endpoints": 0, "configurations": 0, "models": 0}
    assert ship.down(place.collaborators("one"), spec(), everything=True).remaining == ()
    assert place.client("s3").list_buckets()["Buckets"] == []
    assert place.client("ecr").describe_repositories()["repositories"] == []
    assert ship.down(place.collaborators("one"), spec(), everything=True).changes == ()


def test_a_deployers_policy_allows_every_call_of_a_whole_life_and_no_more(place: Place) -> None:
    """As `ci policy` prints it for each task, judged by IAM's rules; what a task must not do it cannot."""
    variables = {"SHOP_PASSWORD": "first"}
    place.client("secretsmanager").create_secret(Name="shop/token", SecretString="t")
    asked: dict[str, set[str]] = {task: set() for task in TASKS}

    def do(task: str, verb: Callable[..., Any], word: str, **options: Any) -> None:
        before = place.cloud.operations()
        verb(place.collaborators(word, variables=variables), secret_spec(), **options)
        asked[task] |= {
            name for name, count in place.cloud.operations().items() if count > before.get(name, 0)
        }

    do("plan", plan, "one")
    do("deploy", ship.up, "one")
    do("plan", plan, "two")
    do("plan", ship.status, "one")
    do("deploy", ship.up, "two")
    do("deploy", ship.rollback, "two")
    do("deploy", ship.down, "two")
    do("remove", ship.down, "two", everything=True)

    scope = DeployerScope(service="shop", environment="local", account="123456789012", region="us-east-1")
    documents = {task: write_policy(secret_spec(), task) for task in TASKS}
    for task, operations in asked.items():
        requests = list_requests(operations, scope)
        refused = {one.action for one in requests if not is_allowed(one, documents[task])}
        assert refused == set(), task
        assert len(requests) > 15, task
    for less, more in (("plan", "deploy"), ("deploy", "remove")):
        beyond = {
            one.action
            for one in list_requests(asked[more] - asked[less], scope)
            if not is_allowed(one, documents[less])
        }
        assert {"plan": "sagemaker:CreateEndpoint", "deploy": "ecr:DeleteRepository"}[less] in beyond


def test_another_instance_type_of_a_service_that_scales(place: Place) -> None:
    """AWS refuses to update an endpoint that scales onto another type, and so does the local cloud."""
    scales = [("endpoint/shop-local/variant/AllTraffic", 1, 4)]
    ship.up(place.collaborators("one"), spec())
    assert place.scaling() == scales
    bigger = spec("ml.c7i.2xlarge")
    assert PAUSED in plan(place.collaborators("two"), bigger).notes
    second = ship.up(place.collaborators("two"), bigger)
    assert (second.release.number, second.verified) == (2, True)
    assert place.scaling() == scales
    assert plan(place.collaborators("two"), bigger).changes == ()
    back = ship.rollback(place.collaborators("two"), spec())
    assert (back.release.restores, back.verified) == (1, True)
    assert place.scaling() == scales
    place.cloud.plant({"kind": "wrong-answers"})
    with pytest.raises(Unhealthy, match=r"Release 3 serves"):
        ship.up(place.collaborators("three"), bigger)
    assert place.scaling() == scales
    before = place.mutations()
    assert ship.up(place.collaborators("one"), spec()).done == "nothing to do"
    assert place.mutations() == before


def test_a_failed_shift_makes_the_next_run_look_again(place: Place) -> None:
    ship.up(place.collaborators("one"), spec())
    first = place.client("sagemaker").describe_endpoint(EndpointName="shop-local")["EndpointConfigName"]
    ship.up(place.collaborators("two"), spec())
    live = place.client("sagemaker").describe_endpoint(EndpointName="shop-local")["EndpointConfigName"]
    for gone in (first, live):
        place.client("sagemaker").delete_endpoint_config(EndpointConfigName=gone)
    with suppress(EcomdeployError):
        ship.up(place.collaborators("three"), spec())
    assert ship.up(place.collaborators("three"), spec(), again=True).verified
    assert place.names() == {"endpoints": 1, "configurations": 3, "models": 3}
    assert ship.rollback(place.collaborators("three"), spec()).verified


def test_what_serves_goes_first(place: Place) -> None:
    """An endpoint that could not be deleted keeps the configuration and Model it is on, whichever these are."""
    ship.up(place.collaborators("one"), spec())
    ship.up(place.collaborators("two"), spec())
    stands = place.names()
    place.cloud.plant({"kind": "api-error", "operation": "DeleteEndpoint", "code": "AccessDenied"})
    with pytest.raises(EcomdeployError):
        ship.down(place.collaborators("two"), spec())
    assert place.names() == stands
    assert ship.status(place.collaborators("two"), spec()).verified
    assert ship.down(place.collaborators("two"), spec()).remaining == ("base/shop-local",)


def test_no_capacity_is_the_clouds_fault_and_marks_no_pack(place: Place) -> None:
    place.cloud.plant({"kind": "capacity"})
    with pytest.raises(CloudRefused, match=r"InsufficientInstanceCapacity.*first release"):
        ship.up(place.collaborators("one"), spec())
    assert place.names()["endpoints"] == 0
    assert ship.up(place.collaborators("one"), spec()).verified
    place.cloud.plant({"kind": "capacity"})
    with pytest.raises(CloudRefused, match=r"InsufficientInstanceCapacity.*Release 2 serves"):
        ship.up(place.collaborators("two"), spec("ml.c7i.2xlarge"))
    assert ship.status(place.collaborators("two"), spec()).verified
    assert place.scaling(), "it was taken off for the other instance type"
    assert place.names() == {"endpoints": 1, "configurations": 1, "models": 1}
    done = ship.up(place.collaborators("two"), spec("ml.c7i.2xlarge"))
    assert (done.release.number, done.verified) == (4, True)


def test_servers_are_hosted_as_the_spec_says(place: Place) -> None:
    ec2 = place.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="models", Description="models")["GroupId"]
    network = ServingNetwork(subnets=(subnet,), security_groups=(group,))
    serve = ServeSpec(network=network, isolated=True, capture=CaptureSpec(percent=100), startup_timeout=120)
    hosted = replace(spec(), serve=serve, scale=ScaleSpec(max=3, target_concurrency=4.0))
    assert ship.up(place.collaborators("one"), hosted).verified
    assert ship.up(place.collaborators("one"), hosted).done == "nothing to do"

    sagemaker = place.client("sagemaker")
    (name,) = [one["EndpointConfigName"] for one in sagemaker.list_endpoint_configs()["EndpointConfigs"]]
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    (variant,) = configuration["ProductionVariants"]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 120
    assert configuration["DataCaptureConfig"]["DestinationS3Uri"].endswith("/captured")
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    assert model["VpcConfig"] == {"Subnets": [subnet], "SecurityGroupIds": [group]}
    assert model["EnableNetworkIsolation"] is True
    policies = place.client("iam").list_role_policies(RoleName="shop-local-serving")["PolicyNames"]
    assert "hosting" in policies
    (load,) = place.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")[
        "ScalingPolicies"
    ]
    tracking = load["TargetTrackingScalingPolicyConfiguration"]
    assert (tracking["TargetValue"], tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]) == (
        4.0,
        "SageMakerVariantConcurrentRequestsPerModelHighResolution",
    )
    bucket = configuration["DataCaptureConfig"]["DestinationS3Uri"].split("/")[2]
    kept = place.client("s3").list_objects_v2(Bucket=bucket, Prefix="captured/shop-local/AllTraffic/")
    assert kept["KeyCount"] >= 1, "the golden requests of the verification"

    steps = (ScaleStep(over=100, add=2), ScaleStep(over=200, add=5), ScaleStep(under=20, remove=1))
    stepped = replace(spec(), scale=ScaleSpec(max=3, steps=steps))
    plain = ship.up(place.collaborators("one"), stepped)
    assert ship.up(place.collaborators("one"), stepped).done == "nothing to do"
    alarms = {one["AlarmName"]: one for one in place.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    found = place.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")
    arns = {one["PolicyName"]: one["PolicyARN"] for one in found["ScalingPolicies"]}
    assert set(arns) == {"steps-out", "steps-in"}
    for way in ("out", "in"):
        assert alarms[f"shop-local-scale-{way}"]["AlarmActions"] == [arns[f"steps-{way}"]]
    assert (plain.release.number, plain.verified) == (2, True), "without the options it is another release"
    policies = place.client("iam").list_role_policies(RoleName="shop-local-serving")["PolicyNames"]
    assert "hosting" in policies, "release 1 stays ready, and needs it"


def test_a_short_quota_is_told_before_anything_changes(place: Place) -> None:
    quota = "ml.c7i.xlarge for endpoint usage"
    place.cloud.set_quota(quota, 0)
    before = place.mutations()
    with pytest.raises(CloudRefused, match=f"0 of 1 {quota}"):
        ship.up(place.collaborators("one"), spec())
    assert place.mutations() == before
    place.cloud.set_quota(quota, 1)
    assert ship.up(place.collaborators("one"), spec()).verified
    asked = place.asked_for_quotas()
    assert asked > 0
    assert ship.up(place.collaborators("one"), spec()).done == "nothing to do"
    assert place.asked_for_quotas() == asked, "an unchanged up asks for none"
    before = place.mutations()
    with pytest.raises(CloudRefused, match=f"0 of 1 {quota}.*1 in use"):
        ship.up(place.collaborators("two"), spec())
    assert place.mutations() == before


def test_who_may_not_read_quotas_hears_it_from_sagemaker(place: Place) -> None:
    assert ship.up(place.collaborators("one"), spec()).verified
    place.cloud.set_quota("ml.c7i.xlarge for endpoint usage", 1)
    denied = {"kind": "api-error", "operation": "ListServiceQuotas", "code": "AccessDeniedException"}
    place.cloud.plant(denied)
    with pytest.raises(CloudRefused, match="ResourceLimitExceeded"):
        ship.up(place.collaborators("two"), spec())
    assert ship.status(place.collaborators("one"), spec()).verified
    place.cloud.set_quota("ml.c7i.xlarge for endpoint usage", 2)
    assert ship.up(place.collaborators("two"), spec()).verified, "no pack is marked for it"


@pytest.mark.parametrize("fault", ["never-ready", "crash"])
def test_a_first_release_that_never_gets_ready_is_removed(place: Place, fault: str) -> None:
    place.cloud.plant({"kind": fault, "seconds": 1})
    with pytest.raises(Unhealthy, match="first release, so the endpoint was removed"):
        ship.up(place.collaborators("one"), spec())
    assert place.names() == {"endpoints": 0, "configurations": 0, "models": 0}
    assert ship.up(place.collaborators("one"), spec(), again=True).verified


def test_a_reset_cloud_is_filled_again(place: Place) -> None:
    ship.up(place.collaborators("one"), spec())
    ship.up(place.collaborators("two"), spec())
    place.cloud.reset()
    assert ship.up(place.collaborators("three"), spec()).verified
    assert ship.rollback(place.collaborators("three"), spec(), 1).verified, "its image was sent again, too"


def told(place: Place) -> dict[str, str]:
    """Digests of what the live server was handed."""
    answer = place.collaborators("one").traffic.invoke("shop-local", b"{}")
    raw = place.client("sagemaker-runtime").invoke_endpoint(EndpointName="shop-local", Body=b"{}")
    assert answer.status == 200
    found: dict[str, str] = json.loads(raw["Body"].read())["secrets"]
    return found


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def where_it_stands(values: tuple[str, ...], *folders: Path) -> list[str]:
    """Files below these folders that hold one of the values, plain or in base64, and processes that show one."""
    forms = [form for value in values for form in (value.encode(), base64.b64encode(value.encode())[:-4])]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    shown = [
        Path("/proc", pid, name)
        for pid in os.listdir("/proc")
        if pid.isdigit()
        for name in ("cmdline", "environ")
    ]
    found = []
    for file in (*files, *shown):
        with suppress(OSError):
            data = file.read_bytes()
            found += [str(file)] if any(form in data for form in forms) else []
    return found


def test_a_secret_reaches_the_server_and_nothing_else(place: Place) -> None:
    """After an `up`, a changed secret, a restart of the cloud, a rollback and a `down` it stands nowhere."""
    first, second, token = (f"planted-{os.urandom(12).hex()}" for _ in range(3))
    place.client("secretsmanager").create_secret(Name="shop/token", SecretString=token)
    before, after = {"SHOP_PASSWORD": first}, {"SHOP_PASSWORD": second}
    said = []

    def clean(done: Any) -> None:
        said.append(json.dumps(done.document()))
        assert where_it_stands((first, second, token), place.project, place.home.root) == []
        assert not any(value in word for word in said for value in (first, second, token))

    with pytest.raises(
        BadInput, match=r"serve\.environment\.PASSWORD: the variable SHOP_PASSWORD is not set"
    ):
        ship.up(place.collaborators("one"), secret_spec())
    ahead = plan(place.collaborators("one", variables=before), secret_spec())
    assert "aws:ssm/parameter:Parameter" in {change.type for change in ahead.changes}
    clean(ahead)
    done = ship.up(place.collaborators("one", variables=before), secret_spec())
    assert told(place) == {"PASSWORD": digest(first), "TOKEN": digest(token)}
    clean(done)
    again = ship.up(place.collaborators("one", variables=before), secret_spec())
    assert (again.done, again.release.number) == ("nothing to do", 1)

    changed = ship.up(place.collaborators("one", variables=after), secret_spec())
    assert (changed.release.number, changed.verified) == (2, True)
    assert told(place) == {"PASSWORD": digest(second), "TOKEN": digest(token)}
    clean(changed)
    place.cloud.stop()
    clean(changed)
    place.cloud.ensure()
    wait_for(lambda: ship.status(place.collaborators("one"), secret_spec()).verified)
    assert told(place)["PASSWORD"] == digest(second)
    environment = place.client("sagemaker").list_models()["Models"]
    shown = [place.client("sagemaker").describe_model(ModelName=one["ModelName"]) for one in environment]
    assert all(first not in str(one) and second not in str(one) and token not in str(one) for one in shown)

    back = ship.rollback(place.collaborators("one"), secret_spec())
    assert (back.release.restores, told(place)["PASSWORD"]) == (1, digest(first))
    clean(back)
    clean(ship.down(place.collaborators("one"), secret_spec(), everything=True))
    assert place.client("ssm").describe_parameters()["Parameters"] == []


def test_a_release_whose_secret_is_lost_is_not_put_back(place: Place) -> None:
    before, after = {"SHOP_PASSWORD": "planted-before"}, {"SHOP_PASSWORD": "planted-after"}
    place.client("secretsmanager").create_secret(Name="shop/token", SecretString="x")
    ship.up(place.collaborators("one", variables=before), secret_spec())
    place.cloud.reset()
    place.client("secretsmanager").create_secret(Name="shop/token", SecretString="x")
    done = ship.up(place.collaborators("two", variables=after), secret_spec(), refresh=True)
    assert (done.verified, told(place)["PASSWORD"]) == (True, digest("planted-after"))
    with pytest.raises(BadInput, match="release 1"):
        ship.rollback(place.collaborators("two", variables=after), secret_spec(), 1)
    back = ship.rollback(place.collaborators("two", variables=before), secret_spec(), 1)
    assert told(place)["PASSWORD"] == digest("planted-before")
    assert back.verified


MOMENTS = (
    "created Key",
    "created Repository",
    "Pushing",
    "Provisioning release",
    "created Model",
    "Shifting",
)


@pytest.mark.nightly(like="tests/scenarios/test_kill.py::test_up_survives_a_kill_at_five_moments")
def test_a_killed_writer_converges(place: Place, repository: Path) -> None:
    """The first release and the second, each killed at all these words of its progress, and then let through."""
    for number, word in enumerate(("one", "two"), start=1):
        for moment in MOMENTS:
            killed(place, repository, word, moment)
            if number == 2:
                assert ship.status(place.collaborators("one"), spec()).verified, "the old release serves"
        done = ship.up(place.collaborators(word), spec())
        assert (done.release.number, done.verified) == (number, True)
        assert place.names() == {"endpoints": 1, "configurations": number, "models": number}
        before = place.mutations()
        assert ship.up(place.collaborators(word), spec()).done == "nothing to do"
        assert place.mutations() == before
    aliases = [each["AliasName"] for each in place.client("kms").list_aliases()["Aliases"]]
    assert [name for name in aliases if not name.startswith("alias/aws/")] == ["alias/ecomdeploy-shop-local"]
    assert len(place.client("iam").list_roles()["Roles"]) == 1


def killed(place: Place, repository: Path, word: str, moment: str) -> None:
    """Run a writer until it says the moment's words, and kill it there."""
    writer = subprocess.Popen(
        [sys.executable, __file__, str(place.home.root), str(place.project), word],
        stdout=subprocess.PIPE,
        text=True,
        cwd=repository,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(repository), str(repository / "tests" / "support"))),
            "PYTHONUNBUFFERED": "1",
        },
    )
    assert writer.stdout is not None
    for line in writer.stdout:
        if moment in line:
            writer.send_signal(signal.SIGKILL)
            break
    writer.stdout.read()
    writer.stdout.close()
    assert writer.wait() in (0, -signal.SIGKILL)


class Speaking(Silent):
    """Says every line as it comes."""

    def step(self, title: str) -> None:
        print(title, flush=True)

    def note(self, line: str) -> None:
        print(line, flush=True)


def test_a_lost_folder_is_recovered_and_taken_down_whole(place: Place) -> None:
    """The embedded engine takes everything over by name and tags; afterwards nothing is left behind."""
    for word in ("a", "b"):
        ship.up(place.collaborators(word), spec())
    before = [each.document() for each in place.collaborators("b").ledger.releases()]
    names = place.names()
    shutil.rmtree(place.project / ".ecomdeploy")
    with pytest.raises(BadInput, match="records of 2 releases"):
        ship.up(place.collaborators("b"), spec())
    with pytest.raises(BadInput, match="records of 2 releases"):
        ship.down(place.collaborators("b"), spec(), everything=True)
    done = recover(place.collaborators("b"), spec())
    assert (done.added, done.live) == ((1, 2), 2)
    deps = place.collaborators("b")
    assert [each.document() for each in deps.ledger.releases()] == before
    assert place.names() == names, "nothing is made twice"
    assert ship.status(deps, spec()).verified
    assert ship.up(place.collaborators("b"), spec()).done == "nothing to do"
    assert ship.rollback(place.collaborators("b"), spec()).release.number == 3
    ship.down(place.collaborators("b"), spec(), everything=True)
    assert place.names() == {"endpoints": 0, "configurations": 0, "models": 0}


if __name__ == "__main__":
    root, project, its_word = sys.argv[1:]
    there = Home(Path(root), Path(root) / "cache")
    ship.up(
        Place(LocalCloud(there, host=SPEAKING), there, Path(project)).collaborators(its_word, Speaking()),
        spec(),
    )
