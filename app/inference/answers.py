"""Response bodies of predictions: outputs as JSON or ``.npy``, answers to images."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.responses import Response

from app.inference import npy
from app.inference.labels import best_labels, labelled_output
from app.inference.service import Answer, Prediction
from app.inference.task_answers import Seen, task_answer
from app.inference.tensors import invalid

_NO_PREPROCESS = (
    "this model has no preprocessing, so pixels were only scaled to [0, 1]. If it was trained with "
    "other inputs, these labels are wrong: send arrays, or use a model pruned on data with its "
    "preprocessing"
)


def outputs_answer(answer: Answer) -> Response:
    """Return the outputs as nested lists."""
    return _json(answer, {"outputs": _outputs(answer.prediction)})


def images_answer(
    answer: Answer,
    top_k: int,
    is_preprocess_given: bool,  # noqa: FBT001
    seen: Seen | None,
) -> Response:
    """Return what was found in every image, its best classes, or else the plain outputs.

    Other outputs of a classifier go under ``outputs``.
    """
    prediction = answer.prediction
    read = None if seen is None else task_answer(seen, prediction.outputs)
    if read is not None and seen is not None:
        base, int8 = (
            None if each is None else task_answer(seen, each.outputs)
            for each in (answer.base, answer.int8)
        )
        return _json(answer, read, base, int8)
    found = labelled_output(prediction.model, prediction.outputs)
    if found is None:
        return outputs_answer(answer)
    name, kind = found
    names = prediction.model.class_names or ()
    body: dict[str, Any] = {"labels": best_labels(prediction.outputs[name], kind, names, top_k)}
    if not is_preprocess_given:
        body["warnings"] = [_NO_PREPROCESS]
    others = {n: _plain(array) for n, array in prediction.outputs.items() if n != name}
    return _json(answer, {**body, "outputs": others} if others else body)


def npy_answer(answer: Answer) -> Response:
    """Return the model's only output as a ``.npy`` file.

    Raises:
        InvalidInputError: The model has several outputs, or two models answered.
    """
    prediction = answer.prediction
    if len(prediction.outputs) != 1 or answer.base is not None:
        raise invalid("/", "a .npy file holds one array: ask for JSON, or use /v2")
    data = npy.to_npy(next(iter(prediction.outputs.values())))
    head = {"X-Model": prediction.model.id, "X-Model-Version": prediction.model.version}
    return Response(data, headers=head, media_type=npy.MEDIA_TYPE)


def _outputs(prediction: Prediction) -> Any:  # noqa: ANN401  # JSON
    found = {name: _plain(array) for name, array in prediction.outputs.items()}
    return next(iter(found.values())) if len(found) == 1 else found


def _plain(array: NDArray[Any]) -> Any:  # noqa: ANN401  # JSON
    if array.dtype.kind not in "fiub" or array.dtype == np.float16:  # orjson writes these as lists
        return array.tolist()
    return np.ascontiguousarray(array)


def _json(
    answer: Answer,
    body: dict[str, Any],
    base_body: dict[str, Any] | None = None,
    int8_body: dict[str, Any] | None = None,
) -> Response:
    model = answer.prediction.model
    whole: dict[str, Any] = {"model": model.id, "version": model.version, **body}
    if answer.base is not None and answer.comparison is not None:
        base = answer.base
        whole["base"] = {
            "model": base.model.id,
            "version": base.model.version,
            **(base_body or {"outputs": _outputs(base)}),
        }
        whole["comparison"] = {
            "agreement": answer.comparison.agreement,
            "max_difference": answer.comparison.max_difference,
            "seconds": {
                "base": base.compute_seconds,
                "pruned": answer.prediction.compute_seconds,
            },
        }
    if answer.int8 is not None and answer.int8_comparison is not None:
        whole["int8"] = int8_body or {"outputs": _outputs(answer.int8)}
        whole["comparison"]["int8"] = {
            "agreement": answer.int8_comparison.agreement,
            "max_difference": answer.int8_comparison.max_difference,
        }
        whole["comparison"]["seconds"]["int8"] = answer.int8.compute_seconds
    data = orjson.dumps(whole, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, media_type="application/json")
