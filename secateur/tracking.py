"""What trackers of experiments get from a job: its config, its curves and its final figures."""

from collections.abc import Iterator, Mapping
from typing import Any

from secateur.types import Event, JobResult, Network

_NOT_MEASURED = frozenset({"epoch", "num_epochs"})


def flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of a nested config with dotted names."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def epoch_numbers(event: Event) -> tuple[str, dict[str, float]] | None:
    """Return the title of a training and the numbers of one epoch; None for other events."""
    data = event.data
    if event.type != "metric" or data.get("kind") != "epoch":
        return None
    return data.get("run") or "retrain", {
        name: float(value)
        for name, value in flat(data)
        if isinstance(value, int | float) and name not in _NOT_MEASURED
    }


def figures(result: JobResult) -> dict[str, float]:
    """Return size, speed and quality of the networks before and after."""
    summary = result.summary
    found: dict[str, float] = {}
    networks: dict[str, Network] = {"dense": summary.dense, "pruned": summary.retrained}
    for which, network in networks.items():
        found[f"{which}.macs"] = network.macs
        found[f"{which}.parameters"] = network.num_parameters
        found[f"{which}.file_bytes"] = network.file_bytes
        value = network.value(summary.metric)
        if summary.metric and value is not None:
            found[f"{which}.{summary.metric}"] = value
    for speedup in summary.speedups:
        if speedup.is_measurable:
            found[f"speedup.batch_{speedup.batch_size}"] = speedup.ratio
    return found
