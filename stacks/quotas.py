"""An account's quotas, asked before anything changes: what AWS would refuse halfway is refused here, and what an
autoscaler could not get later is told. Where nothing is to change, nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from infra.hosts import Hosts
from infra.quotas.quota import QuotaDemand, QuotaReading, Quotas
from infra.targets.base import Observation
from infra.targets.moves import Strategy
from modelpack.errors import CloudRefused, EcomdeployError
from stacks.candidates import serves_already
from stacks.records.release import Packed
from stacks.rollout.choice import choose, count
from stacks.run import Run
from stacks.spec import Spec
from stacks.steps import find_miscount
from stacks.wanted import Wanted

UNREAD = (
    "which needs servicequotas:Get*, servicequotas:List*, sagemaker:ListEndpoints and sagemaker:Describe*"
)


@dataclass(frozen=True, kw_only=True)
class QuotaReport:
    """What the account has of what is to be made. `notes`: what is no reason to stop."""

    readings: tuple[QuotaReading, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def short(self) -> tuple[QuotaReading, ...]:
        """Those that AWS would refuse."""
        return tuple(one for one in self.readings if one.is_short)


def ask(quotas: Quotas, demands: Sequence[QuotaDemand]) -> QuotaReport:
    """What the cloud says; that it says nothing is a note, for AWS refuses what is too much all the same."""
    if not demands:
        return QuotaReport()
    try:
        found = quotas.read(demands)
    except EcomdeployError as error:
        return QuotaReport(notes=(f"quotas were not read, {UNREAD}: {error}",))
    unknown = sorted({one.name for one, reading in zip(demands, found, strict=True) if reading is None})
    readings = tuple(one for one in found if one is not None)
    notes = [f"Service Quotas has no {name!r}: not checked" for name in unknown]
    notes += [
        f"not enough to grow to: {one.describe()}"
        for one in readings
        if one.hinders_growth and not one.is_short
    ]
    return QuotaReport(readings=readings, notes=tuple(notes))


def ask_for_service(run: Run, pack: Packed | None) -> QuotaReport:
    """For what `up` would change of the service; `pack`: None while it is not known.

    Raises:
        CloudRefused, EcomdeployError: the endpoint could not be looked at.
    """
    if run.deps.hosts.quota is None:
        return QuotaReport()
    if goes_on(run):
        return QuotaReport()
    if pack is None or not serves_already(run, pack):
        seen, live = run.deps.traffic.observe(run.wanted.endpoint), run.deps.ledger.live()
        before, chosen = live.serving.instance if live else "", settle_strategy(run, seen.replicas)
        report = ask(run.deps.quotas, service_demands(run.deps.hosts, run.wanted, seen, before))
        return replace(report, notes=(*chosen, *report.notes))
    miscount = find_miscount(run)
    more = miscount[1] - miscount[0] if miscount else 0
    why = f"{more} more replicas"
    return ask(run.deps.quotas, demand(run.deps.hosts, run.wanted, more, 0, why) if more > 0 else ())


def settle_strategy(run: Run, replicas: int) -> tuple[str, ...]:
    """What `strategy: auto` is this time, from now on in the run's spec; why, in words. A first release has none."""
    wanted = run.wanted
    if wanted.spec.rollout.strategy != "auto" or not replicas:
        return ()
    asked = demand(run.deps.hosts, wanted, replicas, 0, "a second fleet beside the one that serves")
    free = next((one.free for one in ask(run.deps.quotas, asked).readings), None)
    chosen = choose(wanted.spec.rollout, replicas, free)
    run.wanted = replace(wanted, spec=replace(wanted.spec, rollout=chosen.rollout))
    return (chosen.why,)


def goes_on(run: Run) -> bool:
    """Whether the servers of a release that an earlier run did not end may be there already."""
    begun = run.deps.ledger.find_unfinished()
    return begun is not None and begun.serving == run.wanted.serving


def service_demands(
    hosts: Hosts, wanted: Wanted, seen: Observation, before: str = ""
) -> tuple[QuotaDemand, ...]:
    """For a release that takes over from what is `seen`, on instances of the type `before`: its own start before those
    end (https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html)."""
    scale = wanted.spec.scale
    first = max(1, scale.min)
    scheduled = (*(one.min for one in scale.schedule), *(one.min for one in scale.recurring))
    most = max([scale.max, *scheduled]) if scale.is_automatic else first
    if not seen.replicas:
        return demand(hosts, wanted, first, most - first, f"a release starts with {first}")
    amount = max(count_beside(wanted, seen.replicas), first - seen.replicas)
    why = f"a new release's {amount} start beside the {seen.replicas} that serve, until traffic has moved"
    if wanted.spec.rollout.strategy == "shadow":
        amount = seen.replicas + first
        why = f"{seen.replicas} as they serve and {first} for copies start beside the {seen.replicas} that serve"
    freed = seen.replicas if before == wanted.serving.instance else 0
    return demand(hosts, wanted, amount, max(0, most - freed - amount), why)


def count_beside(wanted: Wanted, replicas: int) -> int:
    """How many instances start before as many end: all at once, or a batch of a rolling update
    (https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-rolling.html)."""
    policy = wanted.spec.rollout.policy((), keep_capacity=True)
    return count(replicas, policy.share if policy.strategy is Strategy.ROLLING else 100)


def demand(hosts: Hosts, wanted: Wanted, amount: int, growth: int, why: str) -> tuple[QuotaDemand, ...]:
    if hosts.quota is None:
        return ()
    service, form = hosts.quota
    name = form.format(instance=wanted.serving.instance)
    return (QuotaDemand(service=service, name=name, amount=amount, growth=growth, why=why),)


def refuse_short_service(run: Run, pack: Packed | None = None) -> None:
    """Stop before anything changes, and before minutes of training where a release is sure to come: once without the
    pack, and once it is known.

    Raises:
        CloudRefused: the account may not have what the release needs.
    """
    live = run.deps.ledger.live()
    is_sure = live is None or live.serving != run.wanted.serving
    if is_sure is (pack is None):
        refuse_short(run, ask_for_service(run, pack))


def refuse_short(run: Run, report: QuotaReport) -> None:
    """Raises CloudRefused with all that is short; what else there is to say is said."""
    for note in report.notes:
        run.deps.progress.note(note)
    if report.short:
        raise CloudRefused(
            "; ".join(one.describe() for one in report.short),
            hint="nothing was changed. Ask for more: "
            + "; ".join(tell_remedy(run.wanted.spec, one) for one in report.short),
        )


def tell_remedy(spec: Spec, reading: QuotaReading) -> str:
    """What to type, and where to click."""
    if spec.environment.cloud == "local":
        return f'ecomdeploy cloud quota "{reading.name}" {reading.enough}'
    region, service = spec.environment.region, reading.demand.service
    host = "console.amazonaws.cn" if region.startswith("cn-") else "console.aws.amazon.com"
    return (
        f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {reading.code} "
        f"--desired-value {reading.enough} --region {region}, or "
        f"https://{region}.{host}/servicequotas/home/services/{service}/quotas/{reading.code}"
    )


def warn(wanted: Wanted, report: QuotaReport, command: str = "up") -> list[str]:
    """The report in a plan's notes. `command`: what will refuse."""
    refused = [
        f"`{command}` will refuse: {one.describe()} ({tell_remedy(wanted.spec, one)})" for one in report.short
    ]
    return [*refused, *report.notes]
