"""The list of operators. To add one, write its function in the file of its kind."""

from secateur.engine.onnx_in.call import Function
from secateur.engine.onnx_in.operators.arithmetic import ARITHMETIC
from secateur.engine.onnx_in.operators.convolution import CONVOLUTION
from secateur.engine.onnx_in.operators.indexing import INDEXING
from secateur.engine.onnx_in.operators.movement import MOVEMENT
from secateur.engine.onnx_in.operators.normalization import NORMALIZATION
from secateur.engine.onnx_in.operators.pooling import POOLING
from secateur.engine.onnx_in.operators.products import PRODUCTS
from secateur.engine.onnx_in.operators.recurrent import RECURRENT
from secateur.engine.onnx_in.operators.reduction import REDUCTION
from secateur.engine.onnx_in.operators.resampling import RESAMPLING
from secateur.engine.onnx_in.operators.sequences import SEQUENCES
from secateur.engine.onnx_in.operators.shapes import SHAPES

OPERATORS: dict[str, Function] = {
    **ARITHMETIC,
    **CONVOLUTION,
    **INDEXING,
    **MOVEMENT,
    **NORMALIZATION,
    **POOLING,
    **PRODUCTS,
    **RECURRENT,
    **REDUCTION,
    **RESAMPLING,
    **SEQUENCES,
    **SHAPES,
}
