"""Zip container of a ``.pt2`` file; every entry is checked before its bytes are used."""

import re
import stat
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Self

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError
from secateur.engine.files.zips import find_overlap, open_zip_file
from secateur.engine.program.limits import ModelLimits

EXPORT_HINT = (
    "Export it with: ep = torch.export.export(model.eval(), (x,), "
    'dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)), with an example x of 2 or more '
    'samples, then torch.export.save(ep, "model.pt2")'
)
_END_BYTES = 22  # end-of-central-directory record of a zip without a comment
_END = b"PK\x05\x06"
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./-]{0,255}")
_ENTRIES = re.compile(
    r"models/model\.json|byteorder|version|archive_format|archive_version"
    r"|\.format_version|\.storage_alignment|\.data/(version|serialization_id)"
    r"|data/sample_inputs/model\.pt"
    r"|data/weights/(model_weights_config\.json|weight_\d{1,7})"
    r"|data/constants/(model_constants_config\.json|tensor_\d{1,7})"
)
_PAYLOADS = re.compile(r"data/(weights/weight|constants/tensor)_\d{1,7}")
# First bytes of files that are often uploaded by mistake.
_MAGIC = {
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
}


class Archive:
    """Entries of a ``.pt2`` file, by their names below the archive's root folder."""

    def __init__(self, path: Path, limits: ModelLimits) -> None:
        self._limits = limits
        self._file = path.open("rb")
        try:
            self._zip = open_zip_file(self._file, limits.model_members, ModelTooLargeError)
            self._entries = _checked_entries(self._zip.infolist(), path.stat().st_size)
            _check_ends(path, self._zip.infolist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            self._file.close()
            raise ModelRejectedError(f"{_describe_file(path)}. {EXPORT_HINT}") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._zip.close()
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> bytes:
        """Return the bytes of an entry, checked against its CRC.

        Raises:
            ModelRejectedError: The entry is missing or damaged.
            ModelTooLargeError: The entry is not a tensor and exceeds `ModelLimits.graph_bytes`.
        """
        info = self._entries.get(name)
        if info is None:
            raise ModelRejectedError(f"entry {name} is missing. {EXPORT_HINT}")
        max_bytes = self._limits.graph_bytes
        if not _PAYLOADS.fullmatch(name) and info.file_size > max_bytes:
            raise ModelTooLargeError(
                f"entry {name} has {info.file_size} bytes, at most {max_bytes}"
            )
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise ModelRejectedError(f"entry {name} is damaged") from error


def _describe_file(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        return "The file is empty"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return f"This is {kind}, which is not accepted"
    return "This is not a .pt2 file (not a zip archive, or a truncated one)"


def _check_ends(path: Path, infos: list[zipfile.ZipInfo]) -> None:
    """Refuse polyglot files: bytes before the first entry or after the archive's end."""
    if min(info.header_offset for info in infos) > 0:
        raise ModelRejectedError("there are bytes before the first entry")
    with path.open("rb") as file:
        file.seek(-_END_BYTES, 2)
        if not file.read().startswith(_END):
            raise ModelRejectedError("there is a comment, or bytes after the end of the archive")


def _checked_entries(infos: list[zipfile.ZipInfo], num_bytes: int) -> dict[str, zipfile.ZipInfo]:
    if not infos:
        raise ModelRejectedError(f"the archive is empty. {EXPORT_HINT}")
    root = infos[0].filename.split("/")[0]
    if any(info.filename.endswith("/data.pkl") for info in infos):
        raise ModelRejectedError(
            f"This is a pickled checkpoint or TorchScript, which is not accepted. {EXPORT_HINT}"
        )
    entries: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = _entry_name(info, root)
        if name in entries:
            raise ModelRejectedError(f"entry {name} occurs twice")
        entries[name] = info
    overlapping = find_overlap(infos, num_bytes)
    if overlapping is not None:
        shown = repr(overlapping.filename[:80])
        raise ModelRejectedError(f"entry {shown} overlaps another, or the end of the file")
    return entries


def _entry_name(info: zipfile.ZipInfo, root: str) -> str:
    full = info.filename
    shown = repr(full[:80])
    if not _NAME.fullmatch(full) or ".." in full.split("/") or not full.startswith(root + "/"):
        raise ModelRejectedError(f"entry {shown} has a name that is not accepted")
    name = full[len(root) + 1 :]
    if not _ENTRIES.fullmatch(name):
        raise ModelRejectedError(f"entry {shown} is of a kind that is not accepted")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise ModelRejectedError(f"entry {shown} is compressed; torch.export.save stores")
    if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
        raise ModelRejectedError(f"entry {shown} is a link or a device")
    if info.flag_bits & 0x1:
        raise ModelRejectedError(f"entry {shown} is encrypted")
    return name
