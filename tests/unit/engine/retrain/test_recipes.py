"""What the options change: averages, patience, decay, clipping, restarts, teachers, cuts."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.metrics import evaluate
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.retrain import (
    AugmentOptions,
    EpochRecord,
    Hooks,
    OptimizerOptions,
    RetrainOptions,
    RetrainState,
    TrainingData,
    load_state,
    retrain_program,
    save_state,
)
from secateur.engine.retrain.averaging import MovingAverage
from secateur.engine.retrain.range_test import find_learning_rate
from secateur.engine.retrain.schedule import learning_rate
from secateur.engine.samples import TensorSource
from tests.unit.engine.retrain.networks import small_data, small_program

OPTIONS = RetrainOptions(epochs=3, batch_size=16, precision="float32", seed=7)
EVERYTHING = replace(
    OPTIONS,
    objective=ObjectiveOptions("mixed", feature_weight=10.0, label_smoothing=0.1),
    optimizer=OptimizerOptions("sgd", 0.1, schedule="cosine", decay="weights", clip_norm=1.0),
    augment=AugmentOptions(
        crop=1, flip=True, rotate=10, scale=0.1, brightness=0.1, contrast=0.1, erase=0.5,
        pixel_range=((0.0,), (1.0,)),
    ),
    ema=0.9,
    patience=3,
)  # fmt: skip


class StoppedError(Exception):
    pass


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_everything_at_once_resumes_bit_for_bit(tmp_path: Path) -> None:
    program, data = small_program(dropout=0.3), small_data()
    teacher = small_program()
    whole = retrain_program(program, data, EVERYTHING, teacher=teacher)

    def stop_after_two(state: RetrainState) -> None:
        save_state(state, tmp_path)
        if state.epoch == 2:
            raise StoppedError

    hooks = Hooks(checkpoint=stop_after_two)
    torch.manual_seed(99)
    with pytest.raises(StoppedError):
        retrain_program(program, data, EVERYTHING, teacher=teacher, hooks=hooks)
    resumed = retrain_program(
        program, data, EVERYTHING, teacher=teacher, resume=load_state(tmp_path)
    )
    assert same(dict(resumed.program.tensors), dict(whole.program.tensors))
    assert [r.train_loss for r in resumed.history] == [r.train_loss for r in whole.history]


@pytest.mark.parametrize("step", [1, 6, 11])
def test_everything_at_once_resumes_bit_for_bit_in_the_middle_of_an_epoch(
    step: int, tmp_path: Path
) -> None:
    program, data = small_program(dropout=0.3), small_data()
    teacher = small_program()
    whole = retrain_program(program, data, EVERYTHING, teacher=teacher)
    steps: list[int] = []

    def stop(state: RetrainState) -> None:
        if state.generators:
            save_state(state, tmp_path)
            raise StoppedError

    hooks = Hooks(
        on_step=lambda number, _: steps.append(number),
        checkpoint=stop,
        is_save_due=lambda: steps[-1] == step,
    )
    with pytest.raises(StoppedError):
        retrain_program(program, data, EVERYTHING, teacher=teacher, hooks=hooks)
    state = load_state(tmp_path)
    assert state is not None
    assert (state.step, state.epoch) == (step, step // 4)
    torch.manual_seed(99)
    resumed = retrain_program(program, data, EVERYTHING, teacher=teacher, resume=state)
    assert same(dict(resumed.program.tensors), dict(whole.program.tensors))
    assert [r.train_loss for r in resumed.history] == [r.train_loss for r in whole.history]


def test_a_finished_run_resumes_to_its_own_result(tmp_path: Path) -> None:
    """The search counts on it: the retrain stage finds the best trial done."""
    program, data = small_program(), small_data()
    options = replace(OPTIONS, patience=1, ema=0.5)
    hooks = Hooks(checkpoint=lambda state: save_state(state, tmp_path) and None)
    whole = retrain_program(program, data, options, hooks=hooks)
    steps: list[int] = []
    told = Hooks(on_step=lambda step, _: steps.append(step))
    again = retrain_program(program, data, options, hooks=told, resume=load_state(tmp_path))
    assert steps == []
    assert same(dict(again.program.tensors), dict(whole.program.tensors))


def test_the_average_follows_the_weights_as_its_decay_says() -> None:
    weights = [{"w": torch.tensor([float(k)])} for k in range(40)]
    average = MovingAverage(weights[0], decay=0.9)
    expected = 0.0
    for step, tensors in enumerate(weights):
        average.update(tensors, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * float(tensors["w"])
    assert float(average.tensors["w"]) == pytest.approx(expected)


def test_the_average_is_what_is_returned() -> None:
    states: list[RetrainState] = []
    hooks = Hooks(checkpoint=states.append)
    result = retrain_program(small_program(), small_data(), replace(OPTIONS, ema=0.9), hooks=hooks)
    assert same(dict(result.program.tensors), dict(states[-1].average))


def test_patience_returns_the_best_epoch_and_stops() -> None:
    program, data = small_program(), small_data()
    options = replace(
        OPTIONS, epochs=30, patience=2, optimizer=OptimizerOptions("sgd", 0.9, schedule="constant")
    )
    result = retrain_program(program, data, options)
    losses = [r.val_loss for r in result.history]
    assert all(loss is not None for loss in losses)
    best = min(range(len(losses)), key=lambda k: losses[k] or 0.0)
    assert len(losses) < 30
    assert len(losses) == best + 1 + 2, "two epochs without a better one"
    found = evaluate(result.program, data.source, data.validation)
    assert found.loss == pytest.approx(losses[best])


def test_weights_alone_decay() -> None:
    program, data = small_program(), small_data()
    optimizer = OptimizerOptions("sgd", 1e-6, momentum=0.0, weight_decay=1e5, warmup=0.0)
    one = replace(OPTIONS, epochs=1, optimizer=replace(optimizer, schedule="constant"))
    both = retrain_program(program, data, one).program
    weights = replace(one.optimizer, decay="weights")
    only = retrain_program(program, data, replace(one, optimizer=weights)).program
    scale = program.tensors["1.weight"]
    assert float((both.tensors["1.weight"] / scale).mean()) < 0.9
    assert float((only.tensors["1.weight"] / scale).mean()) == pytest.approx(1, abs=1e-3)
    assert float(only.tensors["9.weight"].norm()) < 0.9 * float(program.tensors["9.weight"].norm())


def test_a_clipped_step_is_no_longer_than_the_norm_allows() -> None:
    program, data = small_program(), small_data()
    few = TrainingData(data.source, data.train[:16], data.validation)
    optimizer = OptimizerOptions(
        "sgd", 1.0, momentum=0.0, weight_decay=0.0, warmup=0.0, schedule="constant", clip_norm=0.01
    )
    found = retrain_program(program, few, replace(OPTIONS, epochs=1, optimizer=optimizer)).program
    moved = [found.tensors[n] - t for n, t in program.parameters().items()]
    assert float(torch.cat([t.flatten() for t in moved]).norm()) == pytest.approx(0.01, rel=1e-3)


def test_a_diverging_run_restarts_at_a_tenth_of_the_rate_with_a_note() -> None:
    told: list[str] = []
    records: list[EpochRecord] = []
    options = replace(OPTIONS, optimizer=OptimizerOptions("sgd", 0.1, warmup=0.0))
    options = replace(options, optimizer=replace(options.optimizer, schedule="constant"))
    hooks = Hooks(on_restart=told.append, on_epoch=records.append)
    x, y = torch.randn(64, 1, 8, 8), torch.randint(0, 3, (64,))
    data = TrainingData(_Spoiled(x, y), torch.arange(64), torch.arange(0))
    result = retrain_program(small_program(), data, options, hooks=hooks)
    assert len(told) == 1
    assert "starts over at a tenth" in told[0]
    assert result.num_restarts == 1
    assert [r.learning_rate for r in records] == pytest.approx([0.01] * 3)


class _Spoiled(TensorSource):
    """Samples whose third batch, and no other, is not finite: as if one step had diverged."""

    num_batches = 0

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        _Spoiled.num_batches += 1
        x, y = super().batch(indices)
        return (x * float("nan") if _Spoiled.num_batches == 3 else x), y


def test_a_student_comes_closer_to_its_teacher_without_labels() -> None:
    teacher, student = small_program(), small_program()
    torch.manual_seed(3)
    noisy = student.map_tensors(lambda t: t + 0.3 * torch.randn_like(t) if t.ndim > 1 else t)
    data = small_data()
    x, _ = data.source.batch(torch.arange(96))
    blind = TrainingData(TensorSource(x), data.train, data.validation, "none")
    options = replace(
        OPTIONS, epochs=8, objective=ObjectiveOptions("distill"),
        optimizer=OptimizerOptions("adamw", 0.01),
    )  # fmt: skip
    result = retrain_program(noisy, blind, options, teacher=teacher)
    losses = [r.val_loss for r in result.history]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < 0.5 * losses[0]


def test_objectives_that_need_a_teacher_require_it() -> None:
    options = replace(OPTIONS, objective=ObjectiveOptions("distill"))
    with pytest.raises(DataError, match="needs the dense network as its teacher"):
        retrain_program(small_program(), small_data(), options)


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "constant"])
def test_every_schedule_climbs_to_its_peak_and_no_higher(schedule: str) -> None:
    options = OptimizerOptions("sgd", 0.1, warmup=0.2, schedule=schedule)  # type: ignore[arg-type]
    rates = [learning_rate(step, 100, options) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates[0] < 0.01
    assert rates == sorted(rates[:20]) + sorted(rates[20:], reverse=True)
    assert rates[-1] == (0.1 if schedule == "constant" else pytest.approx(0, abs=1e-3))


def test_the_range_test_finds_a_rate_that_trains_and_finds_it_again() -> None:
    program, data = small_program(), small_data()
    first = find_learning_rate(program, data, OPTIONS)
    assert find_learning_rate(program, data, OPTIONS) == first
    rates = [rate for rate, _ in first.curve]
    assert rates == sorted(rates)
    assert rates[0] <= first.learning_rate <= rates[-1]
    optimizer = replace(OPTIONS.optimizer, learning_rate=first.learning_rate)
    trained = retrain_program(program, data, replace(OPTIONS, epochs=8, optimizer=optimizer))
    assert trained.history[-1].train_loss < 0.8 * trained.history[0].train_loss


def test_the_range_test_stops_when_the_loss_blows_up() -> None:
    data = small_data()
    x, y = data.source.batch(torch.arange(96))
    loud = TrainingData(TensorSource(x * 1e3, y), data.train, data.validation)
    found = find_learning_rate(small_program(), loud, OPTIONS)
    assert len(found.curve) <= 80
    assert found.learning_rate <= 3.0


def test_the_range_test_goes_lower_where_its_lowest_rate_is_too_high() -> None:
    program, data = small_program(), small_data()
    far = {"9.bias": program.tensors["9.bias"] + 10}
    shifted = program.with_tensors({**program.tensors, **far})
    options = replace(OPTIONS, objective=ObjectiveOptions("distill"))
    found = find_learning_rate(program, data, options, shifted)
    # An error of many times the output's variance: its gradient is as many times too steep.
    assert found.learning_rate < 1e-3
    optimizer = replace(options.optimizer, learning_rate=found.learning_rate)
    trained = retrain_program(program, data, replace(options, optimizer=optimizer), teacher=shifted)
    assert trained.history[-1].train_loss < trained.history[0].train_loss


def test_a_long_training_of_a_good_network_may_begin_with_a_higher_rate() -> None:
    data, optimizer = small_data(), replace(OPTIONS.optimizer, learning_rate=0.05)
    options = replace(OPTIONS, epochs=20, optimizer=optimizer)
    good = retrain_program(small_program(), data, options).program
    num_steps = len(data.train) // OPTIONS.batch_size
    short, long = (
        find_learning_rate(good, data, replace(OPTIONS, epochs=steps // num_steps)).learning_rate
        for steps in (430, 1300)
    )
    assert long > 2 * short
