"""Labels are matched to the network's outputs where their values are ambiguous."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from app.contracts.spec import PruneConfig
from secateur.engine.errors import DataError
from secateur.engine.metrics import evaluate
from secateur.engine.objectives.outputs import activation
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.samples import TensorSource
from secateur.engine.sanity import look
from tests.unit.pipeline.data.files import npz, opened, png, zipped
from worker.pipeline.job.checks import check_fit

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
Y = np.arange(20) % 4
TWO = Y % 2


def network(width: int, *ends: nn.Module) -> Program:
    torch.manual_seed(0)
    return from_exported(export(nn.Sequential(nn.Linear(3, width), *ends), (torch.rand(2, 3),)))


def config(objective: str = "auto") -> PruneConfig:
    return PruneConfig.model_validate({"retrain": {"objective": objective}})


ONE, FOUR, TEN, HUNDRED = (network(width) for width in (1, 4, 10, 100))
PROBABILITY = network(1, nn.Sigmoid(), nn.Flatten(0))
SEVERAL = network(4, nn.Sigmoid())

FITS: dict[str, tuple[Any, Program, str, str, str]] = {
    "classes": (Y, FOUR, "auto", "classes", ""),
    "floats that are classes": (Y * 1.0, FOUR, "auto", "classes", ""),
    "floats and one output": (Y * 1.0, ONE, "auto", "numbers", "read as numbers, because the net"),
    "whole numbers and one output": (Y[:, None], ONE, "auto", "numbers", "returns one number"),
    "whole numbers by wish": (Y, ONE, "mse", "numbers", "the objective is 'mse'"),
    "two classes and one score": (TWO, ONE, "auto", "binary", "above 0 means '1'"),
    "floats of two classes": (TWO * 1.0, ONE, "auto", "binary", "above 0"),
    "booleans and one score": (TWO == 1, ONE, "bce", "binary", "above 0"),
    "two classes and a probability": (TWO, PROBABILITY, "auto", "binary", "above one half"),
    "two classes and two scores": (TWO, network(2), "auto", "classes", ""),
    "one-hot": (np.eye(4)[Y], FOUR, "auto", "classes", ""),
    "one-hot and sigmoids": (np.eye(4)[Y], SEVERAL, "auto", "multi_label", "ends in a sigmoid"),
    "one-hot by wish": (np.eye(4)[Y], FOUR, "bce", "multi_label", "the objective is 'bce'"),
    "more outputs": (
        Y,
        TEN,
        "auto",
        "classes",
        "the network scores 10 classes, the data set has 4",
    ),
    "far more outputs": (Y, HUNDRED, "auto", "classes", "no metric means anything"),
    "more outputs, from 1": (Y + 1, TEN, "auto", "classes", "Do they begin at 1?"),
}


@pytest.mark.parametrize("name", FITS)
def test_labels_are_read_as_the_network_needs_them(name: str, tmp_path: Path) -> None:
    y, program, objective, kind, note = FITS[name]
    dataset, _, notes = check_fit(program, opened(tmp_path, npz(x=X, y=y)), config(objective))
    assert dataset.labels_kind == kind
    assert (note in "; ".join(notes)) if note else notes == []
    found = evaluate(program, dataset, torch.arange(20), dataset.labels_kind)
    assert np.isfinite(found.loss)
    assert found.primary == {"multi_label": "macro_f1", "numbers": "mean_error"}.get(kind, "top1")


@pytest.mark.parametrize(
    ("y", "program", "words", "hint"),
    [
        (
            Y + 1,
            FOUR,
            "labels go up to 4, the network scores 4 classes, 0 to 3: do the labels begin at 1",
            "subtract 1 from every label",
        ),
        (
            np.arange(20) % 5,
            FOUR,
            "is one of the labels 'background'",
            "number the others 0 to 3, or use a network with 5 outputs",
        ),
        (Y.astype(str), network(2), "labels go up to 3, the network scores 2", "are, 0 to 1."),
        (np.array(list("abcd") * 5), ONE, "the data set names 'a', 'b', 'c', 'd'", "4 outputs"),
        (Y / 3, FOUR, r"labels have shape \(1,\), the network returns \(1, 4\)", ""),
    ],
)
def test_labels_that_no_output_has_are_refused(
    y: Any, program: Program, words: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        check_fit(program, opened(tmp_path, npz(x=X, y=y)), config())
    assert hint in caught.value.hint


def test_samples_of_another_shape_get_a_hint(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"samples have shape \[1, 3, 1\]") as caught:
        check_fit(ONE, opened(tmp_path, npz(x=X[:, :, None])), config())
    assert (
        caught.value.hint
        == "Both shapes have the same number of values: use x.reshape or np.moveaxis."
    )


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 8, 8), "Resize the images to 4 x 4 pixels and convert them to 3 channels."),
        ((3, 5, 4), "Resize the images to 4 x 4 pixels. Image files in a .zip are converted"),
        ((4, 4, 4), "Convert them to 3 channels."),
        ((3, 2, 3, 4), ""),
    ],
)
def test_images_of_another_shape_get_advice(
    shape: tuple[int, ...], words: str, tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    program = from_exported(export(net, (torch.rand(2, 3, 4, 4),)))
    with pytest.raises(DataError) as caught:
        check_fit(program, opened(tmp_path, npz(x=np.zeros((20, *shape), np.float32))), config())
    assert caught.value.hint.startswith(words)
    assert bool(caught.value.hint) == bool(words)


def test_two_folders_fit_a_network_with_one_score(tmp_path: Path) -> None:
    linear = nn.Linear(16, 1)
    nn.init.constant_(linear.weight, 1.0)
    nn.init.constant_(linear.bias, -8.0)  # bright is a dog
    net = nn.Sequential(nn.Flatten(), linear)
    program = from_exported(export(net, (torch.rand(2, 1, 4, 4),)))
    files = {f"{c}/{i}.png": png(v) for c, v in (("cat", 10), ("dog", 250)) for i in range(5)}
    raw = opened(tmp_path, zipped(files | {"dog/9.png": png(0)}), "zip")
    dataset, chosen, notes = check_fit(program, raw, config())
    assert chosen.task.name == "classification"
    assert notes == ["the network returns one score for two classes: above 0 means 'dog'"]
    assert dataset.class_names == ("cat", "dog")
    found = evaluate(program, dataset, torch.arange(11), "binary", batch_size=4)
    assert found.values["top1"] == pytest.approx(10 / 11)
    assert found.values["macro_f1"] == pytest.approx((10 / 11 + 10 / 11) / 2)
    seen = look(program, dataset, torch.arange(11), "binary")
    assert seen.answers is not None  # so the sanity gate tells chance and swapped folders
    assert seen.answers.tolist() == [0] * 5 + [1] * 5 + [0]
    x, y = dataset.batch(torch.arange(11))
    assert y is not None
    logits = x.flatten(1).sum(1) - 8
    expected = nn.functional.binary_cross_entropy_with_logits(logits, y)
    assert found.loss == pytest.approx(float(expected), rel=1e-5)


def test_an_activation_is_found_behind_reshapes() -> None:
    wide = network(4, nn.Softmax(1), nn.Unflatten(1, (4, 1)), nn.Flatten())
    assert activation(wide) == "softmax"
    assert activation(PROBABILITY) == "sigmoid"
    pairs = network(4, nn.Unflatten(1, (2, 2)), nn.Softmax(1), nn.Flatten())
    assert activation(pairs) != "softmax"  # two questions, not one of four classes
    assert evaluate(
        PROBABILITY, TensorSource(torch.rand(4, 3), torch.ones(4)), torch.arange(4), "binary"
    ).loss == pytest.approx(0.6, abs=0.5)
