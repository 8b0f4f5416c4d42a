"""Iterative schedules: nested cuts, a carried optimiser, and the two modes on one trajectory."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from secateur.engine.errors import PlanError
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import Ramp, RampedCuts
from secateur.engine.retrain import (
    Hooks,
    OptimizerOptions,
    RetrainOptions,
    RetrainResult,
    RetrainState,
    TrainingData,
    load_state,
    retrain_program,
    save_state,
)
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Budget, Ratio, SelectionOptions, select
from secateur.engine.surgery import carry_over, compact, keep_masks, mask_program
from tests.fixtures.networks import small_program

# In double precision, so that two ways to compute the same sum stay together over many steps.
PROGRAM = small_program(width=16).map_tensors(lambda t: t.double() if t.is_floating_point() else t)
ANALYSIS = analyse(PROGRAM)
COST = CostModel(PROGRAM, ANALYSIS)
GOAL = Budget("macs", 0.3)
RAMP = Ramp(rounds=3, share=0.6)


def data() -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(0, 4, (96,), generator=generator)
    x = torch.randn(96, 1, 8, 8, generator=generator, dtype=torch.float64)
    x = x * (1 + y[:, None, None, None])
    return TrainingData(TensorSource(x, y), torch.arange(80), torch.arange(80, 96))


def choose(program: Program, rule: Budget | Ratio, alive: Mapping[str, Tensor] | None) -> Plan:
    scores = CRITERIA["l1"](program, ANALYSIS, None, SaliencyOptions())
    options = SelectionOptions(rule, min_channels=1, round_to=1)
    return make_plan(PROGRAM, ANALYSIS, select(ANALYSIS, scores, options, COST, alive=alive).keeps)


def cuts(*, is_masked: bool = False) -> RampedCuts:
    return RampedCuts(PROGRAM, ANALYSIS, GOAL, RAMP, choose, mask_program, is_masked=is_masked)


def run(
    mode: str, kind: str = "sgd", hooks: Hooks | None = None, resume: RetrainState | None = None
) -> RetrainResult:
    made = cuts(is_masked=mode == "masked")
    first = made.first()
    phase = made.phase(mask_program(PROGRAM, first), first)
    options = RetrainOptions(
        epochs=4, batch_size=16, precision="float32",
        optimizer=OptimizerOptions(kind, 0.02, clip_norm=5.0),  # type: ignore[arg-type]
    )  # fmt: skip
    return retrain_program(
        phase.program, data(), options, masks=phase.masks, cuts=made, note=phase.note,
        hooks=hooks, resume=resume,
    )  # fmt: skip


def test_the_ramp_is_cubic_and_ends_where_it_should() -> None:
    assert cuts().targets() == pytest.approx((1 - 0.7 * 19 / 27, 1 - 0.7 * 26 / 27, 0.3))
    ratio = RampedCuts(PROGRAM, ANALYSIS, Ratio(0.8), RAMP, choose, mask_program, is_masked=False)
    assert ratio.targets() == pytest.approx((0.8 * 19 / 27, 0.8 * 26 / 27, 0.8))
    assert cuts().steps(100) == (30, 60)


def test_cut_groups_stay_cut_and_the_goal_is_met() -> None:
    plans: list[Plan] = []
    result = run("compact", hooks=Hooks(checkpoint=lambda s: plans.append(Plan.from_json(s.note))))
    plans = [cuts().first(), *plans]
    for before, after in itertools.pairwise(plans):
        for old, new in zip(before.families, after.families, strict=True):
            assert set(new.kept) <= set(old.kept)
    final = Plan.from_json(result.note)
    assert final.num_removed > plans[0].num_removed
    assert COST.macs(final.keeps()) <= 0.3 * COST.macs({})
    shapes = {k: t.shape for k, t in compact(PROGRAM, ANALYSIS, final).tensors.items()}
    assert {k: t.shape for k, t in result.program.tensors.items()} == shapes


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_masked_and_compacted_training_follow_one_trajectory_through_the_cuts(kind: str) -> None:
    small, full = run("compact", kind), run("masked", kind)
    assert small.note == full.note, "the same filters were cut"
    plan = Plan.from_json(full.note)
    kept = compact(full.program, ANALYSIS, plan)
    for name, tensor in small.program.tensors.items():
        torch.testing.assert_close(kept.tensors[name], tensor, rtol=1e-9, atol=1e-9, msg=name)
    for name, keep in keep_masks(full.program, plan).items():
        assert not full.program.tensors[name][~keep].any(), f"{name} was updated"


@pytest.mark.parametrize("mode", ["compact", "masked"])
def test_a_run_stopped_after_a_cut_resumes_bit_for_bit(mode: str, tmp_path: Path) -> None:
    whole = run(mode)

    class StoppedError(Exception):
        pass

    def stop_after_two(state: RetrainState) -> None:
        save_state(state, tmp_path)
        if state.epoch == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(mode, hooks=Hooks(checkpoint=stop_after_two))
    resumed = run(mode, resume=load_state(tmp_path))
    assert resumed.note == whole.note
    for name, tensor in whole.program.tensors.items():
        assert torch.equal(tensor, resumed.program.tensors[name]), name


def test_optimiser_state_of_kept_filters_survives_a_cut() -> None:
    before = cuts().first()
    after = choose(mask_program(PROGRAM, before), Budget("macs", 0.2), before.keeps())
    full = {n: torch.randn_like(t) for n, t in PROGRAM.parameters().items()}
    wide = compact(mask_program(PROGRAM.with_tensors({**PROGRAM.tensors, **full}), before),
                   ANALYSIS, before)  # fmt: skip
    narrow = compact(mask_program(PROGRAM.with_tensors({**PROGRAM.tensors, **full}), after),
                     ANALYSIS, after)  # fmt: skip
    state = {f"{n}/momentum_buffer": t for n, t in wide.parameters().items()}
    found = carry_over(before, after, {**state, "fc.weight/step": torch.tensor(3.0)})
    assert float(found.pop("fc.weight/step")) == 3
    for name, tensor in narrow.parameters().items():
        assert torch.equal(found[f"{name}/momentum_buffer"], tensor), name
    with pytest.raises(PlanError, match="would get back"):
        carry_over(after, before, found)
