"""Inference counts and nanoseconds in the format of Triton's statistics extension.

Counted per API process since it started.
"""

import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.registry.resolve import Choice

_NANOSECONDS = 1e9
_MILLISECONDS = 1e3
_MAX_MODELS = 10_000


@dataclass
class _Sum:
    count: float = 0.0
    seconds: float = 0.0

    def add(self, seconds: float, count: float = 1.0) -> None:
        self.count += count
        self.seconds += seconds

    def to_json(self) -> dict[str, int]:
        return {"count": round(self.count), "ns": round(self.seconds * _NANOSECONDS)}


class Timing(NamedTuple):
    """Timings and sizes of one successful request.

    Attributes:
        total: Time from the request's head to its answer.
        queue: Time in the batcher's queue.
        compute_input: Time to parse the request.
        compute_infer: Compute time of the whole run.
        compute_output: Time to write the answer.
        num_items: Items of the request on dimension 0.
        batch_size: Items of all requests in the run.
    """

    total: float
    queue: float
    compute_input: float
    compute_infer: float
    compute_output: float
    num_items: int
    batch_size: int


_PARTS = ("queue", "compute_input", "compute_infer", "compute_output")
_BATCH_PARTS = ("compute_input", "compute_infer", "compute_output")


@dataclass
class _Model:
    choice: Choice
    last_at: float = 0.0
    num_items: int = 0
    num_runs: float = 0.0
    sums: dict[str, _Sum] = field(
        default_factory=lambda: {name: _Sum() for name in ("success", "fail", *_PARTS)}
    )
    batches: dict[int, dict[str, _Sum]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        nothing = _Sum().to_json()
        return {
            "name": self.choice.name,
            "version": self.choice.version,
            "last_inference": round(self.last_at * _MILLISECONDS),
            "inference_count": self.num_items,
            "execution_count": round(self.num_runs),
            "inference_stats": {
                **{name: total.to_json() for name, total in self.sums.items()},
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "batch_stats": [
                {"batch_size": size, **{name: s.to_json() for name, s in sums.items()}}
                for size, sums in sorted(self.batches.items())
            ],
            "memory_usage": [],
        }


class Statistics:
    """Counts of every requested model. For one event loop."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], _Model] = {}

    def succeed(self, tenant: str, choice: Choice, timing: Timing) -> None:
        """Count an answered request."""
        model = self._model(tenant, choice)
        model.last_at = time.time()
        model.num_items += timing.num_items
        # Each request counts its share of a shared run.
        share = timing.num_items / max(timing.batch_size, timing.num_items)
        model.num_runs += share
        model.sums["success"].add(timing.total)
        batch = model.batches.setdefault(timing.batch_size, {name: _Sum() for name in _BATCH_PARTS})
        for name in _PARTS:
            model.sums[name].add(getattr(timing, name))
        for name in _BATCH_PARTS:
            seconds = getattr(timing, name)
            batch[name].add(seconds * share if name == "compute_infer" else seconds, share)

    def fail(self, tenant: str, choice: Choice, seconds: float) -> None:
        """Count a failed request."""
        self._model(tenant, choice).sums["fail"].add(seconds)

    def of(self, tenant: str, choice: Choice) -> dict[str, Any]:
        """Return the counts of one version, zeros if it was never requested."""
        found = self._models.get((tenant, choice.model_id))
        return (found or _Model(choice)).to_json()

    def of_name(self, tenant: str, name: str) -> list[dict[str, Any]]:
        """Return the counts of the requested versions of a name."""
        return [
            model.to_json()
            for (owner, _), model in self._models.items()
            if owner == tenant and model.choice.name == name
        ]

    def of_all(self, tenant: str) -> list[dict[str, Any]]:
        """Return the counts of a tenant's models."""
        return [model.to_json() for (owner, _), model in self._models.items() if owner == tenant]

    def _model(self, tenant: str, choice: Choice) -> _Model:
        key = (tenant, choice.model_id)
        found = self._models.get(key)
        if found is None:
            if len(self._models) >= _MAX_MODELS:
                del self._models[next(iter(self._models))]
            found = self._models[key] = _Model(choice)
        return found
