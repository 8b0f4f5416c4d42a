"""The list of export targets. To add one, define its record in a new file and add a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.export.targets.executorch import EXECUTORCH
from secateur.engine.export.targets.litert import LITERT
from secateur.engine.export.targets.ncnn import NCNN
from secateur.engine.export.targets.onnxruntime import ONNXRUNTIME
from secateur.engine.export.targets.openvino import OPENVINO
from secateur.engine.export.targets.scripts import COREML, HAILO, RKNN, TENSORRT
from secateur.engine.export.targets.target import Target

_ALL = (ONNXRUNTIME, OPENVINO, NCNN, EXECUTORCH, LITERT, TENSORRT, RKNN, HAILO, COREML)

TARGETS: Mapping[str, Target] = MappingProxyType({each.name: each for each in _ALL})
