"""A user id that nobody has: what a model server runs as where root starts it, whatever its image asks for."""

from __future__ import annotations

import grp
import os
import pwd
import secrets
from collections.abc import Callable
from pathlib import Path

from infra.rehearsal.cloud.servers.host import ServerFailed

RANGES = ((1_879_048_192, 2_147_352_575), (61_184, 65_519))
"""What systemd leaves free above its containers (systemd.io/UIDS-GIDS); where a container's own map of users ends
below that, the range of its dynamic users."""
TRIES = 1000


def find_spare_user() -> int:
    """A number that is no user, no group and no running process's owner. Raises ServerFailed when there is none."""
    for low, high in RANGES:
        if not (_can_be("uid_map", low) and _can_be("gid_map", low)):
            continue
        running = _owners()
        for _ in range(TRIES):
            number = low + secrets.randbelow(high - low + 1)
            if (
                number not in running
                and not _exists(pwd.getpwuid, number)
                and not _exists(grp.getgrgid, number)
            ):
                return number
    raise ServerFailed("no user id is free on this machine to run a model server as")


def _can_be(name: str, number: int) -> bool:
    """Whether this process's user namespace has the number at all."""
    lines = (line.split() for line in Path(f"/proc/self/{name}").read_text().splitlines())
    return any(int(first) <= number < int(first) + int(count) for first, _, count in lines)


def _owners() -> frozenset[int]:
    found = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found.add(entry.stat().st_uid)
            except FileNotFoundError:
                continue  # it ended meanwhile
    return frozenset(found)


def _exists(look_up: Callable[[int], object], number: int) -> bool:
    try:
        look_up(number)
    except KeyError:
        return False
    return True
