"""ONNX files of the corpus: admitted, and pruned to the same plans as from ``torch.export``.

Usage: pip install timm; python -m benchmarks.onnx_in [SOURCE/NAME …] [--again] [--output FILE]
Each network is exported by torch in two ways: as it is, and optimised, which is the default and
folds BatchNorm into convolutions. Both files are imported and compared with ONNX Runtime. Plans
(50 % of every width, L1) are compared for the first; folding changes the weights that are scored,
so only the channel groups are compared for the second. Images have half of the usual side, except
where the network needs the whole: sizes change neither groups nor plans. Networks that
`coverage` measured quickly come first. Networks in the output that were admitted are not measured
again, unless ``--again`` is given. Writes JSON; each row has the commit that it was measured at.
"""

import argparse
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from benchmarks.coverage import LIMITS
from benchmarks.machine import commit, machine
from benchmarks.networks import NETWORKS, build, image_size
from secateur.engine.errors import EngineError
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import select

_WHOLE = ("alexnet", "vgg")
_COVERAGE = Path("benchmarks/results/coverage.json")

Kept = list[tuple[int, tuple[int, ...]]]


def main() -> None:
    """Measure and write the results after each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SOURCE/NAME")
    parser.add_argument("--again", action="store_true", help="measure admitted networks again")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/onnx_in.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    at = commit()
    rows: dict[str, dict[str, Any]] = {}
    if options.output.is_file():
        rows = {_key(row): row for row in json.loads(options.output.read_text())["networks"]}
    for source, name in _quick_first():
        key = f"{source}/{name}"
        is_wanted = not options.names or key in options.names
        if not is_wanted or (not options.again and _is_admitted(rows.get(key))):
            continue
        rows[key] = {"source": source, "name": name, "commit": at, **measure(source, name)}
        print(json.dumps(rows[key]), flush=True)
        body = {"machine": {**machine(), "commit": at}, "seed": 0, "summary": _summary(rows)}
        text = json.dumps({**body, "networks": list(rows.values())}, indent=1)
        options.output.write_text(text + "\n")
    print(json.dumps(_summary(rows), indent=1))


def _key(row: dict[str, Any]) -> str:
    return f"{row['source']}/{row['name']}"


def _quick_first() -> list[tuple[str, str]]:
    rows = json.loads(_COVERAGE.read_text())["networks"]
    seconds = {(row["source"], row["name"]): row["total_seconds"] for row in rows}
    return sorted(NETWORKS, key=lambda network: seconds.get(network, 0.0))


def _is_admitted(row: dict[str, Any] | None) -> bool:
    return row is not None and all(row[kind]["is_admitted"] for kind in ("plain", "optimised"))


def measure(source: str, name: str) -> dict[str, Any]:
    """Return how the two ONNX files of a network compare with its exported program."""
    exported, size = _exported(source, name)
    program = from_exported(exported)
    analysis = analyse(program)
    plan, groups = _plan(program, analysis), _groups(analysis)
    found: dict[str, Any] = {"image_size": size}
    for kind, is_optimised in (("plain", False), ("optimised", True)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            try:
                _write(exported, path, is_optimised=is_optimised)
            except Exception as error:  # noqa: BLE001  # whatever torch's exporter raises
                found[kind] = {"is_admitted": False, "error": f"torch: {str(error)[:200]}"}
                continue
            found[kind] = _compare(path, plan, groups)
    return found


def _exported(source: str, name: str) -> tuple[ExportedProgram, int]:
    size = image_size(source, name)
    if not name.startswith(_WHOLE):
        try:
            half = torch.randn(2, 3, size // 2, size // 2)
            return export(build(source, name), (half,)), size // 2
        except RuntimeError:  # branches of other sizes
            pass
    return export(build(source, name), (torch.randn(2, 3, size, size),)), size


def _write(exported: ExportedProgram, path: Path, *, is_optimised: bool) -> None:
    torch.onnx.export(exported, (), path, optimize=is_optimised, external_data=False, verbose=False)


def _compare(path: Path, plan: Kept, groups: list[int]) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        program = read_onnx(path)
    except EngineError as error:
        return {"is_admitted": False, "error": f"{type(error).__name__}: {error}"[:300]}
    seconds = time.perf_counter() - started
    analysis = analyse(program)
    return {
        "is_admitted": True,
        "seconds": round(seconds, 2),
        "has_same_groups": _groups(analysis) == groups,
        "has_same_plan": _plan(program, analysis) == plan,
    }


def _groups(analysis: Analysis) -> list[int]:
    return sorted(family.num_groups for family in analysis.families)


def _plan(program: Program, analysis: Analysis) -> Kept:
    """Return the kept channel groups of every family, without its name."""
    saliency = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    keeps = select(analysis, saliency, LIMITS, CostModel(program, analysis)).keeps
    return sorted((len(mask), tuple(mask.nonzero().flatten().tolist())) for mask in keeps.values())


def _summary(rows: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "num_networks": len(rows),
        **{
            f"{kind}_{what}": sum(bool(row[kind].get(what)) for row in rows.values())
            for kind in ("plain", "optimised")
            for what in ("is_admitted", "has_same_groups", "has_same_plan")
        },
    }


if __name__ == "__main__":
    main()
