"""MLServer's runtime for one ONNX file."""

import os

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Network(MLModel):
    """One ONNX file."""

    async def load(self) -> bool:
        """Load it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            os.environ["ONNX"], options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Compute."""
        x = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        (scores,) = self.session.run(None, {"x": x})
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("output", scores)]
        )
