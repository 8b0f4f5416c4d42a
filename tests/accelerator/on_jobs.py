"""Whole jobs on the simulated device compute there, and give the weights of the CPU."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.accelerator.jobs import run
from tests.accelerator.simulated import COUNT
from tests.integration.pipeline.test_modes import HALF, samples, save_data

TRAINING = {
    "epochs": 2,
    "batch_size": 64,
    "precision": "float32",
    "optimizer": {"learning_rate": 0.02},
}
JOBS: dict[str, dict[str, Any]] = {
    "one_shot": {"criterion": {"kind": "loss", "num_samples": 32}},
    "iterative": {
        "criterion": {"kind": "taylor", "num_samples": 32},
        "schedule": {"kind": "iterative", "rounds": 2, "ramp": 0.5},
        "retrain": {**TRAINING, "optimizer": {"kind": "adamw", "learning_rate": 0.01}},
    },
    "masked": {"retrain": {**TRAINING, "mode": "masked", "ema": 0.9}},
    "search": {
        "selection": {
            "mode": "accuracy",
            "max_drop": 0.9,
            "max_trials": 1,
            "round_to": 1,
            "min_channels": 2,
        },
        "criterion": {"kind": "auto", "candidates": ["lamp", "taylor"], "num_samples": 32},
        "retrain": {**TRAINING, "epochs": 1},
    },
    "unlabelled": {"criterion": {"kind": "loss", "num_samples": 16}},
}

# Scores of weights alone are computed on the CPU, in milliseconds. A search trains and repairs
# while it selects; an iterative schedule repairs while it trains.
PARTS = {
    "one_shot": ["saliency", "repair"],
    "iterative": ["saliency"],
    "masked": ["repair"],
    "search": ["saliency", "select"],
    "unlabelled": ["saliency", "repair"],
}


@pytest.mark.parametrize("name", list(JOBS))
def test_a_job_computes_on_the_device_and_gives_the_weights_of_the_cpu(
    name: str, tmp_path: Path
) -> None:
    x, y = samples(192)
    arrays = {"x": x} if name == "unlabelled" else {"x": x, "y": y}
    data = save_data(tmp_path, **arrays)
    config = {"retrain": TRAINING, "selection": HALF, **JOBS[name]}
    COUNT.work.clear()
    report, weights = run(tmp_path / "device", config, "sim", data)
    expected, others = run(tmp_path / "cpu", config, "cpu", data)

    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert report.retrained.metrics == expected.retrained.metrics
    assert [record.train_loss for record in report.history] == [
        record.train_loss for record in expected.history
    ]
    parts = ["retrain", "evaluation", *PARTS.get(name, ())]
    shares = {part: COUNT.share(part) for part in parts}
    assert min(shares.values()) > 0.95, shares
