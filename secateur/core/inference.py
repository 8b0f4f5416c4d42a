"""Inference: one array as ``.npy``, several arrays by name, or images for labels."""

import json
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from secateur.comparison import Comparison
from secateur.core.answers import parse
from secateur.core.calls import Context, call, exchange
from secateur.core.endpoints import (
    BYTES,
    DESCRIBE,
    DESCRIBE_VERSION,
    FORM,
    INFER,
    INFER_ARRAY,
    INFER_TENSORS,
    INFER_TENSORS_VERSION,
    JSON,
    NPY,
)
from secateur.core.requests import make_request
from secateur.core.steps import Flow, work
from secateur.core.tensors import (
    Array,
    decode_tensors,
    encode_tensors,
    from_lists,
    from_npy,
    to_npy,
)
from secateur.errors import InvalidRequestError, SecateurError, UnexpectedAnswerError
from secateur.types import InferAnswer, Label, ModelMetadata

_MICROSECONDS = 1e6


def infer(
    context: Context, model: str, x: object, variant: str, timeout_seconds: float | None
) -> Flow[Any]:
    """Run a model on an array or on arrays by name; ``both`` and ``all`` compare its forms.

    Raises:
        SecateurError: The inputs do not fit the model.
        ApiError: The service refused the request.
    """
    query = {"model": model, "variant": variant, "timeout_seconds": timeout_seconds}
    if variant in {"both", "all"}:
        return (yield from _compare(context, query, x))
    if isinstance(x, Mapping):
        return (yield from _infer_named(context, model, x, variant, timeout_seconds))
    return (yield from _infer_array(context, query, x))


def infer_images(
    context: Context, model: str, images: Sequence[Path | bytes], top_k: int, variant: str
) -> Flow[list[list[Label]]]:
    """Return the ``top_k`` most likely classes of each image; the service's warnings are issued.

    Raises:
        SecateurError: The model does not output class scores.
        InvalidRequestError: A file is not an image, or does not have the model's input size.
    """
    body, media_type = yield from work(lambda: _form(images))
    query = {"model": model, "top_k": top_k, "variant": variant}
    request = make_request(INFER, query=query, body=body, media_type=media_type)
    answer: InferAnswer = yield from call(context, request)
    if answer.labels is None:
        raise SecateurError(
            f"{answer.model} does not output class scores, so images have no labels: give its "
            "input as an array (on the command line, a .npy file)"
        )
    for text in answer.warnings:
        warnings.warn(text, stacklevel=2)
    return answer.labels


def _infer_array(context: Context, query: Mapping[str, Any], x: object) -> Flow[Array]:
    """Run a model with one input and one output.

    Raises:
        SecateurError: It has several outputs, which require inputs by name.
        InvalidRequestError: The array does not fit the model's input.
    """
    request = make_request(INFER_ARRAY, query=query, body=to_npy(x), media_type=NPY)
    try:
        answer = yield from exchange(context, request)
    except InvalidRequestError as error:
        about = yield from _describe(context, query["model"])
        if len(about.inputs) == 1 and len(about.outputs) > 1:
            names = ", ".join(spec.name for spec in about.outputs)
            raise SecateurError(
                f"{about.name} has outputs {names}: pass {{{about.inputs[0].name!r}: x}} (on the "
                f"command line, a .npz file with the array {about.inputs[0].name}) to get all of "
                "them by name"
            ) from error
        raise
    return from_npy(answer.body)


def _infer_named(
    context: Context,
    model: str,
    inputs: Mapping[str, object],
    variant: str,
    timeout_seconds: float | None,
) -> Flow[dict[str, Array]]:
    """Run a model on inputs by name, and return its outputs by name."""
    about = yield from _describe(context, model)
    parameters: dict[str, Any] = {"variant": variant}
    if timeout_seconds is not None:
        parameters["timeout"] = round(timeout_seconds * _MICROSECONDS)
    body, headers = encode_tensors(inputs, about, parameters)
    ids = _split(model)
    endpoint = INFER_TENSORS if len(ids) == 1 else INFER_TENSORS_VERSION
    request = make_request(endpoint, *ids, headers=headers, body=body, media_type=BYTES)
    answer = yield from exchange(context, request)
    return decode_tensors(answer)


def _compare(context: Context, query: Mapping[str, Any], x: object) -> Flow[Comparison]:
    """Run a model, its base model and perhaps its int8 form on the same inputs."""
    if isinstance(x, Mapping):
        inputs = {name: _to_lists(value) for name, value in x.items()}
        body: dict[str, Any] = {"model": query["model"], "inputs": inputs}
        body["parameters"] = {
            name: query[name]
            for name in ("variant", "timeout_seconds")
            if query.get(name) is not None
        }
        request = make_request(INFER, body=json.dumps(body).encode(), media_type=JSON)
    else:
        request = make_request(INFER, query=query, body=to_npy(x), media_type=NPY)
    answer: InferAnswer = yield from call(context, request)
    if answer.base is None or answer.comparison is None:
        raise UnexpectedAnswerError("the response does not compare two networks")
    about = yield from _describe(context, answer.model)
    found = Comparison(
        from_lists(answer.outputs, about.outputs),
        from_lists(answer.base.outputs, about.outputs),
        answer.comparison.agreement,
        answer.comparison.max_difference,
        answer.comparison.seconds.pruned,
        answer.comparison.seconds.base,
    )
    int8 = answer.comparison.int8
    if answer.int8 is None or int8 is None:
        return found
    return replace(
        found,
        int8=from_lists(answer.int8.outputs, about.outputs),
        int8_agreement=int8.agreement,
        int8_max_difference=int8.max_difference,
        int8_seconds=answer.comparison.seconds.int8,
    )


def _describe(context: Context, model: str) -> Flow[ModelMetadata]:
    """Return a model's inputs and outputs."""
    ids = _split(model)
    endpoint = DESCRIBE if len(ids) == 1 else DESCRIBE_VERSION
    answer = yield from exchange(context, make_request(endpoint, *ids))
    return parse(answer, ModelMetadata)


def _split(model: str) -> tuple[str, ...]:
    """Return the name and, if there is an ``@``, the version or alias after it."""
    name, mark, version = model.rpartition("@")
    return (name, version) if mark else (model,)


def _form(images: Sequence[Path | bytes]) -> tuple[bytes, str]:
    """Return a multipart form of image files, and its media type."""
    boundary = uuid.uuid4().hex
    parts = []
    for image in images:
        data = image if isinstance(image, bytes) else image.read_bytes()
        head = 'Content-Disposition: form-data; name="file"; filename="image"'
        parts += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), data, b"\r\n"]
    return b"".join((*parts, f"--{boundary}--\r\n".encode())), f"{FORM}; boundary={boundary}"


def _to_lists(value: object) -> object:
    return value.tolist() if hasattr(value, "tolist") else value
