"""How a program of the local cloud hears that it is to end."""

from __future__ import annotations

import os
import signal
import threading


def hear_signals(ending: threading.Event) -> None:
    """Have SIGTERM and SIGINT set `ending`; to be called in the main thread."""
    # a handler may have interrupted the main thread while that holds the event's own lock: another thread sets it
    heard, say = os.pipe()

    def pass_on() -> None:
        os.read(heard, 1)
        ending.set()

    threading.Thread(target=pass_on, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(say, b"x"))
