"""The only place where it is chosen who the collaborators are (cli/placed makes them), and where the user's folders
are read from the environment. All else receives what it uses."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import catalogs
from cli.placed.base import STATE
from modelpack.errors import BadInput
from modelpack.home import Home
from modelpack.progress import Progress, Silent

if TYPE_CHECKING:
    from cli.placed.aws import AwsWiring
    from cli.placed.cluster import ClusterWiring
    from infra.rehearsal.cloud.client import LocalCloud
    from infra.targets.base import Traffic
    from stacks.adapters.builder import PackBuilder
    from stacks.collaborators import Collaborators
    from stacks.records.ledger import Ledger
    from stacks.records.release import Release
    from stacks.run import Outcome
    from stacks.spec import Spec
    from stacks.wanted import Wanted

SPEC = "ecomdeploy.yaml"


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


def builder_and_base(
    folder: Path, spec: Spec, progress: Progress
) -> tuple[PackBuilder, Mapping[str, Any] | None]:
    """Who packs, and what the base stack has for a job that trains; nothing is asked of a cloud where none trains."""
    wanted = derive_wanted(spec)
    if not wanted.trains_elsewhere:
        return builder(folder), None
    from stacks.run import Run

    deps = collaborators(folder, spec, progress)
    made: Any = deps.builder
    return made, Run.of(deps, spec).outputs(wanted.base)


def derive_wanted(spec: Spec) -> Wanted:
    """What a run of this spec wants."""
    from infra.targets.catalog import targets
    from stacks.wanted import Wanted

    return Wanted.of(spec, targets().get(spec.serve.target).hosts())


def collaborators(folder: Path, spec: Spec, progress: Progress) -> Collaborators:
    """Everything `ship` works with. For `cloud: local` the local cloud is started when it does not run."""
    return wire(folder.absolute(), spec, progress).collaborators()


def wire(folder: Path, spec: Spec, progress: Progress, role: str = "") -> AwsWiring | ClusterWiring:
    """One project in one environment. `role`: assumed there (an ARN)."""
    if spec.environment.cluster:
        from cli.placed.cluster import ClusterWiring

        state = folder / STATE / spec.environment.name
        return ClusterWiring(folder, spec, progress, state, home(), builder(folder))
    return wire_account(folder, spec, progress, role)


def wire_account(folder: Path, spec: Spec, progress: Progress, role: str = "") -> AwsWiring:
    """The same where AWS's API is asked: of an account, or of the local cloud."""
    from cli.placed.aws import AwsWiring
    from cli.placed.rehearsal import LocalWiring

    kind = LocalWiring if spec.environment.cloud == "local" else AwsWiring
    return kind(folder, spec, progress, home(), builder(folder), role)


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


def find_release(folder: Path, spec: Spec, number: int | None = None, otherwise: str = "") -> Release:
    """Release `number`, else the live one.

    Args:
        otherwise: what to type, beside `ecomdeploy up`, where nothing is live.

    Raises:
        BadInput: there is none.
    """
    history = ledger(folder, spec)
    if number is not None:
        return history.find(number)
    if (live := history.live()) is None:
        raise BadInput(f"nothing of {spec.name} is live", hint=f"ecomdeploy up{otherwise}")
    return live


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
