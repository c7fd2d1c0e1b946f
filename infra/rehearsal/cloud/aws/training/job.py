"""A training job as SageMaker keeps and tells it, in the API's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.rehearsal.cloud.aws.overlay.base import arn, now

Key = tuple[str, str]
ENDED = ("Completed", "Failed", "Stopped")
DAY = 86_400
LOCAL = "/opt/ml/checkpoints"


@dataclass(kw_only=True)
class TrainingJob:
    """`asked`: what CreateTrainingJob said, without tags. `trained` and `billed` in seconds; `stop`: somebody asked for
    its end."""

    name: str
    region: str
    asked: dict[str, Any]
    repository: str
    digest: str
    created: datetime = field(default_factory=now)
    modified: datetime = field(default_factory=now)
    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    trained: float = 0.0
    billed: float = 0.0
    artifacts: str = ""
    stop: bool = False
    interruptions: int = 0

    @property
    def key(self) -> Key:
        return (self.region, self.name)

    @property
    def arn(self) -> str:
        return arn("sagemaker", self.region, f"training-job/{self.name.lower()}")

    @property
    def over(self) -> bool:
        return self.status in ENDED

    @property
    def most_seconds(self) -> float:
        """It may train, in all."""
        return float(self.asked.get("StoppingCondition", {}).get("MaxRuntimeInSeconds", DAY))

    @property
    def most_wait(self) -> float | None:
        """A spot training may take, waiting and training; None: no spot training."""
        if not self.asked.get("EnableManagedSpotTraining"):
            return None
        return float(self.asked["StoppingCondition"]["MaxWaitTimeInSeconds"])

    @property
    def output(self) -> str:
        """Where what it leaves goes."""
        return f"{self.asked['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{self.name}/output"

    def become(self, status: str, secondary: str, message: str, failure: str = "") -> None:
        """A step of its life, told."""
        at = now()
        if self.transitions and self.transitions[-1]["Status"] == secondary:
            self.transitions[-1]["StatusMessage"] = message
        else:
            if self.transitions:
                self.transitions[-1].setdefault("EndTime", at)
            self.transitions.append({"Status": secondary, "StartTime": at, "StatusMessage": message})
        self.status, self.secondary, self.modified = status, secondary, at
        self.failure = failure or self.failure
        if self.over:
            self.transitions[-1]["EndTime"] = self.ended = at

    def row(self) -> dict[str, Any]:
        """What ListTrainingJobs tells."""
        told = {
            "TrainingJobName": self.name,
            "TrainingJobArn": self.arn,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
            "TrainingJobStatus": self.status,
            "SecondaryStatus": self.secondary,
        }
        return {**told, **({"TrainingEndTime": self.ended} if self.ended else {})}

    def describe(self) -> Mapping[str, Any]:
        """What DescribeTrainingJob tells."""
        times = {"TrainingStartTime": self.started, "TrainingEndTime": self.ended}
        told = {
            **self.asked,
            **self.row(),
            "ModelArtifacts": {"S3ModelArtifacts": self.artifacts},
            "SecondaryStatusTransitions": [dict(one) for one in self.transitions],
            "EnableNetworkIsolation": self.asked.get("EnableNetworkIsolation", False),
            "EnableInterContainerTrafficEncryption": False,
            "EnableManagedSpotTraining": self.asked.get("EnableManagedSpotTraining", False),
            **{name: value for name, value in times.items() if value},
        }
        if self.failure:
            told["FailureReason"] = self.failure
        if self.over and self.started:
            told |= {
                "TrainingTimeInSeconds": max(1, round(self.trained)),
                "BillableTimeInSeconds": max(1, round(self.billed)),
            }
        return told
