"""Refusals of hostile and damaged archives."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from secateur.engine.errors import DataError
from tests.unit.pipeline.data.files import opened, png, tarred, zipped

GOOD = {f"cat/{i}.png": png(i) for i in range(3)}


def member(name: str, type_: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info


def damaged_in_the_middle() -> bytes:
    data = bytearray(tarred(GOOD))
    data[1024 + 148] ^= 1  # a digit of the second header's checksum
    return bytes(data)


def with_size(size: bytes, type_: bytes = tarfile.REGTYPE) -> bytes:
    """Return a tar whose last member declares ``size``, in the header's notation."""
    data = bytearray(tarred(GOOD, "w", member("cat/9.png", type_), format=tarfile.GNU_FORMAT))
    header = data[3072:3584]
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[3072:3584] = header
    return bytes(data)


BAD_TAR = {
    "'cat/9.png' is a link": tarred(GOOD, "w", member("cat/9.png", tarfile.SYMTYPE, "/etc/passwd")),
    "'cat/8.png' is a link": tarred(GOOD, "w", member("cat/8.png", tarfile.LNKTYPE, "cat/1.png")),
    "'cat/0.dev' is a device": tarred(GOOD, "w", member("cat/0.dev", tarfile.CHRTYPE)),
    "'cat/0.fifo' is a device, a pipe": tarred(GOOD, "w", member("cat/0.fifo", tarfile.FIFOTYPE)),
    "'/etc/1.png' has a name": tarred({**GOOD, "/etc/1.png": png()}),
    "'../1.png' has a name": tarred({**GOOD, "../1.png": png()}),
    "'cat/../../1.png' has a name": tarred({**GOOD, "cat/../../1.png": png()}),
    "the tar holds entry 'cat/./1.png' twice": tarred({**GOOD, "cat/./1.png": png()}),
    "is not an image": tarred({"cat/1.exe": b"MZ"}),
    "not in a class folder": tarred({**GOOD, "1.png": png()}),
    "cannot be decoded": tarred({**GOOD, "cat/4.png": b"hello"}),
    "120x120 pixels": tarred({**GOOD, "cat/4.png": png(size=(120, 120))}),
    "is 134217728 bytes, at most": with_size(b"01000000000\0"),
    "is -1 bytes, at most": with_size(b"\xff" * 12),
    "header of [0-9]+ bytes": with_size(b"01000000000\0", tarfile.XHDTYPE),
    "header of -512 bytes": with_size(b"\xff" * 10 + b"\xfe\x00", tarfile.XHDTYPE),
    "damaged at byte 1024": damaged_in_the_middle(),
    "or a damaged one": tarred(GOOD)[:2700],
    "not a tar file": b"garbage" * 1000,
    "has 0 files": tarred({}),
    "holds no image": tarred({"cat/.hidden": b"", "__MACOSX/1.png": b""}),
    "compressed with xz": tarred(GOOD, "w:xz"),
    "compressed with bzip2": tarred(GOOD, "w:bz2"),
    "inflates to more than 104857600": gzip.compress(bytes(120 * 1024**2)),
    "a tar file, or a damaged": gzip.compress(b"hello"),
    "file, or a damaged one": tarred(GOOD, "w:gz")[:-20],
}


@pytest.mark.parametrize(("words", "data"), BAD_TAR.items(), ids=BAD_TAR.keys())
def test_a_bad_tar_is_refused_with_a_reason(words: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, data, "tar")


def test_folders_and_hidden_files_in_a_tar_are_passed_over(tmp_path: Path) -> None:
    folder = member("./cat", tarfile.DIRTYPE)
    data = tarred({**GOOD, "cat/._1.png": b"resource fork"}, "w:gz", folder)
    assert len(opened(tmp_path, data, "tar")) == 3
    assert list(tmp_path.rglob("*.tar")) == []


def test_names_of_any_length_are_read_from_every_kind_of_tar(tmp_path: Path) -> None:
    files = {f"{'ä' * 90}/{'b' * 150}{i}.png": png(i) for i in range(3)}
    for format_ in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        dataset = opened(tmp_path, tarred(files, "w", format=format_), "tar")
        assert dataset.class_names == ("ä" * 90,)


def test_rare_ways_to_compress_a_zip_are_refused(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            archive.writestr("cat/1.png", png())
        for kind in ("zip", "npz"):
            with pytest.raises(DataError, match="use deflate"):
                opened(tmp_path, buffer.getvalue(), kind)


def test_a_damaged_or_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(GOOD))
    data[60] ^= 255
    with pytest.raises(DataError, match="not a zip file, or a damaged one"):
        opened(tmp_path, bytes(data), "zip")
    encrypted = bytearray(zipped(GOOD))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="is encrypted"):
        opened(tmp_path, bytes(encrypted), "zip")
