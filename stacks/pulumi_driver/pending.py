"""What a kill left behind on the Pulumi CLI: creates that were begun, of which the state has only the intent.

The CLI's own way is to forget them (`refresh --clear-pending-creates`). With a provider that never takes over what is
there, as AWS's, the next create then fails for ever with AlreadyExists, or makes a second one. So each is looked up,
and what is there goes into the state with its id; the refresh that follows reads the rest.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.lookup.base import PendingCreate, ResourceLookup
from modelpack.errors import EcomdeployError
from modelpack.progress import Progress

State = dict[str, Any]
"""DeploymentV3 (pulumi/pulumi, sdk/go/common/apitype/core.go); its secrets stay encrypted."""


@dataclass(frozen=True)
class Recovery:
    """`state`: what to go on with; names of what was `found` there and of what was never made."""

    state: State
    found: tuple[str, ...]
    dropped: tuple[str, ...]


def recover(opened: Any, lookup: ResourceLookup, progress: Progress) -> None:
    """Resolve the pending creates of a stack, if there are any.

    Raises:
        CommandError: the CLI did not give or take the state.
        CloudRefused, EcomdeployError: the cloud did not say, or nobody knows how to look; the state is as it was.
    """
    document = json.loads(run(opened, "stack", "export").stdout)
    state = document.get("deployment") or {}
    if not creates(state):
        return
    recovery = resolve(state, lookup)
    with tempfile.TemporaryDirectory(prefix="ecomdeploy-state-") as folder:
        file = Path(folder) / "state.json"
        file.write_text(json.dumps({**document, "deployment": recovery.state}))
        run(opened, "stack", "import", "--file", str(file))
    for name in recovery.found:
        progress.note(f"found {name}, which an interrupted run has made: it is taken into the state")
    for name in recovery.dropped:
        progress.note(f"{name} of an interrupted run is not there, or made again without harm")


def run(opened: Any, *words: str) -> Any:
    """A command that the Automation API has only in a form that writes secrets out in the clear."""
    place = opened.workspace
    home = {"PULUMI_HOME": place.pulumi_home} if place.pulumi_home is not None else {}
    return place.pulumi_command.run(
        [*words, "--stack", opened.name], place.work_dir, {**home, **place.env_vars}
    )


def creates(state: State) -> list[Mapping[str, Any]]:
    """The begun of resources whose create was begun."""
    pending = state.get("pending_operations") or ()
    return [operation["resource"] for operation in pending if operation["type"] == "creating"]


def resolve(state: State, lookup: ResourceLookup) -> Recovery:
    """The state without its pending creates, with what is there of them. Raises what `lookup.find` raises.

    Raises:
        EcomdeployError: of a type that cannot be looked up.
    """
    begun = [intent for intent in creates(state) if intent.get("custom")]
    strange = [intent for intent in begun if not is_provider(intent) and not lookup.knows(intent["type"])]
    if strange:
        raise unknown(strange)
    resources: list[Mapping[str, Any]] = list(state.get("resources") or ())
    found, dropped = [], []
    for intent in begun:
        id = None if is_provider(intent) else lookup.find(describe(intent, resources))  # noqa: A001
        words = f"{intent['type'].rpartition(':')[2]} {intent['urn'].rpartition('::')[2]}"
        if id is None:
            dropped.append(words)
            continue
        found.append(words)
        resources = [*make_way(resources, intent["urn"]), as_made(intent, id)]
    rest = [one for one in state["pending_operations"] if one["type"] != "creating"]
    return Recovery(
        {**state, "resources": resources, "pending_operations": rest}, tuple(found), tuple(dropped)
    )


def is_provider(intent: Mapping[str, Any]) -> bool:
    return str(intent["type"]).startswith("pulumi:providers:")


def describe(intent: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> PendingCreate:
    known = frozenset(str(one.get("id")) for one in resources if one["type"] == intent["type"])
    return PendingCreate(intent["type"], intent["urn"].rpartition("::")[2], intent.get("inputs") or {}, known)


def make_way(resources: Sequence[Mapping[str, Any]], urn: str) -> list[Mapping[str, Any]]:
    """The other thing of this URN, which was to be replaced, waits for its deletion now; a placeholder goes."""
    return [
        {**one, "delete": True} if one["urn"] == urn else one
        for one in resources
        if not (one["urn"] == urn and one.get("pendingReplacement"))
    ]


def as_made(intent: Mapping[str, Any], id: str) -> dict[str, Any]:  # noqa: A002
    """The intent with its id. A refresh reads the outputs, beginning from what is known: the inputs."""
    inputs = intent.get("inputs") or {}
    outputs = {key: value for key, value in inputs.items() if not key.startswith("__")}
    return {**intent, "id": id, "outputs": {**outputs, "id": id}}


def unknown(begun: Sequence[Mapping[str, Any]]) -> EcomdeployError:
    listed = ", ".join(f"{intent['type']} {intent['urn'].rpartition('::')[2]}" for intent in begun)
    return EcomdeployError(
        f"an interrupted run may have made {listed}, and how to look for that is not known here",
        hint="look yourself: take what is there into the state with `pulumi import`, and drop the rest with "
        "`pulumi refresh --clear-pending-creates`; then type the same command again",
    )
