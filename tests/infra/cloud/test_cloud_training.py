"""Contract of the emulated SageMaker training: a boto3 client over HTTP, programs that really run and are stopped."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from waiting import wait_for

from infra.rehearsal.cloud.client import LocalCloud
from modelpack.home import Home

TRAINING = f"{Path(__file__).resolve().parents[2] / 'support' / 'training_host.py'}:TrainingHost"
ROLE = "arn:aws:iam::123456789012:role/training"
LOG = "/aws/sagemaker/TrainingJobs"
ENDED = ("Completed", "Failed", "Stopped")
pytestmark = pytest.mark.usefixtures("empty")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    root: Path = tmp_path_factory.mktemp("home")
    local = LocalCloud(Home(root, root / "cache"), host=TRAINING)
    local.ensure()
    yield local
    local.stop()


@pytest.fixture
def image(aws: Any) -> str:
    aws("ecr").create_repository(repositoryName="training")
    aws("s3").create_bucket(Bucket="shop")
    aws("s3").put_object(Bucket="shop", Key="data/one/a.csv", Body=b"1,2")
    aws("s3").put_object(Bucket="shop", Key="data/one/deep/b.csv", Body=b"3")
    return str(aws.push("training", "v1", "train"))


def request(image: str, name: str = "job", **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://shop/data/one/"}
    return {
        "TrainingJobName": name,
        "RoleArn": ROLE,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "HyperParameters": {"steps": "3"},
        "InputDataConfig": [{"ChannelName": "project", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": "s3://shop/out"},
        "ResourceConfig": {"InstanceType": "ml.c7i.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "CheckpointConfig": {"S3Uri": "s3://shop/checkpoints/job"},
        **more,
    }


def spot(image: str, name: str = "job", most: int = 600, wait: int = 3600, **more: Any) -> dict[str, Any]:
    condition = {"MaxRuntimeInSeconds": most, "MaxWaitTimeInSeconds": wait}
    return request(image, name, EnableManagedSpotTraining=True, StoppingCondition=condition, **more)


def described(aws: Any, name: str = "job") -> dict[str, Any]:
    return dict(aws("sagemaker").describe_training_job(TrainingJobName=name))


def ended(aws: Any, name: str = "job") -> dict[str, Any]:
    wait_for(lambda: described(aws, name)["TrainingJobStatus"] in ENDED)
    return described(aws, name)


def statuses(found: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in found["SecondaryStatusTransitions"]]


def model_of(aws: Any, found: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    bucket, _, key = found["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    body = aws("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        file = archive.extractfile("model.json")
        assert file is not None
        return archive.getnames(), json.loads(file.read())


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_a_job_trains_under_the_containers_contract(aws: Any, image: str) -> None:
    sagemaker = aws("sagemaker")
    made = sagemaker.create_training_job(**request(image, Tags=[{"Key": "team", "Value": "shop"}]))
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/job"
    assert made["TrainingJobArn"] == arn
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "shop"}]
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName="job", WaiterConfig={"Delay": 1}
    )
    found = described(aws)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Completed", "Completed")
    assert statuses(found) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(one["EndTime"] >= one["StartTime"] for one in found["SecondaryStatusTransitions"])
    assert "FailureReason" not in found
    assert found["TrainingStartTime"] <= found["TrainingEndTime"]
    assert found["BillableTimeInSeconds"] <= found["TrainingTimeInSeconds"]
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == "s3://shop/out/job/output/model.tar.gz"
    names, said = model_of(aws, found)
    assert names == ["model.json"]
    assert (said["done"], said["began"], said["job"]) == (3, 0, "job")
    assert said["data"] == {"project/a.csv": "1,2", "project/deep/b.csv": "3"}
    assert said["config"]["hyperparameters"] == {"steps": "3"}
    assert said["config"]["resourceconfig"]["hosts"] == ["algo-1"]
    assert said["config"]["inputdataconfig"]["project"]["TrainingInputMode"] == "File"
    [stream] = aws("logs").describe_log_streams(logGroupName=LOG, logStreamNamePrefix="job/")["logStreams"]
    events = aws("logs").get_log_events(
        logGroupName=LOG, logStreamName=stream["logStreamName"], startFromHead=True
    )["events"]
    assert [one["message"] for one in events] == ["step 1", "step 2", "step 3"]
    kept = aws("s3").get_object(Bucket="shop", Key="checkpoints/job/steps")["Body"].read()
    assert kept == b"3"


def test_why_it_failed_is_told(aws: Any, image: str) -> None:
    failing = {"fail": "the data has no rows"}
    aws("sagemaker").create_training_job(**request(image, HyperParameters=failing))
    found = ended(aws)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Failed", "Failed")
    assert found["FailureReason"] == "AlgorithmError: the data has no rows, exit code: 7"
    assert found["ModelArtifacts"]["S3ModelArtifacts"] == ""


def test_an_interrupted_spot_training_goes_on_from_its_checkpoint(
    aws: Any, image: str, cloud: LocalCloud
) -> None:
    cloud.plant({"kind": "spot", "seconds": 1.5})
    aws("sagemaker").create_training_job(**spot(image, HyperParameters={"steps": "8", "seconds": "0.4"}))
    found = ended(aws)
    assert found["TrainingJobStatus"] == "Completed"
    again = ["Starting", "Downloading", "Training"]
    assert statuses(found) == [*again, "Interrupted", *again, "Uploading", "Completed"]
    said = model_of(aws, found)[1]
    assert said["done"] == 8
    assert 0 < said["began"] < 8
    assert found["BillableTimeInSeconds"] <= found["TrainingTimeInSeconds"]


def test_what_is_no_spot_training_is_not_interrupted(aws: Any, image: str, cloud: LocalCloud) -> None:
    cloud.plant({"kind": "spot", "seconds": 0.1})
    aws("sagemaker").create_training_job(**request(image))
    assert "Interrupted" not in statuses(ended(aws))


def test_a_spot_training_that_would_wait_too_long_is_stopped(aws: Any, image: str, cloud: LocalCloud) -> None:
    cloud.plant({"kind": "spot", "seconds": 0.5})
    aws("sagemaker").create_training_job(
        **spot(image, most=60, wait=60, HyperParameters={"steps": "9", "seconds": "0.4"})
    )
    found = ended(aws)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_no_capacity(aws: Any, image: str, cloud: LocalCloud) -> None:
    cloud.plant({"kind": "capacity"})
    aws("sagemaker").create_training_job(**request(image))
    found = ended(aws)
    assert found["TrainingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith(
        "CapacityError: Unable to provision requested ML compute capacity"
    )


def test_it_stops_when_told_and_keeps_its_checkpoints(aws: Any, image: str) -> None:
    sagemaker = aws("sagemaker")
    sagemaker.create_training_job(**request(image, HyperParameters={"steps": "1000"}))
    wait_for(lambda: described(aws)["SecondaryStatus"] == "Training")
    wait_for(lambda: "Contents" in aws("s3").list_objects_v2(Bucket="shop", Prefix="checkpoints/"))
    sagemaker.stop_training_job(TrainingJobName="job")
    assert described(aws)["TrainingJobStatus"] in ("Stopping", "Stopped")
    found = ended(aws)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    said = refused(sagemaker.stop_training_job, TrainingJobName="job")
    assert said.startswith(
        "ValidationException: The request was rejected because the training job is in status"
    )
    assert int(aws("s3").get_object(Bucket="shop", Key="checkpoints/job/steps")["Body"].read()) > 0


def test_it_may_not_train_longer_than_it_may(aws: Any, image: str) -> None:
    aws("sagemaker").create_training_job(
        **request(image, HyperParameters={"steps": "9999"}, StoppingCondition={"MaxRuntimeInSeconds": 1})
    )
    found = ended(aws)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_what_is_refused_before_anything_begins(aws: Any, image: str) -> None:
    sagemaker = aws("sagemaker")
    assert refused(sagemaker.describe_training_job, TrainingJobName="none") == (
        "ValidationException: Requested resource not found."
    )
    lost = {"S3DataType": "S3Prefix", "S3Uri": "s3://shop/none/"}
    channel = [{"ChannelName": "project", "DataSource": {"S3DataSource": lost}}]
    said = refused(sagemaker.create_training_job, **request(image, InputDataConfig=channel))
    assert said.startswith('ValidationException: No S3 objects found under S3 URL "s3://shop/none/" given')
    said = refused(sagemaker.create_training_job, **request(f"{image[:-4]}0000"))
    assert "not found." in said
    short = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 30}
    said = refused(
        sagemaker.create_training_job,
        **request(image, EnableManagedSpotTraining=True, StoppingCondition=short),
    )
    assert "MaxWaitTimeInSeconds" in said
    several = {"InstanceType": "ml.c7i.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}
    assert "one instance" in refused(sagemaker.create_training_job, **request(image, ResourceConfig=several))
    wrong = {"InstanceType": "ml.c99.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    said = refused(sagemaker.create_training_job, **request(image, ResourceConfig=wrong))
    assert "Value 'ml.c99.xlarge'" in said
    sagemaker.create_training_job(**request(image))
    said = refused(sagemaker.create_training_job, **request(image))
    assert said.startswith(
        "ResourceInUse: Training job names must be unique within an AWS account and region"
    )
    ended(aws)


def test_jobs_are_listed(aws: Any, image: str) -> None:
    sagemaker = aws("sagemaker")
    for name in ("one", "two"):
        sagemaker.create_training_job(**request(image, name, CheckpointConfig={"S3Uri": f"s3://shop/{name}"}))
        ended(aws, name)
    rows = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert [one["TrainingJobName"] for one in rows] == ["one", "two"]
    assert {one["TrainingJobStatus"] for one in rows} == {"Completed"}
    assert all(one["TrainingEndTime"] for one in rows)
    rows = sagemaker.list_training_jobs(NameContains="TW", StatusEquals="Completed")["TrainingJobSummaries"]
    assert [one["TrainingJobName"] for one in rows] == ["two"]
    assert sagemaker.list_training_jobs(StatusEquals="Failed")["TrainingJobSummaries"] == []


def test_no_link_of_a_container_is_followed(aws: Any, image: str) -> None:
    """The local cloud reads what a container left, as another user than it."""
    aws("sagemaker").create_training_job(**request(image, HyperParameters={"leave": "links"}))
    assert model_of(aws, ended(aws))[0] == ["model.json"]


def test_a_key_that_leads_out_of_the_folder_is_refused(aws: Any, image: str) -> None:
    aws("s3").put_object(Bucket="shop", Key="data/one/../../../../escaped", Body=b"x")
    aws("sagemaker").create_training_job(**request(image))
    found = ended(aws)
    assert found["TrainingJobStatus"] == "Failed"
    assert "leads out of the folder" in found["FailureReason"]


def test_a_job_goes_on_after_the_local_cloud_was_started_again(
    aws: Any, image: str, cloud: LocalCloud, client_of: Any
) -> None:
    aws("sagemaker").create_training_job(**request(image, HyperParameters={"steps": "30", "seconds": "0.2"}))
    wait_for(lambda: "Contents" in aws("s3").list_objects_v2(Bucket="shop", Prefix="checkpoints/"))
    aws.kept()
    cloud.stop()
    cloud.ensure()
    again = client_of(cloud)
    found = ended(again)
    assert found["TrainingJobStatus"] == "Completed"
    said = model_of(again, found)[1]
    assert said["done"] == 30
    assert said["began"] > 0


def test_answers_have_the_form_of_the_services_model(aws: Any, image: str) -> None:
    """boto3 drops what it does not know: what is told must be known."""
    aws("sagemaker").create_training_job(**request(image))
    found = ended(aws)
    shape = boto3.client("sagemaker", region_name="us-east-1").meta.service_model.operation_model(
        "DescribeTrainingJob"
    )
    told = {*found} - {"ResponseMetadata"}
    assert told <= set(shape.output_shape.members)
    assert set(shape.output_shape.required_members) <= told
