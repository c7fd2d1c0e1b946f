"""What an OCI client sends to the local cloud's registry, from the variables of `cloud env` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def login(variables: Mapping[str, str]) -> dict[str, str]:
    """The header of a client that was logged in: containers-auth.json(5), as docker, podman and skopeo read it."""
    logins = json.loads(Path(variables["REGISTRY_AUTH_FILE"]).read_text())["auths"]
    return {"Authorization": f"Basic {logins[variables['ECOMDEPLOY_REGISTRY']]['auth']}"}
