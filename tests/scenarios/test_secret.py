"""A planted secret, with a packed image and a served model: it stands nowhere that anybody could read.

That it reaches the server is seen in tests/stacks/test_ship_local_cloud.py, whose servers tell what they were given.
"""

from __future__ import annotations

import base64
import gzip
import os
import secrets
from contextlib import suppress
from pathlib import Path

import pytest
from typed import Terminal, Typed

GZIP = b"\x1f\x8b"
SPEC = 'environment: {PASSWORD: {secret: {env: SHOP_PASSWORD}}, PLAIN: "shown"}'


def forms_of(secret: str) -> tuple[bytes, ...]:
    """The secret as it is, and in base64 wherever it may begin."""
    return (secret.encode(), *(base64.b64encode(bytes(at) + secret.encode())[4:-4] for at in range(3)))


def holds(data: bytes, values: tuple[str, ...]) -> bool:
    if data[:2] == GZIP:
        with suppress(OSError, EOFError):
            data += gzip.decompress(data)
    return any(form in data for value in values for form in forms_of(value))


def find_files(place: Terminal, *values: str) -> list[Path]:
    """Files of the project and of its home that hold a value: layers are looked into, and so are logs and state."""
    found = []
    for folder in (place.folder, place.home):
        for file in folder.rglob("*"):
            with suppress(OSError):
                found += [file] if file.is_file() and holds(file.read_bytes(), values) else []
    return found


def find_processes(*values: str) -> set[int]:
    """Processes that show a value to whoever may look."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            with suppress(OSError):
                found |= {int(pid)} if holds(Path("/proc", pid, name).read_bytes(), values) else set()
    return found


@pytest.mark.nightly(
    like="tests/stacks/test_ship_local_cloud.py::test_a_secret_reaches_the_server_and_nothing_else"
)
@pytest.mark.slow
@pytest.mark.network
def test_a_planted_secret_is_found_nowhere(shop: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (f"planted-{secrets.token_hex(16)}" for _ in range(2))
    said: list[Typed] = []

    def check() -> None:
        """No file holds it, no process shows it (not even the model server, which looks it up), nothing said it."""
        assert find_files(shop, first, second) == []
        assert find_processes(first, second) == set()
        assert not any(holds((one.out + one.err).encode(), (first, second)) for one in said)

    shop.edit(r"^  instance: ml.c7i.xlarge.*$", f"  instance: ml.c7i.xlarge\n  {SPEC}")
    monkeypatch.setenv("SHOP_PASSWORD", first)
    said += [shop.type("plan"), shop.type("up", "--yes", "--json"), shop.type("predict"), shop.type("logs")]
    assert said[1].json["verified"]
    check()
    monkeypatch.setenv("SHOP_PASSWORD", second)
    said += [shop.type("up", "--yes"), shop.type("status", "--json"), shop.type("releases", "--json")]
    assert said[-2].json["release"] == 2
    check()
    said += [shop.type("cloud", "stop")]
    check()
    said += [shop.type("cloud", "start"), shop.type("rollback", "--yes"), shop.type("logs")]
    check()
    said += [shop.type("down", "--all", "--yes")]
    check()
