"""From scores to plans: the one place where selections are made into plans.

Used by the select stage, by the search and, at every cut, by an iterative schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import Ramp, RampedCuts
from secateur.engine.selection import Budget, Ratio, Selection, Steepness, select
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import selection_options
from worker.pipeline.stages.retrain import ramp_of
from worker.pipeline.stages.saliency import Scores, score

_ALMOST_NOTHING = 1e-9


@dataclass(frozen=True)
class Planner:
    """Makes plans of one job's scores."""

    inputs: Inputs
    scores: Scores

    @property
    def mode(self) -> Budget | Ratio | Steepness:
        """The rule that the config asks for."""
        return selection_options(self.inputs.request.config.selection).mode

    def plan(
        self,
        program: Program,
        mode: Budget | Ratio | Steepness,
        alive: Mapping[str, Tensor] | None = None,
    ) -> Plan:
        """Return the plan of a rule.

        Args:
            program: The dense network, or what cuts have made of it over the same graph.
            mode: The rule.
            alive: The groups that are still there; None: all.

        Raises:
            NothingPrunableError: Nothing can be removed.
            PlanError: The rule cannot be met; the nearest point is named.
        """
        inputs = self.inputs
        scores = self.scores.by_family
        if program is not inputs.program:
            scores = score(inputs, program, self.scores.criterion)
        options = replace(selection_options(inputs.request.config.selection), mode=mode)
        cost = CostModel(inputs.program, inputs.analysis)
        return self.of(select(inputs.analysis, scores, options, cost, alive=alive), scores)

    def narrowest(self) -> Mapping[str, Tensor]:
        """Return the masks of the narrowest network that the limits allow."""
        options = selection_options(self.inputs.request.config.selection)
        ratio = replace(options, mode=Ratio(1 - _ALMOST_NOTHING))
        cost = CostModel(self.inputs.program, self.inputs.analysis)
        return select(self.inputs.analysis, self.scores.by_family, ratio, cost).keeps

    def cuts(self, mode: Budget | Ratio) -> RampedCuts | None:
        """Return the cuts that the config's schedule makes on the way to a rule, if any."""
        schedule = ramp_of(self.inputs)
        if schedule is None:
            return None
        return RampedCuts(
            self.inputs.program,
            self.inputs.analysis,
            mode,
            Ramp(schedule.rounds, schedule.ramp),
            self.plan,
            self.inputs.recalibrated,
            is_masked=self.inputs.request.config.retrain.mode == "masked",
        )

    def of(self, selection: Selection, scores: Mapping[str, Tensor] | None = None) -> Plan:
        """Return the plan of a selection, with the numbers that led to it."""
        config = self.inputs.request.config
        settings: dict[str, Any] = {
            "criterion": {
                **config.criterion.model_dump(mode="json"),
                "used": self.scores.criterion,
            },
            "selection": config.selection.model_dump(mode="json"),
            "seed": config.seed,
        }
        return make_plan(
            self.inputs.program,
            self.inputs.analysis,
            selection.keeps,
            saliency=self.scores.by_family if scores is None else scores,
            details=selection.details,
            settings=settings,
        )
