"""Random splits of data sets that have none."""

from pathlib import Path

import numpy as np
import pytest

from app.contracts.spec import SplitSpec
from tests.unit.pipeline.data.files import npz, opened, parquet, png
from worker.pipeline.data import Split
from worker.pipeline.data.splits import draw_split


def test_the_default_is_the_split_that_was_always_made() -> None:
    for num_samples in (1, 9, 10, 29, 30, 1234, 60_000):
        order, tenth = np.random.default_rng(0).permutation(num_samples), num_samples // 10
        split = draw_split(num_samples, SplitSpec())
        assert np.flatnonzero(split == Split.VALIDATION).tolist() == sorted(order[:tenth])
        assert np.flatnonzero(split == Split.TEST).tolist() == sorted(order[tenth : 2 * tenth])


def test_shares_and_seed_are_obeyed(tmp_path: Path) -> None:
    data = npz(x=np.zeros((100, 2), np.uint8))
    spec = SplitSpec(validation=0.29, test=0.0, seed=7)
    first, again = (opened(tmp_path, data, split=spec) for _ in range(2))
    assert [len(first.indices(split)) for split in Split] == [71, 29, 0]
    assert first.indices(Split.VALIDATION).equal(again.indices(Split.VALIDATION))
    other = opened(tmp_path, data, split=spec.model_copy(update={"seed": 8}))
    assert not first.indices(Split.VALIDATION).equal(other.indices(Split.VALIDATION))


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.499999), (0.5, 0.0), (0.0, 0.5)])
def test_a_sample_is_always_left_for_training(validation: float, test: float) -> None:
    spec = SplitSpec(validation=validation, test=test)
    for num_samples in range(1, 50):
        assert (draw_split(num_samples, spec) == Split.TRAIN).any()


def test_validation_samples_are_drawn_where_the_file_has_none(tmp_path: Path) -> None:
    split = np.repeat([0, 2], [50, 10])
    data = npz(x=np.zeros((60, 2), np.uint8), split=split)
    raw = opened(tmp_path, data)
    assert [len(raw.indices(s)) for s in Split] == [50, 0, 10]
    assert "no validation samples: a job draws some" in "; ".join(raw.notes)
    dataset, again = (raw.with_validation(SplitSpec()) for _ in range(2))
    assert [len(dataset.indices(s)) for s in Split] == [45, 5, 10]
    assert dataset.indices(Split.TEST).tolist() == list(range(50, 60))
    assert dataset.indices(Split.VALIDATION).equal(again.indices(Split.VALIDATION))
    assert "5 of its training samples were drawn for it" in "; ".join(dataset.notes)
    assert raw.with_validation(SplitSpec(validation=0.0)) is raw


def test_a_split_that_the_file_gives_is_not_drawn(tmp_path: Path) -> None:
    given = ["train"] * 4 + ["validation", "val", "test"]
    data = parquet(image=[png()] * 7, split=given)
    dataset = opened(tmp_path, data, "parquet", SplitSpec(validation=0.5))
    assert dataset.indices(Split.VALIDATION).tolist() == [4, 5]
    assert dataset.indices(Split.TEST).tolist() == [6]
