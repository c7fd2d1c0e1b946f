"""The only place where collaborators are made and the environment is read. All else receives what it uses."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import catalogs
from modelpack.errors import BadInput, EcomdeployError
from modelpack.home import Home
from modelpack.progress import Progress, Silent

if TYPE_CHECKING:
    from infra.aws_session import AwsSession
    from infra.rehearsal.cloud.client import LocalCloud
    from infra.targets.base import Target, Traffic
    from stacks.adapters.builder import PackBuilder
    from stacks.collaborators import Collaborators
    from stacks.pulumi_driver.automation import AutomationDriver
    from stacks.records.ledger import Ledger
    from stacks.records.store import RecordStore
    from stacks.run import Outcome
    from stacks.spec import Spec
    from stacks.wanted import Wanted

SPEC = "ecomdeploy.yaml"
STATE = ".ecomdeploy"


def home() -> Home:
    """The user's folders: `ECOMDEPLOY_HOME` and `ECOMDEPLOY_CACHE`, else the platform's."""
    import platformdirs

    given, cache = os.environ.get("ECOMDEPLOY_HOME"), os.environ.get("ECOMDEPLOY_CACHE")
    root = Path(given or platformdirs.user_data_dir("ecomdeploy")).absolute()
    return Home(
        root,
        Path(cache or (root / "cache" if given else platformdirs.user_cache_dir("ecomdeploy"))).absolute(),
    )


def local_cloud() -> LocalCloud:
    """The user's local cloud; not started by this."""
    from infra.rehearsal.cloud.client import LocalCloud

    return LocalCloud(home())


def load_spec(folder: Path, environment: str) -> Spec:
    """The project's spec for one environment.

    Raises:
        BadInput: every problem of the file at once.
    """
    from stacks.reading.load import load

    return load(folder / SPEC, environment, catalogs.known_names())


@contextmanager
def point_at_lines(folder: Path, environment: str) -> Iterator[None]:
    """Problems of the spec that only a pack or the cloud could show, with the file's line."""
    from stacks.reading import places

    with places.point_at_lines(folder / SPEC, environment):
        yield


def builder(folder: Path) -> PackBuilder:
    from stacks.adapters.builder import PackBuilder

    return PackBuilder(home(), folder.absolute())


def derive_wanted(spec: Spec) -> Wanted:
    """What a run of this spec wants."""
    from infra.targets.catalog import targets
    from stacks.wanted import Wanted

    return Wanted.of(spec, targets().get(spec.serve.target).hosts())


def collaborators(folder: Path, spec: Spec, progress: Progress) -> Collaborators:
    """Everything `ship` works with. For `cloud: local` the local cloud is started when it does not run."""
    return Wiring(folder.absolute(), spec, progress).collaborators()


def promote(folder: Path, deps: Collaborators, source: str, role: str = "") -> Collaborators:
    """The same, but the pack is what is live in the environment `source` (`role`: to be assumed to read there)."""
    from stacks.terms.promotion import Promotion

    there = Wiring(folder.absolute(), load_spec(folder, source), deps.progress, role)
    return replace(
        deps,
        builder=Promotion(place=there.spec.environment, ledger=there.ledger, images=there.images),
    )


def ledger(folder: Path, spec: Spec) -> Ledger:
    """The history, without starting anything."""
    return Wiring(folder.absolute(), spec, Silent()).ledger


def traffic(spec: Spec) -> Traffic:
    """The route to the live endpoint."""
    return Wiring(Path(), spec, Silent()).traffic


def where_local_cloud() -> str:
    """Where the local cloud answers, in words; empty when it does not run."""
    running = local_cloud().running()
    return f"{running.aws_url} (pid {running.pid})" if running else ""


def isolation(spec: Spec) -> str:
    """How the local cloud keeps model servers apart; "" for a real cloud."""
    running = local_cloud().running() if spec.environment.cloud == "local" else None
    return running.isolation if running else ""


def record_of(done: Outcome) -> dict[str, Any] | None:
    """The pack's record, from the local store; None when this machine did not build it."""
    if done.release is None:
        return None
    from modelpack.pack import load

    pack = load(home(), done.release.pack.input_digest)
    return dict(pack.record) if pack else None


