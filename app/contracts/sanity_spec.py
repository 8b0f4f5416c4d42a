"""The part of the pruning config that says what the dense network should be good for.

No HTTP, no torch. ``worker.pipeline.sanity.check`` looks at the network before anything is pruned.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.contracts.retrain_spec import Spec

Fraction = Annotated[float, Field(ge=0, le=1)]


class ExpectedSpec(Spec):
    """How good the dense network is, as its owner knows it; one metric or more."""

    accuracy: Fraction | None = Field(default=None, description="Another name for top1.")
    top1: Fraction | None = Field(default=None, description="Share of right answers, such as 0.92.")
    top5: Fraction | None = Field(
        default=None, description="Share with the right class among the best five."
    )
    macro_f1: Fraction | None = Field(default=None, description="F1 averaged over classes.")
    mean_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Mean absolute error of numbers: at most this."
    )

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.accuracy is not None and self.top1 is not None:
            raise ValueError("accuracy and top1 are two names of one metric: give one of them")
        return self

    @property
    def values(self) -> dict[str, float]:
        """What is expected, by the report's names of the metrics."""
        found = {
            "top1": self.accuracy if self.top1 is None else self.top1,
            "top5": self.top5,
            "macro_f1": self.macro_f1,
            "mean_error": self.mean_error,
        }
        return {name: value for name, value in found.items() if value is not None}


class SanitySpec(Spec):
    """What happens if the dense network does not seem to know the data set."""

    action: Literal["stop", "warn", "off"] = Field(
        default="stop",
        description="stop: the job fails with data_does_not_fit before anything is pruned if the "
        "evidence is strong (no better than chance, below `expected`, outputs that are constant or "
        "not finite, inputs in another range than the network was trained on), and warns in red "
        "if it is weak. warn: it never stops. off: nothing is looked at, as for a network that has "
        "not been trained.",
    )
    num_samples: Annotated[int, Field(ge=16, le=65_536)] = Field(
        default=1024,
        description="Samples that are looked at: of the validation split, then of the training "
        "split.",
    )
