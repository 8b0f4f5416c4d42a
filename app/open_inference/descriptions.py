"""The protocol's descriptions of a model: metadata and configuration."""

from app.open_inference.datatypes import BYTES, datatype_of
from app.open_inference.schemas import ConfigTensor, ModelConfig, ModelMetadata, TensorMetadata
from app.serving.description import LoadedModel, TensorSpec

_PLATFORM, _BACKEND = "onnxruntime_onnx", "onnxruntime"
_ANY_SIZE = -1


def to_metadata(name: str, versions: list[str], model: LoadedModel) -> ModelMetadata:
    """Return a model's metadata: inputs and outputs."""
    return ModelMetadata(
        name=name,
        versions=versions,
        platform=_PLATFORM,
        inputs=[_metadata(spec) for spec in model.inputs],
        outputs=[_metadata(spec) for spec in model.outputs],
    )


def to_config(name: str, model: LoadedModel) -> ModelConfig:
    """Return a model's configuration.

    ``max_batch_size`` is 0, so the dimensions are the file's and include the batch.
    """
    return ModelConfig(
        name=name,
        platform=_PLATFORM,
        backend=_BACKEND,
        max_batch_size=0,
        input=[_config(spec) for spec in model.inputs],
        output=[_config(spec) for spec in model.outputs],
    )


def _metadata(spec: TensorSpec) -> TensorMetadata:
    return TensorMetadata(name=spec.name, datatype=datatype_of(spec).name, shape=_dims(spec))


def _config(spec: TensorSpec) -> ConfigTensor:
    name = datatype_of(spec).name
    data_type = "TYPE_STRING" if name == BYTES else f"TYPE_{name}"
    return ConfigTensor(name=spec.name, data_type=data_type, dims=_dims(spec))


def _dims(spec: TensorSpec) -> list[int]:
    return [_ANY_SIZE if size is None else size for size in spec.shape]
