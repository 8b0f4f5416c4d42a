"""A simulated accelerator: a torch device ``sim`` whose tensors hold CPU tensors.

Registered as torch's PrivateUse1 device, so the engine sees an accelerator: autograd, autocast and
fused optimisers accept it. Kernels are those of the CPU, so results equal the CPU's bit for bit.
An operator that meets tensors of both devices raises, as it would on a GPU. It shows where an
operator runs, not how: no streams, no memory, no kernels of its own.

torch's state changes for good, so this runs in a process of its own (`test_on_accelerator`).
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from math import prod
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils import backend_registration as registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from secateur.engine import samples

NAME = "sim"
_CPU = torch.device("cpu")
# CPU tensors that a GPU's kernels accept beside their own: sources of copies, and indices.
_COPIES = ("copy_.", "_to_copy.", "_copy_from")
_INDEXED = ("index.", "index_put", "_index_put")
_FUSED = ("_fused", "_foreach")  # these refuse even scalars of another device
# On a GPU, the host waits for the results of these.
_WAITING = ("_local_scalar_dense.", "nonzero.", "masked_select.", "equal.", "_unique2.", "unique_")
_NO_ARITHMETIC = frozenset(
    """copy_ _to_copy _copy_from clone empty empty_like empty_strided new_empty detach alias zeros
    ones full zeros_like ones_like new_zeros new_ones new_full full_like fill_ zero_ arange
    lift_fresh _local_scalar_dense set_ resize_ scalar_tensor _pin_memory is_pinned eye randperm
    randint rand randn index index_select gather cat stack flip select_backward
    slice_backward""".split()
)


class Count:
    """What ran where, by part of the job.

    Attributes:
        part: Name under which the next operators are counted.
        work: Arithmetic operations by (part, ``device`` or ``host``).
        waits: Synchronisations by part.
        where: For each operator that waited, its name, by part.
        tf32: Convolutions on the device, by part: (operator, whether TF32 was allowed).
    """

    def __init__(self) -> None:
        self.part = ""
        self.work: Counter[tuple[str, str]] = Counter()
        self.waits: Counter[str] = Counter()
        self.where: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.tf32: defaultdict[str, set[tuple[str, bool]]] = defaultdict(set)

    @contextlib.contextmanager
    def named(self, part: str) -> Iterator[None]:
        """Count under another name."""
        before, self.part = self.part, part
        try:
            yield
        finally:
            self.part = before

    def share(self, part: str) -> float:
        """Return the share of a part's arithmetic that ran on the device."""
        device, host = self.work[part, "device"], self.work[part, "host"]
        return device / max(1, device + host)

    def add(self, name: str, work: int, *, is_on_device: bool) -> None:
        self.work[self.part, "device" if is_on_device else "host"] += work
        if is_on_device and name.startswith("convolution"):
            self.tf32[self.part].add((name.partition(".")[0], torch.backends.cudnn.allow_tf32))

    def wait(self, name: str) -> None:
        self.waits[self.part] += 1
        self.where[self.part][name] += 1


COUNT = Count()


class Simulated(Tensor):
    """A tensor on the device; ``inner`` holds its values on the CPU."""

    inner: Tensor

    def __new__(cls, inner: Tensor) -> Self:
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=f"{NAME}:0",
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return _run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Return the values: torch refuses subclasses."""
        return self.cpu().tolist()

    def __repr__(self, **_: Any) -> str:
        return f"Simulated({self.inner!r})"


class Simulation(TorchDispatchMode):
    """Mode in which factories make tensors on the device, and all operators are counted."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        composite = torch._C.DispatchKey.CompositeImplicitAutograd
        if not func.has_kernel_for_dispatch_key(composite):
            return _run(func, args, kwargs or {})
        with self:  # inference mode hands composite operators over whole
            return func.decompose(*args, **(kwargs or {}))


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    flat, spec = pytree.tree_flatten((args, kwargs))
    name = func.name().split("::")[1] + "."
    ours = [x for x in flat if isinstance(x, Simulated)]
    _refuse_mixed(name, args, flat, ours)
    wanted = kwargs.get("device")
    if name.startswith(("copy_.", "set_.")):
        is_on_device = isinstance(args[0], Simulated)
    elif wanted is not None:
        is_on_device = torch.device(wanted).type == NAME
    else:
        is_on_device = bool(ours)
    _count_waits(name, args, kwargs, ours, is_on_device=is_on_device)
    inner, named = pytree.tree_unflatten([_inner(x) for x in flat], spec)
    found = func(*inner, **named)
    _count_work(func, name, inner, named, found, is_on_device=is_on_device)
    same = {id(x.inner): x for x in ours}  # in place: the same object comes back

    def wrap(x: Tensor) -> Tensor:
        return same[id(x)] if id(x) in same else Simulated(x) if is_on_device else x

    # In inference mode, views of other tensors are ordinary tensors, too.
    is_ordinary = func.is_view and bool(ours) and not ours[0].is_inference()
    with torch.inference_mode(mode=False) if is_ordinary else contextlib.nullcontext():
        return pytree.tree_map_only(Tensor, wrap, found)


