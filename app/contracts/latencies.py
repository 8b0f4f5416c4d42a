"""Latencies of layers that a user's device measured: the CSV file of ``secateur_bench.py``.

The file comes from a stranger: each error names the row, the value and what is allowed.
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.contracts.bench import Bench, LayerKey
from app.contracts.latency_rows import LatenciesError, quoted, rows_of
from app.contracts.spec import BudgetSelection, SelectionSpec
from secateur.secateur_bench import COLUMNS

__all__ = ["Latencies", "LatenciesError", "check_asked", "check_covers", "read_latencies"]

NETWORK = "network"  # kind of the row about the whole dense network
PRECISIONS = ("fp32", "int8")
_SHARED = COLUMNS[:7]  # the same in every row
_KINDS = ("conv", "conv_transpose", "linear", NETWORK)
_SIZES = ("space", "kernel", "stride", "padding", "dilation")
_MOST_SECONDS = 3600.0
_MOST_CHARACTERS = 100
# Milliseconds are a thousand times as much. On a busy device a layer may wait for a processor.
_MOST_OF_NETWORK, _MOST_WAIT_SECONDS = 3, 0.02
_COUNT = re.compile(r"[0-9]{1,7}")
_SIZE = re.compile(r"([0-9]{1,6}(x[0-9]{1,6}){0,2})?")
_BENCH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Latencies:
    """Latencies that a device measured.

    Attributes:
        model: Id of the model that was measured.
        bench: Id of its list of layers.
        device: Name of the device.
        runtime: Name of the runtime.
        runtime_version: Version of the runtime.
        num_threads: Threads of one call.
        batch_size: Samples per call.
        seconds: Median seconds of one call, by precision and layer.
        rows: Number of the row of each layer.
        network_seconds: Median seconds of the whole dense network in fp32, if it was measured.
        int8_network_seconds: Those of its int8 file, which also has the conversions between layers.
    """

    model: str
    bench: str
    device: str
    runtime: str
    runtime_version: str
    num_threads: int
    batch_size: int
    seconds: dict[str, dict[LayerKey, float]]
    rows: dict[tuple[str, LayerKey], int]
    network_seconds: float | None = None
    int8_network_seconds: float | None = None

    @property
    def precisions(self) -> tuple[str, ...]:
        """Precisions with rows."""
        return tuple(name for name in PRECISIONS if self.seconds[name])


def read_latencies(data: bytes, most_rows: int) -> Latencies:
    """Return what a CSV file says.

    Raises:
        LatenciesError: The file is not one that ``secateur_bench.py`` writes; the message names the
            row.
    """
    shared: tuple[str, ...] | None = None
    seconds: dict[str, dict[LayerKey, float]] = {name: {} for name in PRECISIONS}
    rows: dict[tuple[str, LayerKey], int] = {}
    networks: dict[str, float] = {}
    for number, row in rows_of(data, most_rows):
        values = tuple(row[name] for name in _SHARED)
        if shared is None:
            _check_shared(number, row)
            shared = values
        elif values != shared:
            name, found, first = next(
                each for each in zip(_SHARED, values, shared, strict=True) if each[1] != each[2]
            )
            raise LatenciesError(
                f"row {number}: {name} is {quoted(found)}, and in the first row {quoted(first)}; "
                "upload one file for each"
            )
        precision = _one_of(number, row, "precision", PRECISIONS)
        taken = _seconds(number, row)
        if _one_of(number, row, "kind", _KINDS) == NETWORK:
            if precision in networks:
                raise LatenciesError(
                    f"row {number}: the whole network has one {precision} row, and this is another"
                )
            networks[precision] = taken
            continue
        key = _layer(number, row)
        if key in seconds[precision]:
            raise LatenciesError(
                f"row {number} repeats row {rows[precision, key]}: {key} ({precision})"
            )
        seconds[precision][key], rows[precision, key] = taken, number
    if shared is None or not seconds["fp32"]:
        raise LatenciesError("the file has no fp32 rows of layers: run secateur_bench.py again")
    model, bench, device, runtime, version, threads, batch = shared
    counts = int(threads), int(batch)
    for precision, whole in networks.items():
        _check_units(precision, seconds[precision], rows, whole)
    wholes = networks.get("fp32"), networks.get("int8")
    return Latencies(model, bench, device, runtime, version, *counts, seconds, rows, *wholes)


def _check_units(
    precision: str,
    seconds: Mapping[LayerKey, float],
    rows: Mapping[tuple[str, LayerKey], int],
    network: float,
) -> None:
    """Check that the median layer takes no longer than the network, except by noise."""
    ordered = sorted(seconds, key=seconds.__getitem__)
    if not ordered:
        return
    middle = ordered[len(ordered) // 2]
    if seconds[middle] > _MOST_OF_NETWORK * network + _MOST_WAIT_SECONDS:
        raise LatenciesError(
            f"row {rows[precision, middle]}: the layer takes {seconds[middle]:g} s, and the "
            f"whole network {network:g} s: every time must be in seconds"
        )


def check_covers(latencies: Latencies, bench: Bench, name: str) -> None:
    """Check that every layer of a model was measured, in each precision, and no other one.

    Args:
        latencies: The measurements.
        bench: The model's layers.
        name: The model's name, for messages.

    Raises:
        LatenciesError: A row is about another model's layer, or a layer has no row.
    """
    wanted = dict.fromkeys(bench.all_layers())
    for (_, key), number in latencies.rows.items():
        if key not in wanted:
            raise LatenciesError(f"row {number}: model {name!r} has no {key}")
    for precision in latencies.precisions:
        missing = [key for key in wanted if key not in latencies.seconds[precision]]
        if missing:
            what = f"the {precision} row of {missing[0]} is missing"
            if len(missing) > 1:
                what = f"{len(missing)} {precision} rows are missing, first that of {missing[0]}"
            raise LatenciesError(
                f"{what}: run secateur_bench.py again "
                "with the same --out; it measures what is missing"
            )


def check_asked(precisions: Collection[str], batch_size: int, selection: SelectionSpec) -> None:
    """Check that latencies are about what a config asks for.

    Args:
        precisions: Precisions that were measured.
        batch_size: Samples per call.
        selection: The config's selection.

    Raises:
        LatenciesError: They are about another precision or batch size.
    """
    if selection.precision not in precisions:
        raise LatenciesError(
            f"they have no {selection.precision} rows: run secateur_bench.py with --precision "
            f"{selection.precision}"
        )
    if isinstance(selection, BudgetSelection) and batch_size != selection.batch_size:
        raise LatenciesError(
            f"they were measured with batch size {batch_size}, and selection.batch_size is "
            f"{selection.batch_size}"
        )


def _check_shared(number: int, row: dict[str, str]) -> None:
    for name in ("model", "device", "runtime", "runtime_version"):
        value = row[name]
        if not value.strip() or not value.isprintable() or len(value) > _MOST_CHARACTERS:
            raise LatenciesError(
                f"row {number}: {name} is {quoted(value)}; it must be 1 to {_MOST_CHARACTERS} "
                "printable characters"
            )
    if _BENCH.fullmatch(row["bench"]) is None:
        raise LatenciesError(f"row {number}: bench is {quoted(row['bench'])}, which is no id")
    for name in ("num_threads", "batch_size"):
        _count(number, row, name, least=1)


def _layer(number: int, row: dict[str, str]) -> LayerKey:
    sizes: dict[str, Any] = {}
    for name in _SIZES:
        if _SIZE.fullmatch(row[name]) is None:
            raise LatenciesError(
                f"row {number}: {name} is {quoted(row[name])}; it must be sizes such as 3x3"
            )
        sizes[name] = tuple(int(each) for each in row[name].split("x") if each)
    names = ("groups", "in_channels", "out_channels")
    counts: dict[str, Any] = {name: _count(number, row, name, least=1) for name in names}
    return LayerKey(kind=row["kind"], **sizes, **counts)


def _seconds(number: int, row: dict[str, str]) -> float:
    names = ("low_seconds", "median_seconds", "high_seconds")
    low, median, high = (_number(number, row, name) for name in names)
    _count(number, row, "num_rounds", least=1)
    if not low <= median <= high:
        raise LatenciesError(
            f"row {number}: median_seconds {median:g} is outside its interval, {low:g} to {high:g}"
        )
    return median


def _number(number: int, row: dict[str, str], name: str) -> float:
    try:
        found = float(row[name])
    except ValueError:
        found = math.nan
    if not 0 < found <= _MOST_SECONDS:  # NaN is not
        raise LatenciesError(
            f"row {number}: {name} is {quoted(row[name])}; it must be a number of seconds above 0, "
            f"at most {_MOST_SECONDS:g}, such as 0.0012"
        )
    return found


def _count(number: int, row: dict[str, str], name: str, *, least: int) -> int:
    if _COUNT.fullmatch(row[name]) is None or int(row[name]) < least:
        raise LatenciesError(
            f"row {number}: {name} is {quoted(row[name])}; it must be a whole number from {least} "
            "to 9999999"
        )
    return int(row[name])


def _one_of(number: int, row: dict[str, str], name: str, known: Sequence[str]) -> str:
    if row[name] not in known:
        raise LatenciesError(
            f"row {number}: {name} is {quoted(row[name])}; it must be one of {', '.join(known)}"
        )
    return row[name]
