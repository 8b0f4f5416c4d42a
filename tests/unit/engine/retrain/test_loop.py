import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from secateur.engine.errors import DataError, DivergenceError, PlanError
from secateur.engine.metrics import evaluate
from secateur.engine.program.module import ProgramModule
from secateur.engine.retrain import (
    AugmentOptions,
    Hooks,
    OptimizerOptions,
    RetrainOptions,
    RetrainState,
    TrainingData,
    load_state,
    retrain_program,
    save_state,
)
from secateur.engine.retrain.masks import Masks
from secateur.engine.samples import TensorSource
from tests.unit.engine.retrain.networks import small_data, small_program

OPTIONS = RetrainOptions(epochs=3, batch_size=16, precision="float32", seed=7)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_training_learns_and_reports_its_progress() -> None:
    program, data = small_program(), small_data()
    before = evaluate(program, data.source, data.validation)
    options = RetrainOptions(
        epochs=8, batch_size=16, precision="float32", optimizer=OptimizerOptions("sgd", 0.2)
    )
    result = retrain_program(program, data, options)
    after = evaluate(result.program, data.source, data.validation)
    assert after.top1 > max(0.8, before.top1)
    assert [r.epoch for r in result.history] == list(range(1, 9))
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert result.history[-1].val_metric == after.top1
    assert result.history[-1].learning_rate < result.history[0].learning_rate


def test_the_program_passed_in_is_not_changed() -> None:
    program = small_program()
    copy = {name: tensor.clone() for name, tensor in program.tensors.items()}
    retrain_program(program, small_data(), OPTIONS)
    assert same(dict(program.tensors), copy)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_resumed_run_ends_bit_for_bit_like_one_never_stopped(
    kind: str, precision: str, tmp_path: Path
) -> None:
    program, data = small_program(dropout=0.3), small_data()
    options = RetrainOptions(
        epochs=3,
        batch_size=16,
        optimizer=OptimizerOptions(kind, 0.02),  # type: ignore[arg-type]
        augment=AugmentOptions(crop=1, flip=True),
        precision=precision,  # type: ignore[arg-type]
    )
    whole = retrain_program(program, data, options)

    class StoppedError(Exception):
        pass

    def stop_after_two(state: RetrainState) -> None:
        save_state(state, tmp_path)
        if state.epoch == 2:
            raise StoppedError

    torch.manual_seed(123)  # where the caller's own generator stands must not matter
    with pytest.raises(StoppedError):
        retrain_program(program, data, options, hooks=Hooks(checkpoint=stop_after_two))
    resumed = retrain_program(program, data, options, resume=load_state(tmp_path))
    assert same(dict(resumed.program.tensors), dict(whole.program.tensors))
    assert [r.train_loss for r in resumed.history] == [r.train_loss for r in whole.history]


def test_a_state_survives_the_disk_unchanged(tmp_path: Path) -> None:
    states: list[RetrainState] = []
    retrain_program(small_program(), small_data(), OPTIONS, hooks=Hooks(checkpoint=states.append))
    save_state(states[0], tmp_path)
    save_state(states[-1], tmp_path)
    loaded = load_state(tmp_path)
    assert loaded is not None
    assert [p.name for p in tmp_path.iterdir()] == ["retrain_state.safetensors"]
    assert (loaded.epoch, loaded.step, loaded.history) == (3, 12, states[-1].history)
    assert loaded.settings == json.loads(json.dumps(states[-1].settings))
    assert same(dict(loaded.weights), dict(states[-1].weights))
    assert same(dict(loaded.optimizer), dict(states[-1].optimizer))


def test_a_missing_state_is_none_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    assert load_state(tmp_path) is None
    (tmp_path / "retrain_state.safetensors").write_bytes(b"half a file")
    with pytest.raises(DataError, match="cannot be read"):
        load_state(tmp_path)


