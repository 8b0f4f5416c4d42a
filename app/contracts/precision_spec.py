"""The precision part of the pruning config; `spec` has the rest."""

from typing import Annotated, Literal

from pydantic import Field

from app.contracts.retrain_spec import Spec


class PrecisionSpec(Spec):
    """Numbers that the pruned network computes with; int8 is written beside the fp32 file."""

    kind: Literal["fp32", "int8"] = Field(
        default="fp32",
        description="fp32: as trained. int8: also write model_int8.onnx, calibrated on training "
        "samples, if it keeps max_drop and is at least 5 % faster than the fp32 file on the "
        "worker; /infer serves it as variant int8. Otherwise the report says why there is none.",
    )
    max_drop: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.01,
        description="Largest drop of the validation metric below the fp32 file's: 0.01 is one "
        "percentage point of accuracy. Without labels, the share of predictions that may differ, "
        "or the distance of the outputs as a share of their norm. Layers stay in fp32 until it is "
        "kept.",
    )
    num_samples: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=256, description="Training samples that the ranges of activations come from."
    )
    target: Literal["auto", "vnni", "avx2", "arm", "tensorrt"] = Field(
        default="auto",
        description="Processor that the integer types are for. auto: the one that serves "
        "(inference.cpu). vnni, avx2: x86 with and without VNNI. arm. tensorrt. A file for another "
        "processor than the one that serves is among the artifacts, whatever its speed here, and "
        "is not served.",
    )
