"""The writing calls: server-side apply as the resource's own field manager, never over another's fields."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from infra.kubernetes.client import KubernetesClient, KubernetesRefused, KubernetesUnreachable, Object
from infra.rehearsal.engine.provider import ProviderError
from infra.rehearsal.providers.kubernetes import fields
from infra.rehearsal.providers.kubernetes.objects import metadata_of, title
from infra.targets.base import Clock

TRIES: Final = 6
"""A create waits for its namespace or its kind for 1 + 2 + 4 + 8 + 16 seconds, as pulumi-kubernetes does."""


@contextmanager
def refusals() -> Iterator[None]:
    """What the API server refuses, as the engine's `ProviderError`."""
    try:
        yield
    except KubernetesRefused as refused:
        raise ProviderError(refused.reason or str(refused.status), str(refused)) from refused
    except KubernetesUnreachable as error:
        raise ProviderError("Unreachable", str(error)) from error


def place(client: KubernetesClient, obj: Object) -> Object:
    """The object as its kind wants it: without a namespace when it lies in none.

    Raises `KubernetesRefused` (404) when the cluster does not serve the kind."""
    kind = client.kind(obj["apiVersion"], obj["kind"])
    metadata = {
        key: value for key, value in metadata_of(obj).items() if kind.namespaced or key != "namespace"
    }
    return {**obj, "metadata": metadata}


def look(client: KubernetesClient, obj: Object) -> Object | None:
    """The object as it is live; None when there is none."""
    metadata = metadata_of(obj)
    return client.get(obj["apiVersion"], obj["kind"], metadata["name"], metadata.get("namespace", ""))


def apply(client: KubernetesClient, obj: Object, manager: str, *, dry_run: bool = False) -> Object:
    """Apply it as that manager. What a person changed by kubectl is taken back; any other manager's field is not.

    Raises `ProviderError` "Conflict", which names managers and fields."""
    try:
        return client.apply(obj, manager, dry_run=dry_run, strict=True)
    except KubernetesRefused as refused:
        held = fields.conflicts(refused)
        if not held:
            raise
        if all(map(fields.may_take_from, held)):
            return client.apply(obj, manager, force=True, dry_run=dry_run, strict=True)
        told = "; ".join(f'{", ".join(names)} by "{other}"' for other, names in held.items())
        raise ProviderError(
            "Conflict",
            f"{title(obj)} has fields that another manages, and they were left as they are: {told}. "
            "Leave them to it (take them out of the program, or name them in ignore_changes), or let it give them up",
        ) from refused


def apply_new(
    client: KubernetesClient, obj: Object, manager: str, *, clock: Clock, dry_run: bool = False
) -> Object:
    """Apply what is not there yet. Its namespace or its kind may be on its way: tried again for half a minute."""
    for attempt in range(TRIES):
        try:
            return apply(client, place(client, obj), manager, dry_run=dry_run)
        except KubernetesRefused as refused:
            if dry_run or attempt == TRIES - 1 or not _may_come(refused):
                raise
        clock.sleep(2.0**attempt)
    raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises


def _may_come(refused: KubernetesRefused) -> bool:
    account = refused.status == 403 and "error looking up service account" in str(refused)
    return refused.status == 404 or account


def hand_over(client: KubernetesClient, live: Object, manager: str) -> None:
    """Make what pulumi-kubernetes created the field manager's own, so that what an apply leaves out goes."""
    if fields.was_made_by_pulumi(live):
        metadata = {
            "managedFields": fields.hand_over(live, manager),
            "resourceVersion": metadata_of(live)["resourceVersion"],
        }
        client.patch(live, {"metadata": metadata})


def give_up(client: KubernetesClient, live: Object, manager: str) -> None:
    """Let go of every field that this manager has (provider/pkg/ssa/actions.go)."""
    metadata = {key: metadata_of(live)[key] for key in ("name", "namespace") if key in metadata_of(live)}
    bare = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": metadata}
    client.apply(bare, manager)
