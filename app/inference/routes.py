"""``/infer`` and ``/v1/models/{id}/infer``: JSON tensors or image files in, scores out."""

from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.dependencies import PrincipalDep
from app.errors import RESPONSES
from app.inference.service import InferenceService, Prediction
from app.keys.service import Principal
from app.uploads import is_multipart

router = APIRouter(tags=["inference"], responses=RESPONSES)

_MAX_IMAGES = 256
_SCORES_RANK = 2
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "properties": {
                        "model": {"type": "string", "description": "A model's id."},
                        "inputs": {
                            "description": "Preprocessed tensors as nested lists, "
                            "or an object of them by input name."
                        },
                    },
                },
                "example": {"model": "mdl_01JD0000000000000000000000", "inputs": [[[[0.1, 0.2]]]]},
            },
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                        "model": {"type": "string"},
                    },
                }
            },
        },
    }
}
ModelId = Annotated[str | None, Query(max_length=64, description="A model's id.")]
TopK = Annotated[int, Query(ge=1, le=1000, description="Labels for each image.")]


@router.post("/infer", openapi_extra=_BODY)
async def infer(
    request: Request, principal: PrincipalDep, model: ModelId = None, top_k: TopK = 5
) -> Response:
    """Run a model on tensors (``outputs``) or images (``labels``)."""
    return await _answer(request, principal, model, top_k)


@router.post("/v1/models/{model_id}/infer", openapi_extra=_BODY)
async def infer_with(
    model_id: str, request: Request, principal: PrincipalDep, top_k: TopK = 5
) -> Response:
    """Run this model on tensors (``outputs``) or images (``labels``)."""
    return await _answer(request, principal, model_id, top_k)


async def _answer(
    request: Request, principal: Principal, model_id: str | None, top_k: int
) -> Response:
    principal.require("infer")
    service: InferenceService = request.app.state.inference
    if is_multipart(request):
        async with request.form(max_files=_MAX_IMAGES, max_fields=10) as form:
            parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            files = [await part.read() for part in parts]
            named = form.get("model")
        model_id = model_id or (named if isinstance(named, str) else None)
    elif request.headers.get("content-type", "").startswith("image/"):
        files = [await request.body()]
    else:
        body = _parse(await request.body())
        model_id = model_id or body.get("model")
        prediction = await service.infer(principal.tenant, _known(model_id), body.get("inputs"))
        return _outputs(prediction)
    if not files:
        raise InvalidInputError("the form has no image")
    return _labels(await service.classify(principal.tenant, _known(model_id), files), top_k)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict) or "inputs" not in body:
        raise InvalidInputError(
            "/inputs: is missing", details=[ErrorDetail("/inputs", "is missing")]
        )
    return body


def _known(model_id: object) -> str:
    if not isinstance(model_id, str) or not model_id:
        detail = "name a model: its id in the body, or ?model="
        raise InvalidInputError(f"/model: {detail}", details=[ErrorDetail("/model", detail)])
    return model_id


def _outputs(prediction: Prediction) -> Response:
    found = {name: np.ascontiguousarray(array) for name, array in prediction.outputs.items()}
    outputs: Any = next(iter(found.values())) if len(found) == 1 else found
    return _json(prediction, {"outputs": outputs})


def _labels(prediction: Prediction, top_k: int) -> Response:
    scores = next(iter(prediction.outputs.values()))
    if scores.ndim != _SCORES_RANK:
        return _outputs(prediction)
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    names = prediction.model.class_names or ()
    labels = [
        [
            {
                "label": names[index] if index < len(names) else str(index),
                "index": int(index),
                "score": float(row[index]),
            }
            for index in np.argsort(-row, kind="stable")[:top_k].tolist()
        ]
        for row in probabilities
    ]
    return _json(prediction, {"labels": labels})


def _json(prediction: Prediction, body: dict[str, Any]) -> Response:
    head = {"model": prediction.model.id, "version": prediction.model.version}
    data = orjson.dumps({**head, **body}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, media_type="application/json")
