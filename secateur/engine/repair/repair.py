"""Repair: solve for the kept weights of a pruned network, from unlabelled samples.

After channels are removed, every layer that reads changed inputs is refitted, so that it computes
what it computed before: a least squares problem per weight, with the inputs of the pruned, already
repaired network and the outputs of the dense one. Front to back, so that a layer also corrects what
the layers before it could not. There are no labels, no gradients and no learning rate.

Channel pruning by regression: He, Zhang and Sun 2017, arXiv:1707.06168. Called by `secateur.prune`
and by the pipeline.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import propagate
from secateur.engine.program.walk import Walk, bytes_per_sample
from secateur.engine.repair.options import Refit, Repaired, RepairOptions
from secateur.engine.repair.pair import Pair, make_pair
from secateur.engine.repair.readers import Reader, find_readers, is_centred
from secateur.engine.repair.solve import Equations, Gram, Rows
from secateur.engine.retrain.batch_norm import has_statistics, measure_statistics, statistics_of

Batch = tuple[Tensor, ...]

_MOST_COLUMNS = 4096  # of a Gram matrix: 128 MiB in float64
_MOST_ROWS = 2048  # of inputs that are kept themselves, for weights with more columns
_LEAST_ROWS, _ROWS_PER_COLUMN = 2**13, 16  # eight times as many change no accuracy
_TILE = 2**23  # values of inputs in one tile of rows: 32 MiB
_SAME = 1e-6  # relative error, from rounding, of a layer whose inputs have not changed


def repair_program(
    program: Program,
    analysis: Analysis,
    plan: Plan,
    batches: Sequence[Batch],
    options: RepairOptions | None = None,
) -> Repaired:
    """Return the smaller program of a plan, with weights solved for from samples.

    Weights, biases and BatchNorm statistics change. The graph is that of `compact`, and
    `expand_program` returns the masked twin. Weights that other calls compute stay as they are.

    Args:
        program: The program before the cut.
        analysis: Analysis of the same graph.
        plan: Channel groups to keep.
        batches: Inputs. Without any, this is `compact`.
        options: Ridge and limits.

    Raises:
        PlanError: The plan is for another graph.
    """
    options = options or RepairOptions()
    pair = make_pair(program, analysis, plan)
    fitting = options.memory_bytes // bytes_per_sample(pair.dense, pair.smaller)
    used = _first(batches, max(1, fitting))
    repair = _Repair(pair, options)
    if used:
        repair.run(used, {})
    if repair.shared:  # their weights are known now, so the layers between can be solved for
        repair.run(used, repair.solve_shared())
    tensors = {**pair.smaller.tensors, **repair.tensors}
    num_samples = sum(len(batch[0]) for batch in used)
    return Repaired(pair.smaller.with_tensors(tensors), tuple(repair.refits.values()), num_samples)


def _first(batches: Sequence[Batch], num_samples: int) -> list[Batch]:
    """Return the first samples of the batches."""
    found = []
    for batch in batches:
        part = tuple(x[: max(0, num_samples)] for x in batch)
        num_samples -= len(part[0])
        if len(part[0]) > 0:
            found.append(part)
    return found


class _Repair:
    """The repair of one pair of programs.

    Attributes:
        tensors: Tensors of the smaller program that have been solved for.
        refits: A record of each solved weight, by name.
        shared: For each weight of several readers, their equations and calls.
    """

    def __init__(self, pair: Pair, options: RepairOptions) -> None:
        self._pair, self._options = pair, options
        self._changed = pair.changed()
        self._readers = find_readers(pair.smaller, propagate(pair.smaller), self._changed)
        self.tensors: dict[str, Tensor] = {}
        self.refits: dict[str, Refit] = {}
        self.shared: dict[str, tuple[Gram, list[fx.Node]]] = {}

    def run(self, batches: Sequence[Batch], known: Mapping[str, Tensor]) -> None:
        """Walk both programs and solve for the weight of every reader on the way.

        Args:
            batches: Inputs.
            known: Tensors that are not solved for again.
        """
        self.tensors = dict(known)
        dense, pruned = Walk(self._pair.dense, batches), Walk(self._pair.smaller, batches)
        pruned.tensors.update(known)
        nodes = list(self._pair.smaller.graph.nodes)
        settled = [n for n, node in enumerate(nodes, 1) if self._is_settled_here(node)]
        total = max(settled, default=0)
        for number, node in enumerate(nodes[:total], 1):
            original = self._pair.originals.get(node)
            if original is not None:
                dense.run(original)
            if self._is_settled_here(node) and original is not None:
                self.tensors |= self._settle(node, original, dense, pruned)
                pruned.tensors.update(self.tensors)
            pruned.run(node)
            pruned.forget(node)
            if original is not None:
                dense.forget(original)
            if self._options.on_progress is not None:
                self._options.on_progress(number, total)

    def solve_shared(self) -> dict[str, Tensor]:
        """Return the solved weights of the readers that share one."""
        found: dict[str, Tensor] = {}
        for equations, nodes in self.shared.values():
            found |= self._solve(nodes, equations)
        self.shared = {}
        return found

    def _is_settled_here(self, node: fx.Node) -> bool:
        return node in self._readers or (node in self._changed and has_statistics(node))

    def _settle(
        self, node: fx.Node, original: fx.Node, dense: Walk, pruned: Walk
    ) -> dict[str, Tensor]:
        """Return the new weight of a reader, or the new statistics of a BatchNorm."""
        reader = self._readers.get(node)
        if reader is None:
            names = statistics_of(node)
            found = measure_statistics(pruned.of(node.args[0]))  # type: ignore[arg-type]
            return self._finite(dict(zip(names, found, strict=True)))
        if reader.weight in self.tensors:
            return {}
        wanted = [self._pair.kept_part(original, y) for y in dense.of(original)]
        num_rows = sum(reader.form.num_positions(y) for y in wanted)
        num_columns = reader.form.matrix(self._pair.smaller.tensors[reader.weight]).shape[2]
        most = max(_LEAST_ROWS, _ROWS_PER_COLUMN * num_columns)
        if reader.is_shared:
            equations, nodes = self.shared.setdefault(reader.weight, (Gram(), []))
            nodes.append(node)
            self._collect(reader, equations, pruned.of(reader.x), wanted, most)
            return {}
        is_wide = num_rows < num_columns or num_columns > _MOST_COLUMNS
        own: Equations = Rows() if is_wide else Gram()
        self._collect(reader, own, pruned.of(reader.x), wanted, _MOST_ROWS if is_wide else most)
        return self._solve([node], own)

    def _collect(
        self,
        reader: Reader,
        equations: Equations,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        most: int,
    ) -> None:
        """Add at most about ``most`` rows, the same share of every batch."""
        form = reader.form
        totals = [form.num_positions(y) for y in outputs]
        generator = torch.Generator().manual_seed(self._options.seed)
        kept = form.matrix(self._pair.smaller.tensors[reader.weight])
        for x, y, total in zip(inputs, outputs, totals, strict=True):
            positions = torch.arange(total)
            if sum(totals) > most:
                quota = max(1, most * total // sum(totals))
                positions = torch.randperm(total, generator=generator)[:quota].sort().values
            for part in positions.to(x.device).split(max(1, _TILE // kept[:, 0].numel())):
                equations.add(form.inputs(x, part), form.outputs(y, part))

    def _solve(self, nodes: Sequence[fx.Node], equations: Equations) -> dict[str, Tensor]:
        """Return the weight and the bias of readers that have the same ones."""
        reader = self._readers[nodes[0]]
        old = self._pair.smaller.tensors
        weight, form = old[reader.weight], reader.form
        centred = all(is_centred(node, self._readers[node]) for node in nodes)
        kept = form.matrix(weight)
        found = equations.solve(kept, self._options.ridge, is_centred=centred)
        if found.before <= _SAME:
            return {}
        self.refits[reader.weight] = Refit(
            reader.weight, kept.shape[2], found.num_rows, found.before, found.after
        )
        solved = {reader.weight: form.weight(found.weight, weight.shape)}
        if reader.bias is not None:
            solved[reader.bias] = found.bias.reshape(old[reader.bias].shape)
        return self._finite(solved)

    def _finite(self, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return new tensors in their types; none if inputs that overflow left no number."""
        if not all(bool(tensor.isfinite().all()) for tensor in found.values()):
            return {}
        old = self._pair.smaller.tensors
        return {name: tensor.to(old[name].dtype) for name, tensor in found.items()}
