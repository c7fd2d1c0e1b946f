"""Has something of a stack been changed by other hands? Asked without a program: nothing is declared, all is read.

A stack that converged declares what its state has. So each resource is read, and the provider compares what it found
with the state's inputs, ignore_changes applied, as `preview --refresh` would. What only the cloud decides (outputs) is
no drift. It stays light: no monitor, no events, and a secret is decrypted only where it must be compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from infra.rehearsal.engine import paths
from infra.rehearsal.engine.provider import ProviderFactory
from infra.rehearsal.engine.provider_pool import ProviderPool
from infra.rehearsal.engine.resource import Resource, Snapshot, snapshot_from_json
from infra.rehearsal.engine.state.checkpoint import StackFiles
from infra.rehearsal.engine.state.crypt import Keyring, Vault
from infra.rehearsal.engine.values import BLINDED, has_secret

PARALLEL = 16


class Blindfold(Vault):
    """Opens nothing: a secret that nobody compares costs no million rounds of key derivation."""

    def __init__(self) -> None:
        super().__init__(Keyring(), "", "")

    def decrypt(self, ciphertext: str) -> str:
        return json.dumps(BLINDED)


def find_drift(
    files: StackFiles, providers: ProviderFactory, environment: Mapping[str, str], passphrase: str
) -> tuple[str, ...]:
    """URNs of what is not as the stack's state has it; reads only.

    Raises:
        EngineError, ProviderError: something could not be read.
    """
    document = files.latest()
    snapshot = snapshot_from_json(document, Blindfold())
    if any(compares_secrets(resource) for resource in snapshot.resources):
        snapshot = snapshot_from_json(document, Vault(Keyring(), passphrase, files.salt()))
    return compare_all(snapshot, ProviderPool(providers, environment, snapshot.resources))


def compare_all(snapshot: Snapshot, pool: ProviderPool) -> tuple[str, ...]:
    """Those that are gone, or that the provider would change; with a cluster among them its objects, unread."""
    asked = [one for one in snapshot.resources if one.custom and not one.is_provider and not one.delete]
    hosts = {one.urn: pool.list_hosts(one) for one in asked}
    drifted: list[str] = []
    with ThreadPoolExecutor(PARALLEL) as threads:
        for within in (False, True):
            wave = [one for one in asked if bool(hosts[one.urn]) is within]
            lost = {one.urn for one in wave if not hosts[one.urn].isdisjoint(drifted)}
            same = threads.map(lambda one, lost=lost: one.urn not in lost and is_as_left(one, pool), wave)
            drifted += [one.urn for one, fine in zip(wave, list(same), strict=True) if not fine]
    return (*drifted, *(one.resource.urn for one in snapshot.pending))


def is_as_left(resource: Resource, pool: ProviderPool) -> bool:
    """Whether one resource is there, as its inputs in the state say."""
    found = pool.read(resource)
    if found is None or resource.init_errors or resource.pending_replacement:
        return False
    wanted = paths.keep_old(resource.inputs, found.inputs, resource.ignore_changes)
    there = replace(resource, inputs=found.inputs, outputs=found.outputs)
    diffed = pool.diff(there, wanted)
    return not (diffed.changed or diffed.replaces)


def compares_secrets(resource: Resource) -> bool:
    """Whether a secret is among what is compared."""
    return any(
        has_secret(value) for key, value in resource.inputs.items() if key not in resource.ignore_changes
    )
