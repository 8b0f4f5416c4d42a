"""Each claim of CN113361702A, by number: a test that fails when the feature is removed."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor

from app.contracts.spec import PruneConfig
from secateur.engine.export.onnx import export_onnx
from secateur.engine.graph import Analysis, Family, MemberRole, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.retrain import RetrainOptions, TrainingData, retrain_program
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Ratio, SelectionOptions, Steepness, select
from secateur.engine.selection.steepness import cut
from secateur.engine.surgery import compact, keep_masks, mask_program
from tests.fixtures.networks import small_program


@pytest.fixture(scope="module")
def program() -> Program:
    return small_program()


@pytest.fixture(scope="module")
def analysis(program: Program) -> Analysis:
    return analyse(program)


def batch() -> CalibrationBatch:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 1, 8, 8, generator=generator)
    return CalibrationBatch((x,), torch.arange(16) % 4)


def saliency(kind: str, program: Program, analysis: Analysis) -> dict[str, Tensor]:
    options = SaliencyOptions(normalization="none")
    return CRITERIA[kind](program, analysis, (batch(),), options)


def half_plan(program: Program, analysis: Analysis) -> Plan:
    scores = saliency("l1", program, analysis)
    options = SelectionOptions(Ratio(0.5), min_channels=1, round_to=1)
    keeps = select(analysis, scores, options, CostModel(program, analysis)).keeps
    return make_plan(program, analysis, keeps, saliency=scores)


def inner(analysis: Analysis) -> Family:
    """The family of conv3: made by one layer, read by the classifier alone."""
    return analysis.family("conv3.weight")


def test_claim_1_the_least_salient_filters_go_and_the_next_layer_follows(
    program: Program, analysis: Analysis
) -> None:
    plan = half_plan(program, analysis)
    smaller = compact(program, analysis, plan)
    norms = program.tensors["conv3.weight"].abs().sum((1, 2, 3))
    kept = sorted(norms.argsort(descending=True)[:8].tolist())
    conv1_kept = next(f.kept for f in plan.families if f.name == "conv1.weight")
    expected = program.tensors["conv3.weight"][kept][:, list(conv1_kept)]
    assert torch.equal(smaller.tensors["conv3.weight"], expected)
    assert torch.equal(smaller.tensors["fc.weight"], program.tensors["fc.weight"][:, kept])


def test_claim_2_filters_are_sorted_by_saliency_and_the_smallest_taken(
    program: Program, analysis: Analysis
) -> None:
    plan = half_plan(program, analysis)
    for family in plan.families:
        assert family.saliency is not None
        removed = set(range(family.num_groups)) - set(family.kept)
        assert max(family.saliency[i] for i in removed) <= min(
            family.saliency[i] for i in family.kept
        )


def test_claim_3_the_steepness_of_the_curve_decides_how_many_go(
    program: Program, analysis: Analysis
) -> None:
    flat_then_steep = [0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.9, 1.0]
    assert cut(flat_then_steep, 1.0).num_removed == 5  # the turn itself stays
    steep_from_the_start = [0.1, 0.6, 0.8, 0.9, 0.95, 0.97, 0.99, 1.0]
    assert cut(steep_from_the_start, 1.0).num_removed == 0
    assert cut([0.5] * 8, 1.0).num_removed == 0
    scores = {f.name: torch.linspace(0, 1, f.num_groups) ** 3 for f in analysis.families}
    cost = CostModel(program, analysis)
    removed = [
        select(
            analysis, scores, SelectionOptions(Steepness(s), min_channels=1, round_to=1), cost
        ).num_removed
        for s in (0.25, 1.0, 4.0)
    ]
    assert removed == sorted(removed)
    assert removed[0] < removed[-1]
    assert PruneConfig().selection.mode == "steepness"  # the default


@pytest.mark.parametrize(("kind", "order"), [("l1", 1), ("l2", 2)])
def test_claim_4_saliency_is_the_norm_of_the_filter(
    kind: str, order: int, program: Program, analysis: Analysis
) -> None:
    found = saliency(kind, program, analysis)["conv3.weight"]
    weight = program.tensors["conv3.weight"].double()
    expected = torch.stack([filter_.flatten().norm(p=order) for filter_ in weight])
    assert torch.allclose(found, expected, rtol=1e-6)  # float32 sums


def test_claim_5_saliency_is_what_the_loss_becomes_without_the_filter(
    program: Program, analysis: Analysis
) -> None:
    found = saliency("loss", program, analysis)["conv3.weight"]
    calibration = batch()
    dense = cross_entropy(program, calibration)
    for group in range(0, 16, 5):
        keep = torch.ones(16, dtype=torch.bool)
        keep[group] = False
        twin = mask_program(program, make_plan(program, analysis, {"conv3.weight": keep}))
        expected = cross_entropy(twin, calibration) - dense
        assert float(found[group]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def cross_entropy(program: Program, calibration: CalibrationBatch) -> float:
    with torch.no_grad():
        logits = ProgramModule(program).eval().run(calibration.inputs)[0].double()
    assert calibration.labels is not None
    return float(torch.nn.functional.cross_entropy(logits, calibration.labels))


def train_masked(program: Program, plan: Plan) -> Program:
    calibration = batch()
    source = TensorSource(calibration.inputs[0], calibration.labels)
    data = TrainingData(source, torch.arange(16), torch.arange(0))
    options = RetrainOptions(epochs=3, batch_size=4, precision="float32")
    masks = keep_masks(program, plan)
    return retrain_program(mask_program(program, plan), data, options, masks=masks).program


def test_claim_6_pruned_weights_are_zero_and_are_not_updated(
    program: Program, analysis: Analysis
) -> None:
    plan = half_plan(program, analysis)
    trained = train_masked(program, plan)
    masks = keep_masks(program, plan)
    for member in inner(analysis).producers():
        removed = ~masks[member.tensor]
        assert removed.any()
        assert (trained.tensors[member.tensor][removed] == 0).all()
        kept = masks[member.tensor]
        before = program.tensors[member.tensor]
        assert (trained.tensors[member.tensor][kept] != before[kept]).any()


def test_claim_7_the_next_layers_matching_input_channels_are_zero_and_stay_so(
    program: Program, analysis: Analysis
) -> None:
    plan = half_plan(program, analysis)
    trained = train_masked(program, plan)
    masks = keep_masks(program, plan)
    consumers = [m for m in inner(analysis).members if m.role is MemberRole.CONSUMER]
    assert [m.tensor for m in consumers] == ["fc.weight"]
    for family in analysis.families:
        for member in family.members:  # the mask covers the whole channel group
            assert (trained.tensors[member.tensor][~masks[member.tensor]] == 0).all()


def test_claim_8_the_pruned_network_is_retrained(program: Program, analysis: Analysis) -> None:
    plan = half_plan(program, analysis)
    before = cross_entropy(mask_program(program, plan), batch())
    after = cross_entropy(train_masked(program, plan), batch())
    assert after < before


def test_claim_9_inference_runs_the_pruned_network(
    program: Program, analysis: Analysis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = half_plan(program, analysis)
    smaller = compact(program, analysis, plan)
    path = tmp_path_factory.mktemp("claim9") / "model.onnx"
    export_onnx(smaller, path)
    x = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    found = ort.InferenceSession(path).run(None, {"x": x.numpy()})[0]
    with torch.no_grad():
        expected = ProgramModule(mask_program(program, plan)).eval().run((x,))[0]
    assert np.abs(found - expected.numpy()).max() < 1e-4


def test_claim_10_the_device_has_a_saliency_module_and_a_pruning_module() -> None:
    import secateur.engine.saliency  # noqa: PLC0415
    import secateur.engine.surgery  # noqa: PLC0415

    assert {"l1", "l2", "loss"} <= set(secateur.engine.saliency.CRITERIA)
    assert callable(secateur.engine.surgery.compact)
