"""A listening socket that takes nobody new, and loses nobody who is in its queue.

Closing a listener resets the connections that the kernel has made and nobody has accepted yet. A filter that drops
first packets (SYN) alone stops new ones, while those on their way are finished and accepted.
docs.kernel.org/networking/filter.html
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct

ATTACH_FILTER = 26
"""SO_ATTACH_FILTER, asm-generic/socket.h"""
FLAGS, SYN = 13, 2
"""Where the flags stand in a TCP header, and the flag of a first packet."""
DROP_SYN = (
    (0x30, 0, 0, FLAGS),  # load the byte of flags
    (0x45, 0, 1, SYN),  # without SYN go on behind the next
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # take
)


def refuse_new(listener: socket.socket) -> None:
    """New callers get no answer until the listener is closed, then a refusal. Where the kernel has no such filter those
    of the last moment are reset."""
    code = array.array("B", b"".join(struct.pack("HBBI", *step) for step in DROP_SYN))
    with contextlib.suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", len(DROP_SYN), code.buffer_info()[0])
        )
