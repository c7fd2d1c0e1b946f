"""When no rollout may begin: the freeze windows of the spec, and its sale days.

Only the move to another release is refused: what stands around the live one (scale, alarms) may change on any day, and
a rollback is always possible. A `--override` with a reason goes through, and the ledger keeps the reason.
"""

from __future__ import annotations

from datetime import datetime

from infra.spec import Period
from modelpack.errors import BadInput
from stacks.candidates import serves_already
from stacks.records.release import Packed
from stacks.run import Run
from stacks.spec import Spec


def find_freeze(spec: Spec, now: datetime) -> Period | None:
    """The window that `now` (aware) lies in, if rollouts are refused in it; of several the one that ends last."""
    sales = spec.scale.schedule if spec.rollout.sale_days == "refuse" else ()
    frozen = [one for one in (*spec.rollout.freeze, *sales) if one.start <= now < one.end]
    return max(frozen, key=lambda one: one.end, default=None)


def refuse_frozen(run: Run, pack: Packed, override: str) -> str:
    """What the ledger is to say of a rollout that begins although it is frozen; "" when it is not.

    Raises:
        BadInput: rollouts are frozen now, this pack does not serve yet, and there is no `override`.
    """
    found = find_freeze(run.wanted.spec, run.deps.ledger.clock())
    if found is None or serves_already(run, pack):
        return ""
    if not override:
        hint = f"wait until {found.end.isoformat()}, or say why not: ecomdeploy up --override REASON"
        raise BadInput(f"{describe_freeze(found)}: no rollout begins", hint=hint)
    run.deps.progress.note(f"{describe_freeze(found)}; overridden: {override}")
    return f"despite {found.name}: {override}"


def describe_freeze(period: Period) -> str:
    return f"rollouts are frozen by {period.name} until {period.end.isoformat()}"
