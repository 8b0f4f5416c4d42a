import pytest
import torch

from secateur.engine.saliency import CRITERIA, SaliencyOptions
from tests.unit.engine.saliency.networks import branches

RAW = SaliencyOptions(normalization="none")


@pytest.mark.parametrize(("kind", "order"), [("l1", 1), ("l2", 2)])
def test_a_score_is_the_norm_of_the_producing_filter(kind: str, order: int) -> None:
    program, analysis = branches()
    found = CRITERIA[kind](program, analysis, None, RAW)
    inner = program.tensors["inner.weight"].flatten(1).norm(order, dim=1).double()
    torch.testing.assert_close(found["inner.weight"], inner, rtol=1e-6, atol=0)
    stem, outer = (
        program.tensors[f"{n}.weight"].flatten(1).norm(order, 1) for n in ("stem", "outer")
    )
    torch.testing.assert_close(found["stem.weight"], (stem + outer).double(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(("reduction", "expected"), [("sum", 2.0), ("mean", 1.0)])
def test_normalised_by_the_mean_slice_a_filter_counts_one(reduction: str, expected: float) -> None:
    program, analysis = branches()
    found = CRITERIA["l1"](program, analysis, None, SaliencyOptions(reduction=reduction))  # type: ignore[arg-type]
    assert float(found["inner.weight"].mean()) == pytest.approx(1)
    assert float(found["stem.weight"].mean()) == pytest.approx(expected)


def test_max_takes_the_largest_slice() -> None:
    program, analysis = branches()
    options = SaliencyOptions(reduction="max", normalization="max")
    found = CRITERIA["l1"](program, analysis, None, options)
    assert all(float(scores.max()) == 1 for scores in found.values())


def test_normalising_never_changes_the_order_within_a_family() -> None:
    program, analysis = branches()
    raw = CRITERIA["l2"](program, analysis, None, RAW)
    for normalization in ("mean", "max", "auto"):
        options = SaliencyOptions(normalization=normalization)
        scaled = CRITERIA["l2"](program, analysis, None, options)
        for name, scores in raw.items():
            assert scores.argsort().tolist() == scaled[name].argsort().tolist()


def test_the_scope_group_counts_every_trained_slice() -> None:
    program, analysis = branches()
    options = SaliencyOptions(normalization="none", scope="group")
    found = CRITERIA["l1"](program, analysis, None, options)["inner.weight"]
    tensors = program.tensors
    expected = (
        tensors["inner.weight"].abs().sum((1, 2, 3))
        + tensors["inner.bias"].abs()
        + tensors["outer.weight"].abs().sum((0, 2, 3))
    )
    torch.testing.assert_close(found, expected.double(), rtol=1e-6, atol=0)


def test_random_repeats_with_its_seed_and_only_then() -> None:
    program, analysis = branches()
    first, again, other = (
        CRITERIA["random"](program, analysis, None, SaliencyOptions(seed=seed))
        for seed in (3, 3, 4)
    )
    for name, scores in first.items():
        assert torch.equal(scores, again[name])
        assert not torch.equal(scores, other[name])
    assert len({scores[0].item() for scores in first.values()}) == len(first)


def test_a_family_of_zeros_scores_zero() -> None:
    program, analysis = branches()
    zeros = program.map_tensors(torch.zeros_like)
    for scores in CRITERIA["l1"](zeros, analysis, None, SaliencyOptions()).values():
        assert not scores.any()
