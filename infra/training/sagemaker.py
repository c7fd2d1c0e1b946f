"""Training as a SageMaker job: started once for what it rests on, followed, and its model brought back.

The job's name follows from the training, the image and the instance, so that a run that was killed is no loss: the
next one finds the job and waits for it. A name is used up for ever, so a failed or stopped attempt is followed by the
next number; all attempts share one folder of checkpoints, and go on from there.

Sources: API_CreateTrainingJob, API_DescribeTrainingJob; model-checkpoints.html and model-managed-spot-training.html of
the developer guide; that a job which is not there is a ValidationException: boto3 #2808.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.aws_session import AwsSession, error_code, error_message, meaning, refusals
from infra.targets.sagemaker.names import digest, fit_name
from infra.training import FOLDER
from infra.training.inputs import list_files, send
from infra.training.job_log import TrainingLog
from infra.training.model_archive import take_model
from modelpack.errors import CloudRefused, EcomdeployError
from modelpack.home import Home
from modelpack.inputs.spec import TrainSpec
from modelpack.progress import Progress
from modelpack.training.asked import AskedTraining
from modelpack.training.lineage import Lineage

if TYPE_CHECKING:
    from modelpack.inputs.resolve import Inputs

INSTANCE = "ml.c7i.xlarge"
"""Where the spec names none."""
VOLUME_GB = 30
ATTEMPTS = 50
ENDED = ("Completed", "Failed", "Stopped")
NOT_FOUND = "Requested resource not found"
IN_USE = "ResourceInUse"


@dataclass(frozen=True, kw_only=True)
class TrainingGround:
    """What the base stack has for it. `name`: service and environment; `tags` of each job."""

    name: str
    bucket: str
    role_arn: str
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class SageMakerTraining:
    """`push`: the training image for these inputs in the service's repository, its reference by digest."""

    session: AwsSession
    ground: TrainingGround
    spec: TrainSpec
    push: Callable[[Inputs, Progress], str]
    look_every: float = 5.0
    sleep: Callable[[float], None] = time.sleep

    def train(self, inputs: Inputs, home: Home, folder: Path, progress: Progress) -> Lineage:
        """See `modelpack.training.place.TrainingPlace`."""
        progress.step(f"Training on SageMaker: {inputs.usecase.title}")
        image = self.push(inputs, progress)
        for attempt in range(1, ATTEMPTS):
            name = self.name_job(inputs, image, attempt)
            found, ours = self.describe(name), False
            if found is None:
                self.create(name, inputs, image, home, progress)
                ours = True
            elif found["TrainingJobStatus"] not in ENDED:
                progress.note(f"the job {name} is on its way already; waiting for it")
            found = self.follow(name, progress)
            if found["TrainingJobStatus"] == "Completed":
                return self.bring(name, found, image, folder, progress)
            if ours:
                raise failure(name, found)
            progress.note(f"the job {name} {tell_end(found)}; another attempt goes on from its checkpoints")
        raise EcomdeployError(f"{ATTEMPTS - 1} training jobs of {self.ground.name} failed one after another")

    def name_job(self, inputs: Inputs, image: str, attempt: int) -> str:
        """What the job rests on, and which attempt it is."""
        digits = digest(FOLDER, inputs.training_digest, image, self.instance, self.spec.spot)
        return fit_name(f"{self.ground.name}-train", f"{digits}-{attempt}")

    @property
    def instance(self) -> str:
        return self.spec.instance or INSTANCE

    @property
    def _api(self) -> Any:
        return self.session.client("sagemaker")

    def describe(self, name: str) -> dict[str, Any] | None:
        """The job; None where there is none of that name."""
        from botocore.exceptions import ClientError

        with refusals(f"looking at the training job {name}"):
            try:
                return dict(self._api.describe_training_job(TrainingJobName=name))
            except ClientError as error:
                if NOT_FOUND in error_message(error) or error_code(error) == "ResourceNotFound":
                    return None
                raise

    def create(self, name: str, inputs: Inputs, image: str, home: Home, progress: Progress) -> None:
        """Its data sent, the job made; one of that name that somebody made meanwhile is the same job."""
        from botocore.exceptions import ClientError

        prefix = f"{FOLDER}/{inputs.training_digest.removeprefix('sha256:')[:32]}"
        channels = send(
            self.session, self.ground.bucket, prefix, list_files(inputs, home, progress), progress
        )
        asked = self.request(name, AskedTraining.of(inputs), image, prefix, channels)
        with refusals(f"making the training job {name}"):
            try:
                self._api.create_training_job(**asked)
            except ClientError as error:
                if error_code(error) != IN_USE:
                    raise
        progress.note(f"job {name} on {self.instance}{', spot' if self.spec.spot else ''}")

    def request(
        self, name: str, asked: AskedTraining, image: str, prefix: str, channels: tuple[str, ...]
    ) -> dict[str, Any]:
        """The parameters of CreateTrainingJob."""
        place = f"s3://{self.ground.bucket}/{prefix}"
        longest = self.spec.max_seconds
        waits = {"MaxWaitTimeInSeconds": self.spec.max_wait or 2 * longest} if self.spec.spot else {}
        return {
            "TrainingJobName": name,
            "RoleArn": self.ground.role_arn,
            "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
            "HyperParameters": asked.write(),
            "InputDataConfig": [tell_channel(one, f"{place}/{one}/") for one in channels],
            "OutputDataConfig": {"S3OutputPath": f"{place}/output"},
            "CheckpointConfig": {"S3Uri": f"{place}/checkpoints"},
            "ResourceConfig": {
                "InstanceType": self.instance,
                "InstanceCount": 1,
                "VolumeSizeInGB": VOLUME_GB,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": longest, **waits},
            "EnableManagedSpotTraining": self.spec.spot,
            "Tags": [{"Key": key, "Value": value} for key, value in sorted(self.ground.tags.items())],
        }

    def follow(self, name: str, progress: Progress) -> dict[str, Any]:
        """The job once it has ended; each of its steps is told. Whoever interrupts this does not end the job."""
        told, log = 0, TrainingLog(self.session, name)
        try:
            while True:
                found = self.describe(name)
                if found is None:
                    raise EcomdeployError(f"the training job {name} is gone", hint="ecomdeploy up")
                steps = found.get("SecondaryStatusTransitions", ())
                for step in steps[told:]:
                    progress.note(f"{step['Status']}: {step.get('StatusMessage', '')}")
                told = len(steps)
                if found.get("TrainingStartTime"):
                    for line in log.new_lines():
                        progress.note(f"  {line.strip()}")
                if found["TrainingJobStatus"] in ENDED:
                    return found
                self.sleep(self.look_every)
        except KeyboardInterrupt:
            progress.note(f"the job {name} goes on; the next ecomdeploy up waits for it. To end it:")
            progress.note(f"aws sagemaker stop-training-job --training-job-name {name}")
            raise

    def bring(
        self, name: str, found: Mapping[str, Any], image: str, folder: Path, progress: Progress
    ) -> Lineage:
        """The model and its lineage, with where it was trained."""
        uri = str(found["ModelArtifacts"]["S3ModelArtifacts"])
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        progress.note(f"taking the model from {uri}")
        with tempfile.TemporaryDirectory(dir=folder) as work:
            archive = Path(work) / "model.tar.gz"
            with refusals(f"reading {uri}"), archive.open("wb") as file:
                body = self.session.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
                for piece in body.iter_chunks(1 << 20):
                    file.write(piece)
            lineage = take_model(archive, folder)
        return lineage.at(
            {
                "on": "sagemaker",
                "job": name,
                "instance": self.instance,
                "spot": self.spec.spot,
                "image": image,
                "seconds": found.get("TrainingTimeInSeconds"),
                "billed_seconds": found.get("BillableTimeInSeconds"),
            }
        )


def tell_channel(name: str, uri: str) -> dict[str, Any]:
    """A channel of all that is below a URI."""
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def tell_end(found: Mapping[str, Any]) -> str:
    """How a job ended, in words."""
    status, reason = found["TrainingJobStatus"], found.get("FailureReason")
    if reason:
        return f"failed: {reason}"
    words = {
        "MaxRuntimeExceeded": "trained longer than model.train.max_seconds",
        "MaxWaitTimeExceeded": "waited longer than model.train.max_wait",
    }
    return words.get(str(found.get("SecondaryStatus")), f"ended as {status}")


def failure(name: str, found: Mapping[str, Any]) -> EcomdeployError:
    """A job's end as an error: SageMaker's want of capacity is the cloud's refusal."""
    what = f"the training job {name} {tell_end(found)}"
    if str(found.get("FailureReason", "")).startswith("CapacityError"):
        refused = meaning("CapacityError", what)
        return refused if isinstance(refused, CloudRefused) else CloudRefused(what)
    return EcomdeployError(what, hint="ecomdeploy up tries again, from its checkpoints")
