"""Export the graphs of the corpus: ``python -m tests.corpus.export [NAME …]``.

Needs timm and a few GiB of memory; takes some minutes. What is stored is what ``torch.export.save``
wrote, without the tensors' bytes, and without the stack traces, which hold this machine's paths.
"""

import io
import json
import lzma
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.networks import NETWORKS, build, image_size
from secateur.engine.program.exported import export

GRAPHS = Path(__file__).parent / "graphs"
_GRAPH = "models/model.json"
_CONFIGS = [f"data/{kind}/model_{kind}_config.json" for kind in ("weights", "constants")]


def main(names: list[str]) -> None:
    """Write ``graphs/SOURCE_NAME.json.xz`` for every network, or for those named."""
    warnings.simplefilter("ignore")  # the exporter's own deprecations
    GRAPHS.mkdir(exist_ok=True)
    for source, name in NETWORKS:
        if names and name not in names:
            continue
        size = image_size(source, name)
        buffer = io.BytesIO()
        torch.export.save(export(build(source, name), (torch.randn(2, 3, size, size),)), buffer)
        text = json.dumps(_without_weights(buffer), separators=(",", ":"))
        path = GRAPHS / f"{source}_{name}.json.xz"
        path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
        sys.stdout.write(f"{path.name}: {path.stat().st_size} bytes\n")


def _without_weights(file: io.BytesIO) -> dict[str, Any]:
    """Return the entries that are JSON, by name."""
    with zipfile.ZipFile(file) as archive:
        root = archive.namelist()[0].split("/")[0]
        entries = {
            name: json.loads(archive.read(f"{root}/{name}"))
            for name in [_GRAPH, *_CONFIGS]
            if f"{root}/{name}" in archive.namelist()
        }
    for node in entries[_GRAPH]["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {}
    return entries


if __name__ == "__main__":
    main(sys.argv[1:])
