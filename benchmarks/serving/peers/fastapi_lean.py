"""Minimal FastAPI: raw bodies, orjson, and ONNX Runtime on the event loop itself.

Inference blocks the event loop, so it is no realistic server. It bounds the framework's cost.
"""

import os

import numpy as np
import onnxruntime as ort
import orjson
from fastapi import FastAPI, Request, Response

options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(os.environ["ONNX"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/json")
async def from_json(request: Request) -> Response:
    """Compute on nested lists."""
    inputs = orjson.loads(await request.body())["inputs"]
    (scores,) = session.run(None, {"x": np.asarray(inputs, np.float32)})
    body = orjson.dumps({"outputs": scores}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")


@app.post("/binary")
async def from_binary(request: Request) -> Response:
    """Compute on float32 bytes."""
    x = np.frombuffer(await request.body(), np.float32).reshape(-1, 1, 28, 28)
    (scores,) = session.run(None, {"x": x})
    return Response(scores.tobytes(), media_type="application/octet-stream")
