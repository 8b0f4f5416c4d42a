"""``POST /v2/models/{model}[/versions/{version}]/infer``, the hot path of ``/v2``.

Small bodies are parsed and written on the event loop, since waking up a thread takes longer. Large
and compressed bodies are handled on threads. Nothing is computed here.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from app.dependencies import Context, bearer_key, identify
from app.http.body import read_body
from app.http.disconnect import disconnect_check
from app.http.headers import find_header
from app.http.hot import HotRoute
from app.http.limits import COMPRESSED_INFERENCE, limits
from app.http.memory import memory_of
from app.http.weight import parsed_bytes
from app.inference.options import Options
from app.inference.service import SMALL_BYTES, InferenceService, Prediction
from app.inference.shadow import Shadow
from app.open_inference.answers import encode_answer, wanted_outputs
from app.open_inference.compression import choose_encoding, deflate, inflate
from app.open_inference.requests import InferRequest, WantedOutput, decode_request
from app.open_inference.schemas import InferenceRequest, InferenceResponse, ProtocolError
from app.open_inference.statistics import Statistics, Timing
from app.openapi import Operation, reference
from app.registry.resolve import Choice, Registry
from app.serving.description import LoadedModel

_LENGTH_HEADER = "Inference-Header-Content-Length"
_LOWEST_PRIORITY = 2**63


class _Answer(NamedTuple):
    body: bytes
    header_length: int | None
    encoding: str | None


@limits(COMPRESSED_INFERENCE)
async def infer(request: Request) -> Response:
    """Answer an inference request."""
    arrived = time.perf_counter()
    state = request.app.state
    context: Context = state.context
    principal = await identify(context, request.scope, bearer_key(request.scope))
    principal.require("infer")
    asked = await _decode(state.inference, request, context.settings.limits.infer_bytes)
    read = time.perf_counter()
    registry: Registry = state.registry
    name, segment = request.path_params["model"], request.path_params.get("version")
    choice = await registry.resolve(principal.tenant, name, segment, asked.id)
    statistics: Statistics = state.statistics
    try:
        prediction, computed_at, answer = await _run(
            state.inference, principal.tenant, request, asked, choice
        )
    except BaseException:  # count clients that hung up as well
        statistics.fail(principal.tenant, choice, time.perf_counter() - arrived)
        raise
    now = time.perf_counter()
    timing = Timing(
        total=now - arrived,
        queue=prediction.queue_seconds,
        compute_input=read - arrived,
        compute_infer=prediction.compute_seconds,
        compute_output=now - computed_at,
        num_items=asked.num_items,
        batch_size=prediction.batch_size,
    )
    statistics.succeed(principal.tenant, choice, timing)
    return _response(answer)


async def _run(
    service: InferenceService, tenant: str, request: Request, asked: InferRequest, choice: Choice
) -> tuple[Prediction, float, _Answer]:
    servable = await service.find(tenant, choice.model_id)
    model = await service.describe(servable)
    asked.check(model)
    wanted = wanted_outputs(asked, model.outputs)
    names = None if asked.outputs is None else [output.name for output in wanted]
    parameters: dict[str, Any] = {}
    timeout, clock = asked.timeout_seconds, asyncio.get_running_loop().time
    options = Options(
        asked.variant,
        _LOWEST_PRIORITY - asked.priority if asked.priority else 0,
        None if timeout is None else clock() + timeout,
    )
    answer = await service.answer(
        tenant, servable, asked.arrays, options, names, disconnect_check(request.scope)
    )
    memory_of(request.scope).hold(answer.num_bytes)
    shadow: Shadow = request.app.state.shadow
    shadow.consider(tenant, options, answer, asked.arrays)
    prediction = answer.prediction
    if answer.comparison is not None and answer.base is not None:
        parameters = {
            "agreement": answer.comparison.agreement,
            "max_difference": answer.comparison.max_difference,
            "base_seconds": answer.base.compute_seconds,
            "pruned_seconds": prediction.compute_seconds,
        }
    if answer.int8 is not None and answer.int8_comparison is not None:
        parameters |= {
            "int8_agreement": answer.int8_comparison.agreement,
            "int8_max_difference": answer.int8_comparison.max_difference,
            "int8_seconds": answer.int8.compute_seconds,
        }
    computed_at = time.perf_counter()
    head: dict[str, Any] = {} if asked.id is None else {"id": asked.id}
    head |= {"model_name": request.path_params["model"], "model_version": choice.version}
    if parameters:
        head["parameters"] = parameters
    arguments = (head, wanted, prediction, model, _header(request, b"accept-encoding"))
    num_bytes = sum(values.nbytes for values in prediction.outputs.values())
    if num_bytes <= SMALL_BYTES:
        return prediction, computed_at, _encode(*arguments)
    return prediction, computed_at, await service.in_thread(_encode, *arguments)


def _header(request: Request, name: bytes) -> str | None:
    value = find_header(request.scope, name)
    return None if value is None else str(value, "latin-1")


async def _decode(service: InferenceService, request: Request, limit: int) -> InferRequest:
    body = await read_body(request.receive)
    encoding = _header(request, b"content-encoding")
    length = _header(request, _LENGTH_HEADER.lower().encode())
    if encoding is None and len(body) <= SMALL_BYTES:
        return decode_request(body, length)
    if encoding is not None:
        body = await service.in_thread(inflate, body, encoding, limit)
        memory = memory_of(request.scope)
        memory.hold(len(body))
        memory.hold_parsed(await service.in_thread(parsed_bytes, body[: _num_json_bytes(length)]))
    return await service.in_thread(decode_request, body, length)


def _num_json_bytes(length: str | None) -> int | None:
    return int(length[:20]) if length and length.isascii() and length.isdigit() else None


def _encode(
    head: dict[str, Any],
    wanted: Sequence[WantedOutput],
    prediction: Prediction,
    model: LoadedModel,
    accepted: str | None,
) -> _Answer:
    names = prediction.model.class_names
    body, header_length = encode_answer(head, wanted, prediction.outputs, model.outputs, names)
    encoding = choose_encoding(accepted, len(body))
    return _Answer(body if encoding is None else deflate(body, encoding), header_length, encoding)


def _response(answer: _Answer) -> Response:
    headers = {"Vary": "Accept-Encoding"}
    media_type = "application/json"
    if answer.encoding is not None:
        headers["Content-Encoding"] = answer.encoding
    if answer.header_length is not None:
        headers[_LENGTH_HEADER] = str(answer.header_length)
        media_type = "application/octet-stream"
    return Response(answer.body, 200, headers, media_type)


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_LENGTH_DESCRIPTION = "Length of the JSON in bytes; the tensors' bytes follow it."
_PARAMETERS = [
    {
        "name": _LENGTH_HEADER,
        "in": "header",
        "required": False,
        "schema": {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}],
            "description": _LENGTH_DESCRIPTION,
            "title": _LENGTH_HEADER,
        },
        "description": _LENGTH_DESCRIPTION,
    }
]
_REQUEST = {
    "required": True,
    "content": {
        "application/json": {"schema": reference(InferenceRequest)},
        "application/octet-stream": _BINARY,
    },
}
_RESPONSES = {
    "200": {
        "description": "Successful Response",
        "content": {
            "application/json": {"schema": reference(InferenceResponse)},
            "application/octet-stream": _BINARY,
        },
        "headers": {
            _LENGTH_HEADER: {"schema": {"type": "integer"}, "description": _LENGTH_DESCRIPTION}
        },
    },
    "default": {
        "description": "An error.",
        "content": {"application/json": {"schema": reference(ProtocolError)}},
    },
}


def _operation(name: str, description: str) -> Operation:
    return Operation(
        name, description, "open inference protocol", _PARAMETERS, _REQUEST, _RESPONSES
    )


hot_routes = [
    HotRoute(
        "/v2/models/{model}/infer",
        infer,
        _operation("infer_latest", "Run the latest version of a named model, or a model by id."),
    ),
    HotRoute(
        "/v2/models/{model}/versions/{version}/infer",
        infer,
        _operation(
            "infer_version", "Run a version of a model, or the version that an alias points at."
        ),
    ),
]
