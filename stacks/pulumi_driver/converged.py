"""What the last run of each stack converged to, so that an unchanged `up` need not run the program at all.

Why skipping is safe. A program is a pure function of its sources, its settings and the driver; if all three
are what they were at the last run that ended well, a run would declare the same. So only the world can
differ, and:

* a run that did not end well leaves no memory (`forget` comes before the run, `remember` after it); * a
cloud that was reset, or came back from an older snapshot, has another `generation` (AWS has one for ever);
* what the release stands on is looked at whenever a run is skipped: the image in the registry, the bucket,
the endpoint with its status, configuration and image digest, and golden answers (stacks/ship.py). If one is
not as remembered, the memory is dropped and the stack is run, with a refresh; * drift elsewhere is what
`plan` and `up --refresh` are for: both read everything back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from modelpack.progress import Progress
from stacks.pulumi_driver.driver import Deployed, Driver, Settings, Stack
from stacks.records.store import Shelf


class Memory:
    """Remembers per stack. `generation` identifies the cloud as it stands."""

    def __init__(self, shelf: Shelf, generation: Callable[[], str]) -> None:
        self.shelf, self.generation = shelf, generation

    def recall(self, stack: Stack, digest: str) -> Mapping[str, Any] | None:
        """The outputs of the last run, if it ended well and this digest is its digest."""
        record = self.record(stack)
        if record is None or record["digest"] != digest or record["generation"] != self.generation():
            return None
        outputs: Mapping[str, Any] = record["outputs"]
        return outputs

    def outputs(self, stack: Stack) -> Mapping[str, Any] | None:
        """The outputs of the last run, if it ended well in the cloud as it stands."""
        record = self.record(stack)
        return record["outputs"] if record and record["generation"] == self.generation() else None

    def settled(self, stack: Stack) -> bool:
        """Whether the last run ended well and the cloud is still that one: then a run needs no refresh."""
        record = self.record(stack)
        return record is not None and record["generation"] == self.generation()

    def forget(self, stack: Stack) -> None:
        name = file_of(stack)
        while (was := self.shelf.read(name)) is not None and not self.shelf.remove(name, was=was):
            pass

    def remember(self, stack: Stack, digest: str, outputs: Mapping[str, Any]) -> None:
        data = {"digest": digest, "generation": self.generation(), "outputs": dict(outputs)}
        self.shelf.write(file_of(stack), json.dumps(data).encode(), was=self.shelf.read(file_of(stack)))

    def record(self, stack: Stack) -> dict[str, Any] | None:
        try:
            record = json.loads(self.shelf.read(file_of(stack)) or b"null")
        except ValueError:
            return None
        return (
            record
            if isinstance(record, dict) and record.keys() >= {"digest", "generation", "outputs"}
            else None
        )


def file_of(stack: Stack) -> str:
    return f"stacks/{stack.program}-{stack.name}.json"


def digest_of(driver: Driver, stack: Stack, settings: Settings) -> str:
    """What a run depends on: the program's sources, its settings, the driver."""
    content = json.dumps([driver.kind, driver.name, driver.source(stack), settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def provision(
    driver: Driver,
    memory: Memory,
    stack: Stack,
    settings: Settings,
    progress: Progress,
    *,
    refresh: bool = False,
) -> Deployed:
    """Bring a stack to its settings, by running its program only if that could change anything.

    `refresh` asks for the run and for reading the state back from the cloud first; without it that
    happens only when the last run did not end well, or the cloud is not the same any more.
    """
    digest = digest_of(driver, stack, settings)
    outputs = None if refresh else memory.recall(stack, digest)
    if outputs is not None:
        return Deployed(outputs)
    refresh = refresh or not memory.settled(stack)
    memory.forget(stack)
    deployed = driver.up(stack, settings, progress, refresh=refresh)
    memory.remember(stack, digest, deployed.outputs)
    return deployed


def take_down(driver: Driver, memory: Memory, stack: Stack, progress: Progress) -> Deployed:
    """Destroy a stack and forget it. Doing it twice is fine."""
    memory.forget(stack)
    return Deployed({}, driver.destroy(stack, progress))
