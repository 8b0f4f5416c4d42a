"""Readers of model files, by format name."""

from collections.abc import Callable
from dataclasses import fields

from app.contracts.settings import LimitSettings
from secateur.core.formats import MODEL_FORMATS, ModelFormatName, alternatives
from secateur.engine.errors import ModelRejectedError
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.architectures import Architecture, read_weights
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from worker.messages import ModelInput

Reader = Callable[[ModelInput, ModelLimits], Program]


def read_model(model: ModelInput, limits: LimitSettings) -> Program:
    """Return the program of a model file.

    Raises:
        ModelRejectedError: The format is unknown, or the file is refused.
    """
    reader = next((read for name, read in MODEL_READERS.items() if name == model.format), None)
    if reader is None:
        raise ModelRejectedError(
            f"a model file is {alternatives(MODEL_FORMATS)}, not {model.format[:20]!r}"
        )
    given = limits.model_dump()
    return reader(
        model, ModelLimits(**{each.name: given[each.name] for each in fields(ModelLimits)})
    )


def _read_program(model: ModelInput, limits: ModelLimits) -> Program:
    return read_program(model.path, limits)


def _read_weights(model: ModelInput, limits: ModelLimits) -> Program:
    if model.architecture is None:
        raise ModelRejectedError("weights need the name of their architecture")
    return read_weights(model.path, Architecture(**model.architecture.model_dump()), limits)


def _read_onnx(model: ModelInput, limits: ModelLimits) -> Program:
    return read_onnx(model.path, limits)


MODEL_READERS: dict[ModelFormatName, Reader] = {
    "pt2": _read_program,
    "safetensors": _read_weights,
    "onnx": _read_onnx,
}
