"""The life of a training job: its folder filled, its process run, its checkpoints copied, its model taken.

    Starting -> Downloading -> Training -> Uploading -> Completed | Failed | Stopped
                    ^             |
                    +--------- Interrupted        a managed spot training whose instance was taken away

Sources: API_SecondaryStatusTransition (statuses and messages), your-algorithms-training-algo-running-container.html
(the folders, 120 s between SIGTERM and SIGKILL), model-checkpoints.html (copied as they change, brought back before a
spot training goes on), model-managed-spot-training.html. What takes time on AWS and none here (instances, images) is
passed at once; what really takes time takes it.
"""

from __future__ import annotations

import json
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.rehearsal.cloud.addresses import LOOPBACK
from infra.rehearsal.cloud.aws.training import objects
from infra.rehearsal.cloud.aws.training.job import LOCAL, Key, TrainingJob
from infra.rehearsal.cloud.aws.training.log import WrittenLog
from infra.rehearsal.cloud.servers.host import Errand, ModelServer, ServerFailed

if TYPE_CHECKING:
    from infra.rehearsal.cloud.aws.overlay.base import Surroundings

STOP_SECONDS = 120.0
"""Between SIGTERM and SIGKILL."""
LOOK_SECONDS = 0.1
COPY_SECONDS = 1.0
"""Between two looks at the checkpoints."""
SPOT_WAIT = 120.0
"""Seconds of AWS's until another spot instance is had."""
MOST_REASON = 1024
NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. "
    "Please retry using a different ML instance type."
)


class Interrupted(Exception):
    """The spot instance was taken away."""


class LeftOff(Exception):
    """The local cloud ends or was emptied: nothing more is said of the job."""


class Ended(Exception):
    """The job is over: `status`, `secondary`, and why in words where it failed."""

    def __init__(self, status: str, secondary: str, message: str, failure: str = "") -> None:
        super().__init__(message)
        self.status, self.secondary, self.message, self.failure = status, secondary, message, failure


