"""BentoML: a service class with one worker and typed arrays, as its documentation shows one."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import onnxruntime
from numpy.typing import NDArray


@bentoml.service(workers=1)
class Scores:
    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        [scores] = self.session.run(["scores"], {"features": features.astype(np.float32)})
        return np.asarray(scores)
