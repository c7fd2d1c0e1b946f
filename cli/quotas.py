"""The quotas of the accounts of a project's environments, for `doctor`: no lease, no ledger, nothing started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cli import wiring
from modelpack.progress import Silent

if TYPE_CHECKING:
    from cli.placed.aws import AwsWiring
    from infra.quotas.quota import QuotaDemand
    from stacks.quotas import QuotaReport
    from stacks.spec import Spec


def list_clouds(folder: Path) -> dict[str, str]:
    """The environments of a project's spec, each with its cloud."""
    from stacks.reading.document import read
    from stacks.reading.load import environments_of

    found = {name: one.at("cloud") for name, one in environments_of(read(folder / wiring.SPEC)[0]).items()}
    return {name: str(cloud.data) for name, cloud in found.items() if cloud}


def ask_quotas(folder: Path, spec: Spec) -> QuotaReport:
    """What the account has of what a release, and a platform with pools, would take.

    Raises:
        CloudRefused, EcomdeployError: it could not be asked.
    """
    from infra.quotas.reading import AwsQuotas
    from stacks.quotas import ask

    there = wiring.wire_account(folder.absolute(), spec, Silent())
    return ask(AwsQuotas(there.session), list(demands(there)))


def demands(there: AwsWiring) -> Iterator[QuotaDemand]:
    from infra.ground.survey import AwsSurvey
    from stacks.ground import survey_ground
    from stacks.quotas import service_demands

    wanted = wiring.derive_wanted(there.spec)
    if wanted.hosts.quota is not None:
        yield from service_demands(wanted.hosts, wanted, there.traffic.observe(wanted.endpoint))
    if there.spec.platform.gpu_pools:
        yield from survey_ground(AwsSurvey(there.session), wanted).demands
