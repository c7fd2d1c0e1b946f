"""The platform of an environment: network, cluster and GPU pools, shared by its services.

Unlike a service it has no releases: the spec is made so, and drift is seen because every run reads back
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stacks.collaborators import Shop
from stacks.pulumi_driver.driver import Change
from stacks.settings import platform_settings, platform_stack
from stacks.spec import Spec


@dataclass(frozen=True, kw_only=True)
class PlatformOutcome:
    """`state`: "up", "planned" or "removed"; `changes` without what stayed the same."""

    environment: str
    state: str
    driver: str
    changes: tuple[Change, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The JSON of DESIGN section 7."""
        return {
            "environment": self.environment,
            "state": self.state,
            "changes": [change.document() for change in self.changes],
            "outputs": dict(self.outputs),
            "driver": self.driver,
        }


def plan(shop: Shop, spec: Spec) -> PlatformOutcome:
    """What `up` would change, against what is really there: edits by other hands show as updates."""
    changes = shop.driver.preview(platform_stack(spec), platform_settings(spec))
    return report(shop, spec, "planned", changes, shop.outputs(platform_stack(spec)) or {})


def up(shop: Shop, spec: Spec) -> PlatformOutcome:
    """Provision it. State is read back first, so that drift is mended; nothing differs: no mutating call.

    Raises:
        Locked, CloudRefused, EcomdeployError.
    """
    with shop.writing("platform up"):
        shop.progress.step(f"Provisioning the platform of {spec.environment.name}")
        done = shop.provision(platform_stack(spec), platform_settings(spec), refresh=True)
    return report(shop, spec, "up", done.changes, done.outputs)


def down(shop: Shop, spec: Spec) -> PlatformOutcome:
    """Remove all of it. Twice is fine."""
    with shop.writing("platform down"):
        shop.progress.step(f"Removing the platform of {spec.environment.name}")
        gone = shop.take_down(platform_stack(spec))
    return report(shop, spec, "removed", gone.changes, {})


def report(
    shop: Shop, spec: Spec, state: str, changes: tuple[Change, ...], outputs: Mapping[str, Any]
) -> PlatformOutcome:
    return PlatformOutcome(
        environment=spec.environment.name,
        state=state,
        driver=shop.driver.name,
        changes=changes,
        outputs=outputs,
    )
