"""Which epoch's network is returned, and what happens when the first one makes it far worse."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from secateur.engine.metrics import Metrics, evaluate
from secateur.engine.metrics.ranking import NO_RANK, rank
from secateur.engine.retrain import (
    Hooks,
    OptimizerOptions,
    RetrainOptions,
    RetrainState,
    TrainingData,
    load_state,
    retrain_program,
    save_state,
)
from secateur.engine.retrain.range_test import find_learning_rate
from tests.unit.engine.retrain.networks import small_data, small_program

# So high that epochs come out better and worse.
WILD = RetrainOptions(
    epochs=8, batch_size=16, precision="float32", seed=3,
    optimizer=OptimizerOptions("sgd", 0.9, schedule="constant"),
)  # fmt: skip


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("options", [WILD, replace(WILD, ema=0.5, num_settling_samples=64)])
def test_the_best_epoch_is_returned_also_after_a_stop(
    options: RetrainOptions, tmp_path: Path
) -> None:
    program, data = small_program(), small_data()
    whole = retrain_program(program, data, options)
    values = [(record.val_metric, -(record.val_loss or 0.0)) for record in whole.history]
    best = max(range(len(values)), key=values.__getitem__)
    assert best + 1 < options.epochs, "the last epoch is not the best, or this shows nothing"
    assert whole.kept_epoch == best + 1
    found = evaluate(whole.program, data.source, data.validation)
    assert found.loss == pytest.approx(-values[best][1])

    def stop(state: RetrainState) -> None:
        save_state(state, tmp_path)
        if state.epoch == best + 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        retrain_program(program, data, options, hooks=Hooks(checkpoint=stop))
    resumed = retrain_program(program, data, options, resume=load_state(tmp_path))
    assert resumed.kept_epoch == whole.kept_epoch
    for name, tensor in whole.program.tensors.items():
        assert torch.equal(resumed.program.tensors[name], tensor), name
        assert resumed.program.tensors[name].stride() == tensor.stride(), name


def test_the_last_epoch_is_returned_where_none_can_be_measured() -> None:
    data = small_data()
    blind = TrainingData(data.source, data.train, data.validation[:0])
    states: list[RetrainState] = []
    result = retrain_program(small_program(), blind, WILD, hooks=Hooks(checkpoint=states.append))
    assert result.kept_epoch == 8
    for name, tensor in result.program.tensors.items():
        assert torch.equal(states[-1].weights[name], tensor)


def test_training_starts_over_if_the_first_epoch_makes_the_network_far_worse() -> None:
    program, data = small_program(), small_data()
    good = Metrics(0.01, 24, MappingProxyType({"top1": 1.0}), "top1")
    told: list[str] = []
    result = retrain_program(program, data, WILD, start=good, hooks=Hooks(on_restart=told.append))
    assert result.num_restarts == 1
    assert "the first epoch took the validation loss from 0.01" in told[0]
    lower = replace(WILD, optimizer=replace(WILD.optimizer, learning_rate=0.09))
    again = retrain_program(program, data, lower)
    assert [r.train_loss for r in result.history] == [r.train_loss for r in again.history]
    poor = Metrics(9.0, 24, MappingProxyType({"top1": 0.1}), "top1")
    assert retrain_program(program, data, WILD, start=poor).num_restarts == 0


def test_short_trainings_get_no_high_rates_and_short_tests() -> None:
    program, data = small_program(), small_data()
    short = find_learning_rate(program, data, replace(WILD, epochs=2))
    assert short.learning_rate <= 0.02
    assert len(short.curve) == 20
    longer = find_learning_rate(program, data, replace(WILD, epochs=200))
    assert len(longer.curve) <= 80
    assert longer.learning_rate <= 0.16


def test_ranks_go_by_the_metric_then_by_the_loss() -> None:
    order = [
        NO_RANK,
        rank(0.9, float("nan")),
        rank(0.3, 1.0),
        rank(0.5, 2.0),
        rank(0.5, 1.0),
        rank(0.6, 9.0),
    ]
    assert sorted(order) == order
