"""InvokeEndpointWithResponseStream: the model server's answer as it comes, in AWS's event stream framing.

Sources: API_runtime_InvokeEndpointWithResponseStream, API_runtime_ResponseStream (documented); the framing, headers
between two lengths and two CRC-32 sums: https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CONTENT_TYPE = "application/vnd.amazon.eventstream"
STRING = 7


@dataclass
class StreamedResponse:
    """An HTTP answer whose body is still coming. `ended` is called once, however it ends."""

    status: str
    headers: list[tuple[str, str]]
    parts: Iterator[bytes]
    ended: Callable[[], None]

    def send(self, start_response: Any) -> Iterable[bytes]:
        """As WSGI wants it; the server calls `close` when it is done, or when the client has gone."""
        start_response(self.status, self.headers)
        return self

    def __iter__(self) -> Iterator[bytes]:
        """The parts as messages, and what broke as the last one."""
        try:
            for part in self.parts:
                yield message({":message-type": "event", ":event-type": "PayloadPart"}, part)
        except Exception as error:
            yield write_broken(error)

    def close(self) -> None:
        """Nothing more is wanted."""
        self.ended()


def write_broken(error: Exception) -> bytes:
    """The message that tells a client that its stream broke."""
    text = json.dumps({"Message": f"The model stream broke: {error}", "ErrorCode": "StreamBroken"})
    return message(
        {":message-type": "exception", ":exception-type": "ModelStreamError"}, text.encode(), "json"
    )


def message(headers: Mapping[str, str], payload: bytes, kind: str = "octet-stream") -> bytes:
    """One message of the stream."""
    named = {**headers, ":content-type": f"application/{kind}"}
    block = b"".join(
        string(name, ">B") + struct.pack(">B", STRING) + string(named[name], ">H") for name in named
    )
    prelude = struct.pack(">II", len(block) + len(payload) + 16, len(block))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return checked + struct.pack(">I", zlib.crc32(checked))


def string(text: str, length: str) -> bytes:
    """A text with its length in bytes before it."""
    data = text.encode()
    return struct.pack(length, len(data)) + data
