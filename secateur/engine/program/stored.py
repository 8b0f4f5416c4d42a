"""Tensors of a ``.pt2`` file: raw little-endian bytes with declared shapes and strides."""

import keyword
import math
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from secateur.engine.errors import ModelTooLargeError
from secateur.engine.program.archive import Archive
from secateur.engine.program.document import Document
from secateur.engine.program.limits import ModelLimits

# torch._export.serde.schema.ScalarType
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_STRIDED = 7
_MAX_SIZE = 2**40
MOST_NAME_PARTS = 64
_MAX_NAME_LENGTH = 512


@dataclass
class StoredTensors:
    """Tensors by canonical name, and the canonical name of every name.

    Names of the same tensor (tied weights) share one canonical name.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    canonical: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """Layout of a tensor in an entry's bytes; strides and offset are in elements."""

    meta: Document
    entry: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype

    @property
    def identity(self) -> tuple[object, ...]:
        """Key that is equal for two names of the same tensor."""
        return (self.entry, self.shape, self.stride, self.offset, self.dtype)


def read_tensors(
    archive: Archive,
    limits: ModelLimits,
    load: Callable[[Layout, bytes], Tensor],
) -> StoredTensors:
    """Return every weight and constant.

    All layouts are checked before any bytes are read, and each entry is read once, however many
    tensors claim it. So work and memory are bounded by the size of the file.

    Args:
        archive: Open ``.pt2`` file.
        limits: Limits on tensors.
        load: Builds a tensor from its layout and its entry's bytes. Tests whose files hold graphs
            without weights pass another function than `load_tensor`.

    Raises:
        ModelRejectedError: A payload is pickled or opaque, or its shape does not fit its bytes.
        ModelTooLargeError: All tensors together have too many elements, or one has too many
            dimensions.
    """
    stored = StoredTensors()
    layouts: dict[str, list[tuple[str, Layout]]] = {}
    for name, layout in _layouts(archive, stored, limits):
        layouts.setdefault(layout.entry, []).append((name, layout))
    _check_prefixes(stored)
    for entry, found in layouts.items():
        data = archive.read(entry)
        for name, layout in found:
            stored.tensors[name] = load(layout, data)
    return stored


def _layouts(
    archive: Archive, stored: StoredTensors, limits: ModelLimits
) -> Iterator[tuple[str, Layout]]:
    """Yield each tensor's canonical name and layout; fill ``stored.canonical``."""
    seen: dict[tuple[object, ...], str] = {}
    num_elements = 0
    for kind, stem in (("weights", "weight"), ("constants", "tensor")):
        entry = f"data/{kind}/model_{kind}_config.json"
        if entry not in archive and kind == "constants":
            continue
        config = Document.parse(archive.read(entry), entry)["config"]
        for name, payload in config.items():
            check_name(name, payload)
            if name in stored.canonical:
                payload.refuse("the name occurs twice")
            if payload["use_pickle"].value is not False:
                payload.refuse("is pickled; only raw tensors are accepted")
            path = payload["path_name"].string(rf"{stem}_\d{{1,7}}")
            layout = _layout(payload["tensor_meta"], f"data/{kind}/{path}", limits)
            stored.canonical[name] = seen.setdefault(layout.identity, name)
            if stored.canonical[name] != name:
                continue
            num_elements += math.prod(layout.shape)
            if num_elements > limits.tensor_elements:
                raise ModelTooLargeError(
                    f"the tensors up to {name[:80]!r} have {num_elements} elements, at most "
                    f"{limits.tensor_elements}"
                )
            yield name, layout


