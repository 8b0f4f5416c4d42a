"""`prune`: prunes a live module, a ``.pt2`` or ``.onnx`` file, or an exported program.

Calling it needs the extra ``engine``, which installs torch; importing this module does not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from secateur.errors import SecateurError
from secateur.options import AnyPath
from secateur.pruned import Cost, Pruned

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from secateur.engine import CalibrationBatch, Program, SelectionOptions

    Example = Tensor | tuple[Any, ...] | Mapping[str, Any]
    Inputs = Tensor | tuple[Tensor, ...]
    Batch = Inputs | tuple[Inputs, Tensor | None]

_INSTALL = "pip install 'secateur[engine]'"
_SUFFIXES = (".pt2", ".onnx")
_MOST_NAMES = 6  # in a message


def prune(  # noqa: PLR0913  # options that each have a default
    model: "nn.Module | ExportedProgram | AnyPath",
    example_inputs: "Example | None" = None,
    *,
    macs: float | None = None,
    params: float | None = None,
    ratio: float | None = None,
    steepness: float | None = None,
    criterion: str = "l1",
    data: "Iterable[Batch]" = (),
    repair: bool = True,
    norms: Literal["fused", "exact"] = "fused",
    ignore: Sequence[str] = (),
    round_to: int = 8,
    min_channels: int = 4,
    max_ratio: float = 0.9,
    seed: int = 0,
) -> Pruned:
    """Remove a network's least salient filters, and certify the result.

    ``prune(net.eval(), torch.randn(1, 3, 224, 224), macs=0.5)`` returns a network with half of the
    multiply-accumulates. Pass at most one of ``macs``, ``params``, ``ratio`` and ``steepness``; the
    default is ``steepness=1``. Nothing is trained. With ``data`` the weights are repaired, and the
    network usually works at once; without it the network is folded, which helps less. The same
    arguments give the same result.

    Args:
        model: A module in evaluation mode, which is not changed; a ``.pt2`` or ``.onnx`` file,
            which is read as data; or a result of ``torch.export.export`` with a dynamic batch.
        example_inputs: For a module, one tensor, a tuple of arguments, or a dictionary of keyword
            arguments, on the module's device. The first dimension of each tensor is the batch. For
            an ``.onnx`` file that takes samples of any
            size, an example of the size to prune for.
        macs: Share of the multiply-accumulates to keep, in (0, 1).
        params: Share of the parameters to keep, in (0, 1).
        ratio: Share of the filters to remove in every layer, in (0, 1).
        steepness: The slope at which every layer's saliency curve is cut, above 0. A larger value
            prunes more.
        criterion: The name of a criterion, as in `secateur.engine.CRITERIA`. Those that look at
            samples, such as ``loss`` and ``taylor``, need ``data``.
        data: Calibration batches: tensors, or pairs of inputs and labels (int64 classes). Repair
            uses their inputs, and the certificate some of the first batch.
        repair: Whether to refit the kept weights from ``data``, so that each layer computes what
            it computed before; a few hundred samples are enough. Without ``data``, a network with
            BatchNorm is folded: the removed filters are merged into similar ones.
        norms: LayerNorm, RMSNorm and GroupNorm over removed channels. ``fused`` normalises the
            channels that are left, which is faster and inexact. ``exact`` goes on counting the
            removed ones as zeros, so the certificate covers them.
        ignore: Names of layers or weights, or globs, that keep all their filters, such as
            ``"conv1"`` or ``"layer4.*"``.
        round_to: Kept widths are multiples of this, unless a layer is narrower.
        min_channels: The smallest number of filters that a layer keeps.
        max_ratio: The largest share of filters that a layer loses, in (0, 1].
        seed: The seed of the certificate's random samples and of criterion ``random``.

    Raises:
        SecateurError: An argument is not valid, the extra ``engine`` is not installed, or the
            module cannot be exported.
        EngineError: The file is refused, the budget cannot be met (the message names the nearest
            one), nothing is prunable, or the criterion needs data. The classes are in
            `secateur.engine.errors`.

    The method is that of CN113361702A; channel groups are those of DepGraph (Fang et al. 2023,
    arXiv:2301.12900).
    """
    with _engine_installed():
        from torch.export import ExportedProgram  # noqa: PLC0415  # imports torch

        from secateur.engine.pruning import prune_program  # noqa: PLC0415
    shares = {"macs": macs, "params": params, "ratio": ratio, "steepness": steepness}
    limits = {"round_to": round_to, "min_channels": min_channels, "max_ratio": max_ratio}
    if norms not in {"fused", "exact"}:
        raise SecateurError(f"norms is {norms!r}; it is 'fused' or 'exact'")
    options = _selection(shares, limits)
    program, name = _read(model, example_inputs)
    options = replace(options, exclude=_excluded(ignore, program))
    batches = _batches(data, program)
    found = prune_program(
        program,
        options,
        criterion=criterion,
        batches=batches,
        is_repaired=repair,
        has_exact_norms=norms == "exact",
        seed=seed,
    )
    original = None if isinstance(model, (str, PathLike, ExportedProgram)) else model
    return Pruned(
        found.program, found.plan, found.certificate, _cost(program), _cost(found.program),
        name, original, found.num_repair_samples, found.repair,
    )  # fmt: skip


@contextmanager
def _engine_installed() -> Iterator[None]:
    """Turn a failed import into an error that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SecateurError(
            f"prune() needs {error.name}, which is not installed: {_INSTALL}"
        ) from error


