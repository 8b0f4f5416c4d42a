"""``/v1/artifacts``: metadata, and content with ranges and strong validators."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from app.dependencies import Context, ContextDep, PrincipalDep
from app.http.headers import attachment
from app.http.problems import NOT_MODIFIED, RESPONSES
from app.jobs.schemas import Artifact, to_artifact
from app.records.database import reading
from app.records.lookup import owned
from app.records.tables import ArtifactRow, JobRow

router = APIRouter(prefix="/v1/artifacts", tags=["artifacts"], responses=RESPONSES)

_FILE = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", **_FILE},
    206: {"description": "The requested range.", **_FILE},
    416: {"description": "The range is outside the file."},
    **NOT_MODIFIED,
}
# HTML artifacts such as report.html contain untrusted names. They are sent as attachments. If shown
# in place, the policy blocks scripts and requests and gives them no origin.
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@router.get("/{artifact_id}")
def read(artifact_id: str, context: ContextDep, principal: PrincipalDep) -> Artifact:
    """Read an artifact's metadata."""
    principal.require("jobs:read")
    return to_artifact(_find(context, principal.tenant, artifact_id))


@router.head("/{artifact_id}/content", include_in_schema=False)
@router.get("/{artifact_id}/content", response_class=Response, responses=_CONTENT)
def content(  # noqa: PLR0913, PLR0917  # headers
    request: Request,
    artifact_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    range_header: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Download a file or one range of it."""
    principal.require("jobs:read")
    row = _find(context, principal.tenant, artifact_id)
    etag = f'"sha256-{row.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": attachment(row.name),
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    if row.media_type.startswith("text/html"):
        headers["Content-Security-Policy"] = PAGE_POLICY
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    wanted = range_header if if_range in {None, etag} else None
    span = _parse_range(wanted, row.num_bytes)
    if span == ():
        headers["Content-Range"] = f"bytes */{row.num_bytes}"
        return Response(status_code=416, headers=headers)
    start, end = span or (0, row.num_bytes)
    headers["Content-Length"] = str(end - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{row.num_bytes}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=row.media_type)
    chunks = context.store.stream(row.sha256, start, end if span else None)
    return StreamingResponse(chunks, status, headers, media_type=row.media_type)


def _find(context: Context, tenant: str, artifact_id: str) -> ArtifactRow:
    with reading(context.sessions) as session:
        row = session.get(ArtifactRow, artifact_id)
        job = None if row is None else session.get(JobRow, row.job_id)
        if job is not None and job.deleted_at is not None:
            row = None
    return owned(row, tenant, "artifact", artifact_id)


def _parse_range(header: str | None, size: int) -> tuple[int, int] | tuple[()] | None:
    """Return (start, end) of one range, () if it is outside the file, None for the whole file."""
    match = _RANGE.fullmatch(header or "")
    if match is None or match[0] == "bytes=-":
        return None  # several ranges, or another unit: RFC 9110 lets us ignore them
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    return (start, end) if start < end else ()
