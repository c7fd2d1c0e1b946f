"""Shared objects with made-up device code, wheels around them, and a made-up NVIDIA driver."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

CUBIN, PTX = 2, 1


def region(entries: Sequence[tuple[int, int, bytes]]) -> bytes:
    """One region of device code: (kind, architecture, code) each."""
    body = b""
    for kind, architecture, code in entries:
        head = struct.pack("<HHIQ", kind, 0x101, 64, len(code))
        body += head.ljust(28, b"\0") + struct.pack("<I", architecture) + b"\0" * 32 + code
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def library(device_code: bytes | None) -> bytes:
    """A 64-bit ELF file with a `.nv_fatbin` section (none when None) and a table of section names."""
    names = b"\0.nv_fatbin\0.shstrtab\0"
    code = device_code or b""
    sections = [(0, 0, 0)]
    if device_code is not None:
        sections.append((1, 64, len(code)))
    sections.append((12, 64 + len(code), len(names)))
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, place, size, 0, 0, 1, 0) for name, place, size in sections
    )
    start = 64 + len(code) + len(names)
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9
    head += struct.pack(
        "<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, len(sections), len(sections) - 1
    )
    return head + code + names + table


def driver(
    cuda: int = 13000, capability: tuple[int, int] = (8, 9), count: int = 1, start: int = 0
) -> SimpleNamespace:
    """What `ctypes.CDLL("libcuda.so.1")` gives where there is a driver, as far as the server asks."""

    def give(value: int) -> Any:
        def answer(target: Any, *rest: Any) -> int:
            ctypes.cast(target, ctypes.POINTER(ctypes.c_int))[0] = value
            return 0

        return answer

    def attribute(target: Any, number: int, device: int) -> int:
        return int(give(capability[number - 75])(target))

    def name(target: Any, size: int, device: int) -> int:
        target.value = b"NVIDIA L4"
        return 0

    return SimpleNamespace(
        cuInit=lambda flags: start,
        cuDriverGetVersion=give(cuda),
        cuDeviceGetCount=give(count),
        cuDeviceGetAttribute=attribute,
        cuDeviceGetName=name,
    )
