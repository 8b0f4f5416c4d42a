"""Trials of a search: prune to a budget, then repair or train the network, and measure it."""

from dataclasses import dataclass, field

from app.contracts.report import AccuracyTrial
from app.contracts.spec import AccuracySelection
from secateur.engine.errors import DivergenceError
from secateur.engine.metrics import METRICS, Metrics
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import RampedCuts
from secateur.engine.selection import Budget
from worker.pipeline.data import Split
from worker.pipeline.job.identity import job_key
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.settling import settled
from worker.pipeline.selecting.planning import Planner
from worker.pipeline.training.run import start_of, train

ROUNDING = 1e-12  # 0.92 - 0.91 is more than 0.01


@dataclass
class Trials:
    """Trials of one job, in their order. Two budgets with the same widths are one trial.

    Attributes:
        inputs: Inputs of the job.
        planner: Makes the plans.
        spec: The selection of the config.
        dense: Metrics of the dense network on the validation samples.
        done: Every trial so far.
    """

    inputs: Inputs
    planner: Planner
    spec: AccuracySelection
    dense: Metrics
    done: list[AccuracyTrial] = field(default_factory=list)
    _known: dict[tuple[str, bool], AccuracyTrial] = field(default_factory=dict)

    def repaired(self, share: float) -> AccuracyTrial:
        """Return the trial of a budget without training."""
        plan = self.planner.plan(self.inputs.program, self._budget(share))
        key = (str(plan.axes), False)
        if key not in self._known:
            program = settled(self.inputs, self.inputs.program, plan)
            self._known[key] = self._measured(share, plan, self._score(program), is_trained=False)
        return self._tell(share, key)

    def trained(self, share: float) -> AccuracyTrial:
        """Return the trial of a budget after training; one that diverges is over the limit."""
        inputs, budget = self.inputs, self._budget(share)
        cuts = self.planner.cuts(budget)
        plan = cuts.first() if cuts is not None else self.planner.plan(inputs.program, budget)
        key = (f"{budget}" if cuts is not None else str(plan.axes), True)
        if key not in self._known:
            self._known[key] = self._train(share, plan, cuts)
        return self._tell(share, key)

    def _train(self, share: float, plan: Plan, cuts: RampedCuts | None) -> AccuracyTrial:
        inputs = self.inputs
        try:
            trained = train(inputs, start_of(inputs, plan, cuts))
        except DivergenceError as error:
            inputs.reporter.warn(f"a trial with {share:.3f} of the {self.spec.unit} left: {error}")
            return self._measured(share, plan, None, is_trained=True)
        return self._measured(share, trained.plan, self._score(trained.program), is_trained=True)

    def _budget(self, share: float) -> Budget:
        return Budget(self.spec.unit, share)

    def _score(self, program: Program) -> Metrics | None:
        return self.inputs.score(program, Split.VALIDATION)

    def _measured(
        self, share: float, plan: Plan, score: Metrics | None, *, is_trained: bool
    ) -> AccuracyTrial:
        macs, params = shares_left(self.inputs, plan)
        drop = None if score is None else self.dense.score - score.score
        return AccuracyTrial(
            asked=share,
            macs=macs,
            params=params,
            validation_metric=None if score is None else score.values[score.primary],
            drop=drop,
            drop_interval=None if score is None else _interval(score),
            is_kept=drop is not None and drop <= self.spec.max_drop + ROUNDING,
            is_trained=is_trained,
        )

    def _tell(self, share: float, key: tuple[str, bool]) -> AccuracyTrial:
        trial = self._known[key].model_copy(update={"asked": share})
        number = f"{job_key(self.inputs.request, 'trial')}.{len(self.done)}"
        self.done.append(trial)
        self.inputs.reporter.metric({"kind": "trial", **trial.model_dump()}, number)
        return trial


def shares_left(inputs: Inputs, plan: Plan) -> tuple[float, float]:
    """Return the shares of MACs and parameters that remain after a plan."""
    cost, keeps = inputs.cost, plan.keeps()
    return cost.macs(keeps) / max(1, cost.macs({})), cost.params(keeps) / max(1, cost.params({}))


def _interval(score: Metrics) -> tuple[float, float] | None:
    """Return the 95 % interval of the drop."""
    change = score.doubt().change
    if change is None:
        return None
    if METRICS[score.primary].is_less_better:
        return change.low, change.high
    return -change.high, -change.low
