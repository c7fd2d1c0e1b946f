"""What each stack last converged to, so that an unchanged `up` or `plan` need not run its program at all.

Why skipping is safe. A program is a pure function of its sources, its settings and the driver. If all three are
what they were at the last run that ended well, a run would declare the same. So only the world can differ:

    a run that did not end well      leaves no state: it is forgotten before the run, recorded after it
    a cloud reset, or an older one   has another `generation` (AWS has one for ever)
    what the release stands on       is looked at even when a run is skipped (stacks/ship.py): the image in the
                                     registry, the bucket, the endpoint with its phase, revision and image digest,
                                     golden answers. If one is not as it should be, the stack is run with a refresh
    other hands                      have changed something: the driver is asked, which reads all of the stack and
                                     changes nothing (`Driver.has_drifted`), once in a run. What `plan` shows, `up` does
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from modelpack.progress import Progress
from stacks.pulumi_driver.driver import Change, Deployed, Driver, Settings, Stack
from stacks.records.store import RecordStore
from stacks.records.upgrade import upgrade_outputs

Outputs = Mapping[str, Any]


class ConvergedStates:
    """The last converged state of each stack. `generation` identifies the cloud as it stands."""

    def __init__(self, store: RecordStore, generation: Callable[[], str]) -> None:
        self.store, self.generation = store, generation

    def outputs(self, stack: Stack, digest: str = "") -> Outputs | None:
        """The outputs of the last run, if it ended well in the cloud as it stands (and on this digest, if given)."""
        try:
            state = json.loads(self.store.read(file_of(stack)) or b"null")
        except ValueError:
            return None
        if not isinstance(state, dict) or not state.keys() >= {"digest", "generation", "outputs"}:
            return None
        if state["generation"] != self.generation() or digest not in ("", state["digest"]):
            return None
        return upgrade_outputs(state["outputs"])

    def forget(self, stack: Stack) -> None:
        name = file_of(stack)
        while (was := self.store.read(name)) is not None and not self.store.remove(name, was=was):
            pass

    def record(self, stack: Stack, digest: str, outputs: Outputs) -> None:
        state = {"digest": digest, "generation": self.generation(), "outputs": dict(outputs)}
        self.store.write(file_of(stack), json.dumps(state).encode(), was=self.store.read(file_of(stack)))


def file_of(stack: Stack) -> str:
    return f"stacks/{stack.program}-{stack.name}.json"


def digest_of(driver: Driver, stack: Stack, settings: Settings) -> str:
    """What a run depends on: the program's sources, its settings, the driver."""
    content = json.dumps([driver.kind, driver.name, driver.source(stack), settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def provision(
    driver: Driver,
    converged: ConvergedStates,
    stack: Stack,
    settings: Settings,
    progress: Progress,
    *,
    refresh: bool = False,
    look: bool = True,
) -> Deployed:
    """Bring a stack to its settings, by running its program only if that could change anything.

    `refresh` asks for the run, and for reading the state back from the cloud first. `look`: other hands may have
    changed the stack's things since this run last saw them. Then it is run, and its state read back, where something
    has drifted, and a run that is due anyway reads back as well.
    """
    digest = digest_of(driver, stack, settings)
    outputs = None if refresh else converged.outputs(stack, digest)
    if outputs is not None and not (look and driver.has_drifted(stack, settings)):
        return Deployed(outputs)
    refresh = refresh or look or converged.outputs(stack) is None
    converged.forget(stack)
    deployed = driver.up(stack, settings, progress, refresh=refresh)
    converged.record(stack, digest, deployed.outputs)
    return deployed


def foresee(
    driver: Driver, converged: ConvergedStates, stack: Stack, settings: Settings
) -> tuple[Change, ...]:
    """What `provision` with a refresh would change: asked of a preview, unless the same as above proves that it would
    show nothing and looking takes less than previewing."""
    known = converged.outputs(stack, digest_of(driver, stack, settings)) is not None
    if known and driver.looks and not driver.has_drifted(stack, settings):
        return ()
    return driver.preview(stack, settings)


def take_down(driver: Driver, converged: ConvergedStates, stack: Stack, progress: Progress) -> Deployed:
    """Destroy a stack and forget it. Doing it twice is fine."""
    converged.forget(stack)
    return Deployed({}, driver.destroy(stack, progress))
