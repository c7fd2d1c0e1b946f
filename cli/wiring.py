"""The only place where collaborators are made and the environment is read. All else receives what it uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import catalogs
from cli.placed import PlacedProject
from cli.who import now, who
from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.progress import Progress, Silent

if TYPE_CHECKING:
    from cli.cluster import ClusterWiring
    from infra.aws_session import AwsSession
    from infra.preflight.base import Looked
    from infra.rehearsal.cloud.client import LocalCloud
    from infra.targets.base import Traffic
    from stacks.adapters.builder import PackBuilder
    from stacks.collaborators import Collaborators, Parameters
    from stacks.history.read import Records
    from stacks.pulumi_driver.automation import AutomationDriver
    from stacks.records.ledger import Ledger
    from stacks.records.owner import Owner
    from stacks.records.store import RecordStore
    from stacks.run import Outcome
    from stacks.spec import Spec
    from stacks.wanted import Wanted

SPEC = "ecomdeploy.yaml"
STATE = ".ecomdeploy"


def home() -> Home:
    """The user's folders: `ECOMDEPLOY_HOME` and `ECOMDEPLOY_CACHE`, else the platform's.

    Raises:
        BadInput: the user has no home folder, as an unnamed one in a container, and names none.
    """
    import platformdirs

    given, cache = os.environ.get("ECOMDEPLOY_HOME"), os.environ.get("ECOMDEPLOY_CACHE")
    try:
        root = Path(given or platformdirs.user_data_dir("ecomdeploy")).expanduser().absolute()
        caches = Path(cache or (root / "cache" if given else platformdirs.user_cache_dir("ecomdeploy")))
        return Home(root, caches.expanduser().absolute())
    except RuntimeError:
        what = f"user {os.getuid()} has no home folder, and HOME is not set"
        raise BadInput(
            what, hint="set HOME, or ECOMDEPLOY_HOME: a folder that this user may write to"
        ) from None


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
    return wire(folder.absolute(), spec, progress).collaborators()


def wire(folder: Path, spec: Spec, progress: Progress, role: str = "") -> Wiring | ClusterWiring:
    """One project in one environment. `role`: assumed there (an ARN)."""
    if not spec.environment.cluster:
        return Wiring(folder, spec, progress, role)
    from cli.cluster import ClusterWiring

    state = folder / STATE / spec.environment.name
    return ClusterWiring(folder, spec, progress, state, home(), builder(folder))


def promote(folder: Path, deps: Collaborators, source: str, role: str = "") -> Collaborators:
    """The same, but the pack is what is live in the environment `source` (`role`: to be assumed to read there)."""
    from stacks.terms.promotion import Promotion

    there = wire(folder.absolute(), load_spec(folder, source), deps.progress, role)
    return replace(
        deps,
        builder=Promotion(place=there.spec.environment, ledger=there.ledger, images=there.images),
    )


def ledger(folder: Path, spec: Spec) -> Ledger:
    """The ledger, without starting anything."""
    return wire(folder.absolute(), spec, Silent()).ledger


def traffic(spec: Spec) -> Traffic:
    """The route to the live endpoint."""
    return wire(Path(), spec, Silent()).traffic


def is_on_cluster(spec: Spec) -> bool:
    """Whether its releases run on a Kubernetes cluster."""
    from infra.targets.catalog import targets

    return targets().get(spec.serve.target).on_cluster


def record_of(done: Outcome) -> dict[str, Any] | None:
    """The pack's record, from the local store; None when this machine did not build it."""
    if done.release is None:
        return None
    from modelpack.pack import load

    pack = load(home(), done.release.pack.input_digest)
    return dict(pack.record) if pack else None


