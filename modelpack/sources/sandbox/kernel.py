"""Two rules that the Linux kernel keeps for a process: which files it may touch, which calls it may make.

Landlock (docs.kernel.org/userspace-api/landlock.html) and seccomp filters (kernel.org/doc/Documentation/prctl/
seccomp_filter.txt) need no privileges, and no way leads back. x86-64 only, like everything here.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 1, 22, 28, 38
SECBIT_NO_SETUID_FIXUP = 1 << 2
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT, CAPSET = 444, 445, 446, 126
CAPABILITIES_V3 = 0x20080522
CAP_DAC_READ_SEARCH = 1 << 2

WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
READ = READ_FILE | READ_DIR
OWN = READ | WRITE_FILE | TRUNCATE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 12 | 1 << 13
"""Landlock's bits; 4 and 5 remove folders and files, 7, 8 and 12 make folders, files and symbolic
links, 13 moves them."""
OF_FILES = READ_FILE | WRITE_FILE | TRUNCATE
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many kinds of access an ABI knows; it refuses a rule with more."""
NETWORK_ABI, SCOPE_ABI = 4, 6

AUDIT_ARCH_X86_64, X32 = 0xC000003E, 0x40000000
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, NOT_PERMITTED, NO_SUCH_CALL = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
CLONE, CLONE3, CLONE_THREAD = 56, 435, 0x10000
REFUSED = {
    "sockets": (41, 42, 43, 49, 50, 288),
    "programs and processes": (57, 58, 59, 322),
    "others' signals and memory": (62, 101, 200, 310, 311, 424, 434, 438),
    "io_uring, bpf, perf, userfaultfd": (425, 426, 427, 321, 298, 323),
    "roots, mounts, namespaces": (155, 161, 165, 166, 272, 308, 428, 429, 430, 442),
    "the machine": (163, 167, 168, 169, 175, 176, 179, 246, 313, 320),
    "keys, handles, the clock": (164, 227, 248, 249, 250, 304, 305),
}
"""Numbers of x86-64 system calls (arch/x86/entry/syscalls/syscall_64.tbl)."""


def control(option: int, value: int) -> None:
    """`prctl`. Raises OSError."""
    check(library().prctl(option, value, 0, 0, 0))


def restrict_files(rules: Iterable[tuple[Path, int]]) -> bool:
    """From now on only these paths, each with all below it, by these rights, and no TCP at all. Paths that are not
    there are left out. False: this kernel has no Landlock."""
    call = library().syscall
    version = call(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    known = (1 << RIGHTS.get(version, max(RIGHTS.values()))) - 1
    words = [known, 0b11 if version >= NETWORK_ABI else 0, 0b11 if version >= SCOPE_ABI else 0]
    size = 24 if version >= SCOPE_ABI else 16 if version >= NETWORK_ABI else 8
    ruleset = call(LANDLOCK_CREATE, struct.pack("<3Q", *words), ctypes.c_size_t(size), ctypes.c_uint32(0))
    check(min(ruleset, 0))
    for path, rights in rules:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        allowed = rights & known if path.is_dir() else rights & known & OF_FILES
        check(call(LANDLOCK_ADD, ruleset, 1, struct.pack("<Qi", allowed, opened), ctypes.c_uint32(0)))
        os.close(opened)
    check(call(LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)))
    os.close(ruleset)
    return True


def restrict_calls() -> bool:
    """From now on no sockets, no programs, no new processes (threads are), nothing that administers the machine.
    False: another processor, or a kernel without filters."""
    if os.uname().machine != "x86_64":
        return False
    # Places in `struct seccomp_data`: the call's number, the processor, the lower half of the first argument.
    steps = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, KILL), (LOAD, 0, 0, 0)]
    steps += [(AT_LEAST, 0, 1, X32), (RETURN, 0, 0, NOT_PERMITTED)]
    for number in sorted(number for numbers in REFUSED.values() for number in numbers):
        steps += [(EQUAL, 0, 1, number), (RETURN, 0, 0, NOT_PERMITTED)]
    steps += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, NO_SUCH_CALL)]
    steps += [
        (EQUAL, 0, 3, CLONE),
        (LOAD, 0, 0, 16),
        (ANY_BIT, 1, 0, CLONE_THREAD),
        (RETURN, 0, 0, NOT_PERMITTED),
    ]
    steps += [(RETURN, 0, 0, ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(steps), ctypes.addressof(code)))
    return int(library().prctl(PR_SET_SECCOMP, 2, ctypes.c_void_p(ctypes.addressof(program)), 0, 0)) == 0


def keep_reading_only() -> None:
    """Of root's privileges, keep that of reading (another user's packages, a model of mode 0600). Raises OSError."""
    header = struct.pack("<Ii", CAPABILITIES_V3, 0)
    data = struct.pack("<6I", CAP_DAC_READ_SEARCH, CAP_DAC_READ_SEARCH, 0, 0, 0, 0)
    check(library().syscall(CAPSET, header, data))


def library() -> Any:
    """The C library."""
    return ctypes.CDLL(None, use_errno=True)


def check(status: int) -> None:
    """Raises OSError for a call that failed."""
    if status < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
