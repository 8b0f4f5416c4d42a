"""Weights that an ONNX file keeps in files beside it: in its folder, or with it in a zip.

PyTorch's exporter writes ``model.onnx.data`` by default. Their bytes are put into the model, which
is then checked like any other. A file names where its weights are, so the names are not trusted:
only plain files below the model's own folder are read, and only as many bytes as the limit allows.
"""

import functools
import re
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError
from secateur.engine.files.zips import find_overlap, open_zip_file
from secateur.engine.program.limits import ModelLimits

_ZIP = b"PK\x03\x04"
_MOST_BYTES = 2**31 - 1  # of one protobuf
_ELEMENT_BYTES = 8
_LOCATION = re.compile(r"[^\x00-\x1f\\:/]{1,200}(/[^\x00-\x1f\\:/]{1,200}){0,4}")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# Returns the bytes of the file at a location.
Read = Callable[[str], bytes]


def read_bytes(path: Path, limits: ModelLimits, *, has_files_beside: bool) -> bytes:
    """Return the bytes of a model with all its weights inside.

    Args:
        path: An ``.onnx`` file, or a zip with one and its weights.
        limits: Limits on members and elements.
        has_files_beside: Whether the file may read others in its folder.

    Raises:
        ModelRejectedError: A name, a place or the zip is refused.
        ModelTooLargeError: There are more bytes than the limits allow.
    """
    most = min(_MOST_BYTES, _ELEMENT_BYTES * limits.tensor_elements)
    with path.open("rb") as file:
        if file.read(len(_ZIP)) == _ZIP:
            file.seek(0)
            return _from_zip(file, path.stat().st_size, limits, most)
    data = path.read_bytes()
    return _joined(data, _in_folder(path.parent, most), most) if has_files_beside else data


def _from_zip(file: BinaryIO, num_bytes: int, limits: ModelLimits, most: int) -> bytes:
    try:
        archive = open_zip_file(file, limits.model_members, ModelRejectedError)
        infos = _checked([each for each in archive.infolist() if not each.is_dir()], num_bytes)
        models = [name for name in infos if name.endswith(".onnx")]
        if len(models) != 1:
            raise ModelRejectedError(
                f"the zip has {len(models)} .onnx files; it must have one, with its weights"
            )
        if sum(info.file_size for info in infos.values()) > most:
            raise ModelTooLargeError(f"the zip unpacks to more than {most} bytes")
        folder = PurePosixPath(models[0]).parent

        def read_member(location: str) -> bytes:
            info = infos.get(str(folder / location))
            if info is None:
                raise ModelRejectedError(f"the zip lacks the weights {location[:80]!r}")
            return archive.read(info)

        return _joined(archive.read(infos[models[0]]), read_member, most)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise ModelRejectedError(f"the zip of the ONNX file cannot be read: {error}") from error


def _checked(infos: list[zipfile.ZipInfo], num_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members of a zip by name."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        said = repr(info.filename[:80])
        if not _is_safe(info.filename):
            raise ModelRejectedError(f"entry {said} has a name that is not accepted")
        if stat.S_IFMT(info.external_attr >> 16) not in {0, stat.S_IFREG}:
            raise ModelRejectedError(f"entry {said} is a link or a device")
        if info.flag_bits & 0x1 or info.compress_type not in _METHODS:
            raise ModelRejectedError(f"entry {said} is encrypted, or compressed in a rare way")
        if info.filename in found:
            raise ModelRejectedError(f"entry {said} occurs twice")
        found[info.filename] = info
    overlapping = find_overlap(infos, num_bytes)
    if overlapping is not None:
        raise ModelRejectedError(f"entry {overlapping.filename[:80]!r} overlaps another")
    return found


def _in_folder(folder: Path, most: int) -> Read:
    def read_beside(location: str) -> bytes:
        path = folder / location
        if path.resolve() != folder.resolve() / location or not path.is_file():
            raise ModelRejectedError(
                f"the weights {location[:80]!r} are not a file beside the ONNX file; links are not "
                "followed"
            )
        if path.stat().st_size > most:
            raise ModelTooLargeError(f"the weights {location[:80]!r} have over {most} bytes")
        return path.read_bytes()

    return read_beside


def _joined(data: bytes, read: Read, most: int) -> bytes:
    """Return a model's bytes with its weights inside; as they are if none are elsewhere."""
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        return data  # the check of the model says so
    outside = [each for each in model.graph.initializer if _is_outside(each)]
    read_once = functools.cache(read)
    left = most - len(data)
    for tensor in outside:
        location, offset, length = _place(tensor)
        found = read_once(location)
        end = len(found) if length is None else offset + length
        if not offset <= end <= len(found):
            raise ModelRejectedError(
                f"the weight {tensor.name[:80]!r} lies outside of {location[:80]!r}, which has "
                f"{len(found)} bytes"
            )
        left -= end - offset
        if left < 0:
            raise ModelTooLargeError(f"the ONNX file and its weights have over {most} bytes")
        tensor.raw_data = found[offset:end]
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return model.SerializeToString() if outside else data


def _is_outside(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def _place(tensor: TensorProto) -> tuple[str, int, int | None]:
    """Return the file, the offset and the length of a tensor's bytes."""
    given = {each.key: each.value for each in tensor.external_data}
    location = given.get("location", "")
    name = tensor.name[:80]
    if not _is_safe(location):
        raise ModelRejectedError(
            f"the weight {name!r} is in {location[:80]!r}; only files below the folder of the ONNX "
            "file are read"
        )
    numbers = [given.get(key, "") for key in ("offset", "length")]
    if any(not re.fullmatch(r"\d{0,18}", number, re.ASCII) for number in numbers):
        raise ModelRejectedError(f"the weight {name!r} has an offset or a length that is no number")
    offset, length = numbers
    return location, int(offset or 0), int(length) if length else None


def _is_safe(name: str) -> bool:
    """Return whether a name is a relative path that stays below its folder."""
    return bool(_LOCATION.fullmatch(name)) and not {".", ".."} & set(name.split("/"))
