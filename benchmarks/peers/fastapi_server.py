"""The handler that most teams write: FastAPI on uvicorn, pydantic rows, one ONNX Runtime session."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options)
app = FastAPI()


class Row(BaseModel):
    features: list[float]


class Request(BaseModel):
    instances: list[Row]


@app.post("/predict")  # type: ignore[untyped-decorator]
def predict(request: Request) -> dict[str, list[list[float]]]:
    rows = np.array([row.features for row in request.instances], np.float32)
    [scores] = session.run(["scores"], {"features": rows})
    return {"predictions": scores.tolist()}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False, log_level="warning")
