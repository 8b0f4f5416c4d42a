"""Routes of the dashboard: ``/`` and its static files.

They contain no user data and need no key. The page's requests to the API need one, like those of
any other client.
"""

from fastapi import APIRouter, Request, Response

from app.contracts.errors import NotFoundError
from app.http.limits import OPEN, limits
from app.web.assets import Asset, load_assets

router = APIRouter(include_in_schema=False)

# Only our own files run and none inline. Trusted Types make the browser refuse to parse strings as
# HTML, so user text can never become a script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
_FILE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}


@router.api_route("/", methods=["GET", "HEAD"])
@limits(OPEN)
def page(request: Request) -> Response:
    """Return the dashboard's page."""
    return answer_with(request, load_assets().page, PAGE_HEADERS)


@router.api_route("/static/{digest}/{file:path}", methods=["GET", "HEAD"])
@limits(OPEN)
def file(request: Request, digest: str, file: str) -> Response:
    """Return a static file of the current version.

    Raises:
        NotFoundError: There is no such file, or the digest is of another version.
    """
    assets = load_assets()
    found = assets.files.get(file) if digest == assets.digest else None
    if found is None:
        raise NotFoundError(f"the dashboard has no file {file[:64]!r} in version {digest[:64]!r}")
    return answer_with(request, found, _FILE_HEADERS)


def answer_with(request: Request, asset: Asset, headers: dict[str, str]) -> Response:
    """Return a file, compressed if the client takes it, or 304 if the client has it."""
    is_compressed = "gzip" in request.headers.get("accept-encoding", "")
    etag = f'"{asset.sha256}{"-gzip" if is_compressed else ""}"'
    headers = {**headers, "ETag": etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
    data = asset.compressed if is_compressed else asset.data
    return Response(data, 200, headers, media_type=asset.media_type)
