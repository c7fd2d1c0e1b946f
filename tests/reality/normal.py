"""Checkpoints without what differs between two runs for no reason of an engine's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
OFF = {"urn", "type", "custom", "created", "modified", "sourcePosition", "stackTrace"}
"""`type` is in the URN and tells `custom`; the rest is time and place."""
OF_PROVIDERS = {"version", "__internal", "pluginDownloadURL"}
"""What the CLI writes among a provider's inputs."""
PLACE = re.compile(r"^urn:pulumi:[^:]+::[^:]+::")
STACK = "pulumi:pulumi:Stack::"
WORDS = (
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"-[0-9a-f]{7}\b"), "-HEX7"),
    (re.compile(r"hush-(hush-[12]|config)"), "SECRET-WORD"),
    (re.compile(r"/(?:tmp|root|work|home)/[^\s\"',:]*"), "PATH"),
)


def tidy(value: Any) -> Any:
    """Random parts by their kind; secrets without their ciphertext, which is another each time."""
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET:
            return "[secret]" if "ciphertext" in value else "[a secret in plaintext]"
        return {key: tidy(one) for key, one in value.items()}
    if isinstance(value, list):
        return [tidy(one) for one in value]
    if isinstance(value, str):
        for pattern, word in WORDS:
            value = pattern.sub(word, value)
        return PLACE.sub("", value)
    return value


def normal_state(resources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By URN without stack and project; what waits for its deletion by its id too."""
    found = {}
    for resource in resources:
        urn = str(tidy(resource["urn"]))
        found[f"{urn} [{resource['id']}]" if resource.get("delete") else urn] = normal(resource)
    return dict(sorted(found.items()))


def normal(resource: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: tidy(value) for key, value in resource.items() if key not in OFF}
    if str(found.get("parent", "")).startswith(STACK):
        del found["parent"]
    if "provider" in found:
        found["provider"] = found["provider"].replace("pulumi:providers:", "").removesuffix("::UUID")
    if resource["type"].startswith("pulumi:providers:"):
        for side in ("inputs", "outputs"):
            found[side] = {
                key: value for key, value in (found.get(side) or {}).items() if key not in OF_PROVIDERS
            }
    links = found.get("propertyDependencies") or {}
    found["propertyDependencies"] = {key: sorted(urns) for key, urns in sorted(links.items()) if urns}
    found["dependencies"] = sorted(found.get("dependencies") or [])
    return {key: value for key, value in sorted(found.items()) if value not in ({}, [], None, False, "")}
