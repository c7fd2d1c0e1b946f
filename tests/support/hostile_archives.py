"""Zip archives that two readers see differently, made from a benign one: `TWISTS`, name -> a function of its members.

Each holds a benign member and, for another reader, a hostile one with the same meaning.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping

Members = Mapping[str, bytes]
Twist = Callable[[Members, str, bytes], bytes]
"""(members, the name to give another content, that content) -> the archive."""


def plain(members: Members) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def named(*others: Callable[[str], str], before: bool = False) -> Twist:
    """The hostile content under names that some reader takes for the benign one."""

    def made(members: Members, name: str, hostile: bytes) -> bytes:
        twins = {other(name): hostile for other in others}
        return plain({**twins, **members} if before else {**members, **twins})

    return made


def twice(members: Members, name: str, hostile: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for one, data in [*members.items(), (name, hostile)]:
            archive.writestr(zipfile.ZipInfo(one), data)
    return content.getvalue()


def local(name: str, data: bytes, flags: int = 0) -> bytes:
    crc, size = zlib.crc32(data), len(data)
    words = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, flags, 0, 0, 0x21, crc, size, size, len(name), 0)
    return words + name.encode() + data


def central(name: str, data: bytes, place: int, flags: int = 0) -> bytes:
    crc, size = zlib.crc32(data), len(data)
    words = (b"PK\x01\x02", 20, 3, 20, 0, flags, 0, 0, 0x21, crc, size, size, len(name), 0, 0, 0, 0, 0, place)
    return struct.pack("<4s4B4H3L5H2L", *words) + name.encode()


def end(count: int, size: int, place: int, comment: bytes = b"") -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, place, len(comment)) + comment


def end64(count: int, size: int, place: int) -> bytes:
    return struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, place)


def both(members: Members, name: str, hostile: bytes) -> tuple[bytearray, bytes, int, bytes, int]:
    """All members, then the hostile one, with a benign and a hostile directory over them."""
    out, places = bytearray(), {}
    for one, data in members.items():
        places[one] = len(out)
        out += local(one, data)
    place = len(out)
    out += local(name, hostile)
    good = b"".join(central(one, data, places[one]) for one, data in members.items())
    bad = b"".join(
        central(one, hostile, place) if one == name else central(one, data, places[one])
        for one, data in members.items()
    )
    return out, good, len(members), bad, place


def second_end64(order: bool) -> Twist:
    """Two zip64 end records: zipfile takes the one before the locator, miniz the one the locator names."""

    def made(members: Members, name: str, hostile: bytes) -> bytes:
        out, good, count, bad, _ = both(members, name, hostile)
        first, second = (bad, good) if order else (good, bad)
        places = []
        for directory in (first, second):
            begin = len(out)
            out += directory
            places.append(len(out))
            out += end64(count, len(directory), begin)
        out += struct.pack("<4sLQL", b"PK\x06\x07", 0, places[0], 1)
        return bytes(out + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))

    return made


def second_end(members: Members, name: str, hostile: bytes) -> bytes:
    """A whole further archive in the comment of the first: readers that look from the front take that."""
    out, good, count, bad, _ = both(members, name, hostile)
    begin = len(out)
    out += bad
    inner = end(count, len(bad), begin)
    whole = out + good
    return bytes(whole + end(count, len(good), begin + len(bad), inner) + inner)


def local_lies(members: Members, name: str, hostile: bytes) -> bytes:
    """The directory gives one name to the member, its own header the other's."""
    out = bytearray()
    directory = bytearray()
    for one, data in {**members, name + "x": hostile}.items():
        told = name if one == name + "x" else one + "y" if one == name else one
        directory += central(one, data, len(out))
        out += local(told.ljust(len(one))[: len(one)], data)
    return bytes(out + directory + end(len(members) + 1, len(directory), len(out)))


def size_lies(members: Members, name: str, hostile: bytes) -> bytes:
    """The member's own header says that it is longer, and the hostile bytes follow it unlisted."""
    out, directory = bytearray(), bytearray()
    for one, data in members.items():
        directory += central(one, data, len(out))
        out += local(one, data + hostile)[: 30 + len(one)] + data + (hostile if one == name else b"")
    return bytes(out + directory + end(len(members), len(directory), len(out)))


def led(members: Members, name: str, hostile: bytes) -> bytes:
    """Another archive in front: zipfile forgives it and moves all offsets."""
    return plain({**members, name: hostile}) + plain(members)


def followed(members: Members, name: str, hostile: bytes) -> bytes:
    return plain(members) + local(name, hostile)


def gap(members: Members, name: str, hostile: bytes) -> bytes:
    """An unlisted member between members and directory: readers that walk local headers see it."""
    out, directory = bytearray(), bytearray()
    for one, data in members.items():
        directory += central(one, data, len(out))
        out += local(one, data)
    out += local(name, hostile)
    return bytes(out + directory + end(len(members), len(directory), len(out)))


def hidden_entry(members: Members, name: str, hostile: bytes) -> bytes:
    """One more entry in the directory than its end says; the directory's length covers it."""
    out, good, count, _, place = both(members, name, hostile)
    directory = good + central(name, hostile, place)
    return bytes(out + directory + end(count, len(directory), len(out)))


def descriptor_lies(members: Members, name: str, hostile: bytes) -> bytes:
    """Sizes that stand behind the bytes, and are other ones than the directory's."""
    out, directory = bytearray(), bytearray()
    for one, data in members.items():
        directory += central(one, data, len(out), flags=8)
        out += local(one, data, flags=8)
        out += struct.pack("<4s3L", b"PK\x07\x08", zlib.crc32(data), len(data) + (one == name), len(data))
    return bytes(out + directory + end(len(members), len(directory), len(out)))


TWISTS: dict[str, Twist] = {
    "a name in upper case": named(str.upper),
    "seven names that differ by case": named(
        *(lambda name, at=at: name[:at] + name[at:].swapcase() for at in range(-8, -1)), before=True
    ),
    "a name in another Unicode form": named(lambda name: name.replace("s", "\u017f")),
    "a name with a backslash": named(lambda name: name.replace("/", "\\") + "\\"),
    "a name that ends in a slash": named(lambda name: name + "/"),
    "a name twice": twice,
    "a second zip64 end record, zipfile's last": second_end64(order=True),
    "a second zip64 end record, zipfile's first": second_end64(order=False),
    "a second end record in the comment": second_end,
    "a local header with another name": local_lies,
    "a local header with another size": size_lies,
    "an archive in front": led,
    "a member behind": followed,
    "a member in a gap": gap,
    "an entry more than is said": hidden_entry,
    "a descriptor that lies": descriptor_lies,
}