def test_a_state_of_another_run_is_refused() -> None:
    states: list[RetrainState] = []
    program, data = small_program(), small_data()
    retrain_program(program, data, OPTIONS, hooks=Hooks(checkpoint=states.append))
    with pytest.raises(DataError, match="epochs = 3"):
        retrain_program(program, data, RetrainOptions(epochs=4, batch_size=16), resume=states[0])


def test_another_seed_gives_other_weights() -> None:
    program, data = small_program(), small_data()
    first = retrain_program(program, data, RetrainOptions(epochs=1, batch_size=16, seed=1))
    second = retrain_program(program, data, RetrainOptions(epochs=1, batch_size=16, seed=2))
    assert not same(dict(first.program.tensors), dict(second.program.tensors))


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_masked_elements_are_exactly_zero_after_every_step(kind: str) -> None:
    program, data = small_program(), small_data()
    keep = torch.tensor([True, False, True, True, False, True])
    masks = {
        "0.weight": keep[:, None, None, None].expand(6, 1, 3, 3),
        "3.weight": keep[None, :, None, None].expand(8, 6, 3, 3),
        **{f"1.{name}": keep for name in ("weight", "bias", "running_mean", "running_var")},
    }
    observed: list[dict[str, Tensor]] = []
    modules: list[ProgramModule] = []
    original = Masks.hold_statistics

    class Watched(Masks):
        def __init__(self, module: ProgramModule, masks: dict[str, Tensor]) -> None:
            modules.append(module)
            super().__init__(module, masks)

    def observe(_step: int, _num_steps: int) -> None:
        observed.append({name: modules[0].tensor(name).detach().clone() for name in masks})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("secateur.engine.retrain.trainer.Masks", Watched)
        options = RetrainOptions(
            epochs=2,
            batch_size=16,
            optimizer=OptimizerOptions(kind, 0.05, weight_decay=0.1),  # type: ignore[arg-type]
        )
        retrain_program(program, data, options, masks=masks, hooks=Hooks(on_step=observe))
    assert Masks.hold_statistics is original
    assert len(observed) == 8
    for tensors in observed:
        for name, tensor in tensors.items():
            assert int(torch.count_nonzero(tensor[~masks[name]])) == 0, name
            assert int(torch.count_nonzero(tensor[masks[name]])) > 0, name


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(PlanError, match=r"0\.weight"):
        retrain_program(
            small_program(), small_data(), OPTIONS, masks={"0.weight": torch.ones(2).bool()}
        )


def test_a_loss_that_is_not_finite_stops_training() -> None:
    options = RetrainOptions(
        epochs=5, batch_size=16, precision="float32", optimizer=OptimizerOptions("sgd", 1e9)
    )
    told: list[str] = []
    with pytest.raises(DivergenceError, match="learning rate"):
        retrain_program(small_program(), small_data(), options, hooks=Hooks(on_restart=told.append))
    assert len(told) == 1, "one restart, and then a clear failure"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, "needs labels"),
        (torch.full((96,), 3), "label 3 is outside the network's 3 classes"),
        (torch.full((96,), -1), "label -1"),
        (torch.zeros(96), "one integer for each sample"),
    ],
)
def test_labels_that_do_not_fit_are_named(labels: Tensor | None, reason: str) -> None:
    data = small_data()
    x, _ = data.source.batch(torch.arange(96))
    with pytest.raises(DataError, match=reason):
        retrain_program(
            small_program(), TrainingData(TensorSource(x, labels), data.train, data.train), OPTIONS
        )


def test_fewer_samples_than_a_batch_still_train() -> None:
    data = small_data()
    few = TrainingData(data.source, data.train[:5], data.train[:0])
    result = retrain_program(small_program(), few, RetrainOptions(epochs=2, batch_size=64))
    assert [r.val_loss for r in result.history] == [None, None]


def test_no_epochs_change_nothing() -> None:
    program = small_program()
    assert retrain_program(program, small_data(), RetrainOptions(epochs=0)).program is program
