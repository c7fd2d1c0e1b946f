"""A model server that tries what it may not, and tells what came of it to whoever invokes it.

Its own source is what the image runs: nothing here may import more than the standard library. PRY names loopback
ports of the machine to knock at, separated by commas.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.server
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

CLONE_NEWUSER, CLONE_NEWNS, MS_REMOUNT, MS_BIND = 0x10000000, 0x00020000, 32, 4096
OWN = "/opt/ecomdeploy/app/modelpack/server/main.py"


def main() -> None:
    found = {name: attempt(act) for name, act in ACTS.items()}
    leave_somebody_behind()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    ModelServer.found = found
    port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    http.server.ThreadingHTTPServer(("127.0.0.1", port), ModelServer).serve_forever()


def attempt(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"


def processes() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def strangers() -> list[str]:
    """Command lines of processes that are none of mine."""
    lines = []
    for pid in processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            lines.append(file.read().decode("utf-8", "replace").replace("\0", " "))
    return [line for line in lines if "prying" not in line]


def others_roots() -> list[str]:
    """What /proc shows of other processes' files and variables."""
    seen = []
    for pid in processes():
        for name in ("root", "environ", "cwd", "fd"):
            with contextlib.suppress(OSError):
                if pid != os.getpid():
                    seen.append(os.readlink(f"/proc/{pid}/{name}"))
    return seen


def doors() -> list[int]:
    """Ports of the machine that answer."""
    wanted = [int(port) for port in os.environ.get("PRY", "").split(",") if port]
    found = []
    for port in wanted:
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                found.append(port)
    return found


def abstract_sockets() -> list[str]:
    with open("/proc/net/unix") as file:
        return [line.split()[-1] for line in file.readlines()[1:] if line.split()[-1].startswith(("@", "/"))]


def signal_everybody() -> list[int]:
    reached = []
    for pid in range(2, 4000):
        with contextlib.suppress(OSError):
            if pid != os.getpid():
                os.kill(pid, 0)
                reached.append(pid)
    return reached


def escape() -> list[str]:
    """The classic way out of a changed root."""
    os.makedirs("/tmp/x", exist_ok=True)
    os.chroot("/tmp/x")
    for _ in range(50):
        os.chdir("..")
    os.chroot(".")
    return sorted(os.listdir("/"))


def remount() -> str:
    """Become root in a namespace within, and make the root writable there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.fork() == 0:
        done = libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0
        done = done and libc.mount(None, b"/", None, MS_REMOUNT | MS_BIND, None) == 0
        with contextlib.suppress(OSError):
            open(OWN, "r+b").close()
            os._exit(7)
        os._exit(1 if done else 2)
    return "WRITTEN" if os.waitstatus_to_exitcode(os.wait()[1]) == 7 else "refused"


def change_mode() -> str:
    os.chmod(OWN, 0o777)
    return "CHANGED"


def write(path: str) -> Callable[[], str]:
    def act() -> str:
        with open(path, "r+b" if os.path.exists(path) else "wb"):
            return "WRITTEN"

    return act


def link() -> str:
    os.link(OWN, "/tmp/linked")
    return "LINKED"


def leave_somebody_behind() -> None:
    """A process of a session of its own, whose parent is gone: it counts until somebody ends it."""
    if first := os.fork():
        os.waitpid(first, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    word = os.environ.get("WORD", "")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-c", f"import time; time.sleep(600)  # prying {word}"])


ACTS: dict[str, Callable[[], Any]] = {
    "user": lambda: [os.getuid(), os.getgid(), os.getgroups()],
    "root": lambda: sorted(os.listdir("/")),
    "devices": lambda: sorted(os.listdir("/dev")),
    "sys": lambda: sorted(os.listdir("/sys")),
    "host name": socket.gethostname,
    "strangers": strangers,
    "others": others_roots,
    "signalled": signal_everybody,
    "doors": doors,
    "sockets": abstract_sockets,
    "internet": lambda: socket.create_connection(("192.0.2.1", 80), 1) and "OUT",
    "chroot": escape,
    "remount": remount,
    "mode": change_mode,
    "own file": write(OWN),
    "open file": write("/opt/open"),
    "new file": write("/opt/planted"),
    "interpreter": write("/usr/bin/python3"),
    "link": link,
    "scratch": write("/tmp/mine"),
    "time": time.time,
}


class ModelServer(http.server.BaseHTTPRequestHandler):
    found: dict[str, Any] = {}

    def do_GET(self) -> None:
        self.answer(b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(json.dumps(self.found).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    if "--version" in sys.argv:
        sys.exit(0)
    main()
