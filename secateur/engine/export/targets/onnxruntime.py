"""ONNX Runtime, with the ONNX file at the opset that the job asked for."""

from secateur.engine.export.targets.target import Arrays, Run, Target


def load(path: str, num_threads: int) -> Run:
    """Open an ONNX file with ONNX Runtime."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(inputs: Arrays) -> Arrays:
        return list(session.run(None, dict(zip(names, inputs))))  # noqa: B905

    return run


ONNXRUNTIME = Target(
    "onnx",
    "ONNX Runtime",
    "ONNX Runtime, with the file at `export.opset`",
    "run_onnx.py",
    load=load,
    is_batched=True,
    keeps_types=True,
    packages="onnxruntime",
)
