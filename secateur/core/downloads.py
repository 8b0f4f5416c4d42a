"""Downloads files: resumable, verified and atomic.

A file is written beside its target under a name that contains its SHA-256, and moved to the target
once its bytes are verified. An interrupted download leaves its part, and the next one resumes it.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from secateur.core.answers import refuse_failure
from secateur.core.calls import Context, call
from secateur.core.endpoints import LIST_ARTIFACTS, READ_ARTIFACT, READ_ONNX
from secateur.core.requests import CHUNK_BYTES, make_request
from secateur.core.steps import Answer, Fetch, Flow, LostError, Sleep, work
from secateur.errors import DownloadError
from secateur.types import Artifact

FileProgress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes received so far and the size of the file."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
# Windows reserves these names for devices, with any suffix.
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
    """Download a job's files into a folder and return their paths.

    Raises:
        DownloadError: The job has no file of that name, the name is unsafe, a different file
            exists, or the bytes received do not have the expected SHA-256.
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


def download_onnx(context: Context, model_id: str, target: Path) -> Flow[Path]:
    """Download the ONNX file of a model and return its path.

    Raises:
        DownloadError: The bytes received do not have the SHA-256 that the service names.
    """
    file = yield from work(lambda: _WholeFile(target))
    try:
        retries = context.retries()
        is_done = False
        while not is_done:
            request = make_request(READ_ONNX, model_id)
            try:
                answer: Answer = yield Fetch(request, file)
            except LostError as lost:
                yield Sleep(retries.after_loss(request, lost))
                continue
            delay = retries.after_refusal(request, answer)
            if delay is not None:
                yield Sleep(delay)
                continue
            refuse_failure(READ_ONNX, answer)
            is_done = True
        yield from work(file.finish)
    finally:
        file.close()
    return target


def safe_name(name: str) -> str:
    """Return the name of an artifact if it is safe as a file name.

    Raises:
        DownloadError: It could lead out of the folder, or name a hidden file or a device.
    """
    if not _NAME.fullmatch(name) or _DEVICES.fullmatch(name):
        raise DownloadError(f"the service sent an unsafe file name, {name[:200]!r}: not stored")
    return name


def _choose(
    artifacts: Sequence[Artifact], names: Sequence[str] | None, job_id: str
) -> list[Artifact]:
    if names is None:
        return list(artifacts)
    found = {artifact.name: artifact for artifact in artifacts}
    for name in names:
        if name not in found:
            there = ", ".join(sorted(found)) or "none"
            raise DownloadError(f"job {job_id} has no file {name!r}; it has {there}")
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
    """Return whether the target already has the right bytes.

    Raises:
        DownloadError: A different file is there and may not be replaced.
    """
    if target.is_file() and target.stat().st_size == artifact.num_bytes:
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == artifact.sha256:
                return True
    if os.path.lexists(target) and (not is_overwriting or target.is_dir()):
        raise DownloadError(
            f"{target} exists with other bytes: choose another folder, or overwrite it"
        )
    return False


class _WholeFile:
    """A file of unknown size: the sink of its download, which begins anew when it is lost."""

    def __init__(self, target: Path) -> None:
        self._target, self._path = target, target.with_name(f".{target.name}.part")
        self._file = self._path.open("wb")
        self._digest, self._etag = hashlib.sha256(), ""

    def begin(self, answer: Answer) -> None:
        """Begin a response's body."""
        self._file.seek(0)
        self._file.truncate()
        self._digest, self._etag = hashlib.sha256(), answer.headers.get("etag") or ""

    def write(self, chunk: bytes) -> None:
        """Write the next chunk."""
        self._file.write(chunk)
        self._digest.update(chunk)

    def report(self) -> None:
        """Report nothing: the size is not known."""

    def finish(self) -> None:
        """Verify the file and move it to its target.

        Raises:
            DownloadError: It is not the file that was announced.
        """
        self._file.close()
        if self._etag != f'"sha256-{self._digest.hexdigest()}"':
            raise DownloadError(f"{self._target.name} did not arrive whole; try again")
        self._path.replace(self._target)

    def close(self) -> None:
        """Remove what is left of a download that failed."""
        self._file.close()
        self._path.unlink(missing_ok=True)


class PartialFile:
    """A partly downloaded file: the sink of its download."""

    def __init__(self, target: Path, artifact: Artifact, on_progress: FileProgress | None) -> None:
        """Open the part of an earlier download, or create it.

        Raises:
            DownloadError: The artifact's SHA-256 is malformed.
        """
        if not _SHA256.fullmatch(artifact.sha256):
            raise DownloadError(
                f"the service sent {artifact.sha256[:80]!r} as the SHA-256 of {artifact.name}"
            )
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
        """Return the headers that request the missing bytes."""
        if self.num_bytes == 0:
            return {}
        return {"range": f"bytes={self.num_bytes}-", "if-range": self._etag}

    def begin(self, answer: Answer) -> None:
        """Check a response before its body.

        Raises:
            DownloadError: The body is another file, or another range of it.
        """
        name, etag = self._artifact.name, answer.headers.get("etag")
        if etag != self._etag:
            raise DownloadError(f"{name} has the ETag {etag}, not {self._etag}")
        if answer.status != _PARTIAL_CONTENT:
            self._begin_again()
            return
        expected = f"bytes {self.num_bytes}-{self._artifact.num_bytes - 1}/"
        found = answer.headers.get("content-range", "")
        if not found.startswith(expected):
            raise DownloadError(f"{name} has the range {found[:80]!r}, not {expected!r}")

    def write(self, chunk: bytes) -> None:
        """Write the next chunk.

        Raises:
            DownloadError: The file exceeds its announced size.
        """
        if self.num_bytes + len(chunk) > self._artifact.num_bytes:
            most = self._artifact.num_bytes
            raise DownloadError(f"{self._artifact.name} is larger than the announced {most} bytes")
        self._file.write(chunk)
        self._digest.update(chunk)
        self.num_bytes += len(chunk)

    def report(self) -> None:
        """Report the progress."""
        if self._on_progress is not None:
            self._on_progress(self._artifact.name, self.num_bytes, self._artifact.num_bytes)

    def finish(self) -> None:
        """Verify the file and move it to its target.

        Raises:
            DownloadError: The SHA-256 does not match; the part is deleted.
        """
        if self._digest.hexdigest() != self._artifact.sha256:
            self.close()
            self._path.unlink(missing_ok=True)
            raise DownloadError(
                f"{self._artifact.name} has the SHA-256 {self._digest.hexdigest()} instead of "
                f"{self._artifact.sha256}: the download was deleted; try again"
            )
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self._path.replace(self._target)

    def close(self) -> None:
        """Close the file and keep it for a later download."""
        self._file.close()

    def _begin_again(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.num_bytes = hashlib.sha256(), 0