@dataclass
class Life:
    """Each job has a thread of its own; what all see changes under the account's lock."""

    account: Surroundings
    jobs: dict[Key, TrainingJob]
    _copied: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """By job: the checkpoints that S3 has, by size and time of change."""

    def begin(self, job: TrainingJob) -> None:
        self.account.background(f"train {job.name}", lambda: self._live(job))

    def _live(self, job: TrainingJob) -> None:
        since = time.monotonic()
        try:
            while True:
                try:
                    self._attempt(job, since)
                except Interrupted:
                    self._wait_for_another(job, since)
        except Ended as end:
            with self.account.lock:
                if self._current(job):
                    job.become(end.status, end.secondary, end.message, end.failure[:MOST_REASON])
                    self.account.changed.set()
        except LeftOff:
            return
        finally:
            self._copied.pop(job.name, None)

    def _current(self, job: TrainingJob) -> bool:
        """Whether the account still has it; a reset may have emptied it."""
        return self.jobs.get(job.key) is job and self.account.state.get("training-jobs") is self.jobs

    def _become(self, job: TrainingJob, secondary: str, message: str) -> None:
        with self.account.lock:
            if not self._current(job):
                raise LeftOff
            if job.stop and secondary != "Uploading":
                raise Ended("Stopped", "Stopped", "Training job stopped")
            job.become("Stopping" if job.stop else "InProgress", secondary, message)
            self.account.changed.set()

    def _attempt(self, job: TrainingJob, since: float) -> None:
        """One instance's time: ends by Interrupted or Ended."""
        self._become(job, "Starting", "Launching requested ML instances")
        if self.account.faults.strike("capacity", endpoint=job.name):
            if job.most_wait is not None:
                self._wait_for_another(job, since)
            raise Ended("Failed", "Failed", "Training job failed", NO_CAPACITY)
        self._become(job, "Starting", "Preparing the instances for training")
        if job.started is None:
            job.started = job.modified
        folder, began = self.account.host.workspace(), time.monotonic()
        try:
            self._fill(job, folder)
            status = self._run(job, folder, since)
            self._take(job, folder, status)
        except ServerFailed as failed:
            raise Ended(
                "Failed", "Failed", "Training job failed", f"InternalServerError: {failed.what}"
            ) from None
        except objects.BadData as problem:
            raise Ended("Failed", "Failed", "Training job failed", f"ClientError: {problem}") from None
        except (Interrupted, LeftOff, Ended):
            raise
        except Exception as error:
            traceback.print_exc()
            what = f"InternalServerError: the local cloud failed: {error}"
            raise Ended("Failed", "Failed", "Training job failed", what) from None
        finally:
            job.billed += time.monotonic() - began
            job.trained = time.monotonic() - since
            shutil.rmtree(folder, ignore_errors=True)

    def _fill(self, job: TrainingJob, folder: Path) -> None:
        """The folder as the container finds it."""
        self._become(job, "Downloading", "Downloading input data")
        asked, config = job.asked, folder / "input" / "config"
        for name in ("input/config", "input/data", "model", "output/data"):
            (folder / name).mkdir(parents=True)
        channels = {one["ChannelName"]: one for one in asked.get("InputDataConfig", ())}
        resources = {
            "current_host": "algo-1",
            "current_instance_type": asked.get("ResourceConfig", {}).get("InstanceType", ""),
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "network_interface_name": "eth0",
        }
        told: dict[str, Any] = {
            "hyperparameters.json": asked.get("HyperParameters", {}),
            "resourceconfig.json": resources,
            "inputdataconfig.json": {name: tell_channel(one) for name, one in channels.items()},
        }
        for name, content in told.items():
            (config / name).write_text(json.dumps(content))
        with self.account.lock:
            for name, one in channels.items():
                place = folder / "input" / "data" / name
                place.mkdir()
                objects.bring(one["DataSource"]["S3DataSource"]["S3Uri"], place)
            if kept := asked.get("CheckpointConfig"):
                place = checkpoints_of(job, folder)
                place.mkdir(parents=True, exist_ok=True)
                objects.bring(f"{kept['S3Uri'].rstrip('/')}/", place)

    def _run(self, job: TrainingJob, folder: Path, since: float) -> int:
        """The container until it ends; its exit status. Raises Interrupted, ServerFailed, Ended (told to stop)."""
        self._become(job, "Training", "Downloading the training image")
        algorithm, host = job.asked["AlgorithmSpecification"], self.account.host
        arguments = (
            *algorithm.get("ContainerEntrypoint", ()),
            *(algorithm.get("ContainerArguments") or ("train",)),
        )
        environment = {
            **job.asked.get("Environment", {}),
            "TRAINING_JOB_NAME": job.name,
            "TRAINING_JOB_ARN": job.arn,
        }
        reference = f"{LOOPBACK}:{self.account.ports.registry}/{job.repository}@{job.digest}"
        errand = Errand(arguments=arguments, folder=folder, whole=bool(algorithm.get("ContainerEntrypoint")))
        server = host.start(reference, environment, errand=errand)
        try:
            self._become(job, "Training", "Training image download completed. Training in progress.")
            return self._watch(job, folder, server, since)
        finally:
            host.stop(server, 0)

    def _watch(self, job: TrainingJob, folder: Path, server: ModelServer, since: float) -> int:
        began = copied = time.monotonic()
        log = WrittenLog(job, self.account.host.log(server.id))
        fault = self.account.faults.strike("spot", endpoint=job.name) if job.most_wait is not None else None
        before = job.billed
        while True:
            if (status := self.account.host.status(server)) is not None:
                self._tell(log)
                self._copy_checkpoints(job, folder)
                return status
            at = time.monotonic()
            if at - copied >= COPY_SECONDS:
                self._tell(log)
                self._copy_checkpoints(job, folder)
                copied = at
            if self.account.ending.is_set() or not self._current(job):
                raise LeftOff
            if fault and at - began >= fault.seconds:
                self._stop(job, folder, server)
                job.interruptions += 1
                self._become(job, "Interrupted", "The spot instance was interrupted")
                raise Interrupted
            if job.stop:
                self._stop(job, folder, server)
                raise self._upload(job, folder, Ended("Stopped", "Stopped", "Training job stopped"))
            if before + at - began > job.most_seconds:
                self._stop(job, folder, server)
                said = "Training job runtime exceeded MaxRuntimeInSeconds provided"
                raise self._upload(job, folder, Ended("Stopped", "MaxRuntimeExceeded", said))
            if job.most_wait is not None and at - since > job.most_wait:
                self._stop(job, folder, server)
                raise end_waiting()
            time.sleep(LOOK_SECONDS)

    def _tell(self, log: WrittenLog) -> None:
        """What the container wrote since the last look, in CloudWatch Logs."""
        if lines := log.new_lines():
            with self.account.lock:
                log.write(lines)
            self.account.changed.set()

    def _stop(self, job: TrainingJob, folder: Path, server: ModelServer) -> None:
        self.account.host.stop(server, STOP_SECONDS)
        self._copy_checkpoints(job, folder)

    def _wait_for_another(self, job: TrainingJob, since: float) -> None:
        """Until another spot instance is had. Raises Ended where that would be too late."""
        if job.most_wait is None or time.monotonic() - since + SPOT_WAIT > job.most_wait:
            raise end_waiting()
        self.account.ending.wait(self.account.clock.shorten(SPOT_WAIT))

    def _take(self, job: TrainingJob, folder: Path, status: int) -> None:
        """What an ended container leaves. Always raises Ended."""
        if status != 0:
            why = objects.read_text(folder / "output", "failure", MOST_REASON)
            reason = f"AlgorithmError: {why}, exit code: {status}"
            raise self._upload(job, folder, Ended("Failed", "Failed", "Training job failed", reason))
        raise self._upload(job, folder, Ended("Completed", "Completed", "Training job completed"))

    def _upload(self, job: TrainingJob, folder: Path, end: Ended) -> Ended:
        """Model and output to S3; a model is kept unless the training failed."""
        self._become(job, "Uploading", "Uploading generated training model")
        model = None if end.status == "Failed" else objects.pack(folder / "model")
        output = objects.pack(folder / "output" / "data")
        with self.account.lock:
            if model is not None:
                objects.put(f"{job.output}/model.tar.gz", model)
                job.artifacts = f"{job.output}/model.tar.gz"
            if output is not None:
                objects.put(f"{job.output}/output.tar.gz", output)
        return end

    def _copy_checkpoints(self, job: TrainingJob, folder: Path) -> None:
        """Those that changed, to S3."""
        if not (kept := job.asked.get("CheckpointConfig")):
            return
        known = self._copied.setdefault(job.name, {})
        for path, file, about in objects.regular_files(checkpoints_of(job, folder)):
            seen = (about.st_size, about.st_mtime_ns)
            if known.get(path) == seen or Path(path).name.startswith("."):
                continue
            content = file.read()
            with self.account.lock:
                objects.put(f"{kept['S3Uri'].rstrip('/')}/{path}", content)
            known[path] = seen
            self.account.changed.set()


def checkpoints_of(job: TrainingJob, folder: Path) -> Path:
    """Where a container leaves its checkpoints."""
    local = job.asked["CheckpointConfig"].get("LocalPath", LOCAL)
    return folder / Path(local).relative_to("/opt/ml")


def tell_channel(one: dict[str, Any]) -> dict[str, Any]:
    """A channel as inputdataconfig.json has it."""
    source = one["DataSource"]["S3DataSource"]
    told = {
        "TrainingInputMode": "File",
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": one.get("RecordWrapperType", "None"),
    }
    return {**told, **({"ContentType": one["ContentType"]} if one.get("ContentType") else {})}


def end_waiting() -> Ended:
    return Ended("Stopped", "MaxWaitTimeExceeded", "Training job exceeded MaxWaitTimeInSeconds provided")
