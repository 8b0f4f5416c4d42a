"""Zip archives that are written while their files are read."""

import io
import zipfile

from app.artifacts.archive import Member, stream_zip

FILES = {"a.bin": bytes(range(256)) * 500, "empty.txt": b"", "b.py": b"print()\n"}


def members(piece: int = 1000) -> list[Member]:
    def chunks(data: bytes) -> list[bytes]:
        return [data[i : i + piece] for i in range(0, len(data), piece)]

    return [Member(name, len(data), iter(chunks(data))) for name, data in FILES.items()]


def test_an_archive_holds_the_files_and_comes_in_pieces() -> None:
    pieces = list(stream_zip(members()))
    assert max(map(len, pieces)) < 2000, "no file is held in memory"
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == FILES


def test_equal_files_give_equal_archives() -> None:
    assert b"".join(stream_zip(members())) == b"".join(stream_zip(members()))
