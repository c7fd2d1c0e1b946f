"""Address blocks of subnets: they follow the zone's letter, so that zones come and go without conflict.

Two forms: `EIGHTHS` for every new network; `QUARTERS` for those of earlier releases, which gave blocks
by a zone's place in the list and are never re-addressed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from modelpack.errors import BadInput

ZONE = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d([a-g])")
QUARTERS, EIGHTHS = 2, 3
"""How many bits a private subnet's prefix is longer than the network's."""


@dataclass(frozen=True)
class ZoneBlocks:
    """A zone's two subnets."""

    public: str
    private: str


def blocks(cidr: str, form: int, slot: int) -> ZoneBlocks:
    """The first part of the network is for public subnets, split in as many again; the others are private, one a zone.

    EKS gives every pod an address of the private subnets, so those are the large ones.
    """
    parts = list(IPv4Network(cidr).subnets(prefixlen_diff=form))
    small = list(parts[0].subnets(prefixlen_diff=form))
    return ZoneBlocks(public=str(small[slot]), private=str(parts[slot + 1]))


def find_slots(zones: Iterable[str], cidr: str, standing: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """The form, and the slot of each zone: where it stands already, else its letter's ("a" is 0).

    Raises:
        BadInput: a name that is no zone's; a network of an earlier release has no block left for another zone.
    """
    form, kept = find_known(cidr, standing)
    found: dict[str, int] = {}
    most = (1 << form) - 1
    for zone in sorted(zones):
        match = ZONE.fullmatch(zone)
        if match is None:
            raise BadInput(f"platform.zones: expected an availability zone like us-east-1a, got {zone!r}")
        own = "abcdefg".index(match[1])
        taken = {*kept.values(), *found.values()}
        free = [own, *range(most)] if form == QUARTERS else [own]
        slot = kept.get(zone, next((one for one in free if one < most and one not in taken), None))
        if slot is None:
            raise BadInput(
                f"platform.zones: the network has no addresses left for {zone}",
                hint="it was made by an earlier release, with room for three zones: take it down first "
                "(ecomdeploy platform down), or use zones that it has",
            )
        found[zone] = slot
    return form, found


def find_known(cidr: str, standing: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """The form of the subnets that there are, and their slots; a new network's where there are none."""
    for form in (QUARTERS, EIGHTHS):
        parts = [str(part) for part in IPv4Network(cidr).subnets(prefixlen_diff=form)]
        kept = {zone: parts.index(block) - 1 for zone, block in standing.items() if block in parts[1:]}
        if kept:
            return form, kept
    return EIGHTHS, {}