def check_name(name: str, where: Document) -> None:
    """Refuse a tensor name that is not a dotted path of module names.

    Allowed are letters and digits of any script, ``_``, ``-``, ``+``, ``:`` and spaces, such as
    ``block4-0``. torch writes names into the source of generated modules, in double quotes or as
    attributes. So names must not contain quotes or path separators, be keywords, or change under
    Python's normalisation (NFKC).

    Raises:
        ModelRejectedError: The name is not accepted.
    """
    if len(name) > _MAX_NAME_LENGTH:
        where.refuse(f"a name of {len(name)} characters, at most {_MAX_NAME_LENGTH}")
    parts = name.split(".")
    if len(parts) > MOST_NAME_PARTS:
        where.refuse(f"{name[:60]!r} nests {len(parts)} deep, at most {MOST_NAME_PARTS}")
    if not all(map(is_name_part, parts)):
        where.refuse(
            f"the tensor's name {name[:60]!r} is not accepted: between dots, use letters, digits, "
            "'_', '-', '+', ':' and spaces, but no Python keywords (in, is, class); torch cannot "
            "run such a file either. Rename the module, and export again"
        )


def is_name_part(part: str) -> bool:
    """Return whether a tensor's name may have this part between dots."""
    is_plain = bool(part) and all(c.isalnum() or c in "_-+: " for c in part)
    return is_plain and not keyword.iskeyword(part) and unicodedata.normalize("NFKC", part) == part


def read_dtype(meta: Document) -> torch.dtype:
    """Return the torch type of a serialised scalar type."""
    dtype = DTYPES.get(meta.integer())
    if dtype is None:
        meta.refuse(f"scalar type {meta.value} is not accepted")
    return dtype


def _layout(meta: Document, entry: str, limits: ModelLimits) -> Layout:
    if meta["layout"].integer() != _STRIDED:
        meta.refuse("only strided tensors are accepted")
    sizes, strides = meta["sizes"].list(), meta["strides"].list()
    if len(sizes) != len(strides):
        meta.refuse(f"rank {len(sizes)} with {len(strides)} strides")
    if len(sizes) > limits.tensor_rank:
        raise ModelTooLargeError(f"{meta.path}: rank {len(sizes)}, at most {limits.tensor_rank}")
    shape = tuple(size["as_int"].integer(0, _MAX_SIZE) for size in sizes)
    stride = tuple(step["as_int"].integer(0, _MAX_SIZE) for step in strides)
    offset = meta["storage_offset"]["as_int"].integer(0, _MAX_SIZE)
    return Layout(meta, entry, shape, stride, offset, read_dtype(meta["dtype"]))


def load_tensor(layout: Layout, data: bytes) -> Tensor:
    """Return the tensor with ``layout`` from the bytes of its entry.

    Raises:
        ModelRejectedError: The layout does not fit the bytes, or a value is NaN.
    """
    meta, dtype = layout.meta, layout.dtype
    shape, stride, offset = layout.shape, layout.stride, layout.offset
    if len(data) % dtype.itemsize:
        meta.refuse(f"{len(data)} bytes are not a whole number of {dtype}")
    num_stored = len(data) // dtype.itemsize
    num_elements = math.prod(shape)
    if num_elements == 0:
        return torch.empty(shape, dtype=dtype)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    # More elements than stored means that they overlap (a stride of 0): a decompression bomb.
    if last >= num_stored or num_elements > num_stored:
        meta.refuse(
            f"shape {list(shape)} needs more than the {num_stored} elements that are stored"
        )
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    tensor = flat.as_strided(shape, stride, offset).contiguous().clone()
    # Attention masks hold infinity. `faults` checks weights for it, since it knows the roles.
    if tensor.is_floating_point() and bool(torch.isnan(tensor).any()):
        meta.refuse("has values that are NaN or infinite")
    return tensor


def _check_prefixes(stored: StoredTensors) -> None:
    """Refuse tensors ``a`` and ``a.b`` in one file: ``a`` is either a tensor or a module."""
    for name in stored.canonical:
        parts = name.split(".")
        for length in range(1, len(parts)):
            prefix = ".".join(parts[:length])
            if prefix in stored.canonical:
                Document(None, "weights").refuse(f"{prefix!r} is a tensor and holds {name!r}")
