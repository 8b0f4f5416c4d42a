"""An ONNX file and the files of its weights, packed into one zip to send.

PyTorch's exporter keeps weights in ``model.onnx.data`` by default. The names of such files are
found in the bytes of the model, so the client needs no other package.
`secateur.engine.onnx_in.beside` reads the zip.
"""

import mmap
import re
import zipfile
from pathlib import Path

# A pair of strings in protobuf: the key "location", and the name of a file (up to 127 bytes).
_LOCATION = re.compile(rb"\n\x08location\x12([\x01-\x7f])")


class MissingWeightsError(Exception):
    """A file of weights is not beside its model; the message says which."""


def bundled(path: Path, folder: Path) -> Path:
    """Return a zip with a model and its weights, written to ``folder``.

    The model itself is returned if its weights are inside, or if it is no ``.onnx`` file.

    Raises:
        MissingWeightsError: A file that the model names is not there, or not below its folder.
    """
    if path.suffix != ".onnx":
        return path
    names = _weights_of(path)
    if not names:
        return path
    target = folder / f"{path.stem}.zip"
    home = path.parent.resolve()
    with zipfile.ZipFile(target, "w") as archive:
        archive.write(path, path.name)
        for name in names:
            found = home / name
            if found.resolve() != found or not found.is_file():
                raise MissingWeightsError(
                    f"{path.name} keeps weights in {name!r}, which is no file beside it: put it "
                    "there, or store all data in one file with torch.onnx.export(…, "
                    "external_data=False)"
                )
            archive.write(found, name)
    return target


def _weights_of(path: Path) -> list[str]:
    """Return the names of the files that hold a model's weights."""
    if not path.stat().st_size:
        return []
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = [data[each.end() : each.end() + each[1][0]] for each in _LOCATION.finditer(data)]
    return list(dict.fromkeys(name.decode("utf-8", "replace") for name in found))
