"""Where the channels of families are read, and the Gram matrices of what is read there.

Used by `reconstruction`. A reading is a call that multiplies channels by a stored weight.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from secateur.engine.graph import Analysis, Member, MemberRole
from secateur.engine.program.chunks import whole_chunks
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.saliency.options import CalibrationBatches
from secateur.engine.samples import to_device

_CHUNK_SAMPLES = 64
_MOST_ROWS = 2**13  # of a reading in each chunk
_PERMUTATIONS = frozenset({"t", "numpy_T", "transpose", "permute"})


@dataclass(frozen=True)
class Reading:
    """A call that multiplies a family's channels by a stored weight.

    Attributes:
        family: Name of the family.
        x: Value that is read.
        dim: Dimension of the value with the channels.
        index_GK: int64 (num_groups, K): where each group is along that dimension.
        member: Axis of the weight.
        is_centred: Whether a bias or a BatchNorm holds the mean of the outputs.
    """

    family: str
    x: fx.Node
    dim: int
    index_GK: Tensor  # noqa: N815  # shape suffix
    member: Member
    is_centred: bool


def find_readings(program: Program, analysis: Analysis) -> list[Reading]:
    """Return the readings of all families, in the order of the graph."""
    labels = {node.name: found for node, found in analysis.labels.items()}
    consumers: dict[str, list[tuple[str, int, int, Member]]] = {}
    first = 0
    for family in analysis.families:
        for member in family.members:
            if member.role is MemberRole.CONSUMER:
                place = (family.name, first, family.num_groups, member)
                consumers.setdefault(member.tensor, []).append(place)
        first += family.num_groups
    found = []
    for stored in program.graph.nodes:
        here = consumers.get(str(stored.target), []) if stored.op == "get_attr" else []
        for node, weight in _users(stored) if here else ():
            moving = [x for x in node.all_input_nodes if x is not weight and x.op != "get_attr"]
            for name, start, num_groups, member in here:
                for x in moving:
                    of_x = labels.get(x.name)
                    for dim, ids in of_x.items() if isinstance(of_x, dict) else ():
                        groups = torch.from_numpy(analysis.group_of_atom[ids.numpy()])
                        groups = groups.where(ids >= 0, -1) - start
                        index_GK = _positions(groups, num_groups)
                        if index_GK is not None:
                            centred = _is_centred(node)
                            found.append(Reading(name, x, dim, index_GK, member, centred))
    return found


def measure_grams(
    program: Program, readings: Sequence[Reading], batches: CalibrationBatches, seed: int
) -> list[Tensor]:
    """Return the Gram matrix (num_groups, num_groups) of every reading, in float64.

    Kernel taps and flattened positions of a channel are rows of the same column. Means are taken
    off where a bias or a BatchNorm holds the mean of the outputs.
    """
    sums = [_Sums(reading, program.device) for reading in readings]
    wanted: dict[fx.Node, list[_Sums]] = {}
    for each in sums:
        wanted.setdefault(each.reading.x, []).append(each)
    module = ProgramModule(program, copy=False).eval()
    generator = torch.Generator().manual_seed(seed)
    size = program.batch_size or _CHUNK_SAMPLES
    with torch.inference_mode():
        for inputs in whole_chunks([batch.inputs for batch in batches], program.batch_size):
            for chunk in zip(*(x.split(size) for x in inputs), strict=True):
                values = module.start(chunk)
                for step in module.steps:
                    module.run_steps(values, [step])
                    for each in wanted.get(step[0], ()):
                        each.add(values[step[0]], generator)
    return [each.gram() for each in sums]


class _Sums:
    """Sums over the rows of a reading, and of their products."""

    def __init__(self, reading: Reading, device: torch.device) -> None:
        num_groups = len(reading.index_GK)
        self.reading, self._index_GK = reading, reading.index_GK.to(device)
        self._sum = torch.zeros(num_groups, dtype=torch.float64, device=device)
        self._products = torch.zeros_like(self._sum).expand(num_groups, -1).clone()
        self._num_rows = 0

    def add(self, x: Tensor, generator: torch.Generator) -> None:
        """Add the rows of a value, or an even sample of many."""
        index_GK = self._index_GK
        columns = x.movedim(self.reading.dim, -1)
        columns = columns.reshape(-1, columns.shape[-1])
        most = max(1, _MOST_ROWS // index_GK.shape[1])
        if len(columns) > most:
            chosen = torch.randperm(len(columns), generator=generator)[:most]
            columns = columns[to_device(chosen, columns.device)]
        rows = columns[:, index_GK.T].flatten(0, 1).double()
        self._products += rows.T @ rows
        self._sum += rows.sum(0)
        self._num_rows += len(rows)

    def gram(self) -> Tensor:
        """Return the mean of the products, less that of the means if they are held elsewhere."""
        mean = self._sum / max(1, self._num_rows)
        products = self._products / max(1, self._num_rows)
        return products - mean[:, None] * mean if self.reading.is_centred else products


def _users(stored: fx.Node) -> Iterator[tuple[fx.Node, fx.Node]]:
    """Yield the calls that read a stored tensor, maybe permuted, with the value they read."""
    for user in stored.users:
        if user.op == "call_function" and op_name(user.target) in _PERMUTATIONS:
            yield from _users(user)
        elif user.op == "call_function":
            yield user, stored


def _positions(groups: Tensor, num_groups: int) -> Tensor | None:
    """Return where each group is, (num_groups, K); None if it is not everywhere K times."""
    is_here = (groups >= 0) & (groups < num_groups)
    counts = torch.bincount(groups[is_here], minlength=num_groups)
    if int(counts[0]) == 0 or not bool((counts == counts[0]).all()):
        return None
    order = torch.argsort(groups.masked_fill(~is_here, num_groups), stable=True)
    return order[: int(counts.sum())].view(num_groups, -1)


def _is_centred(node: fx.Node) -> bool:
    tensors = [each for each in node.all_input_nodes if each.op == "get_attr"]
    return len(tensors) > 1 or all(op_name(user.target) == "batch_norm" for user in node.users)
