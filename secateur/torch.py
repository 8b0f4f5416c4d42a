"""For PyTorch users: uploads a live module and loads its pruned weights back.

Needs torch 2.9 or newer, and safetensors for `load_pruned`.
"""

import copy
import tempfile
import warnings
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, Unpack, overload

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from secateur.async_client import AsyncClient
from secateur.client import Client
from secateur.core.requests import ByteProgress
from secateur.errors import SecateurError
from secateur.fitting import fit, read_weights
from secateur.jobs import Job
from secateur.options import AnyPath, ModelOptions
from secateur.types import Model

Inputs = Tensor | tuple[Any, ...] | Mapping[str, Any]
M = TypeVar("M", bound=nn.Module)

WEIGHTS = "weights.safetensors"
PROGRAM = "pruned.pt2"
_FILE = "model.pt2"


@overload
def push_module(
    client: Client,
    module: nn.Module,
    example_inputs: Inputs,
    *,
    on_progress: ByteProgress | None = ...,
    **options: Unpack[ModelOptions],
) -> Model: ...
@overload
def push_module(
    client: AsyncClient,
    module: nn.Module,
    example_inputs: Inputs,
    *,
    on_progress: ByteProgress | None = ...,
    **options: Unpack[ModelOptions],
) -> Awaitable[Model]: ...
def push_module(
    client: Client | AsyncClient,
    module: nn.Module,
    example_inputs: Inputs,
    *,
    on_progress: ByteProgress | None = None,
    **options: Unpack[ModelOptions],
) -> Model | Awaitable[Model]:
    """Export a live module with a dynamic batch, upload it, and return the model when it is ready.

    Args:
        client: A `Client`; or an `AsyncClient`, whose result must be awaited. The export itself
            runs at once and blocks.
        module: The module, in any mode and on any device; it is not changed.
        example_inputs: One tensor; a tuple of positional arguments; or a dictionary of keyword
            arguments. Arguments are tensors, or lists, tuples and dictionaries of them. The first
            dimension of each tensor is the batch.
        on_progress: Called with the bytes sent so far and the size of the file.
        options: See `ModelOptions`. The default ``name`` is that of the module's class.

    Raises:
        SecateurError: The module cannot be exported.
        ModelRejectedError: The service refused the model; the message says why.
    """
    options.setdefault("name", type(module).__name__)
    folder = tempfile.TemporaryDirectory(prefix="secateur-")
    try:
        path = export_module(module, example_inputs, Path(folder.name) / _FILE)
    except BaseException:
        folder.cleanup()
        raise
    if isinstance(client, AsyncClient):
        return _push_async(client, path, folder, on_progress, options)
    with folder:
        return client.push(path, on_progress=on_progress, **options)


def export_module(module: nn.Module, example_inputs: Inputs, path: AnyPath) -> Path:
    """Write a module as a ``.pt2`` file with a dynamic batch, and return the path.

    Args:
        module: The module, in any mode and on any device; it is not changed.
        example_inputs: One tensor; a tuple of positional arguments; or a dictionary of keyword
            arguments. Arguments are tensors, or lists, tuples and dictionaries of them. The first
            dimension of each tensor is the batch.
        path: The file to write.

    Raises:
        SecateurError: The module cannot be exported.
    """
    torch.export.save(export_live(module, example_inputs), path)
    return Path(path)


def export_live(module: nn.Module, example_inputs: Inputs) -> torch.export.ExportedProgram:
    """Return a module as torch exports it on the CPU, in evaluation mode, with a dynamic batch.

    Raises:
        SecateurError: The module cannot be exported.
    """
    given = as_arguments(example_inputs)
    # The exporter would treat a batch of one sample as a constant.
    args, kwargs = pytree.tree_map(lambda tensor: _at_least_two(tensor.detach().cpu()), given)
    batch = torch.export.Dim("batch", min=1)
    dynamic = pytree.tree_map(lambda _: {0: batch}, kwargs or args)
    with _evaluating(module) as ready, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        try:
            return torch.export.export(ready, args, kwargs, dynamic_shapes=dynamic)
        except Exception as error:
            raise SecateurError(
                f"torch.export cannot export {type(module).__name__} with a dynamic batch: {error}"
            ) from error


def as_arguments(example_inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return example inputs as positional and keyword arguments.

    Raises:
        SecateurError: They are not tensors with a batch.
    """
    if isinstance(example_inputs, Mapping):
        args, kwargs = (), dict(example_inputs)
    else:
        is_one = isinstance(example_inputs, Tensor)
        args, kwargs = (example_inputs,) if is_one else tuple(example_inputs), {}
    leaves = pytree.tree_leaves((args, kwargs))
    if not leaves or not all(isinstance(leaf, Tensor) and leaf.dim() for leaf in leaves):
        raise SecateurError("example_inputs must be tensors whose first dimension is the batch")
    return args, kwargs


def load_pruned(source: Job | AnyPath, module: M) -> M:
    """Give a module of your own class the widths and weights of its pruned network.

    The class's ``forward`` must take sizes from its layers; if its code contains them as numbers,
    use `load_program`. The module is run once, on inputs whose outputs are stored in the file, so
    the returned module computes what the pruned network computes.

    Args:
        source: A finished job, a folder with its files, or ``weights.safetensors`` itself.
        module: A new instance, built like the dense network; it is changed in place.

    Returns:
        The module.

    Raises:
        SecateurError: The weights belong to another class, the module computes something else
            with them, or the job has no result. The module is left unchanged.
    """
    with _file_of(source, WEIGHTS) as path:
        weights = read_weights(path)
    fit(module, weights)
    return module


def load_program(source: Job | AnyPath) -> nn.Module:
    """Return the pruned network as an exported module, which needs no code of your own.

    torch's loader may run code from the file: load only files of a service that you trust.

    Args:
        source: A finished job, a folder with its files, or ``pruned.pt2`` itself.

    Raises:
        SecateurError: The job has no result, or the file does not exist.
    """
    with _file_of(source, PROGRAM) as path:
        return torch.export.load(path).module()


async def _push_async(
    client: AsyncClient,
    path: Path,
    folder: "tempfile.TemporaryDirectory[str]",
    on_progress: ByteProgress | None,
    options: ModelOptions,
) -> Model:
    with folder:
        return await client.push(path, on_progress=on_progress, **options)


def _at_least_two(tensor: Tensor) -> Tensor:
    return tensor if len(tensor) > 1 else torch.cat([tensor, tensor])


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the module on the CPU and in evaluation mode, and restore its modes afterwards."""
    tensors = (*module.parameters(), *module.buffers())
    if any(tensor.device.type != "cpu" for tensor in tensors):
        yield copy.deepcopy(module).cpu().eval()
        return
    modes = [(layer, layer.training) for layer in module.modules()]
    try:
        yield module.eval()
    finally:
        for layer, mode in modes:
            layer.training = mode


@contextmanager
def _file_of(source: Job | AnyPath, name: str) -> Iterator[Path]:
    if isinstance(source, Job):
        with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
            yield source.download(folder, [name])[0]
        return
    path = Path(source)
    path = path / name if path.is_dir() else path
    if not path.is_file():
        raise SecateurError(f"{path} does not exist")
    yield path
