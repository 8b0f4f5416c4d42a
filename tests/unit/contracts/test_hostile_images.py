"""Pictures that take long to decode are found without decoding them."""

import struct
import zlib

import pytest

from app.contracts.hostile_images import MAX_SCANS, has_too_many_scans, without_comments
from app.contracts.images import ImageTooLargeError, decode_image
from tests.attacks.files.pictures import jpeg, painted, png


def test_a_jpeg_has_at_most_a_hundred_scans() -> None:
    assert not has_too_many_scans(painted(MAX_SCANS, (8, 8)))
    assert has_too_many_scans(painted(MAX_SCANS + 1, (8, 8)))


def test_scans_in_previews_and_in_what_follows_the_picture_do_not_count() -> None:
    noise = b"\xff\xda\0\x02" * 1000
    preview = b"\xff\xe2" + (2 + len(noise)).to_bytes(2, "big") + noise
    picture = jpeg()
    assert not has_too_many_scans(picture[:2] + preview + picture[2:] + noise)
    assert not has_too_many_scans(png() + noise)


def test_a_jpeg_cut_anywhere_ends_the_count() -> None:
    whole = painted(20, (8, 8))
    assert not any(has_too_many_scans(whole[:end]) for end in range(len(whole)))


def test_comments_in_a_plain_map_separate_numbers() -> None:
    data = b"P2 # grey\n2 1\n255\n12#first\n34 # last"
    assert without_comments(data) == b"P2 \n2 1\n255\n12\n34 "
    assert decode_image(data, 4).pixels(1, (1, 2)).tolist() == [[[12, 34]]]
    binary = b"P5 2 1 255\n##"
    assert without_comments(binary) == binary


def test_a_size_that_pillow_refuses_is_too_large_and_not_damaged() -> None:
    side = 20_000  # above Pillow's own limit: more than twice Image.MAX_IMAGE_PIXELS
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    with pytest.raises(ImageTooLargeError, match=r"at most 1000$"):
        decode_image(data, 1000)
