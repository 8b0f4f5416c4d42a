"""Labels of `/infer` for an image, by the kind of the network's outputs."""

import numpy as np
import pytest

from app.contracts.spec import PreprocessSpec
from app.inference.labels import best_labels, labelled_output
from app.inference.servable import Servable
from app.serving.bfloat16 import round_to_bfloat16

Z = np.array([[2.0, -1.0, 0.5]], np.float32)
SOFTMAX = np.exp(Z) / np.exp(Z).sum()
SIGMOID = 1 / (1 + np.exp(-Z))


def servable(kinds: dict[str, str]) -> Servable:
    return Servable("mdl_1", "default", "1", "0", PreprocessSpec(), None, output_kinds=kinds)


@pytest.mark.parametrize(
    ("kind", "scores", "expected"),
    [
        ("logits", Z, SOFTMAX),
        ("probabilities", SOFTMAX, SOFTMAX),
        ("log_probabilities", np.log(SOFTMAX), SOFTMAX),
        ("label_logits", Z, SIGMOID),
        ("label_probabilities", SIGMOID, SIGMOID),
    ],
)
def test_scores_are_probabilities_by_the_kind_of_the_output(
    kind: str, scores: np.ndarray, expected: np.ndarray
) -> None:
    (labels,) = best_labels(scores, kind, ["a", "b"], 3)
    assert [label["label"] for label in labels] == ["a", "2", "b"], "names where there are any"
    assert [label["score"] for label in labels] == pytest.approx(expected[0, [0, 2, 1]], rel=1e-5)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_one_number_is_two_labels(shape: tuple[int, ...]) -> None:
    logits = np.array([3.0, -800.0], np.float32).reshape(shape)
    for kind, scores in (
        ("binary_logit", logits),
        ("binary_probability", 1 / (1 + np.exp(-logits.clip(-80)))),
    ):
        first, second = best_labels(scores, kind, ["no", "yes"], 5)
        assert [(label["label"], label["index"]) for label in first] == [("yes", 1), ("no", 0)]
        assert first[0]["score"] == pytest.approx(0.952574, rel=1e-5)
        assert sum(label["score"] for label in first) == pytest.approx(1)
        assert second[0]["label"] == "no"
        assert second[0]["score"] == pytest.approx(1)


def test_boxes_and_masks_are_not_labels() -> None:
    outputs = {"boxes": Z, "mask": Z > 0, "scores": SOFTMAX}
    kinds = {"boxes": "other", "mask": "other", "scores": "probabilities"}
    assert labelled_output(servable(kinds), outputs) == ("scores", "probabilities")
    assert labelled_output(servable(kinds | {"scores": "other"}), outputs) is None


def test_models_stored_before_output_kinds_get_no_second_softmax() -> None:
    assert labelled_output(servable({}), {"output": SOFTMAX}) == ("output", "probabilities")
    assert labelled_output(servable({}), {"output": Z}) == ("output", "logits")
    assert labelled_output(servable({}), {"output": Z[None]}) is None


def test_numbers_are_rounded_to_the_nearest_bfloat16() -> None:
    one, step = np.float32(1), np.float32(2**-7)
    given = np.array([one + step / 2, one + 3 * step / 2, one + step / 4, -3.14159], np.float32)
    assert round_to_bfloat16(given).tolist() == [1, 1 + 2 * step, 1, -3.140625]
