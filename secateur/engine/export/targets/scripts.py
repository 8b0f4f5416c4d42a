"""Targets whose tools run elsewhere: a script with the exact command, for the network's own inputs.

Nothing here runs these tools: TensorRT needs an NVIDIA GPU, RKNN and Hailo their makers' compilers,
Core ML a Mac to run what it builds. Core ML's converter reads no ONNX, so it takes the PT2 file.
"""

import shlex

from secateur.engine.export.targets.target import Preprocess, Source, Target

_OPTIMAL, _MOST = 8, 32  # batch sizes of TensorRT's profile


def _note(preprocess: Preprocess | None) -> str:
    if preprocess is None:
        return "The inputs are the preprocessed tensors of the data set."
    mean, std = preprocess.per_channel()
    height, width = preprocess.size
    colours = "grey" if preprocess.num_channels == 1 else "RGB"
    return (
        f"Inputs are {colours} images of {height}x{width} pixels ({preprocess.fit}), as "
        f"(pixel - mean) / std\n# with mean {mean} and std {std} of pixels from 0 to 255."
    )


def _tensorrt(source: Source, preprocess: Preprocess | None) -> str:
    names = source.program.input_names
    profile = [
        "  "
        + shlex.quote(
            f"--{kind}Shapes="
            + ",".join(
                f"{name}:" + "x".join(map(str, [size, *shape[1:]]))
                for name, shape in zip(names, source.shapes, strict=True)
            )
        )
        for kind, size in (("min", 1), ("opt", _OPTIMAL), ("max", _MOST))
    ]
    build = f"trtexec --onnx={source.onnx.name} --saveEngine=tensorrt.engine --fp16"
    if source.program.batch_size is None:
        build = " \\\n".join([build, *profile])
    lines = [
        "#!/bin/sh",
        "# Build a TensorRT engine on the machine with the GPU that runs it: sh build_tensorrt.sh",
        f"# {_note(preprocess)}",
        "# Change the profile to the batch sizes that you use. The inputs stay in float32."
        if source.program.batch_size is None
        else f"# The batch of {source.program.batch_size} is part of the network.",
        "set -e",
        build,
    ]
    return "\n".join(lines) + "\n"


def _hailo(source: Source, preprocess: Preprocess | None) -> str:
    shapes = ",".join(
        f"{name}=[{','.join(map(str, shape))}]"
        for name, shape in zip(source.program.input_names, source.shapes, strict=True)
    )
    mean, std = preprocess.per_channel() if preprocess is not None else ([], [])
    layer = f"normalization1 = normalization({mean}, {std})" if preprocess is not None else ""
    lines = [
        "#!/bin/sh",
        "# Build a Hailo file with the Dataflow Compiler: sh build_hailo.sh calibration.npy",
        "# calibration.npy has at least 64 images (N, H, W, C) with pixels from 0 to 255.",
        f"# {_note(preprocess)}",
        "set -e",
        f"hailo parser onnx {source.onnx.name} --hw-arch hailo8 --har-path hailo.har \\",
        f"  --tensor-shapes {shlex.quote(shapes)}",
        "cat > hailo.alls <<'END'",
        layer,
        "END",
        'hailo optimize hailo.har --hw-arch hailo8 --calib-set-path "$1" \\',
        "  --model-script hailo.alls --output-har-path hailo_int8.har",
        "hailo compiler hailo_int8.har --hw-arch hailo8 --output-dir .",
    ]
    return "\n".join(lines) + "\n"


def _rknn(source: Source, preprocess: Preprocess | None) -> str:
    mean, std = preprocess.per_channel() if preprocess is not None else ([], [])
    scaling = f"mean_values=[{mean}], std_values=[{std}], " if preprocess is not None else ""
    return f'''\
"""Build an RKNN file with RKNN-Toolkit2: python build_rknn.py [PLATFORM [IMAGES.txt]]

IMAGES.txt lists calibration images, one path a line; with it the file is int8, otherwise float16.
"""
# {_note(preprocess)}

import sys

from rknn.api import RKNN

platform = sys.argv[1] if len(sys.argv) > 1 else "rk3588"
images = sys.argv[2] if len(sys.argv) > 2 else None

rknn = RKNN()
rknn.config({scaling}target_platform=platform)
if rknn.load_onnx(
    model="{source.onnx.name}",
    inputs={list(source.program.input_names)},
    input_size_list={source.shapes},
):
    sys.exit("RKNN-Toolkit2 cannot read the file")
if rknn.build(do_quantization=images is not None, dataset=images):
    sys.exit("RKNN-Toolkit2 cannot build the file")
rknn.export_rknn("network.rknn")
'''


def _coreml(source: Source, preprocess: Preprocess | None) -> str:
    return f'''\
"""Build a Core ML package: python build_coreml.py

Needs: pip install coremltools torch. It converts on Linux too; running it needs a Mac or an iPhone.
"""
# {_note(preprocess)}

import coremltools
import torch

program = torch.export.load("{source.pt2}").run_decompositions({{}})
model = coremltools.convert(program, minimum_deployment_target=coremltools.target.iOS16)
model.save("network.mlpackage")
'''


TENSORRT = Target(
    "tensorrt",
    "TensorRT",
    "NVIDIA's GPUs; a script for `trtexec`",
    "build_tensorrt.sh",
    write_script=_tensorrt,
)
RKNN = Target(
    "rknn",
    "RKNN",
    "Rockchip's NPUs; a script for RKNN-Toolkit2",
    "build_rknn.py",
    opset=18,
    write_script=_rknn,
)
HAILO = Target(
    "hailo",
    "Hailo",
    "Hailo-8 and its relatives; a script for the Dataflow Compiler",
    "build_hailo.sh",
    opset=17,
    write_script=_hailo,
)
COREML = Target(
    "coreml",
    "Core ML",
    "iPhones and Macs; a script for coremltools, which reads pruned.pt2",
    "build_coreml.py",
    reads_pt2=True,
    write_script=_coreml,
)
