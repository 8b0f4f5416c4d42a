"""Training on the simulated device: it waits once a step, resumes, and keeps TF32 to itself."""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from secateur.engine.metrics import evaluate
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.program.program import Program
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
from secateur.engine.retrain.range_test import find_learning_rate
from secateur.engine.retrain.trainer import resolve_precision
from tests.accelerator.jobs import Net, program_of
from tests.accelerator.simulated import COUNT, Simulation
from tests.unit.pipeline.data.files import npz, opened
from worker.pipeline.job.device import OnDevice, start_device

OPTIONS = RetrainOptions(
    epochs=2,
    batch_size=16,
    precision="float32",
    objective=ObjectiveOptions(kind="cross_entropy"),
    augment=AugmentOptions(crop=1, flip=True),
)
ADAMW = OptimizerOptions(kind="adamw", learning_rate=0.01, clip_norm=1.0)


def network(device: str = "cpu") -> Program:
    return program_of(Net).to(device)


def data(folder: Path, device: str = "sim") -> TrainingData:
    """Return 48 training and 16 validation images of bytes, on a device."""
    random, order = np.random.default_rng(0), torch.arange(64)
    x = random.integers(0, 256, (64, 1, 8, 8)).astype(np.uint8)
    found = opened(folder, npz(x=x, y=random.integers(0, 4, 64)), mean=(0.5,), std=(0.25,))
    source = found if device == "cpu" else OnDevice(found, torch.device(device))
    return TrainingData(source, order[:48], order[48:])


def are_equal(one: Program, other: Program) -> bool:
    return all(torch.equal(t.cpu(), other.tensors[name].cpu()) for name, t in one.tensors.items())


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        dataclasses.replace(OPTIONS, optimizer=ADAMW, ema=0.9),
        dataclasses.replace(OPTIONS, objective=ObjectiveOptions(kind="mixed", feature_weight=1)),
    ],
    ids=["sgd", "adamw", "mixed"],
)
def test_a_training_step_waits_for_the_device_at_most_once(
    options: RetrainOptions, tmp_path: Path
) -> None:
    waits: list[int] = []

    def note(step: int, total: int) -> None:
        del step, total
        waits.append(COUNT.waits["steps"])

    with Simulation(), COUNT.named("steps"):
        COUNT.waits["steps"] = 0
        COUNT.where["steps"].clear()
        program, teacher = network("sim"), network("sim")
        found = retrain_program(
            program, data(tmp_path), options, teacher=teacher, hooks=Hooks(on_step=note)
        )
    within = [after - before for before, after in pairwise(waits)]
    of_steps = [number for index, number in enumerate(within) if (index + 1) % 3]
    assert max(of_steps) <= 1, COUNT.where["steps"]
    expected = retrain_program(network(), data(tmp_path, "cpu"), options, teacher=network())
    assert are_equal(found.program, expected.program)
    assert [each.train_loss for each in found.history] == [
        each.train_loss for each in expected.history
    ]


@pytest.mark.parametrize("optimizer", [OptimizerOptions(), ADAMW], ids=["sgd", "adamw"])
def test_a_run_resumes_on_the_device_and_on_the_cpu_to_the_same_bytes(
    optimizer: OptimizerOptions, tmp_path: Path
) -> None:
    options = dataclasses.replace(OPTIONS, optimizer=optimizer, ema=0.9)
    states: list[RetrainState] = []

    def save(state: RetrainState) -> None:
        save_state(state, tmp_path)  # the file holds tensors of the CPU
        states.append(state)

    with Simulation():
        hooks = Hooks(checkpoint=save, is_save_due=lambda: len(states) == 0)
        whole = retrain_program(network("sim"), data(tmp_path), options, hooks=hooks)
        save_state(states[0], tmp_path)
        state = load_state(tmp_path)
        assert state is not None
        assert state.step == 1
        resumed = retrain_program(network("sim"), data(tmp_path), options, resume=state)
    moved = retrain_program(network(), data(tmp_path, "cpu"), options, resume=state)
    assert are_equal(resumed.program, whole.program)
    assert are_equal(moved.program, whole.program)


def test_tf32_is_allowed_in_training_steps_and_nowhere_else(tmp_path: Path) -> None:
    with Simulation():
        device = start_device("sim")
        with COUNT.named("training"):
            lone = dataclasses.replace(data(tmp_path), validation=torch.arange(0))
            trained = retrain_program(network("sim"), lone, OPTIONS)
        with COUNT.named("scoring"):
            held_out = data(tmp_path)
            evaluate(trained.program, held_out.source, held_out.validation)
    assert device.type == "sim"
    backwards = {allowed for name, allowed in COUNT.tf32["training"] if "backward" in name}
    assert backwards == {True}
    assert COUNT.tf32["scoring"] == {("convolution", False)}
    assert torch.are_deterministic_algorithms_enabled()


def test_an_emulated_bfloat16_is_not_used() -> None:
    with Simulation():
        automatic: Any = dataclasses.replace(OPTIONS, precision="auto")
        assert resolve_precision(automatic, network("sim")) == "float32"


def test_a_learning_rate_is_found_on_the_device_as_on_the_cpu(tmp_path: Path) -> None:
    with Simulation():
        found = find_learning_rate(network("sim"), data(tmp_path), OPTIONS)
    assert found == find_learning_rate(network(), data(tmp_path, "cpu"), OPTIONS)
