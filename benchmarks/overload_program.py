"""The model server with a model that takes a fixed time: `python -m benchmarks.overload_program PORT`.

Its capacity is known whatever the machine: `ROWS` rows every `SECONDS`.
"""

from __future__ import annotations

import socket
import sys
import time

from modelpack.server.app import Application
from modelpack.server.engines.base import Arrays
from modelpack.server.http.limits import Limits
from modelpack.server.http.metrics import Metrics
from modelpack.server.main import BACKLOG, Server, configure
from modelpack.server.ready import serve_engine
from modelpack.server.signature import ModelSignature, Tensor

SECONDS, ROWS = 0.2, 8
"""A call, and the most rows in it."""
SIGNATURE = ModelSignature(
    1,
    "fixed",
    "onnxruntime",
    "none",
    (Tensor("x", "FP32", (-1, 32)),),
    (Tensor("y", "FP32", (-1,)),),
    max_batch=ROWS,
)


class FixedTime:
    """Sums a row, and takes its time."""

    def run(self, feeds: Arrays) -> Arrays:
        time.sleep(SECONDS)
        return {"y": feeds["x"].sum(axis=1)}


def main(port: int) -> None:
    limits = Limits(waiting=2)
    application = Application(Metrics(), limits)
    application.serve(serve_engine(FixedTime(), SIGNATURE, "sha256:00", application.metrics, limits))
    with socket.create_server(("127.0.0.1", port), backlog=BACKLOG) as listener:
        Server(configure(application)).run([listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
