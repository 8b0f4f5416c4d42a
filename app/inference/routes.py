"""``/infer`` and ``/v1/models/{id}/infer``: tensors or image files in, outputs or answers out.

Plain Starlette without FastAPI's layers: every microsecond counts on this path.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.suggestions import suggestion
from app.dependencies import Context, bearer_key, identify
from app.http.body import read_body
from app.http.disconnect import disconnect_check
from app.http.hot import HotRoute
from app.http.limits import INFERENCE, limits
from app.http.memory import memory_of
from app.inference import npy
from app.inference.answers import images_answer, npy_answer, outputs_answer
from app.inference.held import HeldArray, Inputs
from app.inference.options import Options, parse_options
from app.inference.schemas import MOST_LABELS, Parameters, Question, operation
from app.inference.servable import Servable
from app.inference.service import SMALL_BYTES, Answer, InferenceService, size_of
from app.inference.shadow import Shadow
from app.inference.task_answers import seen_images
from app.inference.tensors import invalid
from app.keys.service import Principal
from app.query import refuse_unknown
from app.registry.resolve import Registry, split_reference
from app.uploads import is_multipart, not_a_file
from secateur.core.files import HEAD_BYTES, is_image, kind_of

_OTHER_NAMES = dict.fromkeys(
    ("input", "data", "x", "instances", "tensor", "features", "array"), "inputs"
)
_MAX_IMAGES = 256
_OPTIONS = tuple(Parameters.model_fields)
_QUERY = frozenset((*Question.model_fields, *_OPTIONS))


@limits(INFERENCE)
async def infer(request: Request) -> Response:
    """Run a model on tensors (``outputs``) or images (``labels``, ``boxes``, …)."""
    state = request.app.state
    context: Context = state.context
    service: InferenceService = state.inference
    principal = await identify(context, request.scope, bearer_key(request.scope))
    principal.require("infer")
    query = request.query_params if request.scope["query_string"] else {}
    if query:
        refuse_unknown(query, _QUERY)
    named = request.path_params.get("model_id") or query.get("model")
    options = parse_options({key: query[key] for key in _OPTIONS if key in query}, "/query")
    media_type = request.headers.get("content-type", "")
    if media_type.startswith("image/"):
        return await _classify(
            request, principal, named, [await read_body(request.receive)], options
        )
    if is_multipart(request):
        files, in_form = await _read_form(request)
        return await _classify(request, principal, named or in_form, files, options)
    data = await read_body(request.receive)
    is_array = media_type == npy.MEDIA_TYPE or data.startswith(npy.MAGIC)
    if not is_array and data[:1] != b"{" and is_image(data):  # curl labels any body as a form
        return await _classify(request, principal, named, [data], options)
    if is_array:
        servable = await _find(request, principal, named)
        arrays = await service.parse_npy(servable, data)
    else:
        small = len(data) <= SMALL_BYTES
        body = _parse(data) if small else await service.in_thread(_parse, data)
        servable = await _find(request, principal, named or body.get("model"))
        options = parse_options(body["parameters"]) if body.get("parameters") else options
        arrays = await service.parse(servable, body["inputs"], len(data))
    answer = await _answer(request, principal, servable, arrays, options)
    if npy.MEDIA_TYPE in request.headers.get("accept", ""):
        return npy_answer(answer)
    if answer.num_bytes <= SMALL_BYTES:
        return outputs_answer(answer)
    return await service.in_thread(outputs_answer, answer)


async def _classify(
    request: Request,
    principal: Principal,
    named: object,
    files: Sequence[bytes],
    options: Options,
) -> Response:
    service: InferenceService = request.app.state.inference
    top_k = _top_k(request.query_params.get("top_k", "5"))
    servable = await _find(request, principal, named)
    async with service.decoded(servable, files) as inputs:
        memory_of(request.scope).hold(size_of(inputs))  # a body of 2 kB may be hundreds of MB now
        answer = await _answer(request, principal, servable, inputs, options)
    images = next(iter(inputs.values()))
    assert isinstance(images, HeldArray)  # noqa: S101  # as `decoded` returns it
    seen = seen_images(servable, images)
    is_given = servable.is_preprocess_given
    return await service.in_thread(images_answer, answer, top_k, is_given, seen)


async def _answer(
    request: Request, principal: Principal, servable: Servable, inputs: Inputs, options: Options
) -> Answer:
    state = request.app.state
    service: InferenceService = state.inference
    answer = await service.answer(
        principal.tenant,
        servable,
        inputs,
        options,
        is_disconnected=disconnect_check(request.scope),
    )
    memory_of(request.scope).hold(answer.num_bytes)
    shadow: Shadow = state.shadow
    shadow.consider(principal.tenant, options, answer, inputs)
    return answer


async def _read_form(request: Request) -> tuple[list[bytes], object]:
    async with request.form(max_files=_MAX_IMAGES, max_fields=10) as form:
        parts = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        files = [await part.read() for part in parts]
        named = form.get("model")
        texts = {key: text for key, text in form.multi_items() if isinstance(text, str)}
    if not files:
        texts.pop("model", None)
        for name, text in texts.items():
            raise not_a_file(name, text)
        raise InvalidInputError("the form has no image: with curl, -F image=@photo.png")
    return files, named


async def _find(request: Request, principal: Principal, named: object) -> Servable:
    """Return the model that an id, ``name``, ``name@version`` or ``name@alias`` refers to now."""
    if not isinstance(named, str) or not named:
        detail = "name a model: its id in the body, or ?model="
        raise InvalidInputError(f"/model: {detail}", details=[ErrorDetail("/model", detail)])
    state = request.app.state
    service: InferenceService = state.inference
    if not named.startswith("mdl_"):
        registry: Registry = state.registry
        choice = await registry.resolve(principal.tenant, *split_reference(named))
        named = choice.model_id
    return await service.find(principal.tenant, named)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _not_json(data, error) from error
    if not isinstance(body, dict):
        raise InvalidInputError('the body must be an object: {"inputs": …}')
    if "inputs" not in body:
        meant = suggestion(next(iter(body), ""), ["inputs"], _OTHER_NAMES)
        raise invalid("/inputs", f"is missing{meant}")
    return body


def _not_json(data: bytes, error: orjson.JSONDecodeError) -> InvalidInputError:
    takes = (
        'It takes JSON {"inputs": …}, an image (Content-Type: image/png), or an array as .npy '
        f"(Content-Type: {npy.MEDIA_TYPE})"
    )
    if not data:
        return InvalidInputError(f"the body is empty. {takes}")
    kind = kind_of(data[:HEAD_BYTES])
    if kind is not None and kind.name not in {"json", "text"}:
        return InvalidInputError(f"the body is {kind.what}. {takes}")
    where = f"line {error.lineno}, column {error.colno}"
    return InvalidInputError(f"the body is not JSON: syntax error at {where}. {takes}")


def _top_k(sent: str) -> int:
    if not sent.isascii() or not sent.isdecimal() or not 1 <= int(sent[:5]) <= MOST_LABELS:
        raise invalid("/top_k", f"must be a whole number from 1 to {MOST_LABELS}")
    return int(sent)


hot_routes = [
    HotRoute("/infer", infer, operation("infer_any", "a model", "model", "top_k")),
    HotRoute("/v1/models/{model_id}/infer", infer, operation("infer_with", "this model", "top_k")),
]
