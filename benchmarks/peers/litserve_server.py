"""LitServe: a LitAPI with one worker, its example for a model on a CPU."""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Scores(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options)

    def decode_request(self, request: dict[str, Any]) -> Any:
        return np.array([row["features"] for row in request["instances"]], np.float32)

    def predict(self, rows: Any) -> Any:
        [scores] = self.session.run(["scores"], {"features": rows})
        return scores

    def encode_response(self, scores: Any) -> dict[str, Any]:
        return {"predictions": scores.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Scores(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False)
