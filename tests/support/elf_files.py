"""Made-up shared objects that ask for libraries."""

from __future__ import annotations

import struct


def elf_file(needed: list[str], runpath: str = "") -> bytes:
    """A minimal shared object that asks for libraries."""
    strings, offsets = b"\0", []
    for text in [*needed, runpath]:
        offsets.append(len(strings))
        strings += text.encode() + b"\0"
    header, segment = 64, 56
    strings_at = header + 2 * segment
    dynamic_at = strings_at + len(strings)
    pairs = [(1, offset) for offset in offsets[:-1]] + ([(29, offsets[-1])] if runpath else [])
    pairs += [(5, 0x1000 + strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *pair) for pair in pairs)
    total = dynamic_at + len(dynamic)
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, header, 0, 0, header, segment, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, 0x1000, 0x1000, total, total, 0x1000)
    dyn = struct.pack("<IIQQQQQQ", 2, 6, dynamic_at, 0x1000 + dynamic_at, 0, len(dynamic), len(dynamic), 8)
    return head + load + dyn + strings + dynamic
