"""Converts scores and selections to plans.

Used by the select stage, by the search and, at every cut, by an iterative schedule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from app.contracts.spec import IterativeSchedule
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import Ramp, RampedCuts
from secateur.engine.selection import Budget, Ratio, Selection, select
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import Rule
from worker.pipeline.job.results import Scores
from worker.pipeline.job.settling import repair_record, settled_twin
from worker.pipeline.scoring.scores import score

_ALMOST_NOTHING = 1e-9


@dataclass(frozen=True)
class Planner:
    """Makes plans from the scores of one job."""

    inputs: Inputs
    scores: Scores

    def plan(
        self,
        program: Program,
        rule: Rule,
        alive: Mapping[str, Tensor] | None = None,
    ) -> Plan:
        """Return the plan of a rule.

        Args:
            program: The dense network, or the same graph after earlier cuts.
            rule: The rule for how many groups are removed.
            alive: The groups that remain after earlier cuts; None: all.

        Raises:
            NothingPrunableError: Nothing can be removed.
            PlanError: The rule cannot be met; the nearest point is named.
        """
        inputs = self.inputs
        scores = self.scores.by_family
        if program is not inputs.program:
            scores = score(inputs, program, self.scores.criterion)
        options = inputs.selection(rule)
        found = select(inputs.analysis, scores, options, inputs.cost, alive=alive)
        return self.of(found, scores)

    def narrowest(self) -> Mapping[str, Tensor]:
        """Return the masks of the narrowest network within the limits."""
        inputs = self.inputs
        options = inputs.selection(Ratio(1 - _ALMOST_NOTHING))
        return select(inputs.analysis, self.scores.by_family, options, inputs.cost).keeps

    def cuts(self, rule: Budget | Ratio) -> RampedCuts | None:
        """Return the intermediate cuts of the config's schedule for a rule, if any."""
        schedule = self.inputs.request.config.schedule
        if not isinstance(schedule, IterativeSchedule):
            return None
        return RampedCuts(
            self.inputs.program,
            self.inputs.analysis,
            rule,
            Ramp(schedule.rounds, schedule.ramp),
            self.plan,
            partial(settled_twin, self.inputs),
            is_masked=self.inputs.request.config.retrain.mode == "masked",
        )

    def of(self, selection: Selection, scores: Mapping[str, Tensor] | None = None) -> Plan:
        """Return the plan of a selection, with the numbers behind it."""
        config = self.inputs.request.config
        settings: dict[str, Any] = {
            "criterion": {
                **config.criterion.model_dump(mode="json"),
                "used": self.scores.criterion,
            },
            "selection": config.selection.model_dump(mode="json"),
            "seed": config.seed,
        }
        record = repair_record(self.inputs)
        if record is not None:
            settings["repair"] = record
        return make_plan(
            self.inputs.program,
            self.inputs.analysis,
            selection.keeps,
            saliency=self.scores.by_family if scores is None else scores,
            details=selection.details,
            settings=settings,
        )
