"""BentoML: batches of at most BATCH images (1: unbatched), one worker per core."""

import os

import bentoml
import numpy as np
import onnxruntime as ort

_SIZE = int(os.environ["BATCH"])
_BATCHING = {"batchable": True, "max_batch_size": _SIZE} if _SIZE > 1 else {}


@bentoml.service(workers=int(os.environ["WORKERS"]), traffic={"timeout": 60})
class Network:
    """One ONNX file."""

    def __init__(self) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            os.environ["ONNX"], options, providers=["CPUExecutionProvider"]
        )

    @bentoml.api(**_BATCHING)
    def infer(self, inputs: np.ndarray) -> np.ndarray:
        """Compute."""
        return self.session.run(None, {"x": inputs.astype(np.float32)})[0]
