"""The part of the pruning config about checks of the dense network before pruning.

No HTTP, no torch. ``worker.pipeline.sanity.check`` runs the checks.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.contracts.retrain_spec import Spec

Fraction = Annotated[float, Field(ge=0, le=1)]


class ExpectedSpec(Spec):
    """Expected metrics of the dense network, as known from its training."""

    accuracy: Fraction | None = Field(default=None, description="Alias of top1.")
    top1: Fraction | None = Field(
        default=None, description="Share of correct predictions, such as 0.92."
    )
    top5: Fraction | None = Field(
        default=None, description="Share of samples whose class is among the best five."
    )
    macro_f1: Fraction | None = Field(default=None, description="F1 averaged over classes.")
    mean_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Largest mean absolute error, for numeric labels."
    )

    miou: Fraction | None = Field(
        default=None, description="Intersection over union of masks, averaged over classes."
    )
    exact: Fraction | None = Field(default=None, description="Share of lines without a mistake.")
    map50_95: Fraction | None = Field(default=None, description="COCO's mAP of boxes.")
    oks_ap: Fraction | None = Field(
        default=None, description="COCO's average precision of keypoints."
    )
    recall1: Fraction | None = Field(
        default=None, description="Share of samples whose nearest other one has their identity."
    )

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.accuracy is not None and self.top1 is not None:
            raise ValueError("accuracy and top1 are the same metric: give only one of them")
        return self

    @property
    def values(self) -> dict[str, float]:
        """Expected values by the metric's name in the report."""
        found = {
            "top1": self.accuracy if self.top1 is None else self.top1,
            "top5": self.top5,
            "macro_f1": self.macro_f1,
            "mean_error": self.mean_error,
            "miou": self.miou,
            "exact": self.exact,
            "map50_95": self.map50_95,
            "oks_ap": self.oks_ap,
            "recall1": self.recall1,
        }
        return {name: value for name, value in found.items() if value is not None}


class SanitySpec(Spec):
    """Action if the dense network does not seem to fit the data set."""

    action: Literal["stop", "warn", "off"] = Field(
        default="stop",
        description="stop: fail with data_does_not_fit before pruning if the evidence is strong "
        "(accuracy at chance or below `expected`, outputs that are constant or not "
        "finite, inputs in another range than in training), and add a serious "
        "warning if it is weak. warn: never stop. off: skip the checks, for example "
        "for an untrained network.",
    )
    num_samples: Annotated[int, Field(ge=16, le=65_536)] = Field(
        default=1024,
        description="Number of samples to check, from the validation split first, then from the "
        "training split.",
    )
