"""A model server's keeper: starts it kept apart, hands out connections to it, and ends with all that it started.

    python -I -S launch.py          with a JSON plan on standard input:
    {"argv": [...], "environment": {...}, "directory": "/", "root": "/path" | null, "user": [uid, gid] | null,
     "namespaces": true | false, "become": true | false, "proc": true | false, "control": FD,
     "secrets": {name: value} | nothing, "account": {file: text} | nothing, "shared": folder | nothing}

Secrets are handed to the server in a file that has no name, whose number ECOMDEPLOY_SECRETS_FD says: they stand in no
environment, which `/proc/<pid>/environ` shows.

A shared folder is /opt/ml there, to read and write, as training containers have it.

A service account's files are found where a pod has them; with such a one the server is in this machine's own network.

With `namespaces` the server has its own processes, network, mounts, names and IPC, and the tree at `root` is its
read-only root; `become` is for those who are not root: inside a user namespace they are `user`, outside still
themselves. Without, root is only changed.

`control` is a socket to the daemon. "7 8080" asks for a connection to port 8080 of the server's own network and is
answered "7" with the socket, or "7 why not". When it closes, which it does however the daemon ends, everything here
is killed: as the first process of its own, the server takes all others with it; else what it left behind is this
process's child (PR_SET_CHILD_SUBREAPER). SIGTERM is handed on. The exit status is the server's, 126 when it could not
be started.

Sources: man 2 prctl, 7 user_namespaces, 7 pid_namespaces, 2 pivot_root, 7 netdevice, 2 mount.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
MNT_DETACH = 2
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
FAILED = 126
CONNECT_SECONDS = 5.0
DEVICES = ("null", "zero", "full", "random", "urandom")
PROCESSORS = "/sys/devices/system/cpu"
"""Numerical libraries read the processor's features from it."""
EMPTY = {
    "tmp": (MS_NODEV, b"mode=1777,size=256m,nr_inodes=64k"),
    "dev": (MS_NOEXEC, b"mode=755,size=64k"),
    "sys": (MS_NODEV | MS_NOEXEC, b"mode=755,size=64k"),
}
"""Folders in memory: with what they do not allow, and how large they may become."""

SHARED = "opt/ml"
ACCOUNT = "var/run/secrets/kubernetes.io/serviceaccount"

libc: Any = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    plan = json.load(sys.stdin)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    control = socket.socket(fileno=plan["control"])
    control.set_inheritable(False)
    _control(PR_SET_CHILD_SUBREAPER, 1)
    if plan["become"]:
        _enter_user_namespace(*plan["user"])
    if plan["namespaces"]:
        apart = CLONE_NEWIPC | CLONE_NEWUTS | (0 if plan.get("account") else CLONE_NEWNET)
        _check(libc.unshare(apart), "unshare(network)")
        if not plan.get("account"):
            _bring_up_loopback()
        socket.sethostname("model")
        _check(libc.unshare(CLONE_NEWPID), "unshare(CLONE_NEWPID)")
    # closed when this process ends: the server's side sees whether it has a keeper at all
    watched, alive = os.pipe()
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    server = os.fork()
    if server == 0:
        _become_server(plan, watched, (alive, woken, wake))
    os.close(watched)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)  # what comes is read from the descriptor
    return _keep(server, control, woken)


# ---- the keeper ----


def _keep(server: int, control: socket.socket, woken: int) -> int:
    """Answer the daemon until the server or the daemon ends; returns the server's status.

    SIGTERM is handed on here and not where it comes: between two looks nobody has taken the status of the server, so
    that its number cannot be that of another process.
    """
    waiting = selectors.DefaultSelector()
    waiting.register(control, selectors.EVENT_READ)
    waiting.register(woken, selectors.EVENT_READ)
    while (status := _reap(server)) is None:
        for ready, _ in waiting.select():
            if ready.fileobj == woken:
                if signal.SIGTERM in os.read(woken, 4096):
                    _kill(server, signal.SIGTERM)
            elif not _answer(control):
                _kill(server, signal.SIGKILL)
                waiting.unregister(control)
    _end_the_rest()
    return status


def _answer(control: socket.socket) -> bool:
    """Answer one request; False when the daemon is gone."""
    try:
        number, port = control.recv(64).split()
    except (OSError, ValueError):
        return False
    try:
        made = socket.create_connection(("127.0.0.1", int(port)), CONNECT_SECONDS)
    except OSError as problem:
        return _reply(control, number + b" " + str(problem).encode()[:200], [])
    with made:
        made.setblocking(True)
        return _reply(control, number, [made.fileno()])


def _reply(control: socket.socket, words: bytes, files: list[int]) -> bool:
    try:
        socket.send_fds(control, [words], files)
    except OSError:
        return False
    return True


