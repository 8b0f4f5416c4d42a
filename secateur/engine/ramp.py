"""Iterative pruning schedule: alternate cuts and training on a cubic ramp.

Zhu and Gupta 2017, "To prune, or not to prune", arXiv:1710.01878: prune much early, when the
network can still recover, and little late. Every cut measures saliencies again. Removed groups stay
removed. The optimiser keeps the state of the remaining weights. Built by the pipeline, driven by
`retrain.loop`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from secateur.engine.errors import NothingPrunableError
from secateur.engine.graph import Analysis
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.retrain import Phase
from secateur.engine.selection import Budget, Ratio, Steepness
from secateur.engine.surgery import carry_over, compact, expand_program, keep_masks, mask_program

# Scores a network and returns a plan: (current network, rule of this cut, groups left so far).
Chooser = Callable[[Program, Budget | Ratio, Mapping[str, Tensor] | None], Plan]


@dataclass(frozen=True)
class Ramp:
    """Timing of the cuts.

    Attributes:
        rounds: Number of cuts; the first is made before training.
        share: Share of the training steps after which the last cut is made, in [0, 1].
    """

    rounds: int
    share: float

    def rule(self, mode: Budget | Ratio | Steepness, number: int) -> Budget | Ratio:
        """Return the rule of cut ``number`` (from 1).

        Raises:
            ValueError: The mode has no target amount (`Steepness`).
        """
        done = 1 - (1 - number / self.rounds) ** 3
        if isinstance(mode, Ratio):
            return replace(mode, ratio=mode.ratio * done)
        if isinstance(mode, Budget):
            return replace(mode, share=1 - (1 - mode.share) * done)
        raise ValueError("a ramp needs an amount to go to")


class RampedCuts:
    """The cuts of one training run; implements `retrain.Cuts`.

    Attributes:
        goal: The rule of the last cut.
    """

    def __init__(  # noqa: PLR0913  # collaborators of a cut
        self,
        program: Program,
        analysis: Analysis,
        mode: Budget | Ratio,
        ramp: Ramp,
        choose: Chooser,
        settle: Callable[[Program, Plan], Program],
        *,
        is_masked: bool,
    ) -> None:
        """Prepare the cuts.

        Args:
            program: The dense network.
            analysis: Its channel groups.
            mode: The rule of the last cut.
            ramp: Timing of the cuts.
            choose: Scores a network and returns a plan.
            settle: Returns the masked twin of a network and a plan, such as a recalibrated one.
            is_masked: Whether the full-size masked twin is trained instead of the compacted
                network.
        """
        self._program, self._analysis = program, analysis
        self.goal, self._ramp = mode, ramp
        self._choose, self._settle = choose, settle
        self._is_masked = is_masked

    def first(self) -> Plan:
        """Return the plan of the first cut, which is made before any training."""
        return self._choose(self._program, self._ramp.rule(self.goal, 1), None)

    def steps(self, num_steps: int) -> tuple[int, ...]:
        """Return the steps before which the second and later cuts are made."""
        last = self._ramp.rounds - 1
        found = (round(self._ramp.share * num_steps * k / last) for k in range(1, last + 1))
        return tuple(min(step, num_steps - 1) for step in found)

    def targets(self) -> tuple[float, ...]:
        """Return the share or ratio of each cut, including the first."""
        rules = [self._ramp.rule(self.goal, n) for n in range(1, self._ramp.rounds + 1)]
        return tuple(rule.share if isinstance(rule, Budget) else rule.ratio for rule in rules)

    def cut(
        self, phase: Phase, number: int, optimizer: Mapping[str, Tensor]
    ) -> tuple[Phase, dict[str, Tensor]]:
        """Return the network after cut ``number`` (from 0), and its optimiser's tensors."""
        before, device = Plan.from_json(phase.note), phase.program.device
        program = phase.program.to("cpu")  # networks are chosen and settled from there
        twin = program if self._is_masked else expand_program(self._program, before, program)
        try:
            rule = self._ramp.rule(self.goal, number + 2)
            after = self._choose(twin, rule, before.keeps())
        except NothingPrunableError:  # limits and multiples leave nothing more to cut
            return phase, dict(optimizer)
        new = self.phase(self._settle(twin, after), after)
        new = replace(new, program=new.program.to(device))
        if self._is_masked:
            return new, _masked(optimizer, new.masks)
        return new, carry_over(before, after, optimizer)

    def resume(self, note: str) -> Phase:
        """Return the network of a saved plan, with the dense weights."""
        plan = Plan.from_json(note)
        return self.phase(mask_program(self._program, plan), plan)

    def phase(self, twin: Program, plan: Plan) -> Phase:
        """Return the phase to train under ``plan``, made from its masked twin."""
        if self._is_masked:
            return Phase(twin, keep_masks(twin, plan), plan.to_json())
        return Phase(compact(twin, self._analysis, plan), {}, plan.to_json())


def _masked(optimizer: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the optimiser state with removed elements zeroed, so that momentum is zero there."""
    found = dict(optimizer)
    for key, tensor in optimizer.items():
        mask = masks.get(key.rpartition("/")[0])
        if mask is not None and mask.shape == tensor.shape:
            found[key] = tensor * mask.to(tensor.device)
    return found
