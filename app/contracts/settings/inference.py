"""Settings of serving."""

from typing import Annotated, Literal

from pydantic import Field

from app.contracts.settings.fields import GIBIBYTE, MEBIBYTE, Bytes, Count, Group, Seconds


class InferenceSettings(Group):
    """Serving of models."""

    provider: Literal["cpu", "cuda", "tensorrt"] = Field(
        default="cpu",
        description="Device that ONNX Runtime computes on. The API refuses to start if it cannot.",
    )
    cpu: Literal["auto", "vnni", "avx2", "arm"] = Field(
        default="auto",
        description="Processor of the machines that serve, for the types of int8 files: x86 with "
        "VNNI, x86 without, or Arm. auto: the same as the worker's. Without VNNI, the 8-bit "
        "weights of a file made for it overflow.",
    )
    gpu_memory_bytes: Bytes | None = Field(
        default=None,
        description="Memory of the GPU that ONNX Runtime holds for each loaded model; with "
        "tensorrt, also that its engines may use while they compute; unset: no limit.",
    )
    num_threads: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=1, description="Threads of one ONNX Runtime session."
    )
    num_workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Batches computed concurrently, over all models."
    )
    cache_bytes: Bytes = Field(
        default=1 * GIBIBYTE, description="Memory that the loaded models hold, as measured."
    )
    max_batch_items: Count | None = Field(
        default=None,
        description="Largest batch made from several requests; unset: measured for each model "
        "when it is loaded; 1: never batch requests.",
    )
    batch_seconds: Seconds = Field(
        default=0.02, description="Longest run allowed when the batch size is measured."
    )
    measure_seconds: Seconds = Field(
        default=0.25, description="Time spent on measuring the batch size when a model is loaded."
    )
    memory_bytes: Bytes | None = Field(
        default=None,
        description="Memory of the serving process, which holds the models and computes; unset: "
        "half of the machine's or the container's memory.",
    )
    run_bytes: Bytes = Field(
        default=512 * MEBIBYTE,
        description="Memory that one run may take, measured when a model is loaded. Larger "
        "requests are split, or refused if their items cannot be computed apart. Models whose "
        "sizes depend on values or on dimensions that clients choose share `cache_bytes` and "
        "`num_workers` times this, with all their runs.",
    )
    answer_bytes: Bytes = Field(
        default=256 * MEBIBYTE, description="Size of the outputs of one request."
    )
    image_bytes: Bytes = Field(
        default=256 * MEBIBYTE,
        description="Size of the network inputs that the images of one request become.",
    )
    request_seconds: Seconds = Field(
        default=60.0,
        description="Compute time of one request. A request that would take longer is refused, and "
        "a run that takes longer is stopped.",
    )
    slice_seconds: Seconds = Field(
        default=0.1,
        description="Compute time after which a request of many items lets other requests run.",
    )
    queue_items: Count = Field(default=1024, description="Items that may wait for one model.")
    queue_bytes: Bytes = Field(
        default=256 * MEBIBYTE, description="Size of the inputs that may wait for one model."
    )
    shadow_share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0,
        description="Share of the requests to pruned models that are also sent to the dense parent "
        "in the background, to compare them; `shadow_share` in a model's metadata takes "
        "precedence.",
    )
