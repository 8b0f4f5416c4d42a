"""Files from the service: taken up where they broke off, checked, there whole or not at all.

A file grows beside its place under a name that holds its SHA-256, and is moved there when its bytes
are right. What is left of a download that was cut off is taken up by the next one.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from secateur.core.answers import refuse_failure
from secateur.core.calls import Context, call
from secateur.core.endpoints import LIST_ARTIFACTS, READ_ARTIFACT
from secateur.core.requests import CHUNK_BYTES, make_request
from secateur.core.steps import Answer, Fetch, Flow, LostError, Sleep, work
from secateur.errors import DownloadError
from secateur.types import Artifact

FileProgress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes that are here, and all there are."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
# Windows gives these to devices, whatever the ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PARTIAL_CONTENT = 206


def download_all(
    context: Context,
    job_id: str,
    folder: Path,
    names: Sequence[str] | None,
    on_progress: FileProgress | None,
    *,
    is_overwriting: bool,
) -> Flow[list[Path]]:
    """Download what a job made into a folder, and return where each file lies.

    Raises:
        DownloadError: A name is not there or leads out of the folder, a file of that name is there
            already, or the bytes are not what was promised.
    """
    artifacts: list[Artifact] = yield from call(context, make_request(LIST_ARTIFACTS, job_id))
    chosen = _choose(artifacts, names, job_id)
    yield from work(lambda: folder.mkdir(parents=True, exist_ok=True))
    paths = []
    for artifact in chosen:
        target = folder / safe_name(artifact.name)
        path = yield from _download(
            context, artifact, target, on_progress, is_overwriting=is_overwriting
        )
        paths.append(path)
    return paths


def safe_name(name: str) -> str:
    """Return the name of an artifact if it is one of a file in a folder, and nothing more.

    Raises:
        DownloadError: It could lead elsewhere, or be hidden.
    """
    if not _NAME.fullmatch(name) or _DEVICES.fullmatch(name):
        raise DownloadError(f"the service names a file {name[:200]!r}, which is not stored")
    return name


def _choose(
    artifacts: Sequence[Artifact], names: Sequence[str] | None, job_id: str
) -> list[Artifact]:
    if names is None:
        return list(artifacts)
    found = {artifact.name: artifact for artifact in artifacts}
    for name in names:
        if name not in found:
            there = ", ".join(sorted(found)) or "nothing"
            raise DownloadError(f"job {job_id} made no {name!r}; there is {there}")
    return [found[name] for name in dict.fromkeys(names)]


def _download(
    context: Context,
    artifact: Artifact,
    target: Path,
    on_progress: FileProgress | None,
    *,
    is_overwriting: bool,
) -> Flow[Path]:
    if (yield from work(lambda: _is_there(target, artifact, is_overwriting=is_overwriting))):
        return target
    part = yield from work(lambda: PartialFile(target, artifact, on_progress))
    try:
        retries = context.retries()
        while part.num_bytes < artifact.num_bytes:
            before = part.num_bytes
            request = make_request(READ_ARTIFACT, artifact.id, headers=part.headers())
            try:
                answer: Answer = yield Fetch(request, part)
            except LostError as lost:
                if part.num_bytes > before:
                    retries.reset()
                yield Sleep(retries.after_loss(request, lost))
            else:
                delay = retries.after_refusal(request, answer)
                if delay is not None:
                    yield Sleep(delay)
                else:
                    refuse_failure(READ_ARTIFACT, answer)
        yield from work(part.finish)
    finally:
        part.close()
    return target


def _is_there(target: Path, artifact: Artifact, *, is_overwriting: bool) -> bool:
    """Return whether the file is there already.

    Raises:
        DownloadError: Another one is, and it is to stay.
    """
    if target.is_file() and target.stat().st_size == artifact.num_bytes:
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256:
                return True
    if os.path.lexists(target) and (not is_overwriting or target.is_dir()):
        raise DownloadError(f"{target} is there, with other bytes: choose another folder")
    return False


class PartialFile:
    """A file on its way: the sink of its download."""

    def __init__(self, target: Path, artifact: Artifact, on_progress: FileProgress | None) -> None:
        """Take up what is there of it.

        Raises:
            DownloadError: Its hash is none.
        """
        if not _SHA256.fullmatch(artifact.sha256):
            raise DownloadError(f"{artifact.name} comes with {artifact.sha256[:80]!r} as SHA-256")
        self._target, self._artifact, self._on_progress = target, artifact, on_progress
        self._path = target.with_name(f".{target.name}.{artifact.sha256[:16]}.part")
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        self._file = os.fdopen(os.open(self._path, flags, 0o666), "r+b")
        self._digest = hashlib.sha256()
        self.num_bytes = 0
        while chunk := self._file.read(CHUNK_BYTES):
            self._digest.update(chunk)
            self.num_bytes += len(chunk)
        if self.num_bytes > artifact.num_bytes:
            self._begin_again()

    @property
    def _etag(self) -> str:
        return f'"sha256-{self._artifact.sha256}"'

    def headers(self) -> dict[str, str]:
        """Return what asks for the rest."""
        if self.num_bytes == 0:
            return {}
        return {"range": f"bytes={self.num_bytes}-", "if-range": self._etag}

    def begin(self, answer: Answer) -> None:
        """Look at the head of an answer.

        Raises:
            DownloadError: It is another file, or another part of it.
        """
        name, etag = self._artifact.name, answer.headers.get("etag")
        if etag != self._etag:
            raise DownloadError(f"{name} comes with the ETag {etag}, not {self._etag}")
        if answer.status != _PARTIAL_CONTENT:
            self._begin_again()
            return
        expected = f"bytes {self.num_bytes}-{self._artifact.num_bytes - 1}/"
        found = answer.headers.get("content-range", "")
        if not found.startswith(expected):
            raise DownloadError(f"{name}: the answer is {found[:80]!r}, not {expected!r}")

    def write(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            DownloadError: It is one too many.
        """
        if self.num_bytes + len(chunk) > self._artifact.num_bytes:
            most = self._artifact.num_bytes
            raise DownloadError(f"{self._artifact.name} has more than its {most} bytes")
        self._file.write(chunk)
        self._digest.update(chunk)
        self.num_bytes += len(chunk)

    def report(self) -> None:
        """Tell how much is here."""
        if self._on_progress is not None:
            self._on_progress(self._artifact.name, self.num_bytes, self._artifact.num_bytes)

    def finish(self) -> None:
        """Move the file to its place.

        Raises:
            DownloadError: Its bytes are not what was promised; it is thrown away.
        """
        if self._digest.hexdigest() != self._artifact.sha256:
            self.close()
            self._path.unlink(missing_ok=True)
            raise DownloadError(
                f"{self._artifact.name} has SHA-256 {self._digest.hexdigest()}, the service "
                f"promised {self._artifact.sha256}: it is thrown away; try again"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self._path.replace(self._target)

    def close(self) -> None:
        """Leave what is here for the next try."""
        self._file.close()

    def _begin_again(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.num_bytes = hashlib.sha256(), 0
