"""FastAPI as documented: plain functions on FastAPI's threads, with pydantic and lists."""

import os
from typing import Annotated, Any

import numpy as np
import onnxruntime as ort
from fastapi import Body, FastAPI, Response

options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/json")
def from_json(body: dict[str, Any]) -> dict[str, Any]:
    """Compute on nested lists."""
    (scores,) = session.run(None, {"x": np.asarray(body["inputs"], np.float32)})
    return {"outputs": scores.tolist()}


@app.post("/binary")
def from_binary(body: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Response:
    """Compute on float32 bytes."""
    (scores,) = session.run(None, {"x": np.frombuffer(body, np.float32).reshape(-1, 1, 28, 28)})
    return Response(scores.tobytes(), media_type="application/octet-stream")
