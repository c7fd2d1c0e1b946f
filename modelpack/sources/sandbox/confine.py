"""What the child process gives up before it looks at a stranger's file.

    read        the interpreter and its packages, the model's own files, a few facts on the processor    Landlock
    write       its own folder                                                                           Landlock
    sockets, programs, processes, other processes' memory      none                                      seccomp
    memory, processor time, size of a file                     as told                                   setrlimit
    privileges  another uid and reading only, where it was root                                          setresuid

An audit hook says the same to Python code, first and in words, and stands alone where the kernel knows no Landlock.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import site
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelpack.sources.sandbox import kernel

SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives", "/nix/store")
FACTS = ("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/sys/devices/system")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
OPEN_FILES = 4096
FRESH_UIDS, NOBODY = 2_000_000_000, 65534
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTING = re.compile(
    r"os\.(system|exec|posix_spawn|spawn|fork|forkpty|startfile|kill|killpg)|subprocess\.Popen|pty\.spawn"
    r"|(socket|urllib|ftplib|http\.client|smtplib|poplib|imaplib|telnetlib|nntplib)\.(?!gethostname).*"
)
CHANGING = re.compile(
    r"os\.(remove|rename|rmdir|mkdir|link|symlink|truncate|chmod|chown|lchown|utime|setxattr|removexattr)"
    r"|shutil\.(rmtree|move)"
)
"""Audit events (docs.python.org/3/library/audit_events.html)."""


@dataclass(frozen=True)
class ChildLimits:
    """Bytes of memory and of one written file, seconds of processor time."""

    memory: int
    file: int
    seconds: int


def confine(folder: Path, model: Iterable[Path], root: Path, limits: ChildLimits) -> list[str]:
    """Give all of it up, for ever. `folder`: where it may write; `model`: what it may read; `root`: where our own
    packages lie. What this machine cannot refuse, in words."""
    lacking = []
    read = [*map(Path, (*SYSTEM, *FACTS, *packages())), *model]
    rules = [(place, kernel.READ) for place in read]
    rules += [(root, kernel.READ_DIR), (root / "modelpack", kernel.READ), (folder, kernel.OWN)]
    rules += [(Path(device), kernel.READ | kernel.WRITE_FILE) for device in DEVICES]
    limit(limits)
    kernel.control(kernel.PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        become_nobody(folder)
    if not kernel.restrict_files(rules):
        lacking.append("this kernel has no Landlock: only Python code is kept from other files")
    if not kernel.restrict_calls():
        lacking.append(
            "this kernel has no seccomp filter: only Python code is kept from sockets and programs"
        )
    sys.addaudithook(Refusals(folder))
    return lacking


def limit(limits: ChildLimits) -> None:
    """Memory, processor time, written files; no core file.

    Where soft and hard limit on processor time are equal the kernel ends the process with SIGKILL, as where memory ran
    out; a second between them lets SIGXCPU say which it was.
    """
    for kind, most, grace in (
        (resource.RLIMIT_DATA, limits.memory, 0),
        (resource.RLIMIT_CPU, limits.seconds, 1),
        (resource.RLIMIT_FSIZE, limits.file, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        last = most + grace if hard == resource.RLIM_INFINITY else min(most + grace, hard)
        resource.setrlimit(kind, (min(most, last), last))


def become_nobody(folder: Path) -> None:
    """Another user, whom nothing belongs to but `folder`. Where a container maps no other, the same without rights."""
    for uid in (FRESH_UIDS + os.getpid(), NOBODY):
        try:
            os.chown(folder, uid, uid)
            # Privileges are given up by name below, not by the change of uid; access(2) too then heeds what is left.
            kernel.control(kernel.PR_SET_SECUREBITS, kernel.SECBIT_NO_SETUID_FIXUP)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError:
            continue
        break
    kernel.keep_reading_only()
    kernel.control(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def packages() -> set[str]:
    """Where the interpreter's library and packages lie, and the libraries that the user's environment adds."""
    added = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *site.getsitepackages(), *added}
    return {place for place in found if place.startswith("/") and Path(place) != Path("/")}


class Refusals:
    """The audit hook: raises PermissionError for what is not allowed."""

    def __init__(self, folder: Path) -> None:
        self.folder = os.path.realpath(folder)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, flags = arguments[0], arguments[2]
            if isinstance(flags, int) and flags & WRITING and not self.may_write(path):
                raise PermissionError(f"a model may not write {path!r}")
        elif STARTING.fullmatch(event):
            raise PermissionError(f"a model may not use {event}")
        elif CHANGING.fullmatch(event) and not self.may_write(arguments[event == "os.symlink"]):
            raise PermissionError(f"a model may not use {event} on {arguments[0]!r}")

    def may_write(self, path: Any) -> bool:
        """Whether it may be written: an open file, a device, or something in the folder."""
        if isinstance(path, int) or path is None:
            return True
        found = os.path.realpath(os.fsdecode(path))
        return found in DEVICES or found == self.folder or found.startswith(self.folder + os.sep)
