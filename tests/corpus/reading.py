"""Read a stored graph as a ``.pt2`` file whose tensors are zeros that take no memory."""

import io
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.engine.graph import Analysis, analyse
from secateur.engine.program.archive import Archive
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_archive
from secateur.engine.program.stored import Layout

GRAPHS = Path(__file__).parent / "graphs"
GOLDEN = Path(__file__).parent / "golden.json"


def stored_graphs() -> list[Path]:
    """Return the files of `export`, by name."""
    return sorted(GRAPHS.glob("*.json.xz"))


def read_graph(path: Path, folder: Path) -> Program:
    """Return the program of a stored graph; its file is written to ``folder``."""
    file = folder / "model.pt2"
    file.write_bytes(_archive(json.loads(lzma.decompress(path.read_bytes()))))
    limits = ModelLimits()
    with Archive(file, limits) as archive:
        return read_archive(archive, limits, _zeros)


def summary(program: Program) -> dict[str, int]:
    """Return numbers that summarise the analysis of a program."""
    analysis = analyse(program)
    return {
        "calls": sum(node.op == "call_function" for node in program.graph.nodes),
        "families": len(analysis.families),
        "filters": _num_filters(analysis),
        "frozen_filters": sum(frozen.num_channels for frozen in analysis.frozen),
    }


def _num_filters(analysis: Analysis) -> int:
    """Return the number of filters in prunable groups."""
    return sum(
        member.index_GK.numel() for family in analysis.families for member in family.producers()
    )


def _archive(entries: dict[str, Any]) -> bytes:
    """Return a file as torch writes it, with empty entries for the tensors."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, body in entries.items():
            archive.writestr(f"model/{name}", json.dumps(body))
            if name.endswith("_config.json"):
                folder = name.rpartition("/")[0]
                for payload in sorted({p["path_name"] for p in body["config"].values()}):
                    archive.writestr(f"model/{folder}/{payload}", b"")
    return file.getvalue()


def _zeros(layout: Layout, _data: bytes) -> Tensor:
    return torch.zeros((), dtype=layout.dtype).expand(layout.shape)
