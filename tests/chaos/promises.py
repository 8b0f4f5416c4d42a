"""What a job left behind, compared with an undisturbed run: nothing is lost or doubled."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from app.records.tables import ArtifactRow, EventRow, JobRow, ModelRow

ARTIFACTS = ("plan.json", "weights.safetensors", "model.onnx", "pruned.pt2")


@dataclass(frozen=True)
class Trace:
    """Rows of a job that has ended, without ids and measured times.

    Attributes:
        state: State of the job, and its error.
        attempt: Number of attempts.
        max_attempts: Most attempts.
        num_setbacks: Number of setbacks.
        num_events: Number of events that the job's row says.
        finished_at: When it ended.
        events: Number and type of each event.
        metrics: Data of the metric events, without the seconds that they took.
        sha256: Hash of each artifact.
        artifacts: Names of the artifacts' rows.
        num_models: Number of model versions.
    """

    state: str
    attempt: int
    max_attempts: int
    num_setbacks: int
    num_events: int
    finished_at: float | None
    events: list[tuple[int, str]]
    metrics: list[dict[str, Any]]
    sha256: dict[str, str]
    artifacts: list[str]
    num_models: int

    def broken(self, reference: "Trace | None" = None) -> list[str]:
        """Return the promises that are broken, compared with an undisturbed run if it is given."""
        if not self.state.startswith("succeeded"):
            return [f"it is {self.state}"]
        numbers = [number for number, _ in self.events]
        names = Counter(self.artifacts)
        num_ends = [kind for _, kind in self.events].count("job.succeeded")
        promises = {
            f"attempt {self.attempt} of {self.max_attempts}": self.attempt <= self.max_attempts,
            f"{self.num_models} model versions": self.num_models == 1,
            f"artifact rows {dict(names)}": set(names.values()) == {1},
            f"missing artifacts among {sorted(names)}": names.keys() >= set(ARTIFACTS),
            f"{num_ends} job.succeeded events": num_ends == 1,
            f"the last event is {self.events[-1]}": self.events[-1][1] == "job.succeeded",
            f"event numbers {numbers}": numbers == list(range(1, self.num_events + 1)),
        }
        if reference is not None:
            changed = [n for n in ARTIFACTS if self.sha256.get(n) != reference.sha256.get(n)]
            promises |= {
                f"other bytes in {changed}": not changed,
                f"metrics {_steps(self)} instead of {_steps(reference)}": (
                    self.metrics == reference.metrics
                ),
            }
        return [what for what, is_kept in promises.items() if not is_kept]


def read_trace(engine: Engine, job_id: str) -> Trace:
    """Read what a job left behind."""
    with Session(engine) as session:
        job = session.get_one(JobRow, job_id)
        query = select(EventRow).where(EventRow.job_id == job_id).order_by(EventRow.number)
        events = session.scalars(query).all()
        files = session.scalars(select(ArtifactRow).where(ArtifactRow.job_id == job_id)).all()
        models = session.scalars(select(ModelRow.id).where(ModelRow.job_id == job_id)).all()
        return Trace(
            state=job.state if job.error is None else f"{job.state}: {job.error}",
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            num_setbacks=job.num_setbacks,
            num_events=job.num_events,
            finished_at=job.finished_at,
            events=[(event.number, event.type) for event in events],
            metrics=[_without_seconds(e.data) for e in events if e.type == "metric"],
            sha256={file.name: file.sha256 for file in files},
            artifacts=[file.name for file in files],
            num_models=len(models),
        )


def _without_seconds(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "seconds"}


def _steps(trace: Trace) -> list[Any]:
    return [data.get("epoch", data.get("kind")) for data in trace.metrics]
