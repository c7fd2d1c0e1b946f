"""The operations on training jobs, as a part of the overlay of SageMaker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.aws.calls import ApiCall, ApiError
from infra.rehearsal.cloud.aws.hosting_shapes import invalid, pairs, resolve_image
from infra.rehearsal.cloud.aws.listing import list_page
from infra.rehearsal.cloud.aws.overlay.base import Overlay, emulates
from infra.rehearsal.cloud.aws.training.job import LOCAL, Key, TrainingJob
from infra.rehearsal.cloud.aws.training.life import Life
from infra.rehearsal.cloud.aws.training.objects import list_keys

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

STATE = "training-jobs"
NOT_HERE = ("RetryStrategy", "ServerlessJobConfig", "SessionChainingConfig", "ModelPackageConfig")
NO_DATA = (
    'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in the '
    'selected region ({region}), that objects exist under that S3 prefix, and that the role "{role}" has '
    '"s3:ListBucket" permissions on bucket "{bucket}".'
)
MUST_WAIT = (
    "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds when "
    "EnableManagedSpotTraining is true."
)


class TrainingOperations(Overlay):
    """Jobs survive in the account's state; those on their way begin again from their checkpoints after a restart."""

    def __init__(self, account: Surroundings) -> None:
        super().__init__(account)
        self.jobs: dict[Key, TrainingJob] = account.state.setdefault(STATE, {})
        self.life = Life(account, self.jobs)

    def restore(self) -> None:
        super().restore()
        for job in tuple(self.jobs.values()):
            if not job.over:
                self.life.begin(job)

    @emulates("CreateTrainingJob", "documented", "API_CreateTrainingJob")
    def create_training_job(self, call: ApiCall) -> Mapping[str, Any]:
        """One host from an image in ECR trains as a process, with S3 channels in File mode."""
        asked = {key: value for key, value in call.parameters.items() if key != "Tags"}
        name = asked["TrainingJobName"]
        if (call.region, name) in self.jobs:
            where = self.jobs[call.region, name].arn
            raise ApiError(
                "ResourceInUse",
                "Training job names must be unique within an AWS account and region, and a training job with this "
                f"name already exists ({where})",
            )
        refuse_not_here(asked)
        self._refuse_wrong(call, asked)
        repository, digest = resolve_image(
            self.account, asked["AlgorithmSpecification"].get("TrainingImage", "")
        )
        job = TrainingJob(name=name, region=call.region, asked=asked, repository=repository, digest=digest)
        job.become("InProgress", "Starting", "Starting the training job")
        self.jobs[job.key] = job
        self.account.state["sagemaker"].tags[job.arn] = pairs(call.parameters.get("Tags", ()))
        self.life.begin(job)
        return {"TrainingJobArn": job.arn}

    @emulates("DescribeTrainingJob", "recorded", "API_DescribeTrainingJob")
    def describe_training_job(self, call: ApiCall) -> Mapping[str, Any]:
        """With its statuses so far and why it failed. One that is not there is a ValidationException (boto3 #2808)."""
        return self._job(call).describe()

    @emulates("StopTrainingJob", "documented", "API_StopTrainingJob")
    def stop_training_job(self, call: ApiCall) -> Mapping[str, Any]:
        """SIGTERM, and SIGKILL after 120 s; what is in the model folder is kept."""
        job = self._job(call)
        if job.over:
            raise invalid(
                f"The request was rejected because the training job is in status {job.status}. "
                "Training job should be in InProgress status."
            )
        if not job.stop:
            job.stop = True
            job.become("Stopping", "Stopping", "Stopping the training job")
        return {}

    @emulates("ListTrainingJobs", "documented", "API_ListTrainingJobs")
    def list_training_jobs(self, call: ApiCall) -> Mapping[str, Any]:
        """Filtered by name, status and time, sorted, in pages."""
        rows = [job.row() for job in self.jobs.values() if job.region == call.region]
        return list_page(call, "TrainingJobSummaries", rows, "TrainingJob", "Ascending")

    def status(self) -> dict[str, Any]:
        return super().status() | {
            "training_jobs": [
                {"name": job.name, "status": job.status, "secondary": job.secondary, "failure": job.failure}
                for job in self.jobs.values()
            ]
        }

    def _job(self, call: ApiCall) -> TrainingJob:
        job = self.jobs.get((call.region, call.parameters["TrainingJobName"]))
        if job is None:
            raise invalid("Requested resource not found.")
        return job

    def _refuse_wrong(self, call: ApiCall, asked: Mapping[str, Any]) -> None:
        """What SageMaker finds wrong before it begins."""
        condition = asked.get("StoppingCondition", {})
        longest, wait = condition.get("MaxRuntimeInSeconds", 86_400), condition.get("MaxWaitTimeInSeconds", 0)
        if asked.get("EnableManagedSpotTraining") and wait < longest:
            raise invalid(MUST_WAIT)
        names = [one["ChannelName"] for one in asked.get("InputDataConfig", ())]
        if len(set(names)) < len(names):
            raise invalid("Duplicate channel names are not allowed")
        for one in asked.get("InputDataConfig", ()):
            uri = one["DataSource"]["S3DataSource"]["S3Uri"]
            if not list_keys(uri):
                bucket = uri.removeprefix("s3://").partition("/")[0]
                words = NO_DATA.format(uri=uri, region=call.region, role=asked["RoleArn"], bucket=bucket)
                raise invalid(words)


def refuse_not_here(asked: Mapping[str, Any]) -> None:
    """What AWS has and the local cloud has not, by name."""
    if lacking := [name for name in NOT_HERE if asked.get(name)]:
        raise invalid(f"the local cloud does not have {', '.join(lacking)}")
    resources = asked.get("ResourceConfig", {})
    if resources.get("InstanceGroups") or int(resources.get("InstanceCount", 1)) != 1:
        raise invalid("the local cloud runs training jobs of one instance")
    algorithm = asked.get("AlgorithmSpecification", {})
    if not algorithm.get("TrainingImage"):
        raise invalid("the local cloud trains from a TrainingImage in ECR")
    for one in asked.get("InputDataConfig", ()):
        source = one["DataSource"].get("S3DataSource")
        mode = one.get("InputMode") or algorithm["TrainingInputMode"]
        if source is None or source["S3DataType"] != "S3Prefix" or mode != "File":
            raise invalid(
                f"the local cloud brings channels of S3Prefix in File mode, not {one['ChannelName']}"
            )
    local = asked.get("CheckpointConfig", {}).get("LocalPath", LOCAL)
    if not local.startswith("/opt/ml/"):
        raise invalid("the local cloud keeps checkpoints below /opt/ml")
