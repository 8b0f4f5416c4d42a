"""Images whose decoding takes far longer than their size suggests: found before Pillow decodes.

Pillow limits memory, not time. Two of its decoders let a small file compute for minutes.
"""

import re

# Encoders write about 10 scans. Each one costs a pass over all pixels, in 42 bytes.
MAX_SCANS = 100
_JPEG, _PLAIN = b"\xff\xd8\xff", (b"P1", b"P2", b"P3")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_ALONE = frozenset({0x01, 0xD8})  # markers without a length
_COMMENT = re.compile(rb"#[^\r\n]*")


def has_too_many_scans(data: bytes) -> bool:
    """Return whether a JPEG file has more than `MAX_SCANS` scans; previews are not counted."""
    if not data.startswith(_JPEG):
        return False
    position, num_scans = 2, 0
    while (found := _MARKER.search(data, position)) is not None:
        position = found.end()
        marker = found[1][0]
        if marker == _END_OF_IMAGE:
            break
        num_scans += marker == _START_OF_SCAN
        if num_scans > MAX_SCANS:
            return True
        if marker not in _ALONE:
            position += int.from_bytes(data[position : position + 2], "big")
    return False


def without_comments(data: bytes) -> bytes:
    """Return a plain PNM file without comments, which Pillow removes in quadratic time."""
    return _COMMENT.sub(b"", data) if data.startswith(_PLAIN) else data
