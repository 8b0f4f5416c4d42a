"""Folding: a smaller network whose channels each stand for several similar ones, without samples.

Channels that are read the same way are clustered by k-means. The filters of a cluster are averaged,
the columns that read them are added, and BatchNorm's statistics are estimated for the averages: as
if the inputs of a layer were uncorrelated, two of its outputs correlate like their filters. Model
Folding: Wang et al., ICLR 2025, arXiv:2502.10216, with the correction of variances of REPAIR
(Jordan et al. 2023, arXiv:2211.08403).

Channels that cannot be merged (`merging`) are removed as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.atoms import MemberRole
from secateur.engine.graph.groups import Family
from secateur.engine.plan import Plan, check_fits
from secateur.engine.program.program import Program
from secateur.engine.repair.clusters import find_clusters
from secateur.engine.repair.merging import Axis, Merging, find_merging
from secateur.engine.repair.norms import Norm, find_norms
from secateur.engine.retrain.batch_norm import statistics
from secateur.engine.surgery.compact import compact
from secateur.engine.surgery.mask import expand_program

_LEAST = 1e-12  # of a variance


@dataclass(frozen=True)
class Folded:
    """Result of `fold_program`.

    Attributes:
        program: The smaller program.
        twin: The same network at its original size: the channels of a cluster all compute what its
            average computes. Channels that could not be merged are zero.
        num_merged: Channel groups that were merged into others.
    """

    program: Program
    twin: Program
    num_merged: int


@dataclass(frozen=True)
class _Cluster:
    """Groups of a family that become one.

    Attributes:
        family: The family.
        keeper: Group that stands for the cluster.
        groups: All groups of the cluster, ascending.
        filters: Their filters (n, D).
    """

    family: Family
    keeper: int
    groups: list[int]
    filters: Tensor

    def index_of(self, tensor: str) -> Tensor | None:
        """Return the indices (groups of the family, K) in a vector; None if it has none."""
        members = [member for member in self.family.members if member.tensor == tensor]
        return members[0].index_GK if members else None


def may_fold(program: Program) -> bool:
    """Return whether a network has statistics that folding can correct."""
    return bool(statistics(program))


def fold_program(program: Program, analysis: Analysis, plan: Plan) -> Folded:
    """Return the smaller program of a plan, with the removed channels folded into similar ones.

    The plan says how many groups a family keeps, and with which ones the clusters begin. The graph
    is that of `compact`. The same arguments give the same result.

    Raises:
        PlanError: The plan is for another graph.
    """
    check_fits(plan, program)
    home = next(iter(program.tensors.values())).device
    program = program.to("cpu")
    merging, norms = find_merging(program, analysis), find_norms(program)
    scales = _scales(program, norms)
    clusters = list(_clusters(program, analysis, plan, merging))
    targets = _targets(program, clusters)
    tensors = {name: program.tensors[name].double() for name, _ in targets}
    for (name, dim), factors in _of_clusters(program, clusters, scales).items():
        tensors[name] = tensors[name] * _along(factors, dim, tensors[name].dim())
    estimated = _estimated(norms, clusters, program, tensors)
    for (name, dim), target in targets.items():
        tensors[name] = _merge(tensors[name], dim, target, is_sum=(name, dim) in merging.summed)
    for name, (index, values) in estimated.items():
        tensors[name] = tensors[name].index_copy(0, index, values)
    merged = {name: tensor.to(program.tensors[name].dtype) for name, tensor in tensors.items()}
    smaller = compact(program.with_tensors({**program.tensors, **merged}), analysis, plan)
    twin = _twin(expand_program(program, plan, smaller), targets, merging)
    num_merged = sum(len(each.groups) - 1 for each in clusters)
    return Folded(smaller.to(home), twin.to(home), num_merged)


def _scales(program: Program, norms: Sequence[Norm]) -> dict[Axis, Tensor]:
    """Return the factors that BatchNorm gives the filters of the layer before it, by axis."""
    found: dict[Axis, Tensor] = {}
    for norm in norms:
        if norm.layer:
            scale, deviation = norm.factors(program)
            found |= {(name, 0): scale / deviation for name in (*norm.layer, norm.mean)}
    return found


def _clusters(
    program: Program,
    analysis: Analysis,
    plan: Plan,
    merging: Merging,
) -> Iterator[_Cluster]:
    """Yield the clusters with more than one group."""
    first = 0
    for family, planned in zip(analysis.families, plan.families, strict=True):
        kinds = merging.kinds[first : first + family.num_groups]
        first += family.num_groups
        if not planned.num_removed or bool((kinds < 0).all()):
            continue
        features = _features(program, family, merging)
        is_dead = (features == 0).all(1).numpy()  # removed by an earlier cut
        is_kept = np.zeros(family.num_groups, dtype=bool)
        is_kept[list(planned.kept)] = True
        for kind in np.unique(kinds[kinds >= 0]):
            groups = np.flatnonzero((kinds == kind) & (is_kept | ~is_dead))
            seeds = np.flatnonzero(is_kept[groups]).tolist()
            found = find_clusters(features[groups], seeds) if seeds else []
            for seed, rows in zip(seeds, found, strict=True):
                if len(rows) > 1:
                    members = groups[rows].tolist()
                    yield _Cluster(family, int(groups[seed]), members, features[members])


def _features(program: Program, family: Family, merging: Merging) -> Tensor:
    """Return the directions of each group's filters (G, D); zeros for a group without any.

    Compared by the filters as BatchNorm scales them, ResNet-20 has 45 % at half of its MACs
    instead of 61 %.
    """
    parts = [torch.zeros(family.num_groups, 1, dtype=torch.float64)]
    for member in family.members:
        is_summed = (member.tensor, member.dim) in merging.summed
        if member.role is MemberRole.PRODUCER and not is_summed:
            filters = program.tensors[member.tensor].double().movedim(member.dim, 0).flatten(1)
            filters = torch.nn.functional.normalize(filters, dim=1)
            parts.append(filters[member.index_GK].flatten(1))
    return torch.cat(parts, 1)


def _of_clusters(
    program: Program, clusters: Sequence[_Cluster], scales: Mapping[Axis, Tensor]
) -> dict[Axis, Tensor]:
    """Return the factors of filters in clusters; other filters keep theirs."""
    found: dict[Axis, Tensor] = {}
    for cluster in clusters:
        for member in cluster.family.members:
            axis = (member.tensor, member.dim)
            if axis in scales:
                index = member.index_GK[cluster.groups].flatten()
                ones = torch.ones(program.tensors[member.tensor].shape[member.dim]).double()
                found.setdefault(axis, ones)[index] = scales[axis][index]
    return found


def _estimated(
    norms: Sequence[Norm],
    clusters: Sequence[_Cluster],
    program: Program,
    tensors: Mapping[str, Tensor],
) -> dict[str, tuple[Tensor, Tensor]]:
    """Return BatchNorm's variances and scales for the keepers: places and values, by name.

    An average varies less than its parts do, so its scale is larger.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for norm in norms:
        scale, deviation = norm.factors(program)
        if norm.layer:  # its filters are multiplied by what BatchNorm makes of them
            scale = deviation = scale.abs()
        for cluster in clusters:
            index_GK = cluster.index_of(norm.variance)
            if index_GK is None:
                continue
            index_nK, keeper_K = index_GK[cluster.groups], index_GK[cluster.keeper]
            filters = cluster.filters[:, None].expand(-1, len(keeper_K), -1)
            if norm.layer:
                filters = tensors[norm.layer[0]].flatten(1)[index_nK]
            variance = _variance_of_mean(filters, deviation[index_nK])
            stored = (variance - norm.eps).clamp_min(0)
            gain = ((stored + norm.eps) / variance).sqrt()
            found.setdefault(norm.variance, []).append((keeper_K, stored))
            if norm.weight is not None:
                found.setdefault(norm.weight, []).append((keeper_K, scale[index_nK].mean(0) * gain))
    return {
        name: (torch.cat([index for index, _ in parts]), torch.cat([v for _, v in parts]))
        for name, parts in found.items()
    }


