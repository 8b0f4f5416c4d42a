"""Write the int8 file of a network with ONNX Runtime's quantizer, in QDQ form.

QDQ keeps the network's operators, with a conversion to int8 and back (QuantizeLinear and
DequantizeLinear) at each value. ONNX Runtime fuses them into integer operators when it loads the
file; what it cannot fuse is computed in float.
"""

import copy
import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx
from onnxruntime.quantization import QDQQuantizer, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from secateur.engine.errors import ExportError
from secateur.engine.export.session import translate_errors
from secateur.engine.quantize.calibration import Batches, CalibrationName, measure_ranges
from secateur.engine.quantize.prepared import Prepared, prepare
from secateur.engine.quantize.recipes import RECIPES, Recipe
from secateur.engine.quantize.targets import IntegerTypes, TargetName, find_types

_EVERY_OPERATOR = tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))
_MOST_BYTES = 2**31 - 2**20  # of a protobuf message


def write_int8(
    source: Path,
    path: Path,
    batches: Batches,
    *,
    target: TargetName | None = None,
    recipe: Recipe = RECIPES[0],
    calibration: CalibrationName = "minmax",
) -> None:
    """Write an int8 file with one recipe; nothing is measured, searched or promised.

    Args:
        source: The fp32 ONNX file.
        path: The int8 file.
        batches: Samples to calibrate with.
        target: Processor that serves; None: this machine's.
        recipe: The operators that become integer; the first and the last layer as well.
        calibration: How ranges are measured.

    Raises:
        DataError: There are no samples, or one is not finite.
        ExportError: The file cannot be read, run or quantised.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(source, Path(folder) / "prepared.onnx")
        ranges = measure_ranges(prepared, batches, "minmax")
        if calibration != "minmax":
            ranges = measure_ranges(prepared, batches, calibration, ranges)
        write_quantized(prepared, path, ranges, find_types(target), recipe)


def write_quantized(
    prepared: Prepared,
    path: Path,
    ranges: TensorsData,
    types: IntegerTypes,
    recipe: Recipe,
    excluded: Collection[str] = (),
) -> None:
    """Write the int8 file of a prepared network.

    Args:
        prepared: The network.
        path: The int8 file.
        ranges: Ranges of its activations.
        types: The integer types.
        recipe: The operators that become integer.
        excluded: Names of nodes that stay float.

    Raises:
        ExportError: The file cannot be written.
    """
    activations = QuantType.QInt8 if types.is_signed else QuantType.QUInt8
    quantizer = QDQQuantizer(
        copy.deepcopy(prepared.model),
        True,  # noqa: FBT003  # a scale per channel
        types.has_reduced_weights,
        QuantType.QInt8,
        activations,
        ranges,
        [],
        list(excluded),
        list(recipe.op_types or _EVERY_OPERATOR),
        {
            "ActivationSymmetric": types.is_symmetric,
            "WeightSymmetric": True,
            # A product of two activations loses twice, and has no fast kernel.
            "MatMulConstBOnly": True,
        },
    )
    model: onnx.ModelProto = translate_errors(quantizer.quantize_model)
    if model.ByteSize() > _MOST_BYTES:
        raise ExportError(
            f"the int8 file would have {model.ByteSize()} bytes, at most {_MOST_BYTES} are possible"
        )
    path.write_bytes(model.SerializeToString(deterministic=True))
