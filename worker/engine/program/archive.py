"""The zip around a ``.pt2`` file: every entry checked before a byte of it is used."""

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.engine.errors import ModelRejectedError

EXPORT_HINT = (
    "Export it with: ep = torch.export.export(model.eval(), (x,), "
    'dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)), with an example x of 2 or more '
    'samples, then torch.export.save(ep, "model.pt2")'
)
_MEBIBYTE = 1024**2
_LOCAL_HEADER_BYTES = 30
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./-]{0,255}")
_ENTRIES = re.compile(
    r"models/model\.json|byteorder|version|archive_format|archive_version"
    r"|\.format_version|\.storage_alignment|\.data/(version|serialization_id)"
    r"|data/sample_inputs/model\.pt"
    r"|data/weights/(model_weights_config\.json|weight_\d{1,7})"
    r"|data/constants/(model_constants_config\.json|tensor_\d{1,7})"
)
# What people upload by mistake, recognised by its first bytes.
_MAGIC = {
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
}


@dataclass(frozen=True)
class ReaderLimits:
    """What a model file may cost to read."""

    max_entries: int = 20_000
    max_json_bytes: int = 64 * _MEBIBYTE
    max_nodes: int = 50_000
    max_value_elements: int = 2**31
    max_tensor_rank: int = 8


class Archive:
    """The entries of a ``.pt2`` file, by their names below the archive's root folder."""

    def __init__(self, path: Path, limits: ReaderLimits) -> None:
        self._limits = limits
        num_bytes = path.stat().st_size
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise ModelRejectedError(f"{_kind(path)}. {EXPORT_HINT}") from error
        try:
            self._entries = _checked(self._zip.infolist(), num_bytes, limits)
        except BaseException:
            self._zip.close()
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

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def read(self, name: str) -> bytes:
        """Return the bytes of an entry, checked against its CRC.

        Raises:
            ModelRejectedError: The entry is missing, damaged or (JSON) too large.
        """
        info = self._entries.get(name)
        if info is None:
            raise ModelRejectedError(f"entry {name} is missing. {EXPORT_HINT}")
        if name.endswith(".json") and info.file_size > self._limits.max_json_bytes:
            raise ModelRejectedError(
                f"entry {name} has {info.file_size} bytes, at most {self._limits.max_json_bytes}"
            )
        try:
            return self._zip.read(info)
        except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
            raise ModelRejectedError(f"entry {name} is damaged") from error


def _kind(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if not head:
        return "The file is empty"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return f"This is {kind}, which is not accepted"
    return "This is not a .pt2 file (not a zip archive, or a truncated one)"


def _checked(
    infos: list[zipfile.ZipInfo], num_bytes: int, limits: ReaderLimits
) -> dict[str, zipfile.ZipInfo]:
    if not 0 < len(infos) <= limits.max_entries:
        raise ModelRejectedError(f"{len(infos)} entries, at most {limits.max_entries}")
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
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            raise ModelRejectedError(f"entry {info.filename[:80]!r} overlaps another")
        end = info.header_offset + _LOCAL_HEADER_BYTES + len(info.filename) + info.file_size
    if end > num_bytes:
        raise ModelRejectedError("entries reach past the end of the file")
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
    if info.flag_bits & 0x1:
        raise ModelRejectedError(f"entry {shown} is encrypted")
    return name
