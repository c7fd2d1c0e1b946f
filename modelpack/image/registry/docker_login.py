"""Who we are to a registry, as `docker login` and its likes leave it: in docker's config file or behind a helper
program.

https://docs.docker.com/reference/cli/docker/login/#credential-stores: a helper for the host, else the store, else
what is written there; helpers speak https://github.com/docker/docker-credential-helpers#development. Read each time
it is asked for, and never kept: tokens of the clouds end after an hour or so.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelpack.errors import CloudRefused

HELPER = re.compile(r"[A-Za-z0-9._-]+")
SECONDS = 120
"""A helper may open a browser's page and wait for its user."""
HUB = ("docker.io", "https://index.docker.io/v1/")
NONE_THERE = "credentials not found"


def find_login(host: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password for that host, or None. The user `<token>` stands before an OAuth 2 refresh token.

    Raises:
        CloudRefused: the file does not read, or a helper that it names does not answer.
    """
    folder = environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or Path.home()) / ".docker"
    file = Path(folder) / "config.json"
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text())
        names = (HUB[1], *HUB) if host == HUB[0] else (host, f"https://{host}", f"https://{host}/v2/")
        helpers, auths = config.get("credHelpers") or {}, config.get("auths") or {}
        helper = next((helpers[name] for name in names if name in helpers), config.get("credsStore"))
        entry: dict[str, Any] = next((auths[name] for name in names if name in auths), {})
        if helper:
            found = ask_helper(str(helper), HUB[1] if host == HUB[0] else host, environment)
            if found:
                return found
        return read_entry(entry)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CloudRefused(f"{file} does not read: {error}", hint="docker login writes it") from error


def read_entry(entry: Mapping[str, Any]) -> tuple[str, str] | None:
    """One entry of `auths`: base64 of user and password, or those two, or a token."""
    if token := entry.get("identitytoken"):
        return "<token>", str(token)
    if auth := entry.get("auth"):
        user, _, password = base64.b64decode(str(auth), validate=True).decode().partition(":")
        return user, password.strip("\0")
    if "username" in entry:
        return str(entry["username"]), str(entry.get("password", ""))
    return None


def ask_helper(helper: str, host: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    """What `docker-credential-<helper> get` says. Raises CloudRefused where it fails."""
    if not HELPER.fullmatch(helper):
        raise CloudRefused(f"{helper!r} is no name for a credential helper", hint="see docker's config.json")
    command = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [command, "get"],
            input=host,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=dict(environment),
        )
    except (OSError, subprocess.SubprocessError) as error:
        hint = "install it, or take it out of docker's config.json"
        raise CloudRefused(f"{command}, asked for {host}: {error}", hint=hint) from error
    if done.returncode:
        if NONE_THERE in done.stdout + done.stderr:
            return None
        said = (done.stderr or done.stdout).strip()[:300]
        raise CloudRefused(f"{command}, asked for {host}: {said}", hint=f"log in again for {host}")
    said = json.loads(done.stdout)
    if not isinstance(said, dict) or not {"Username", "Secret"} <= said.keys():
        raise CloudRefused(
            f"{command}, asked for {host}, gave no user and secret", hint=f"log in again for {host}"
        )
    return str(said["Username"]), str(said["Secret"])
