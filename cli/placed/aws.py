"""The collaborators of `cloud: aws`: an account, and a bucket of it for the records."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.placed.base import STATE, PlacedProject
from cli.who import now, who
from modelpack.errors import BadInput

if TYPE_CHECKING:
    from infra.aws_session import AwsSession
    from modelpack.home import Home
    from modelpack.inputs.resolve import Inputs
    from modelpack.progress import Progress
    from modelpack.training.place import TrainingPlace
    from stacks.adapters.builder import PackBuilder
    from stacks.adapters.images import RegistryImages
    from stacks.collaborators import Collaborators, Parameters
    from stacks.history.read import Records
    from stacks.pulumi_driver.automation import AutomationDriver
    from stacks.records.owner import Owner
    from stacks.records.store import RecordStore
    from stacks.wanted import Wanted


@dataclass(frozen=True)
class AwsWiring(PlacedProject):
    """One project in one environment of an AWS account. `role`: assumed there (an ARN)."""

    home: Home
    builder: PackBuilder
    role: str = ""

    @property
    def state(self) -> Path:
        return self.folder / STATE / self.spec.environment.name

    def variables(self) -> dict[str, str]:
        """Credentials, addresses and region."""
        from infra.aws_session import AwsSession, assume

        given = {**os.environ, "AWS_REGION": self.spec.environment.region}
        return assume(AwsSession(given), self.role) if self.role else given

    @cached_property
    def session(self) -> AwsSession:
        """All clients here come from it, or from its variables, and its first call says whose account this is.

        Raises:
            CloudRefused: it is another's.
        """
        from infra.aws_session import AwsSession, refuse_other_account

        session = AwsSession(self.variables())
        refuse_other_account(session, self.spec.environment.account)
        return session

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables every AWS client here is made from."""
        return self.session.environment

    @cached_property
    def store(self) -> RecordStore:
        from stacks.records.s3_store import S3Store

        bucket, prefix = self.state_bucket()
        return S3Store(lambda: self.session.client("s3"), bucket, f"{prefix}{self.spec.name}/")

    @property
    def platform_store(self) -> RecordStore:
        """One for all services of the environment."""
        from stacks.records.s3_store import S3Store

        bucket, prefix = self.state_bucket()
        name = self.spec.environment.name
        return S3Store(lambda: self.session.client("s3"), bucket, f"{prefix}platforms/{name}/")

    def state_bucket(self) -> tuple[str, str]:
        """Bucket and key prefix of `state: s3://...`.

        Raises:
            BadInput: the environment names none.
        """
        bucket, _, prefix = str(self.spec.environment.state or "").removeprefix("s3://").partition("/")
        if not bucket:
            raise BadInput(
                f"environments.{self.spec.environment.name}.state is needed on AWS",
                hint="state: s3://my-state-bucket",
            )
        return bucket, f"{prefix.rstrip('/')}/" if prefix else ""

    @property
    def images(self) -> RegistryImages:
        from infra.aws_session import registry_credentials
        from stacks.adapters.images import RegistryImages

        return RegistryImages(self.home, "https", lambda host: registry_credentials(self.session))

    def place_training(self, wanted: Wanted, base: Mapping[str, Any]) -> TrainingPlace:
        """Where the model is trained when it is not here. `base`: what the base stack has for it."""
        from infra.training.sagemaker import SageMakerTraining, TrainingGround
        from modelpack.inputs.spec import TrainSpec
        from modelpack.training.image import build_training_image

        def push(inputs: Inputs, progress: Progress) -> str:
            built = build_training_image(inputs, self.home, progress)
            self.images.push(base["repository_url"], built.digest, progress)
            return f"{base['repository_url']}@{built.digest}"

        tags = {
            "ecomdeploy:project": wanted.spec.service,
            "ecomdeploy:environment": wanted.spec.environment.name,
        }
        ground = TrainingGround(
            name=wanted.spec.name,
            bucket=base["bucket"],
            role_arn=base["training_role_arn"],
            tags={**wanted.spec.governance.tags, **tags},
        )
        return SageMakerTraining(
            session=self.session,
            ground=ground,
            spec=wanted.spec.model.train or TrainSpec(),
            push=push,
            look_every=self.look_every,
        )

    @property
    def look_every(self) -> float:
        """Seconds between two looks at a job."""
        return 5.0

    @property
    def published(self) -> Records | None:
        """What the bucket has; None where nobody can be asked."""
        from stacks.adapters.bucket import S3Publisher

        return S3Publisher(lambda: self.session.client("s3"))

    @property
    def parameters(self) -> Parameters:
        """Where the values of secrets are kept."""
        from stacks.adapters.parameters import SsmParameters

        return SsmParameters(lambda: self.session.client("ssm"))

    @property
    def generation(self) -> Callable[[], str]:
        """Identifies the cloud as it stands."""
        return lambda: "aws"

    def collaborators(self) -> Collaborators:
        from infra.ground.survey import AwsSurvey
        from infra.quotas.reading import AwsQuotas
        from stacks.adapters.bucket import CloudSweeper, S3Publisher
        from stacks.adapters.shipped import ShippedPacks
        from stacks.collaborators import Collaborators
        from stacks.pulumi_driver.converged import ConvergedStates
        from stacks.records.lease import Lease
        from stacks.records.process import this_process

        name, images = who(), self.images
        return Collaborators(
            builder=replace(
                self.builder, shipped=ShippedPacks(self.ledger, images), places=self.place_training
            ),
            hosts=self.target.hosts(),
            images=images,
            driver=self.driver(),
            converged=ConvergedStates(self.store, self.generation),
            store=self.store,
            ledger=self.ledger,
            lease=Lease(self.store, name, this_process(), now, tell=self.progress.note),
            platform_store=self.platform_store,
            platform_lease=Lease(self.platform_store, name, this_process(), now, tell=self.progress.note),
            traffic=self.traffic,
            publisher=S3Publisher(lambda: self.session.client("s3")),
            sweeper=CloudSweeper(self.session.client),
            progress=self.progress,
            who=name,
            parameters=self.parameters,
            survey=AwsSurvey(self.session),
            quotas=AwsQuotas(self.session),
            me=self.sign(name),
            stands=self.stands,
            variables=os.environ,
            prepare=self.prepare,
        )

    def stands(self, owner: Owner) -> bool | None:
        return None  # all who share the state are one owner

    def prepare(self) -> None:
        """The state bucket, by calls that may be repeated, before any Pulumi state exists."""
        from infra.aws_session import ensure_bucket

        ensure_bucket(self.session, self.state_bucket()[0], {"ecomdeploy:managed-by": "ecomdeploy"})

    def driver(self) -> AutomationDriver:
        """What talks to Pulumi for this environment."""
        from cli.placed.drivers import make_driver

        return make_driver(self.spec, self.state / "pulumi", self.session, self.state_bucket())
