"""The repair part of the pruning config; `spec` has the rest."""

from typing import Annotated, Literal

from pydantic import Field

from app.contracts.retrain_spec import Spec


class RepairSpec(Spec):
    """Refitting of the kept weights after the cut, before any training; needs no labels."""

    kind: Literal["auto", "none", "reconstruct", "fold"] = Field(
        default="auto",
        description="reconstruct: solve for the weights of every layer that reads changed inputs, "
        "so that it computes what it computed before (He et al. 2017, arXiv:1707.06168). fold: "
        "merge the removed filters into similar ones, without samples (Model Folding, ICLR 2025, "
        "arXiv:2502.10216); needs BatchNorm. none: only measure BatchNorm's statistics again. "
        "auto: reconstruct with samples, fold without.",
    )
    num_samples: Annotated[int, Field(ge=1, le=65_536)] = Field(
        default=512,
        description="Training samples to solve with; fewer if their activations do not fit in "
        "memory.",
    )
    ridge: Annotated[float, Field(ge=1e-9, le=1e6)] = Field(
        default=1e-3,
        description="Weight of the distance from the kept weights, relative to the mean square of "
        "a layer's inputs. Larger values change the weights less.",
    )
