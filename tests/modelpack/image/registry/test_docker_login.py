"""Who we are to a registry, by what `docker login` and its likes leave."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_registry

from modelpack.errors import CloudRefused
from modelpack.image.registry.client import RegistryClient
from modelpack.image.registry.docker_login import find_login

AUTH = base64.b64encode(b"shop:pass:word").decode()


def variables(folder: Path, config: Any) -> dict[str, str]:
    """As a user who has that config file, and programs of his own."""
    (folder / "docker").mkdir(exist_ok=True)
    (folder / "docker" / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return {"DOCKER_CONFIG": str(folder / "docker"), "PATH": f"{folder}:/usr/bin:/bin"}


def helper(folder: Path, name: str, body: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("host", "auths", "found"),
    [
        ("ghcr.io", {"ghcr.io": {"auth": AUTH}}, ("shop", "pass:word")),
        ("ghcr.io", {"https://ghcr.io": {"auth": AUTH}}, ("shop", "pass:word")),
        ("ghcr.io", {"other.io": {"auth": AUTH}}, None),
        ("docker.io", {"https://index.docker.io/v1/": {"auth": AUTH}}, ("shop", "pass:word")),
        ("a.azurecr.io", {"a.azurecr.io": {"auth": "MDA6", "identitytoken": "long"}}, ("<token>", "long")),
        ("ghcr.io", {"ghcr.io": {"username": "u", "password": "p"}}, ("u", "p")),
        ("ghcr.io", {"ghcr.io": {}}, None),
    ],
)
def test_what_is_written_in_the_file(tmp_path: Path, host: str, auths: Any, found: Any) -> None:
    assert find_login(host, variables(tmp_path, {"auths": auths})) == found


def test_without_a_file_nobody_is_known(tmp_path: Path) -> None:
    assert find_login("ghcr.io", {"HOME": str(tmp_path)}) is None


def test_a_helper_is_asked_for_its_host(tmp_path: Path) -> None:
    helper(
        tmp_path, "gcloud", 'read host; echo "{\\"Username\\": \\"_token\\", \\"Secret\\": \\"for $host\\"}"'
    )
    helper(tmp_path, "store", 'echo "credentials not found in native keychain"; exit 1')
    given = variables(
        tmp_path,
        {"credHelpers": {"eu.pkg.dev": "gcloud"}, "credsStore": "store", "auths": {"b.io": {"auth": AUTH}}},
    )
    assert find_login("eu.pkg.dev", given) == ("_token", "for eu.pkg.dev")
    assert find_login("b.io", given) == ("shop", "pass:word")
    assert find_login("nobody.io", given) is None


def test_a_helper_that_fails_is_told(tmp_path: Path) -> None:
    helper(tmp_path, "broken", 'echo "token expired, log in" >&2; exit 3')
    with pytest.raises(
        CloudRefused, match=r"docker-credential-broken, asked for a.io: token expired, log in"
    ):
        find_login("a.io", variables(tmp_path, {"credsStore": "broken"}))
    with pytest.raises(CloudRefused, match=r"docker-credential-missing, asked for a.io: .*No such file"):
        find_login("a.io", variables(tmp_path, {"credHelpers": {"a.io": "missing"}}))
    with pytest.raises(CloudRefused, match="is no name for a credential helper"):
        find_login("a.io", variables(tmp_path, {"credsStore": "../x"}))


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"a.io": {"auth": "%%%"}}}', '{"auths": 3}'])
def test_a_file_that_does_not_read_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(CloudRefused, match=r"config\.json does not read"):
        find_login("a.io", variables(tmp_path, text))


def test_a_refresh_token_is_exchanged_as_oauth_says() -> None:
    with tiny_registry.serving(bearer="short-lived", refresh="long-lived") as registry:
        assert RegistryClient(registry.url, "shop", ("<token>", "long-lived")).exists()
        with pytest.raises(CloudRefused, match="no token from"):
            RegistryClient(registry.url, "shop", ("<token>", "another")).exists()
