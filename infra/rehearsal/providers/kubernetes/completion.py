"""Inputs as the program gives them, completed: name, annotations, and what can be refused without the object."""

from __future__ import annotations

import secrets
from typing import Any

from infra.rehearsal.engine.provider import UNKNOWN, CheckFailure, Values
from infra.rehearsal.providers.kubernetes import objects
from infra.rehearsal.providers.kubernetes.readiness import parse_wait_for


def complete(kind: tuple[str, str], name: str, olds: Values, news: Values) -> Values:
    """The inputs of a resource called `name`, of that apiVersion and kind. `olds`: what it may keep its name from.

    As pulumi-kubernetes does under server-side apply, no label is put on it but one that it has already."""
    inputs = {key: value for key, value in drop_nulls(news).items() if key not in objects.INTERNAL}
    inputs = {"apiVersion": kind[0], "kind": kind[1], "metadata": {}} | inputs
    if inputs["metadata"] is UNKNOWN:
        return inputs
    metadata = {key: value for key, value in inputs["metadata"].items() if key not in objects.SERVERS_OWN}
    if "name" not in metadata and "generateName" not in metadata:
        _name(metadata, name, olds)
    labels = objects.metadata_of(olds).get("labels")
    if isinstance(labels, dict) and labels.get(objects.MANAGED_BY) == "pulumi":
        metadata["labels"] = {**(metadata.get("labels") or {}), objects.MANAGED_BY: "pulumi"}
    return inputs | {"metadata": metadata}


def _name(metadata: dict[str, Any], name: str, olds: Values) -> None:
    """`<name>-<8 hex>`, marked; kept as long as the program gives none."""
    kept = objects.metadata_of(olds).get("name") if objects.is_autonamed(olds) else None
    metadata["name"] = kept or f"{name}-{secrets.token_hex(4)}"
    annotations = metadata.get("annotations")
    if annotations is not UNKNOWN:
        metadata["annotations"] = {**(annotations or {}), objects.AUTONAMED: "true"}


def find_failures(inputs: Values) -> tuple[CheckFailure, ...]:
    """What the inputs ask for that is not to be had here."""
    failures: list[CheckFailure] = []
    metadata = objects.metadata_of(inputs)
    if "generateName" in metadata and "name" not in metadata:
        reason = "is not possible with server-side apply: leave it out, or set metadata.name"
        failures.append(CheckFailure("metadata.generateName", reason))
    if objects.annotation(inputs, objects.PATCH_FORCE) == "true":
        reason = "is not available in the embedded engine, which forces nothing: use the Pulumi CLI"
        failures.append(CheckFailure(f"metadata.annotations.{objects.PATCH_FORCE}", reason))
    try:
        parse_wait_for(objects.annotation(inputs, objects.WAIT_FOR))
    except ValueError as error:
        failures.append(CheckFailure(f"metadata.annotations.{objects.WAIT_FOR}", str(error)))
    return tuple(failures)


def drop_nulls(value: Any) -> Any:
    """Values without nulls: to the API server a null is a field that is not sent."""
    if isinstance(value, dict):
        return {key: drop_nulls(item) for key, item in value.items() if item is not None}
    return [drop_nulls(item) for item in value] if isinstance(value, list) else value


def canonical(inputs: Values) -> Values:
    """Inputs in which no namespace and "default" are one."""
    metadata = inputs.get("metadata")
    if isinstance(metadata, dict) and metadata.get("namespace") == "default":
        return inputs | {"metadata": {key: value for key, value in metadata.items() if key != "namespace"}}
    return inputs
