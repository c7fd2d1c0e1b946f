"""The last steps of a model server's process before its program: run by the host's Python, then replaced.

    python -I -S launch.py          with a JSON plan on standard input:
    {"argv": [...], "environment": {...}, "directory": "/", "parent": PID, "root": "/path" | null,
     "user": [uid, gid] | null, "namespace": true | false, "mounts": ["/proc"], "death_signal": 9}

Enters a user namespace and mounts folders when asked, changes root, drops privileges, asks the kernel for a
signal when the daemon's spawning thread dies, and executes. A failure ends with status 126 and one line.
Sources: man 2 prctl (PR_SET_PDEATHSIG is cleared when credentials change, so it comes after), man 7
user_namespaces, man 2 chroot.
"""

import ctypes
import json
import os
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x10000000
CLONE_NEWNS = 0x00020000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
FAILED = 126


def main() -> None:
    plan = json.load(sys.stdin)
    libc = ctypes.CDLL(None, use_errno=True)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    if plan["namespace"]:
        _enter_user_namespace(libc, plan["user"])
    if plan["mounts"]:
        _mount(libc, plan["mounts"], plan["root"])
    if plan["root"]:
        os.chroot(plan["root"])
    os.chdir(plan["directory"])
    if plan["user"] and not plan["namespace"]:
        uid, gid = plan["user"]
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    _control(libc, PR_SET_NO_NEW_PRIVS, 1)
    _control(libc, PR_SET_PDEATHSIG, plan["death_signal"])
    if os.getppid() != plan["parent"]:
        sys.exit("the daemon ended meanwhile")
    os.execve(plan["argv"][0], plan["argv"], plan["environment"])  # noqa: S606


def _enter_user_namespace(libc: Any, user: list[int]) -> None:
    """Be `user` inside, and still oneself outside."""
    uid, gid = os.geteuid(), os.getegid()
    _check(libc.unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user[0]} {uid} 1"),
        ("gid_map", f"{user[1]} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _mount(libc: Any, folders: list[str], root: str) -> None:
    """Show this machine's folders inside the new root, seen by this process alone and gone with it."""
    _check(libc.unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    _check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount(private)")
    for folder in folders:
        target = f"{root}{folder}".encode()
        _check(libc.mount(folder.encode(), target, None, MS_BIND | MS_REC, None), f"mount({folder})")


def _control(libc: Any, option: int, value: int) -> None:
    _check(libc.prctl(option, value, 0, 0, 0), f"prctl({option})")


def _check(status: int, what: str) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        print(f"cannot start: {problem}", file=sys.stderr, flush=True)
        sys.exit(FAILED)
