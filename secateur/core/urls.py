"""URLs in place of files: the service fetches them."""

import re
from collections.abc import Mapping
from typing import Any

from secateur.core.calls import Context, call
from secateur.core.endpoints import FETCH_MODEL, Endpoint
from secateur.core.requests import make_json_request, new_idempotency_key
from secateur.core.steps import Flow

_URL = re.compile(r"(https|s3|gs):/+(?=[^/])")
_LONGEST_SECONDS = 900.0  # the service's own default
_ARCHITECTURE = ("num_classes", "in_channels", "image_size")


def find_url(given: object) -> str | None:
    """Return the URL in an argument, or None. As a path it has lost one of its slashes."""
    text = str(given)
    match = _URL.match(text)
    return None if match is None else f"{match[1]}://{text[match.end() :]}"


def fetch(context: Context, endpoint: Endpoint, url: str, query: Mapping[str, Any]) -> Flow[Any]:
    """Have the service fetch a file; return the model or data set, which is not checked yet.

    Args:
        context: The client's context.
        endpoint: `FETCH_MODEL` or `FETCH_DATASET`.
        url: The URL.
        query: The parameters that an upload of the file would have.
    """
    given = {name: value for name, value in query.items() if value is not None}
    body: dict[str, Any] = {"url": url}
    body |= {name: given[name] for name in ("name", "preprocess") if name in given}
    if endpoint is FETCH_MODEL and "architecture" in given:
        shape = {name: given[name] for name in _ARCHITECTURE if name in given}
        body["architecture"] = {"name": given["architecture"], **shape}
    request = make_json_request(
        endpoint, body, headers=new_idempotency_key(), wait_seconds=_LONGEST_SECONDS
    )
    return (yield from call(context, request))
