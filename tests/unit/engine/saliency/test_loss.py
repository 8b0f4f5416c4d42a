import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import DataError
from secateur.engine.graph import Analysis
from secateur.engine.plan import make_plan
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.surgery.mask import mask_program
from tests.unit.engine.saliency.networks import branches

OPTIONS = SaliencyOptions()


def one_by_one(
    program: Program, analysis: Analysis, x: Tensor, y: Tensor | None
) -> dict[str, Tensor]:
    """The definition: a masked twin and a full forward pass for every group."""

    def loss_of(masked: Program) -> float:
        with torch.inference_mode():
            found = ProgramModule(masked).eval()(x).double()
            dense = ProgramModule(program).eval()(x).double()
        return float(
            (found - dense).square().mean() if y is None else nn.functional.cross_entropy(found, y)
        )

    scores = {}
    for family in analysis.families:
        rises = []
        for group in range(family.num_groups):
            keep = torch.arange(family.num_groups) != group
            masked = mask_program(program, make_plan(program, analysis, {family.name: keep}))
            rises.append(loss_of(masked) - loss_of(program))
        scores[family.name] = torch.tensor(rises, dtype=torch.float64)
    return scores


@pytest.mark.parametrize("has_labels", [True, False])
def test_a_score_is_the_rise_of_the_loss_of_the_masked_twin(has_labels: bool) -> None:
    program, analysis = branches()
    x = torch.randn(20, 1, 6, 6)
    y = torch.randint(0, 5, (20,)) if has_labels else None
    batches = tuple(
        CalibrationBatch((x[i : i + 8],), None if y is None else y[i : i + 8])
        for i in range(0, 20, 8)
    )
    found = CRITERIA["loss"](program, analysis, batches, OPTIONS)
    expected = one_by_one(program, analysis, x, y)
    assert len(found) == len(analysis.families) == 3
    for name, scores in expected.items():
        torch.testing.assert_close(found[name], scores, rtol=1e-5, atol=1e-7)


def test_the_program_is_unchanged_and_progress_is_reported() -> None:
    program, analysis = branches()
    copy = {name: tensor.clone() for name, tensor in program.tensors.items()}
    told: list[tuple[int, int]] = []
    options = SaliencyOptions(on_progress=lambda done, total: told.append((done, total)))
    CRITERIA["loss"](
        program, analysis, (CalibrationBatch((torch.randn(4, 1, 6, 6),)),) * 2, options
    )
    assert all(torch.equal(program.tensors[name], tensor) for name, tensor in copy.items())
    assert told[-1] == (26, 26)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_filter_without_readers_costs_nothing_and_ranks_last() -> None:
    program, analysis = branches()
    deaf = program.tensors["outer.weight"].clone()
    deaf[:, 2] = 0
    program = program.with_tensors({**program.tensors, "outer.weight": deaf})
    batch = CalibrationBatch((torch.randn(16, 1, 6, 6),))
    scores = CRITERIA["loss"](program, analysis, (batch,), OPTIONS)["inner.weight"]
    assert float(scores[2]) == 0
    assert int(scores.argmin()) == 2
    assert int((scores > 0).sum()) == 5


def test_without_samples_the_criterion_says_what_it_needs() -> None:
    program, analysis = branches()
    with pytest.raises(DataError, match="calibration samples"):
        CRITERIA["loss"](program, analysis, None, OPTIONS)


def test_labels_other_than_classes_are_refused() -> None:
    program, analysis = branches()
    batch = CalibrationBatch((torch.randn(4, 1, 6, 6),), torch.full((4,), 9))
    with pytest.raises(DataError, match="label 9"):
        CRITERIA["loss"](program, analysis, (batch,), OPTIONS)
