"""Arrays are sent bit for bit, in the model's types, and refused if they do not fit."""

import json
from typing import Any

import numpy as np
import pytest

from secateur.core.inference import infer
from secateur.core.steps import Answer
from secateur.core.tensors import from_npy, to_npy
from secateur.errors import InvalidRequestError, SecateurError, UnexpectedAnswerError
from tests.unit.client.script import CONTEXT, Script, ok, problem


def tensor(name: str, datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, 2]}


def about(inputs: list[Any], outputs: list[Any]) -> Answer:
    return ok(
        {"name": "net", "versions": ["1"], "platform": "onnx", "inputs": inputs, "outputs": outputs}
    )


def binary(**arrays: np.ndarray) -> Answer:
    names = {"float32": "FP32", "int64": "INT64", "bool": "BOOL"}
    outputs = [
        {
            "name": name, "datatype": names[array.dtype.name], "shape": array.shape,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]  # fmt: skip
    head = json.dumps({"outputs": outputs}).encode()
    tail = b"".join(array.tobytes() for array in arrays.values())
    return Answer(200, {"inference-header-content-length": str(len(head))}, head + tail)


def test_one_array_goes_and_comes_as_npy() -> None:
    x, y = np.arange(6.0, dtype=np.float32).reshape(3, 2), np.array([[np.nan, 1e-45]], np.float32)
    script = Script([Answer(200, {}, to_npy(y))])
    found = script.run(infer(CONTEXT, "net@production", np.asfortranarray(x), "base", 2.5))
    assert found.tobytes() == y.tobytes()
    sent = script.requests[0]
    assert sent.query == {"model": "net@production", "variant": "base", "timeout_seconds": "2.5"}
    assert isinstance(sent.body, bytes)
    assert np.array_equal(from_npy(sent.body), x)
    assert sent.headers["accept"] == sent.headers["content-type"] == "application/x-npy"


def test_several_go_and_come_by_name_in_the_models_types() -> None:
    inputs = {"a": np.arange(4).reshape(2, 2).T, "b": [[True, False]]}
    outputs = {"y": np.ones((2, 2), np.float32), "n": np.array([3, 4])}
    described = about([tensor("a", "INT64"), tensor("b", "BOOL")], [])
    script = Script([described, binary(**outputs)])
    found = script.run(infer(CONTEXT, "net@2", inputs, "pruned", 0.5))
    assert {name: array.dtype for name, array in found.items()} == {"y": np.float32, "n": np.int64}
    assert np.array_equal(found["n"], outputs["n"])
    describe, sent = script.requests
    assert (describe.path, sent.path) == (
        "/v2/models/net/versions/2",
        "/v2/models/net/versions/2/infer",
    )
    end = int(sent.headers["inference-header-content-length"])
    assert isinstance(sent.body, bytes)
    head = json.loads(sent.body[:end])
    assert head["parameters"] == {
        "binary_data_output": True, "variant": "pruned", "timeout": 500_000,
    }  # fmt: skip
    assert sent.body[end:] == np.array([0, 2, 1, 3]).tobytes() + b"\x01\x00"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"b": np.zeros((1, 2))}, r"takes inputs \['a'\], not \['b'\]"),
        ({"a": np.zeros((1, 2), complex)}, "takes float32, not complex128"),
        ({"a": np.array([["x"]])}, "takes float32, not <U1"),
    ],
    ids=["name", "complex", "text"],
)
def test_inputs_that_do_not_fit_the_model_are_refused_before_sending(
    inputs: Any, words: str
) -> None:
    script = Script([about([tensor("a")], [])])
    with pytest.raises(SecateurError, match=words):
        script.run(infer(CONTEXT, "net", inputs, "pruned", None))


def test_a_network_with_several_outputs_is_asked_by_name() -> None:
    refusal = problem(422, "invalid_input", detail="a .npy file holds one array")
    described = about([tensor("x")], [tensor("a"), tensor("b")])
    with pytest.raises(SecateurError, match=r"outputs a, b: pass \{'x': x\}"):
        Script([refusal, described]).run(infer(CONTEXT, "net", np.zeros(1), "pruned", None))
    one = about([tensor("x")], [tensor("a")])
    with pytest.raises(InvalidRequestError, match="holds one array"):
        Script([refusal, one]).run(infer(CONTEXT, "net", np.zeros(1), "pruned", None))


def test_both_networks_answer_in_the_models_types() -> None:
    answer: dict[str, Any] = {
        "model": "mdl_2", "version": "2", "outputs": [[0.1, None]],
        "base": {"model": "mdl_1", "version": "1", "outputs": [[0.2, 3]]},
        "comparison": {
            "agreement": 1, "max_difference": 0.1, "seconds": {"base": 2, "pruned": 1},
        },
    }  # fmt: skip
    script = Script([ok(answer), about([tensor("x")], [tensor("y")])])
    found = script.run(infer(CONTEXT, "mdl_2", np.zeros((1, 2)), "both", None))
    assert isinstance(found.pruned, np.ndarray)
    assert found.pruned.dtype == np.float32
    assert found.pruned[0, 0] == np.float32(0.1)
    assert np.isnan(found.pruned[0, 1])
    assert (found.agreement, found.pruned_seconds, found.base_seconds) == (1, 1, 2)
    assert (found.int8, found.int8_seconds) == (None, None)
    answer["int8"] = {"outputs": [[0.3, 2]]}
    answer["comparison"] |= {
        "int8": {"agreement": 0.5, "max_difference": 0.2},
        "seconds": {"base": 2, "pruned": 1, "int8": 0.5},
    }
    script = Script([ok(answer), about([tensor("x")], [tensor("y")])])
    found = script.run(infer(CONTEXT, "mdl_2", np.zeros((1, 2)), "all", None))
    assert isinstance(found.int8, np.ndarray)
    assert found.int8[0, 0] == np.float32(0.3)
    assert (found.int8_agreement, found.int8_max_difference, found.int8_seconds) == (0.5, 0.2, 0.5)
    alone = {"model": "mdl_2", "version": "2", "outputs": []}
    with pytest.raises(UnexpectedAnswerError, match="does not compare"):
        Script([ok(alone)]).run(infer(CONTEXT, "mdl_2", np.zeros(1), "both", None))


def test_answers_that_are_cut_off_are_refused() -> None:
    with pytest.raises(UnexpectedAnswerError):
        from_npy(to_npy(np.zeros(9))[:-1])
    whole = binary(y=np.zeros(3, np.float32))
    for body, headers in ((whole.body[:-1], whole.headers), (whole.body, {})):
        script = Script([about([tensor("a")], []), Answer(200, headers, body)])
        with pytest.raises(UnexpectedAnswerError):
            script.run(infer(CONTEXT, "net", {"a": np.zeros(2)}, "pruned", None))


def test_an_array_that_is_not_numeric_is_refused() -> None:
    with pytest.raises(SecateurError, match="numbers are expected"):
        to_npy(np.array([{}], dtype=object))
