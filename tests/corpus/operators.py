"""Stored graphs of networks of one operator: read with seeded weights, and recorded.

``python -m tests.corpus.operators`` records what the analysis finds in ``operators.json``.
"""

import base64
import json
import lzma
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.engine.errors import ModelRejectedError
from secateur.engine.graph import Analysis, analyse
from secateur.engine.program.archive import Archive
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_archive
from secateur.engine.program.stored import Layout, load_tensor

STORED = Path(__file__).parent / "operators.json.xz"
GOLDEN = Path(__file__).parent / "operators.json"


def stored_operators() -> dict[str, Any]:
    """Return the stored files by name: JSON entries, and bytes of constants in base64."""
    found: dict[str, Any] = json.loads(lzma.decompress(STORED.read_bytes()))
    return found


def read_operator(stored: Any, folder: Path) -> Program:
    """Return the program of a stored file, with seeded weights and its own constants."""
    path = folder / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in stored["entries"].items():
            archive.writestr(f"model/{name}", json.dumps(body))
            for payload in body.get("config", {}).values():
                data = base64.b64decode(stored["constants"].get(payload["path_name"], ""))
                entry = f"model/{name.rpartition('/')[0]}/{payload['path_name']}"
                if entry not in archive.namelist():
                    archive.writestr(entry, data)
    generator = torch.Generator().manual_seed(0)

    def load(layout: Layout, data: bytes) -> Tensor:
        if "/constants/" in layout.entry:
            return load_tensor(layout, data)
        if not layout.dtype.is_floating_point:
            return torch.zeros(layout.shape, dtype=layout.dtype)
        if len(layout.shape) > 1:
            return torch.randn(layout.shape, generator=generator) / 4
        return torch.rand(layout.shape, generator=generator) + 0.5

    limits = ModelLimits()
    with Archive(path, limits) as opened:
        return read_archive(opened, limits, load)


def summary(analysis: Analysis) -> dict[str, Any]:
    """Return the number of prunable filters, and the reasons why others are frozen."""
    frozen = [f for f in analysis.frozen if not f.tensor.startswith("b.")]
    return {
        "free": sum(member.index_GK.numel() for f in analysis.families for member in f.producers()),
        "frozen": {f.tensor: f"{f.pin.reason} ({f.pin.op})" for f in frozen},
    }


def record() -> None:
    """Write ``operators.json``, one line for each network."""
    lines = []
    for name, body in stored_operators().items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = summary(analyse(read_operator(body, Path(folder))))
            except ModelRejectedError as error:
                found = {"refused": str(error).partition(": ")[2].partition(",")[0]}
        lines.append(f"{json.dumps(name)}: {json.dumps(found)}")
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record()
