"""What every row's actions share: errors in the engine's words, waiting, reading back, applying changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from infra.rehearsal.engine.provider import ProviderError, ReadResponse
from infra.rehearsal.providers.aws.property_types import from_api, read_back, state
from infra.rehearsal.providers.aws.resource import Reading, ResourceCall


@contextmanager
def refusals() -> Iterator[None]:
    """botocore's errors as `ProviderError`."""
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

    try:
        yield
    except ClientError as error:
        raise ProviderError(
            error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        ) from error
    except EndpointConnectionError as error:
        raise ProviderError("Unreachable", f"the local cloud does not answer: {error}") from error
    except BotoCoreError as error:
        raise ProviderError(type(error).__name__, str(error)) from error


def is_gone(error: Any, gone: tuple[str, ...]) -> bool:
    """Whether a ClientError says that the thing is not there (`ResourceType.gone`)."""
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    wanted = (entry.partition(":") for entry in gone)
    return any(code == name and part.lower() in message.lower() for name, _, part in wanted)


def look(call: ResourceCall) -> Reading | None:
    """The row's read; None when the resource is not there."""
    from botocore.exceptions import ClientError

    try:
        return call.row.read(call)
    except ClientError as error:
        if is_gone(error, call.row.gone):
            return None
        raise


def find(call: ResourceCall, reading: Reading, default_tags: Mapping[str, str]) -> ReadResponse:
    """Inputs as the cloud has them, and the whole state in pulumi's names."""
    row = call.row
    properties = dict(row.properties)
    actual = from_api(properties, reading.answer, row.spelling)
    given = {key: value for key, value in call.inputs.items() if key not in ("tags", "region")}
    inputs = read_back(properties, given, actual)
    outputs = {**state(properties, inputs, actual, whole=True), **reading.outputs}
    if row.regional:
        outputs["region"] = call.account.region
        if call.inputs.get("region"):
            inputs["region"] = call.inputs["region"]
    if row.tag:
        kept = call.tags if reading.tags is None else reading.tags
        everything = {key: value for key, value in kept.items() if not key.startswith("aws:")}
        wanted = call.inputs.get("tags") or {}
        own = {
            key: word for key, word in everything.items() if key in wanted or default_tags.get(key) != word
        }
        if own or "tags" in call.inputs:
            inputs["tags"] = outputs["tags"] = own
        outputs["tagsAll"] = everything
    return ReadResponse(call.id, inputs, outputs)


def apply(call: ResourceCall, changed: set[str], done: list[str]) -> None:
    """The row's calls for the changed inputs, then the tags. `done` collects what was carried out."""
    for change in call.row.changes:
        if changed.intersection(change.keys):
            change.act(call)
            done.extend(change.keys)
    if call.row.tag and changed & {"tags", "tagsAll"}:
        before = call.outputs.get("tagsAll") or {}
        add = {key: value for key, value in call.tags.items() if before.get(key) != value}
        drop = sorted(set(before) - set(call.tags))
        if add or drop:
            call.row.tag(call, add, drop)
            done.append("tags")


def await_ready(call: ResourceCall, pause: Callable[[float], object]) -> None:
    """Poll `ready`. Raises `ProviderError` when it fails, or is not ready in time."""
    _poll(lambda: call.row.ready(call), call, pause, "is not ready")


def await_gone(call: ResourceCall, pause: Callable[[float], object]) -> None:
    """Poll until the resource is not there any more."""
    _poll(lambda: look(call) is None, call, pause, "is still there")


def _poll(done: Callable[[], bool], call: ResourceCall, pause: Callable[[float], object], words: str) -> None:
    waited, step, limit = 0.0, 0.05, call.row.patience
    while not done():
        if waited >= limit:
            raise ProviderError("Timeout", f"{call.row.type} {call.id} {words} after {limit:.0f} s")
        pause(step)
        waited, step = waited + step, min(step * 1.5, 1.0)
