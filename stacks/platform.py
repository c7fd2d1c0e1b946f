"""The platform of an environment: network, cluster and GPU pools, shared by its services.

Unlike a service it has no releases: the spec is made so, and drift is seen because every run reads back
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.collaborators import Collaborators
from stacks.ground import survey_ground
from stacks.pulumi_driver.driver import Change
from stacks.run import Outputs, Run
from stacks.spec import Spec


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
    ground = survey_ground(deps.survey, run.wanted)
    run.changes = deps.driver.preview(run.wanted.platform, ground.settings)
    return report(run, "planned", run.outputs(run.wanted.platform) or {}, ground.notes)


def up(deps: Collaborators, spec: Spec) -> PlatformOutcome:
    """Provision it. State is read back first, so that drift is mended; nothing differs: no mutating call.

    Raises:
        Locked, CloudRefused, EcomdeployError.
    """
    run = Run.of(deps, spec)
    with run.hold_lease("platform up"):
        deps.progress.step(f"Provisioning the platform of {spec.environment.name}")
        ground = survey_ground(deps.survey, run.wanted)
        outputs = run.provision(run.wanted.platform, ground.settings, refresh=True)
    return report(run, "up", outputs, ground.notes)


def down(deps: Collaborators, spec: Spec) -> PlatformOutcome:
    """Remove all of it. Twice is fine."""
    run = Run.of(deps, spec)
    with run.hold_lease("platform down"):
        deps.progress.step(f"Removing the platform of {spec.environment.name}")
        run.take_down(run.wanted.platform)
    return report(run, "removed", {})


def report(run: Run, state: str, outputs: Outputs, notes: tuple[str, ...] = ()) -> PlatformOutcome:
    return PlatformOutcome(
        environment=run.wanted.spec.environment.name,
        state=state,
        driver=run.deps.driver.name,
        changes=run.changes,
        outputs=outputs,
        notes=notes,
    )
