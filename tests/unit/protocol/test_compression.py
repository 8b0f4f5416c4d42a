"""Bodies inflate up to a limit, and answers are compressed on request if that helps."""

import gzip
import zlib

import pytest

from app.contracts.errors import InvalidInputError, TooLargeError
from app.http.errors import UnsupportedEncodingError
from app.open_inference.compression import choose_encoding, deflate, inflate


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", " identity", ""])
def test_a_body_inflates_to_its_limit_and_not_a_byte_further(encoding: str) -> None:
    body = b"x" * 1000
    name = encoding.strip().lower()
    sent = body if name in {"identity", ""} else deflate(body, name)
    assert inflate(sent, encoding, 1000) == body
    if sent is not body:
        with pytest.raises(TooLargeError, match="past the 999 bytes"):
            inflate(sent, encoding, 999)


def test_a_bomb_is_refused_without_inflating_it() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(TooLargeError, match="1000 bytes"):
        inflate(bomb, "gzip", 1000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        zlib.compress(b"x"),
        gzip.compress(b"x", mtime=0)[:-1],
        gzip.compress(b"x", mtime=0)[:-6] + bytes(6),
        gzip.compress(b"x", mtime=0) + b"more",
        gzip.compress(b"x", mtime=0) + gzip.compress(b"y", mtime=0),
    ],
)
def test_incomplete_and_trailing_gzip_streams_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError, match="gzip"):
        inflate(body, "gzip", 1000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x"])
def test_other_encodings_are_refused_by_name(encoding: str) -> None:
    with pytest.raises(UnsupportedEncodingError, match=encoding):
        inflate(b"", encoding, 1000)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("br, Deflate;q=0.5, gzip", "deflate"),
        ("gzip; q=0, deflate", "deflate"),
        ("*", None),
    ],
)
def test_the_first_encoding_that_we_have_is_taken(accepted: str | None, expected: str) -> None:
    assert choose_encoding(accepted, 10_000) == expected
    assert choose_encoding(accepted, 100) is None