def _selection(shares: "dict[str, float | None]", limits: dict[str, Any]) -> "SelectionOptions":
    """Return validated selection options."""
    from secateur.engine import Budget, Ratio, SelectionOptions, Steepness  # noqa: PLC0415

    given = {name: value for name, value in shares.items() if value is not None}
    if len(given) > 1:
        said = " and ".join(f"{name}={value:g}" for name, value in given.items())
        raise SecateurError(f"{said} exclude each other: give one of {', '.join(shares)}")
    for name, value in given.items():
        _check_share(name, value)
    for name in ("round_to", "min_channels"):
        if not isinstance(limits[name], int) or limits[name] < 1:
            raise SecateurError(f"{name} is {limits[name]!r}; it is a whole number from 1")
    if not 0 < limits["max_ratio"] <= 1:
        raise SecateurError(f"max_ratio is {limits['max_ratio']:g}; it is a share up to 1")
    name, value = next(iter(given.items()), ("steepness", 1.0))
    modes: dict[str, Callable[[float], Budget | Ratio | Steepness]] = {
        "macs": partial(Budget, "macs"),
        "params": partial(Budget, "params"),
        "ratio": Ratio,
        "steepness": Steepness,
    }
    return SelectionOptions(modes[name](value), **limits)


def _check_share(name: str, value: float) -> None:
    if name == "steepness":
        if not value > 0:
            raise SecateurError(f"steepness is {value:g}; it is a number above 0")
    elif not 0 < value < 1:
        kind = "to remove" if name == "ratio" else "to keep"
        raise SecateurError(f"{name} is {value:g}; it is a share {kind}, between 0 and 1")


def _read(model: Any, example_inputs: "Example | None") -> "tuple[Program, str]":  # noqa: ANN401
    """Return the program of a module, a file or an exported program, and its name."""
    from torch.export import ExportedProgram  # noqa: PLC0415

    from secateur.engine import from_exported, read_program  # noqa: PLC0415
    from secateur.engine.program.batch import settle_batch  # noqa: PLC0415

    if _is_module(model):
        return from_exported(_export(model, example_inputs)), type(model).__name__
    path = Path(model) if isinstance(model, (str, PathLike)) else None
    if path is not None and path.suffix == ".onnx":
        return _read_onnx(path, example_inputs), path.name
    if example_inputs is not None:
        raise SecateurError("example_inputs belong to a module; a file or a program has its own")
    if isinstance(model, ExportedProgram):
        program = from_exported(model)
        if any(not spec.shape for spec in program.inputs):
            raise SecateurError("an input is a single number; inputs need a batch dimension")
        if any(spec.shape[0] is not None for spec in program.inputs):
            program = settle_batch(program)
        return program, "program"
    if path is None:
        raise SecateurError(
            f"cannot prune a {type(model).__name__}: give a torch.nn.Module, the path of a "
            f"{' or '.join(_SUFFIXES)} file, or what torch.export.export returned"
        )
    if path.suffix not in _SUFFIXES:
        raise SecateurError(
            f"{path.name} is not a {' or '.join(_SUFFIXES)} file; a module can be given as it is"
        )
    _check_exists(path)
    return read_program(path), path.name