def _inner(x: Any) -> Any:
    if isinstance(x, Simulated):
        return x.inner
    return _CPU if isinstance(x, torch.device) and x.type == NAME else x


def _refuse_mixed(name: str, args: Any, flat: list[Any], ours: list[Simulated]) -> None:
    others = [
        x
        for x in flat
        if isinstance(x, Tensor)
        and not isinstance(x, Simulated)
        and (x.ndim or name.startswith(_FUSED))  # kernels take scalars of the CPU
    ]
    is_allowed = name.startswith(_COPIES) or (
        name.startswith(_INDEXED) and isinstance(args[0], Simulated)
    )
    if ours and others and not is_allowed:
        raise RuntimeError(
            f"{name[:-1]}: expected all tensors on one device, found {NAME}:0 and cpu"
        )


def _count_waits(
    name: str, args: Any, kwargs: Any, ours: list[Simulated], *, is_on_device: bool
) -> None:
    if ours and name.startswith(_WAITING):
        COUNT.wait(name)
    elif ours and name.startswith(_INDEXED):
        indices = [x for x in args[1] if isinstance(x, Tensor)]
        if any(x.dtype in {torch.bool, torch.uint8} for x in indices):
            COUNT.wait(f"{name}mask")  # counts the true ones
        elif any(not isinstance(x, Simulated) for x in indices):
            COUNT.wait(f"{name}host index")
    elif name.startswith("copy_."):
        source, is_async = args[1], kwargs.get("non_blocking") or (len(args) > 2 and args[2])
        if isinstance(source, Simulated) != isinstance(args[0], Simulated) and not is_async:
            COUNT.wait("copy_")
    elif name.startswith("_to_copy.") and bool(ours) != is_on_device:
        is_async = kwargs.get("non_blocking") and (ours or is_pinned(args[0]))
        if not is_async:
            COUNT.wait("_to_copy to the host" if ours else "_to_copy to the device")


def _count_work(
    func: Any, name: str, args: Any, kwargs: Any, found: Any, *, is_on_device: bool
) -> None:
    if func.is_view or name.partition(".")[0] in _NO_ARITHMETIC:
        return
    counter = flop_registry.get(func._overloadpacket)
    if counter is not None:
        work = int(counter(*args, **kwargs, out_val=found)) // 2
    else:
        tensors = [x for x in pytree.tree_leaves((args, kwargs, found)) if isinstance(x, Tensor)]
        work = max((prod(x.shape) for x in tensors), default=0)
    COUNT.add(name, work, is_on_device=is_on_device)


class _Module(registration._DummyBackendModule):  # type: ignore[no-any-unimported,misc]
    """What torch asks a device's module for."""

    def get_rng_state(self, device: Any = None) -> Tensor:
        del device
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        del state, device

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]

    def is_bf16_supported(self, *, including_emulation: bool = True) -> bool:
        return including_emulation

    def set_device(self, device: Any) -> None:
        del device

    def empty_cache(self) -> None: ...

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        del device

    def max_memory_allocated(self, device: Any = None) -> int:
        del device
        return 2**20

    def synchronize(self, device: Any = None) -> None:
        del device

    def get_device_name(self, device: Any = None) -> str:
        del device
        return "Simulated accelerator"


class _Inline:
    """An executor that runs at once: dispatch modes are of one thread."""

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def submit(self, call: Any, *args: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(call(*args))
        return future


_pinned: set[int] = set()
_kept: list[Tensor] = []


def is_pinned(tensor: Tensor) -> bool:
    """Return whether a CPU tensor was pinned since `register`."""
    return tensor.data_ptr() in _pinned


def _pin(tensor: Tensor, device: Any = None) -> Tensor:
    del device
    copy = tensor.clone()
    _kept.append(copy)  # so that no other tensor gets its address
    _pinned.add(copy.data_ptr())
    return copy


def register() -> None:
    """Add the device to torch, once a process."""
    if hasattr(torch, NAME):
        return
    registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    library = torch.library.Library("_", "IMPL")
    library.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _Module.library = library  # type: ignore[attr-defined]  # it ends with its owner
    torch._C._set_only_lift_cpu_tensors(True)
    Tensor.pin_memory = _pin  # type: ignore[method-assign]
    samples.ThreadPoolExecutor = _Inline  # type: ignore[assignment,misc]
