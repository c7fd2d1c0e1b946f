"""The platform of an environment: network, cluster and GPU pools, shared by its services.

Unlike a service it has no releases: the spec is made so, and drift is seen because every run reads back
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelpack.errors import BadInput
from stacks.collaborators import Collaborators
from stacks.ground import survey_ground
from stacks.ownership import foresee_owner, refuse_copy, sign_platform
from stacks.preflight import refuse_lacking, warn_of_lacks
from stacks.pulumi_driver.driver import Change
from stacks.quotas import ask, refuse_short, tell_remedy, warn
from stacks.records.users import enter_user, read_users, strike_user
from stacks.run import Outputs, Run, describe_found
from stacks.spec import Spec
from stacks.terms.network import refuse_leaving, refuse_residents


@dataclass(frozen=True, kw_only=True)
class PlatformOutcome:
    """`state`: "up", "planned" or "removed"; `changes` without what stayed the same."""

    environment: str
    state: str
    driver: str
    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What whoever plans must know."""
    hint: str = ""
    """What to type where `platform up` will refuse."""

    def document(self) -> dict[str, Any]:
        """What `--json` prints (docs/json.md)."""
        return {
            "environment": self.environment,
            "state": self.state,
            "changes": [change.document() for change in self.changes],
            "outputs": dict(self.outputs),
            "driver": self.driver,
            "notes": list(self.notes),
        }


def plan(deps: Collaborators, spec: Spec) -> PlatformOutcome:
    """What `up` would change, against what is really there: edits by other hands show as updates."""
    run = Run.of(deps, spec)
    run.refuse_other()
    ground = survey_ground(deps.survey, run.wanted)
    refuse_leaving(run, ground.left)
    foresee_owner(run)
    run.changes = run.preview(run.wanted.platform, ground.settings)
    quotas = ask(deps.quotas, ground.demands)
    lacking = warn_of_lacks(deps.platform_preflight(run.wanted))
    notes = (*lacking, *warn(run.wanted, quotas, "platform up"), *ground.notes)
    planned = report(run, "planned", run.outputs(run.wanted.platform) or {}, notes)
    return replace(planned, hint=tell_remedy(spec, quotas.short[0]) if quotas.short else "")


def up(deps: Collaborators, spec: Spec, *, adopt: bool = False) -> PlatformOutcome:
    """Provision it. State is read back first, so that drift is mended; nothing differs: no mutating call.

    Args:
        adopt: take over what another owner has made under these names.

    Raises:
        BadInput: this folder is a copy of another project's.
        Locked, CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    refuse_copy(run)
    with run.hold_lease("platform up"), run.hold_platform("platform up"):
        refuse_lacking(deps.platform_preflight(run.wanted), deps.progress, "a platform")
        ground = survey_ground(deps.survey, run.wanted)
        refuse_leaving(run, ground.left)
        refuse_short(run, ask(deps.quotas, ground.demands))
        sign_platform(run, adopt=adopt)
        enter_user(deps.platform_store, spec.name)
        deps.progress.step(f"Provisioning the platform of {spec.environment.name}")
        outputs = run.provision(run.wanted.platform, ground.settings, refresh=True)
        if run.shared.outputs(run.wanted.platform) != outputs:
            run.shared.record(run.wanted.platform, "", outputs)
    return report(run, "up", outputs, ground.notes)


def down(deps: Collaborators, spec: Spec, *, shared: bool = False) -> PlatformOutcome:
    """Remove all of it. Twice is fine.

    Args:
        shared: although other services use it too, and earlier releases could not be put back.

    Raises:
        BadInput: others use it, model servers stand in its network, or this folder is a copy of another project's.
        Locked, CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    refuse_copy(run)
    with run.hold_lease("platform down"), run.hold_platform("platform down"):
        others = [name for name in read_users(deps.platform_store) if name != spec.name]
        if others and not shared:
            what = f"the platform of {spec.environment.name} is used by {', '.join(others)} too"
            raise BadInput(what, hint="take those down first, or: ecomdeploy platform down --shared")
        refuse_residents(run, f"the platform of {spec.environment.name} would go", dark=shared)
        deps.progress.step(f"Removing the platform of {spec.environment.name}")
        run.take_down(run.wanted.platform)
        for name in read_users(deps.platform_store):
            strike_user(deps.platform_store, name)
    return report(run, "removed", {})


def report(run: Run, state: str, outputs: Outputs, notes: tuple[str, ...] = ()) -> PlatformOutcome:
    return PlatformOutcome(
        environment=run.wanted.spec.environment.name,
        state=state,
        driver=run.deps.driver.name,
        changes=run.changes,
        outputs=outputs,
        notes=(*notes, *describe_found(run.changes, run.deps.ledger)),
    )
