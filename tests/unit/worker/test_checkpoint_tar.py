"""The tar of a checkpoint: regular files in, regular files out, whoever wrote it."""

import io
import math
import tarfile
from pathlib import Path

import pytest

from app.contracts.settings import OutputSettings
from app.objects.untrusted import UntrustedFileError, UntrustedFolder
from worker.checkpoint_tar import CheckpointTarError, pack, unpack
from worker.time_limit import TimeLimit

LIMITS = OutputSettings(checkpoint_files=10, checkpoint_bytes=10_000)
TIME = TimeLimit(math.inf, lambda: False)


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> bytes:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname = kind, size, link
    return made.tobuf(tarfile.GNU_FORMAT) + bytes(-(-size // 512) * 512)


HOSTILE = {
    "a link": member("x", tarfile.SYMTYPE, link="/etc/passwd"),
    "a link inside": member("x", tarfile.SYMTYPE, link="y"),
    "a hard link": member("x", tarfile.LNKTYPE, link="/etc/passwd"),
    "a pipe": member("x", tarfile.FIFOTYPE),
    "a device": member("x", tarfile.CHRTYPE),
    "a folder": member("x", tarfile.DIRTYPE),
    "a way out": member("../x"),
    "a way out further down": member("a/../../x"),
    "an absolute path": member("/etc/x"),
    "too many files": b"".join(member(f"x{n}") for n in range(12)),
    "a large file": member("x", size=10_001),
    "large files": member("x", size=6000) + member("y", size=6000),
    "half a file": member("x", size=6000)[:2000],
    "noise": b"x" * 5000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_tar_that_is_not_a_checkpoint_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(HOSTILE[what] + bytes(1024))
    if what == "half a file":
        path.write_bytes(HOSTILE[what])
    with pytest.raises(CheckpointTarError):
        unpack(path, tmp_path / "target", LIMITS)
    assert {each.name for each in tmp_path.iterdir()} == {"x.tar", "target"}


def test_a_sparse_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    # A GNU sparse header: 1 TiB when it is written out, nothing in the tar.
    head = bytearray(member("x", tarfile.GNUTYPE_SPARSE))
    head[483:495] = b"%o" % 2**32 + b"\0"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    path.write_bytes(bytes(head) + bytes(1024))
    with pytest.raises(CheckpointTarError):
        unpack(path, tmp_path / "target", LIMITS)


def test_a_checkpoint_survives_its_tar(tmp_path: Path) -> None:
    source = tmp_path / "files"
    (source / "run" / "deep").mkdir(parents=True)
    (source / "run" / "state.bin").write_bytes(b"state")
    (source / "run" / "deep" / "empty").write_bytes(b"")
    path = tmp_path / "x.tar"
    with UntrustedFolder(source) as folder:
        pack(folder, folder.find_files(10), "job_1 7", path, 10_000, TIME)
        with pytest.raises(UntrustedFileError, match="at most 4"):
            pack(folder, folder.find_files(10), "job_1 7", tmp_path / "y.tar", 4, TIME)
    unpack(path, tmp_path / "target", LIMITS)
    names = {str(p.relative_to(tmp_path / "target")) for p in (tmp_path / "target").rglob("*")}
    assert names == {"run", "run/state.bin", "run/deep", "run/deep/empty"}
    assert (tmp_path / "target" / "run" / "state.bin").read_bytes() == b"state"


def test_the_owner_makes_the_tar_unique(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "x").write_bytes(b"x")
    with UntrustedFolder(tmp_path / "files") as folder:
        for owner in ("a", "b"):
            pack(folder, folder.find_files(10), owner, tmp_path / owner, 100, TIME)
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "a").read_bytes())) as tar:
        assert tar.getnames() == ["owner.txt", "x"]
