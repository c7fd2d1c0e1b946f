"""What `doctor ENV` says of a cluster: every check of `infra/preflight`, and the registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cli import wiring
from cli.checks.base import Finding
from cli.placed.cluster import ClusterWiring
from modelpack.errors import BadInput, EcomdeployError
from modelpack.progress import Silent
from stacks.spec import Spec


def examine_cluster(spec: Spec, folder: Path) -> Iterator[Finding]:
    """Raises BadInput: the environment has none of its own."""
    wired = wiring.wire(folder.absolute(), spec, Silent())
    if not isinstance(wired, ClusterWiring):
        what = f"environment {spec.environment.name} is cloud: {spec.environment.cloud}: it has no cluster to look at"
        raise BadInput(what, hint="ecomdeploy doctor")
    for looked in wired.preflight(wiring.derive_wanted(spec)):
        name = looked.name.replace("_", " ")
        if not looked.lacks:
            yield Finding(name, "ok", "nothing is lacking")
        for lack in looked.lacks:
            yield Finding(name, "failure" if lack.stops else "warning", lack.what, lack.hint)
    yield examine_registry(wired)


def examine_registry(wired: ClusterWiring) -> Finding:
    """Whether the registry answers, and knows us. A repository that is not there yet may come with the first push."""
    from infra.kubernetes.distributions import distributions

    place = wired.spec.environment
    told, repository = distributions()[place.distribution], f"{place.registry}/{wired.spec.name}"
    try:
        there = wired.images.is_reachable(repository)
    except EcomdeployError as error:
        return Finding("registry", "failure", str(error), told.login)
    if there:
        return Finding("registry", "ok", f"{repository} is there")
    made = told.repositories or "most registries make it with the first push"
    return Finding("registry", "warning", f"{repository} is not there, or its registry does not answer", made)