@dataclass(frozen=True)
class Wiring(PlacedProject):
    """One project in one environment, and the collaborators that follow from it. `role`: assumed there (an ARN)."""

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
        cluster = self.cluster_variables(cloud) if self.target.on_cluster else {}
        return {**kept, **cloud.environment(), "AWS_REGION": region, "AWS_DEFAULT_REGION": region, **cluster}

    def cluster_variables(self, cloud: LocalCloud) -> dict[str, str]:
        """Where the local cloud's Kubernetes is, which is started."""
        access = cloud.ensure_kubernetes(self.progress)
        return {
            "KUBECONFIG": str(access.kubeconfig),
            "ECOMDEPLOY_GATEWAY": access.gateway,
            "ECOMDEPLOY_PROMETHEUS": access.prometheus,
            "ECOMDEPLOY_PACE": str(cloud.pace()),
            "ECOMDEPLOY_NAMESPACE": self.spec.environment.namespace,
        }

    def find_metrics(self) -> dict[str, Any]:
        """Where the local Kubernetes' autoscaler asks for the load; nothing where AWS's own scales."""
        if not self.target.on_cluster:
            return {}
        pace = float(self.environment["ECOMDEPLOY_PACE"])
        return {"prometheus": self.environment["ECOMDEPLOY_PROMETHEUS"], "pace": pace}

    def preflight(self, wanted: Wanted) -> tuple[Looked, ...]:
        """What the local Kubernetes lacks for it. KEDA is started where it is asked for."""
        from infra.rehearsal.cloud.kubernetes.keda.examine import examine_keda

        return examine_keda(local_cloud(), self.target, wanted.spec.scale, self.progress)

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

    @property
    def platform_store(self) -> RecordStore:
        """One for all services of the environment: of this user's local cloud, or of the state bucket."""
        from stacks.records.s3_store import S3Store
        from stacks.records.store import FolderStore

        name = self.spec.environment.name
        if self.local:
            return FolderStore(home().root / "platforms" / name)
        bucket, prefix = self.state_bucket()
        return S3Store(lambda: self.session.client("s3"), bucket, f"{prefix}platforms/{name}/")

    def state_bucket(self) -> tuple[str, str]:
        """Bucket and key prefix of `state: s3://...`."""
        bucket, _, prefix = str(self.spec.environment.state or "").removeprefix("s3://").partition("/")
        if not bucket:
            raise BadInput(
                f"environments.{self.spec.environment.name}.state is needed on AWS",
                hint="state: s3://my-state-bucket",
            )
        return bucket, f"{prefix.rstrip('/')}/" if prefix else ""

    @property
    def images(self) -> Any:
        from infra.aws_session import registry_credentials
        from stacks.adapters.images import RegistryImages

        if self.local:
            login = local_cloud().folder.registry_login
            return RegistryImages(home(), "http", lambda host: login)
        return RegistryImages(home(), "https", lambda host: registry_credentials(self.session))

    @property
    def published(self) -> Records | None:
        """What the bucket has; None where the local cloud does not run."""
        from stacks.adapters.bucket import S3Publisher

        if self.local and local_cloud().running() is None:
            return None
        return S3Publisher(lambda: self.session.client("s3"))

    @property
    def parameters(self) -> Parameters:
        """Where the values of secrets are kept."""
        from stacks.adapters.parameters import ClusterParameters, SsmParameters

        if not self.target.on_cluster:
            return SsmParameters(lambda: self.session.client("ssm"))
        from infra.kubernetes.client import KubernetesClient

        kubeconfig = Path(self.environment["KUBECONFIG"])
        return ClusterParameters(
            lambda: KubernetesClient(kubeconfig), self.spec.environment.namespace, self.spec.name
        )

    @property
    def generation(self) -> Callable[[], str]:
        """Identifies the cloud as it stands: another one after a reset or an older snapshot."""
        return local_cloud().generation if self.local else lambda: "aws"

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
            builder=replace(builder(self.folder), shipped=ShippedPacks(self.ledger, images)),
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
            preflight=self.preflight if self.local else lambda wanted: (),
            find_metrics=self.find_metrics if self.local else dict,
        )

    def stands(self, owner: Owner) -> bool | None:
        return (
            super().stands(owner) if self.local else None
        )  # elsewhere all who share the state are one owner

    def prepare(self) -> None:
        """The state bucket, by calls that may be repeated, before any Pulumi state exists."""
        from infra.aws_session import ensure_bucket

        if not self.local:
            ensure_bucket(self.session, self.state_bucket()[0], {"ecomdeploy:managed-by": "ecomdeploy"})

    def driver(self) -> AutomationDriver:
        """What talks to Pulumi for this environment."""
        from cli.drivers import make_driver

        bucket = ("", "") if self.local else self.state_bucket()
        return make_driver(self.spec, self.state / "pulumi", self.session, bucket)
