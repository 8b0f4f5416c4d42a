"""LitServe: batches of at most BATCH requests (1: the default, unbatched), one worker per core."""

import os
from typing import Any

import litserve as ls
import numpy as np
import onnxruntime as ort


class Network(ls.LitAPI):
    """One ONNX file."""

    def setup(self, device: str) -> None:  # noqa: ARG002  # LitServe's signature
        """Load it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(
            os.environ["ONNX"], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request: dict[str, Any]) -> Any:  # noqa: ANN401
        """Return one image."""
        return np.asarray(request["inputs"], np.float32)

    def batch(self, inputs: list[Any]) -> Any:  # noqa: ANN401
        """Put images together."""
        return np.concatenate(inputs)

    def unbatch(self, output: Any) -> list[Any]:  # noqa: ANN401
        """Take scores apart."""
        return list(output[:, None])

    def predict(self, x: Any) -> Any:  # noqa: ANN401
        """Compute."""
        return self.session.run(None, {"x": x})[0]

    def encode_response(self, output: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return lists."""
        return {"outputs": output.tolist()}


if __name__ == "__main__":
    size = int(os.environ["BATCH"])
    api = Network(max_batch_size=size, batch_timeout=0.002 if size > 1 else 0.0)
    server = ls.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]))
    server.run(port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