@dataclass(frozen=True)
class Wiring:
    """One project in one environment, and the collaborators that follow from it. `role`: assumed there (an ARN)."""

    folder: Path
    spec: Spec
    progress: Progress
    role: str = ""

    @property
    def local(self) -> bool:
        return self.spec.environment.cloud == "local"

    @property
    def state(self) -> Path:
        return self.folder / STATE / self.spec.environment.name

    def variables(self) -> dict[str, str]:
        """Credentials, addresses and region. Starts the local cloud where that is meant."""
        region = self.spec.environment.region
        if not self.local:
            from infra.aws_session import AwsSession, assume

            given = {**os.environ, "AWS_REGION": region}
            return assume(AwsSession(given), self.role) if self.role else given
        cloud = local_cloud()
        cloud.ensure(self.progress)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**kept, **cloud.environment(), "AWS_REGION": region, "AWS_DEFAULT_REGION": region}

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
        from stacks.records.store import FolderStore

        if self.local:
            return FolderStore(self.state)
        bucket, prefix = self.state_bucket()
        return S3Store(lambda: self.session.client("s3"), bucket, f"{prefix}{self.spec.name}/")

    def state_bucket(self) -> tuple[str, str]:
        """Bucket and key prefix of `state: s3://...`."""
        bucket, _, prefix = str(self.spec.environment.state or "").removeprefix("s3://").partition("/")
        if not bucket:
            raise BadInput(
                f"environments.{self.spec.environment.name}.state is needed on AWS",
                hint="state: s3://my-state-bucket",
            )
        return bucket, f"{prefix.rstrip('/')}/" if prefix else ""

    @cached_property
    def ledger(self) -> Ledger:
        from stacks.records.ledger import Ledger

        return Ledger(self.store, now, "ledger/")

    @cached_property
    def target(self) -> Target:
        from infra.targets.catalog import targets

        return targets().get(self.spec.serve.target)

    @property
    def traffic(self) -> Traffic:
        return self.target.traffic(self.environment)

    @property
    def images(self) -> Any:
        from infra.aws_session import registry_credentials
        from stacks.adapters.images import RegistryImages

        if self.local:
            login = local_cloud().folder.registry_login
            return RegistryImages(home(), "http", lambda host: login)
        return RegistryImages(home(), "https", lambda host: registry_credentials(self.session))

    @property
    def generation(self) -> Callable[[], str]:
        """Identifies the cloud as it stands: another one after a reset or an older snapshot."""
        return local_cloud().generation if self.local else lambda: "aws"

    def collaborators(self) -> Collaborators:
        from infra.ground.survey import AwsSurvey
        from stacks.adapters.bucket import CloudSweeper, S3Publisher
        from stacks.adapters.parameters import SsmParameters
        from stacks.collaborators import Collaborators
        from stacks.pulumi_driver.converged import ConvergedStates
        from stacks.records.lease import Lease
        from stacks.records.process import this_process

        who = f"{user()}@{socket.gethostname()}"
        return Collaborators(
            builder=builder(self.folder),
            hosts=self.target.hosts(),
            images=self.images,
            driver=self.driver(),
            converged=ConvergedStates(self.store, self.generation),
            store=self.store,
            ledger=self.ledger,
            lease=Lease(self.store, who, this_process(), now),
            traffic=self.traffic,
            publisher=S3Publisher(lambda: self.session.client("s3")),
            sweeper=CloudSweeper(self.session.client),
            progress=self.progress,
            who=who,
            parameters=SsmParameters(lambda: self.session.client("ssm")),
            survey=AwsSurvey(self.session),
            variables=os.environ,
            prepare=self.prepare,
        )

    def prepare(self) -> None:
        """The state bucket, by calls that may be repeated, before any Pulumi state exists."""
        from infra.aws_session import ensure_bucket

        if not self.local:
            ensure_bucket(self.session, self.state_bucket()[0], {"ecomdeploy:managed-by": "ecomdeploy"})

    def has_state(self) -> bool:
        """Whether the bucket has Pulumi's state; asked without making any."""
        from infra.aws_session import holds_object

        bucket, prefix = self.state_bucket()
        return holds_object(self.session, bucket, f"{prefix}.pulumi/meta.yaml")

    def driver(self) -> AutomationDriver:
        """The embedded engine locally (the Pulumi CLI with ECOMDEPLOY_DRIVER=pulumi); the CLI on AWS."""
        from infra.lookup.aws import AwsLookup
        from stacks.pulumi_driver.automation import AutomationDriver, real_cli
        from stacks.secrets import read_secrets

        folder = self.state / "pulumi"
        confidential = read_secrets(self.spec, os.environ).values
        wanted = os.environ.get("ECOMDEPLOY_DRIVER") or ("embedded" if self.local else "pulumi")
        if wanted == "embedded" and self.local:
            backend, environment = folder.as_uri(), self.environment
            return AutomationDriver(
                "embedded engine",
                "embedded",
                folder,
                backend,
                environment,
                lambda: embedded_engine(environment),
                AwsLookup(self.session),
                confidential=confidential,
            )
        if wanted != "pulumi":
            raise EcomdeployError(
                f"ECOMDEPLOY_DRIVER={wanted} does not go with cloud: {self.spec.environment.cloud}",
                hint="ECOMDEPLOY_DRIVER=pulumi, or leave it out",
            )
        backend = folder.as_uri() if self.local else "s3://" + "/".join(self.state_bucket()).rstrip("/")
        secrets = self.spec.environment.secrets
        return AutomationDriver(
            "Pulumi CLI",
            "pulumi",
            folder,
            backend,
            self.environment,
            real_cli,
            AwsLookup(self.session),
            secrets,
            confidential,
            has_state=None if self.local else self.has_state,
        )


def embedded_engine(environment: Mapping[str, str]) -> Any:
    """The embedded engine with its AWS provider."""
    from infra.rehearsal.engine.commands.command import EmbeddedPulumiCommand
    from infra.rehearsal.providers.aws.provider import AwsProviders

    return EmbeddedPulumiCommand(AwsProviders(), environment=environment)


def now() -> datetime:
    return datetime.now(UTC)


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