def _reap(server: int) -> int | None:
    """Take note of children that ended; the server's exit status once it did."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return FAILED if found is None else found
        if pid == 0:
            return found
        if pid == server:
            code = os.waitstatus_to_exitcode(status)
            found = code if code >= 0 else 128 - code


def _end_the_rest() -> None:
    """Kill what the server left behind; each that dies may hand on children of its own."""
    while True:
        try:
            with open(f"/proc/self/task/{os.getpid()}/children") as listed:
                for pid in listed.read().split():
                    _kill(int(pid), signal.SIGKILL)
            os.waitpid(-1, 0)
        except (ChildProcessError, FileNotFoundError):
            return


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


# ---- the server ----


def _become_server(plan: dict[str, Any], watched: int, others: tuple[int, ...]) -> NoReturn:
    try:
        for end in others:
            os.close(end)
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what it starts would too
        if plan["namespaces"]:
            _show_only(plan["root"], plan["proc"], plan.get("account"), plan.get("shared"))
        elif plan["root"]:
            os.chroot(plan["root"])
        os.chdir(plan["directory"])
        if plan["user"] and not plan["become"]:
            uid, gid = plan["user"]
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
        _control(PR_SET_NO_NEW_PRIVS, 1)
        # after the user has changed, which clears it
        _control(PR_SET_PDEATHSIG, signal.SIGKILL)
        with selectors.DefaultSelector() as waiting:
            waiting.register(watched, selectors.EVENT_READ)
            if waiting.select(0):
                os._exit(FAILED)
        environment = plan["environment"] | _hand_over(plan.get("secrets"))
        os.execve(plan["argv"][0], plan["argv"], environment)  # noqa: S606
    except OSError as problem:
        _say(problem)
    os._exit(FAILED)


def _hand_over(secrets: dict[str, str] | None) -> dict[str, str]:
    """The variable that says where the secrets are."""
    if not secrets:
        return {}
    kept = os.memfd_create("secrets", 0)
    with os.fdopen(kept, "wb", closefd=False) as file:
        file.write(json.dumps(secrets).encode())
    os.lseek(kept, 0, os.SEEK_SET)
    return {"ECOMDEPLOY_SECRETS_FD": str(kept)}


def _show_only(
    root: str, proc: bool, account: dict[str, str] | None = None, shared: str | None = None
) -> None:
    """Make the tree the root of all that this process sees: read-only, with a /tmp of its own, nothing of the host."""
    _check(libc.unshare(CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount(root, root, None, MS_BIND | MS_REC)
    if proc:
        _mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name, (flags, options) in EMPTY.items():
        _mount("tmpfs", f"{root}/{name}", "tmpfs", MS_NOSUID | flags, options)
    for device in DEVICES:
        os.close(os.open(f"{root}/dev/{device}", os.O_CREAT | os.O_EXCL))
        _mount(f"/dev/{device}", f"{root}/dev/{device}", None, MS_BIND)
    os.symlink("../tmp", f"{root}/dev/shm")  # noqa: S108
    os.makedirs(f"{root}{PROCESSORS}")
    _mount(PROCESSORS, f"{root}{PROCESSORS}", None, MS_BIND | MS_REC)
    kept = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID
    _mount(None, f"{root}{PROCESSORS}", None, kept | MS_NODEV | MS_NOEXEC)
    if account:
        _show_account(root, account)
    if shared:
        path = _make_way(root, SHARED)
        _mount(shared, path, None, MS_BIND)
        _mount(None, path, None, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV)
    _mount(None, root, None, kept | MS_NODEV)
    os.chdir(root)
    _check(libc.pivot_root(b".", b"."), "pivot_root")
    _check(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def _show_account(root: str, account: dict[str, str]) -> None:
    """The files of a service account, in memory."""
    path = _make_way(root, ACCOUNT)
    _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, b"mode=755,size=64k")
    for name, text in account.items():
        with open(f"{path}/{name}", "w") as file:
            file.write(text)


def _make_way(root: str, place: str) -> str:
    """A folder of the image's, made where it is not there. A link of the image's on the way is not followed."""
    path = root
    for part in place.split("/"):
        path = f"{path}/{part}"
        if os.path.islink(path):
            raise OSError(errno.ELOOP, f"/{place}: {path} is a link")
        os.makedirs(path, exist_ok=True)
    return path


def _enter_user_namespace(uid: int, gid: int) -> None:
    """Be that user inside, and still oneself outside."""
    mine = os.geteuid(), os.getegid()
    _check(libc.unshare(CLONE_NEWUSER), "unshare(CLONE_NEWUSER)")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {mine[0]} 1"),
        ("gid_map", f"{gid} {mine[1]} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: bytes | None = None
) -> None:
    named = [part.encode() if part is not None else None for part in (source, target, kind)]
    _check(libc.mount(*named, ctypes.c_ulong(flags), options), f"mount({target})")


def _control(option: int, value: int) -> None:
    _check(libc.prctl(option, value, 0, 0, 0), f"prctl({option})")


def _check(status: int, what: str) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno() or errno.EIO, f"{what}: {os.strerror(ctypes.get_errno())}")


def _say(problem: OSError) -> None:
    print(f"cannot start: {problem}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as problem:
        _say(problem)
        sys.exit(FAILED)
