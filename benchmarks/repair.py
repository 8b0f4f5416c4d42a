"""Accuracy without any training: ResNet-20 on Fashion-MNIST, no labels, no optimiser step.

Usage: python -m benchmarks.repair [--targets 0.5 0.25 0.125] [--samples 512 64 2048]
[--seeds 0 1 2] [--kinds none folded recalibrated map repaired] [--criteria l1] [--threads 1].
Prunes the demo's dense network to a share of its MACs by a criterion without labels, as
`benchmarks.quality` does, then compares:

* ``none``: the plain cut.
* ``folded``: `secateur.engine.repair.fold_program`, without samples.
* ``recalibrated``: BatchNorm's statistics measured again.
* ``map``: one linear map from kept to all channels for each reader, from statistics of the dense
  network (as in GRAIL, 2026), then recalibrated.
* ``repaired``: `secateur.engine.repair_program`.

Samples are drawn from the training images by seed, without labels; t10k is evaluated once for each
row. Rows are appended to benchmarks/results/repair.jsonl, and rows that exist are skipped.
"""

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.quality import dense_program
from examples.data import TEST, TRAIN, load_images
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.metrics import evaluate
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import propagate
from secateur.engine.program.walk import Walk
from secateur.engine.repair import fold_program, repair_program
from secateur.engine.repair.readers import find_readers
from secateur.engine.retrain import recalibrate
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import compact

RESULTS = Path(__file__).parent / "results" / "repair.jsonl"
KINDS = ["none", "folded", "recalibrated", "map", "repaired"]
_BATCH = 64
_RIDGE = 1e-3


def main() -> None:
    """Run the missing rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=float, nargs="+", default=[0.5, 0.25, 0.125])
    parser.add_argument("--samples", type=int, nargs="+", default=[512, 64, 2048])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--criteria", nargs="+", default=["l1"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    subject = Subject()
    for num_samples in options.samples:
        for seed in options.seeds:
            for criterion in options.criteria:
                for target in options.targets:
                    for kind in options.kinds:
                        row = {"kind": kind, "target": target, "criterion": criterion}
                        if kind not in {"none", "folded"}:
                            row |= {"samples": num_samples, "seed": seed}
                        if not _is_known(row):
                            _append({**row, **subject.measure(**row), "machine": machine()})


class Subject:
    """The dense network and its images."""

    def __init__(self) -> None:
        images = load_images(is_fallback_allowed=False)
        self._source = TensorSource(
            torch.from_numpy(images.normalise(images.x)), torch.from_numpy(images.y)
        )
        split = torch.from_numpy(images.split)
        self._train, self._test = ((split == n).nonzero().flatten() for n in (TRAIN, TEST))
        self._program = dense_program(images)
        self._analysis = analyse(self._program)
        self._cost = CostModel(self._program, self._analysis)

    def measure(
        self, kind: str, target: float, criterion: str, samples: int = 0, seed: int = 0
    ) -> dict[str, Any]:
        """Return the accuracy and the cost of one row."""
        plan = self._plan(criterion, target)
        generator = torch.Generator().manual_seed(seed)
        chosen = self._train[torch.randperm(len(self._train), generator=generator)[:samples]]
        batches = [self._source.batch(part)[0] for part in chosen.split(_BATCH)] if samples else []
        began = time.monotonic()
        program = self._made(kind, plan, batches)
        seconds = time.monotonic() - began
        return {
            "top1": evaluate(program, self._source, self._test).top1,
            "macs": self._cost.macs(plan.keeps()) / self._cost.macs({}),
            "seconds": round(seconds, 2),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    def _plan(self, criterion: str, target: float) -> Plan:
        part = self._train[:256]  # criteria that need samples get them without labels
        batch = CalibrationBatch((self._source.batch(part)[0],))
        score = CRITERIA[criterion]
        scores = score(self._program, self._analysis, (batch,), SaliencyOptions())
        limits = SelectionOptions(
            Budget("macs", target), min_channels=2, round_to=1, max_ratio=0.95
        )
        keeps = select(self._analysis, scores, limits, self._cost).keeps
        return make_plan(self._program, self._analysis, keeps)

    def _made(self, kind: str, plan: Plan, batches: list[Tensor]) -> Program:
        if kind == "repaired":
            inputs = [(batch,) for batch in batches]
            return repair_program(self._program, self._analysis, plan, inputs).program
        if kind == "folded":
            return fold_program(self._program, self._analysis, plan).program
        if kind == "map":
            mapped = mapped_program(self._program, self._analysis, plan, batches)
            return recalibrate(mapped, batches)
        pruned = compact(self._program, self._analysis, plan)
        return recalibrate(pruned, batches) if kind == "recalibrated" else pruned


def mapped_program(
    program: Program, analysis: Analysis, plan: Plan, batches: list[Tensor]
) -> Program:
    """Return the smaller program whose readers get all channels from a map of the kept ones.

    ``B = G[:, P] (G[P, P] + r I)⁻¹`` with the Gram matrix G of a reader's input channels in the
    dense network, and ``W' = W B``. Convolutions without groups and linear layers only.
    """
    kept = {(axis.tensor, axis.dim): torch.tensor(axis.kept) for axis in plan.axes}
    walk, nodes = Walk(program, [(batch,) for batch in batches]), list(program.graph.nodes)
    readers = find_readers(program, propagate(program), set(nodes))
    tensors = dict(program.tensors)
    for node in nodes:
        reader = readers.get(node)
        if reader is not None and (reader.weight, 1) in kept:
            stays = kept[reader.weight, 1]
            rows = torch.cat([x.movedim(1, -1).flatten(0, -2) for x in walk.of(reader.x)])
            gram = (rows.T @ rows).double()
            inner = gram[stays][:, stays]
            ridge = _RIDGE * inner.diagonal().mean() * torch.eye(len(stays))
            to_all = torch.linalg.solve(inner + ridge, gram[stays]).T  # (C, P)
            weight = tensors[reader.weight]
            folded = torch.einsum("oc...,cp->op...", weight.double(), to_all).to(weight.dtype)
            tensors[reader.weight] = weight.index_copy(1, stays, folded)
        walk.run(node)
        walk.forget(node)
    mapped = replace(program, tensors=tensors)
    return compact(mapped, analysis, plan)


def _is_known(row: dict[str, Any]) -> bool:
    if not RESULTS.exists():
        return False
    known = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return any(all(found.get(name) == value for name, value in row.items()) for found in known)


def _append(row: dict[str, Any]) -> None:
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps({name: value for name, value in row.items() if name != "machine"}), flush=True)


if __name__ == "__main__":
    main()
