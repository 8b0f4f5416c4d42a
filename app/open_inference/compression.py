"""Bodies in gzip and deflate (zlib). Inflating stops at a limit."""

import gzip
import zlib

from app.contracts.errors import InvalidInputError, TooLargeError
from app.http.errors import UnsupportedEncodingError

_GZIP, _DEFLATE = "gzip", "deflate"
_WINDOWS = {_GZIP: 16 + zlib.MAX_WBITS, _DEFLATE: zlib.MAX_WBITS}
_LEVEL = 1  # the fastest: the client waits for it
# A smaller answer fits into one packet uncompressed.
_WORTHWHILE_BYTES = 1024


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo the ``Content-Encoding`` of a body.

    Raises:
        UnsupportedEncodingError: The encoding is neither gzip nor deflate.
        InvalidInputError: The body does not match the header, or is truncated.
        TooLargeError: The body inflates past the limit.
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
    """Return the encoding of an answer that ``Accept-Encoding`` allows, or None."""
    if accepted is None or num_bytes < _WORTHWHILE_BYTES:
        return None
    for part in accepted.lower().split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in _WINDOWS and parameters.replace(" ", "") not in {"q=0", "q=0.0"}:
            return name.strip()
    return None


def deflate(body: bytes, encoding: str) -> bytes:
    """Compress a body with an encoding from `choose_encoding`."""
    if encoding == _GZIP:
        return gzip.compress(body, _LEVEL, mtime=0)
    return zlib.compress(body, _LEVEL)
