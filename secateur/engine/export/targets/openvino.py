"""OpenVINO IR with weights in float16, for Intel's processors and GPUs."""

from pathlib import Path

from secateur.engine.export.targets.target import (
    HALF_WEIGHTS,
    Arrays,
    Run,
    Source,
    Target,
    TargetFile,
)


def build(source: Source, folder: Path) -> None:
    """Convert the ONNX file."""
    import openvino  # noqa: PLC0415  # an extra

    model = openvino.Core().read_model(str(source.onnx))
    openvino.save_model(model, str(folder / "openvino.xml"), compress_to_fp16=True)


def load(path: str, num_threads: int) -> Run:
    """Open an OpenVINO model; it computes in float32, which the comparison was made with."""
    import openvino  # noqa: PLC0415

    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": num_threads}
    model = openvino.Core().compile_model(path, "CPU", options)

    def run(inputs: Arrays) -> Arrays:
        found = model(inputs)
        return [found[index] for index in range(len(model.outputs))]

    return run


OPENVINO = Target(
    "openvino",
    "OpenVINO",
    "Intel's processors, GPUs and NPUs; OpenVINO IR",
    "run_openvino.py",
    (
        TargetFile("openvino.xml", "the pruned network for OpenVINO"),
        TargetFile("openvino.bin", "weights of openvino.xml, in float16"),
    ),
    ("openvino",),
    kept_out=("openvino_telemetry",),
    build=build,
    load=load,
    precision="float16 weights",
    tolerance=HALF_WEIGHTS,
    is_batched=True,
    keeps_types=True,
    packages="openvino",
)
