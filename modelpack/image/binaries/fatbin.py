"""For which GPUs a shared library carries kernels: read from its `.nv_fatbin` section, never run.

What `cuobjdump --list-elf --list-ptx` lists (docs.nvidia.com/cuda/cuda-binary-utilities). NVIDIA does not document the
container; its headers are those that the open LLVM and Clang write and read (llvm: `llvm/include/llvm/Object/
OffloadBundle.h` for bundles, clang: `CGCUDANV.cpp` for the wrapper) and that free re-implementations agree on: a region
is `magic, version, header size, length`, an entry `kind, -, header size, length, ..., architecture` at byte 28.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from modelpack.image.binaries.elf import parse

SECTION = ".nv_fatbin"
MAGIC = 0xBA55ED50
REGION = struct.Struct("<IHHQ")
ENTRY = struct.Struct("<HHIQ")
ARCHITECTURE_AT = 28
PTX, CUBIN = 1, 2
LEAST_ENTRY, MOST_ENTRY = 32, 4096
ALIGNMENT = 8


@dataclass(frozen=True)
class Kernels:
    """Architectures as NVIDIA writes them without the dot (89 for compute capability 8.9).

    `cubins` run on their own major version from their minor up; `ptx` on that and every later architecture, if the
    driver compiles it (docs.nvidia.com/cuda/cuda-c-programming-guide, "Application Compatibility").
    """

    cubins: tuple[int, ...] = ()
    ptx: tuple[int, ...] = ()

    def as_data(self) -> dict[str, list[int]]:
        """As records write it."""
        return {"cubins": list(self.cubins), "ptx": list(self.ptx)}


def kernels(file: IO[bytes]) -> Kernels | None:
    """The architectures of a 64-bit ELF file; None when it is none or carries no device code.

    Raises ValueError for a section that is not made of such regions: better no answer than a wrong one.
    """
    with parse(file) as elf:
        section = None if elf is None else elf.get_section_by_name(SECTION)
        if elf is None or section is None:
            return None
        elf.stream.seek(section["sh_offset"])
        found: dict[int, set[int]] = {PTX: set(), CUBIN: set()}
        for kind, architecture in _entries(elf.stream, section["sh_size"]):
            found.setdefault(kind, set()).add(architecture)
    return Kernels(tuple(sorted(found[CUBIN])), tuple(sorted(found[PTX])))


def _entries(file: IO[bytes], length: int) -> Iterator[tuple[int, int]]:
    """(kind, architecture) of every entry."""
    at = 0
    while length - at >= REGION.size:
        first = _exactly(file, ALIGNMENT)
        at += ALIGNMENT
        if not any(first):
            # regions are aligned, and zeros fill up between them
            continue
        magic, _, header, size = REGION.unpack(first + _exactly(file, REGION.size - ALIGNMENT))
        at += header - ALIGNMENT
        if magic != MAGIC or header < REGION.size or size > length - at:
            raise ValueError(f"{SECTION} holds no region {at} bytes in")
        _exactly(file, header - REGION.size)
        yield from _region(file, size)
        filling = min(-(at + size) % ALIGNMENT, length - at - size)
        _exactly(file, filling)
        at += size + filling


def _region(file: IO[bytes], size: int) -> Iterator[tuple[int, int]]:
    left = size
    while left >= LEAST_ENTRY:
        head = _exactly(file, LEAST_ENTRY)
        kind, _, header, length = ENTRY.unpack_from(head)
        if not LEAST_ENTRY <= header <= MOST_ENTRY or header + length > left:
            raise ValueError(f"{SECTION} holds an entry of {header}+{length} bytes where {left} are left")
        yield kind, struct.unpack_from("<I", head, ARCHITECTURE_AT)[0]
        file.seek(header - LEAST_ENTRY + length, 1)
        left -= header + length
    _exactly(file, left)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError(f"{SECTION} ends early")
    return data