def _read_onnx(path: Path, example_inputs: "Example | None") -> "Program":
    """Return the program of an ONNX file, for the sizes of the example if one is given."""
    from torch.utils import _pytree as pytree  # noqa: PLC0415

    from secateur.engine import read_onnx  # noqa: PLC0415
    from secateur.torch import as_arguments  # noqa: PLC0415

    _check_exists(path)
    if example_inputs is None:
        return read_onnx(path, has_files_beside=True)
    given = pytree.tree_leaves(as_arguments(example_inputs))
    shapes = tuple((None, *x.shape[1:]) for x in given)
    return read_onnx(path, shapes=shapes, has_files_beside=True)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise SecateurError(f"{path} does not exist")


def _is_module(model: object) -> bool:
    from torch import nn  # noqa: PLC0415

    return isinstance(model, nn.Module)


def _export(module: "nn.Module", example_inputs: "Example | None") -> "ExportedProgram":
    from torch.utils import _pytree as pytree  # noqa: PLC0415

    from secateur.torch import as_arguments, export_live  # noqa: PLC0415

    kind = type(module).__name__
    if example_inputs is None:
        raise SecateurError(f"{kind} is a module: give an example input, prune(module, example)")
    if module.training:
        raise SecateurError(
            f"{kind} is in training mode, in which BatchNorm and dropout compute something else: "
            "call module.eval() first"
        )
    tensors = (*module.parameters(), *module.buffers())
    homes = {str(tensor.device) for tensor in tensors}
    if len(homes) > 1:
        raise SecateurError(
            f"{kind} is on several devices ({', '.join(sorted(homes))}): move it to one with "
            "module.to(device)"
        )
    for tensor in pytree.tree_leaves(as_arguments(example_inputs)):
        if homes and str(tensor.device) not in homes:
            home = homes.pop()
            raise SecateurError(
                f"the example is on {tensor.device} and {kind} on {home}: call "
                f"example.to({home!r}), or move the module"
            )
    return export_live(module, example_inputs)


def _excluded(ignore: Sequence[str], program: "Program") -> tuple[str, ...]:
    """Return globs of weight names; the name of a layer includes everything in it."""
    if isinstance(ignore, str):
        ignore = (ignore,)
    weights = tuple(program.parameters())
    for name in ignore:
        if not any(fnmatchcase(w, name) or fnmatchcase(w, f"{name}.*") for w in weights):
            raise SecateurError(
                f"ignore has {name!r}, which is neither a layer nor a weight; there are "
                f"{', '.join(weights[:_MOST_NAMES])}{', …' if len(weights) > _MOST_NAMES else ''}"
            )
    return tuple(glob for name in ignore for glob in (name, f"{name}.*"))


def _batches(data: "Iterable[Batch]", program: "Program") -> "tuple[CalibrationBatch, ...]":
    """Return calibration batches on the CPU, converted to the program's input types."""
    from torch import Tensor  # noqa: PLC0415

    from secateur.engine import CalibrationBatch  # noqa: PLC0415

    found = []
    for batch in data:
        inputs, labels = (batch, None) if isinstance(batch, Tensor) else batch
        inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        wanted = [list(spec.shape[1:]) for spec in program.inputs]
        if [list(x.shape[1:]) for x in inputs] != wanted:
            raise SecateurError(
                f"data has inputs of shape {[list(x.shape) for x in inputs]}; after the batch "
                f"dimension the network takes {wanted}. A batch is a tensor, or (inputs, labels)"
            )
        cpu = tuple(
            x.detach().to("cpu", s.dtype) for x, s in zip(inputs, program.inputs, strict=True)
        )
        found.append(CalibrationBatch(cpu, None if labels is None else labels.cpu()))
    return tuple(found)


def _cost(program: "Program") -> Cost:
    from secateur.engine import count_macs, count_parameters  # noqa: PLC0415

    return Cost(count_parameters(program), count_macs(program))
