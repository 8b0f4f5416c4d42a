"""The list of export formats. To add one: a file that defines its record, and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.export.format import ExportFormat
from secateur.engine.export.onnx import ONNX
from secateur.engine.export.pt2 import PT2
from secateur.engine.export.weights import SAFETENSORS

_ALL = (PT2, SAFETENSORS, ONNX)

EXPORT_FORMATS: Mapping[str, ExportFormat] = MappingProxyType({each.name: each for each in _ALL})
