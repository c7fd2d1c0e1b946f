"""MLServer's custom runtime, as its documentation shows one; the folder's settings name it (benchmarks/serve.py)."""

from __future__ import annotations

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Scores(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        [scores] = self.session.run(["scores"], {"features": rows})
        told = NumpyCodec.encode_output("scores", scores)
        return InferenceResponse(model_name=self.name, outputs=[told])