def _variance_of_mean(filters_nKD: Tensor, deviation_nK: Tensor) -> Tensor:
    """Return the variance (K,) of the mean of n channels that correlate like their filters."""
    units = torch.nn.functional.normalize(filters_nKD, dim=2)
    cosines_Knn = torch.einsum("nkd,mkd->knm", units, units).clamp_min(0)  # shapes
    parts_Kn = deviation_nK.T / len(deviation_nK)
    return torch.einsum("kn,knm,km->k", parts_Kn, cosines_Knn, parts_Kn).clamp_min(_LEAST)


def _targets(program: Program, clusters: Sequence[_Cluster]) -> dict[Axis, Tensor]:
    """Return the index that stands for each index of every axis with clusters."""
    found: dict[Axis, Tensor] = {}
    for cluster in clusters:
        for member in cluster.family.members:
            size = program.tensors[member.tensor].shape[member.dim]
            target = found.setdefault((member.tensor, member.dim), torch.arange(size))
            target[member.index_GK[cluster.groups]] = member.index_GK[cluster.keeper]
    return found


def _merge(tensor: Tensor, dim: int, target: Tensor, *, is_sum: bool) -> Tensor:
    """Return a tensor with the sum or the mean of merged slices at the index of their keeper."""
    merged = torch.zeros_like(tensor).index_add_(dim, target, tensor)
    return merged if is_sum else merged / _along(_counts(target).clamp_min(1), dim, tensor.dim())


def _twin(expanded: Program, targets: Mapping[Axis, Tensor], merging: Merging) -> Program:
    """Return a program with the keeper's slices for all of its cluster; readers get a share."""
    tensors = dict(expanded.tensors)
    for (name, dim), target in targets.items():
        tensor = tensors[name].double().index_select(dim, target)
        if (name, dim) in merging.summed:
            tensor = tensor / _along(_counts(target)[target], dim, tensor.dim())
        tensors[name] = tensor
    return expanded.with_tensors(tensors)


def _counts(target: Tensor) -> Tensor:
    return torch.bincount(target, minlength=len(target))


def _along(values: Tensor, dim: int, rank: int) -> Tensor:
    """Return values shaped to multiply slices along a dimension."""
    return values.view([-1 if each == dim else 1 for each in range(rank)])
