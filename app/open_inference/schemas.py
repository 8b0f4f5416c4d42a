"""OpenAPI schemas of ``/v2``, and its answers off the hot path."""

from typing import Any

from pydantic import BaseModel, Field


class ProtocolError(BaseModel):
    """Answer to every failed request of ``/v2``."""

    error: str


# For ``responses=`` of routes.
RESPONSES: dict[int | str, dict[str, object]] = {
    "default": {"model": ProtocolError, "description": "An error."}
}


class ServerMetadata(BaseModel):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """Name, datatype and shape of an input or output."""

    name: str
    datatype: str
    shape: list[int] = Field(description="Sizes; -1: any size.")


class ModelMetadata(BaseModel):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfigTensor(BaseModel):
    """An input or output in Triton's model configuration."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfig(BaseModel):
    """The part of Triton's model configuration that applies here."""

    name: str
    platform: str
    backend: str
    max_batch_size: int = Field(description="0: the shapes include the batch dimension.")
    input: list[ConfigTensor]
    output: list[ConfigTensor]


class IndexEntry(BaseModel):
    """A version of a model, and whether it can be used."""

    name: str
    version: str
    state: str
    reason: str


class ModelStatistics(BaseModel):
    """Counts and nanoseconds of the API process that answers."""

    model_stats: list[dict[str, Any]]


class InputTensor(BaseModel):
    """Data for an input: a flat or nested list, or ``parameters.binary_data_size``."""

    name: str
    datatype: str = Field(examples=["FP32"])
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class RequestedOutput(BaseModel):
    """A requested output; ``parameters``: ``binary_data``, ``classification``."""

    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(BaseModel):
    """An inference request; ``parameters``: ``binary_data_output``, ``priority``, ``timeout``."""

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1)
    outputs: list[RequestedOutput] | None = None
    parameters: dict[str, Any] | None = None


class OutputTensor(BaseModel):
    """An output: a flat list, or ``parameters.binary_data_size`` bytes after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class InferenceResponse(BaseModel):
    """The answer to an inference request."""

    id: str | None = None
    model_name: str
    model_version: str
    outputs: list[OutputTensor]
