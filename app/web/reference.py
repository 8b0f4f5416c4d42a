"""``/openapi.json`` and its page, ``/docs`` (``/redoc`` is another name of it).

FastAPI's pages load scripts from a network for everybody, which could then act on the dashboard's
origin. This page has no script of its own.
"""

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from app.http.limits import OPEN, limits
from app.web.assets import Asset, load_assets, make_asset
from app.web.reference_page import draw_reference
from app.web.routes import PAGE_HEADERS, answer_with

router = APIRouter(include_in_schema=False)


@router.api_route("/openapi.json", methods=["GET", "HEAD"])
@limits(OPEN)
def document(request: Request) -> Response:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@router.api_route("/docs", methods=["GET", "HEAD"])
@router.api_route("/redoc", methods=["GET", "HEAD"])
@limits(OPEN)
def page(request: Request) -> Response:
    """Return the page that describes the API."""
    return answer_with(request, _page(request.app), PAGE_HEADERS)


def _page(app: FastAPI) -> Asset:
    found: Asset | None = getattr(app.state, "reference", None)
    if found is None:
        html = draw_reference(app.openapi(), load_assets().digest)
        found = app.state.reference = make_asset(html.encode(), ".html")
    return found
