"""Bodies in gzip and deflate (zlib): inflated up to a limit that is counted while inflating."""

import gzip
import zlib

from app.contracts.errors import InvalidInputError, TooLargeError
from app.http.errors import UnsupportedEncodingError

_GZIP, _DEFLATE = "gzip", "deflate"
_WINDOWS = {_GZIP: 16 + zlib.MAX_WBITS, _DEFLATE: zlib.MAX_WBITS}
_LEVEL = 1  # the answer waits for it
# Below this, an answer fits into one packet anyway.
_WORTHWHILE_BYTES = 1024


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Return a body as it was before ``Content-Encoding``.

    Raises:
        UnsupportedEncodingError: Not gzip and not deflate.
        InvalidInputError: It is not what the header says, or not all of it is there.
        TooLargeError: It inflates past the limit.
    """
    name = encoding.strip().lower()
    if name in {"identity", ""}:
        return body
    window = _WINDOWS.get(name)
    if window is None:
        raise UnsupportedEncodingError(
            f"the body is encoded as {encoding[:100]!r}; gzip and deflate are accepted"
        )
    inflater = zlib.decompressobj(window)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidInputError(f"the body is not {name}: {error}") from error
    if len(inflated) > limit:
        raise TooLargeError(f"the body inflates past the {limit} bytes that are accepted")
    if not inflater.eof or inflater.unused_data:
        raise InvalidInputError(f"the body is not one whole stream of {name}")
    return inflated


def choose_encoding(accepted: str | None, num_bytes: int) -> str | None:
    """Return what to compress an answer with, by ``Accept-Encoding``; None: nothing."""
    if accepted is None or num_bytes < _WORTHWHILE_BYTES:
        return None
    for part in accepted.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in _WINDOWS and parameters.replace(" ", "") not in {"q=0", "q=0.0"}:
            return name.strip()
    return None


def deflate(body: bytes, encoding: str) -> bytes:
    """Return a body compressed, as `choose_encoding` says."""
    if encoding == _GZIP:
        return gzip.compress(body, _LEVEL, mtime=0)
    return zlib.compress(body, _LEVEL)
