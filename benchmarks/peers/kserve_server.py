"""KServe's own Python model server with a custom model, its protocol v2."""

from __future__ import annotations

import sys

import kserve
import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse


class Scores(kserve.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__("scores")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options)
        self.ready = True

    def predict(
        self,
        payload: InferRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        rows = payload.inputs[0].as_numpy()
        [scores] = self.session.run(["scores"], {"features": rows})
        told = InferOutput("scores", list(scores.shape), "FP32")
        told.set_data_from_numpy(scores, binary_data=False)
        return InferResponse(payload.id or "one", "scores", [told])


server = kserve.ModelServer(http_port=int(sys.argv[2]), enable_grpc=False, access_log_format=None)
server.start([Scores()])
