"""The add-ons of one local Kubernetes: started beside it where they were asked for, and told of. One that fails leaves
the rest, and the other one, as they are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from infra.kubernetes.client import KubernetesClient
from infra.rehearsal.cloud.kubernetes.addons.base import Addon
from infra.rehearsal.cloud.kubernetes.addons.catalog import addons, find_addon
from infra.rehearsal.cloud.kubernetes.addons.source import load_definitions
from infra.rehearsal.cloud.kubernetes.places import KubernetesPlaces
from infra.rehearsal.cloud.kubernetes.processes import Keeper
from infra.rehearsal.cloud.kubernetes.start_up import StartUp
from infra.rehearsal.cloud.own_files import read_own
from modelpack.errors import EcomdeployError
from modelpack.home import write_atomically


@dataclass
class RunningAddons:
    """`seconds`: how long a start of one may take. Its callers see to it that one at a time is at work here."""

    places: KubernetesPlaces
    seconds: float
    _starts: dict[str, StartUp] = field(default_factory=dict)

    def add(self, name: str, folder: Path) -> None:
        """Run it from that install's folder, from now on; nothing where it runs, or comes up. Raises BadInput where
        there is none of that name."""
        addon = find_addon(name)
        start = self._starts.get(name)
        if start is None or start.look()[0] not in ("starting", "ready"):
            write_atomically(
                self.places.addon(name), json.dumps({"folder": str(folder)}).encode(), private=True
            )
            self._begin(addon)

    def resume(self) -> None:
        """Start those that were asked for before."""
        for addon in addons():
            if self.places.addon(addon.source.name).exists():
                self._begin(addon)

    def interrupt(self) -> None:
        """Come up no further."""
        for start in self._starts.values():
            start.interrupt()

    def keepers(self) -> Iterator[Keeper]:
        """Of all their programs."""
        for start in list(self._starts.values()):
            yield from list(start.keepers.values())

    def forget(self) -> None:
        """They have ended with the rest."""
        self._starts.clear()

    def status(self) -> list[dict[str, Any]]:
        """How far each is that was asked for, and why it is no further."""
        found = [(name, *start.look()) for name, start in list(self._starts.items())]
        return [{"name": name, "state": state, "reason": reason} for name, state, reason in found]

    def _begin(self, addon: Addon) -> None:
        name = addon.source.name
        if before := self._starts.get(name):
            before.interrupt()
            _end(before)
        start = self._starts[name] = StartUp(self.places, self.seconds)
        start.begin(partial(_bring_up, addon, start))


def _bring_up(addon: Addon, start: StartUp, deadline: float) -> None:
    """Its definitions, its objects, its programs, until they do their work. Nothing of it runs where it fails."""
    places, ports = start.places, start.places.ports()
    with contextlib.closing(KubernetesClient(places.kubeconfig)) as client:
        try:
            folder = _find_folder(addon, places)
            for definition in load_definitions(folder):
                start.apply(client, definition, deadline)
            for obj in addon.objects(places, ports):
                # a kind is served some seconds after its definition is there
                start.wait(obj["kind"], partial(client.knows, obj["apiVersion"], obj["kind"]), deadline)
                start.apply(client, obj, deadline)
            programs = addon.programs(folder, places, ports)
            start.keep(programs)
            start.await_up([one.name for one in programs], deadline)
            start.wait(programs[-1].name, partial(addon.answers, client, ports), deadline)
        except (EcomdeployError, OSError):
            _end(start)
            with contextlib.suppress(EcomdeployError):
                for orphan in addon.orphans:
                    client.delete(orphan)
            raise


def _find_folder(addon: Addon, places: KubernetesPlaces) -> Path:
    folder = Path(json.loads(read_own(places.addon(addon.source.name)))["folder"])
    if not folder.is_dir():
        raise EcomdeployError(
            f"{addon.source.title} is not in {folder} any more: {addon.source.hint}", hint=addon.source.hint
        )
    return folder


def _end(start: StartUp) -> None:
    """Its programs, the last first: KEDA's adapter waits for an operator that is gone."""
    for keeper in reversed(list(start.keepers.values())):
        keeper.stop()
    start.keepers.clear()
