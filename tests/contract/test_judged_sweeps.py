"""Sweeps that train what they choose, on SQLite and PostgreSQL."""

import threading
from typing import Any

import pytest
from sqlalchemy import select

from app.contracts.ids import new_id
from app.contracts.job import FailureCode, Stage
from app.dependencies import Context
from app.records import jobs, leases
from app.records.database import current_time
from app.records.leases import Claim
from app.records.outcomes import Outcome, StoredFile
from app.records.tables import DatasetRow, JobRow, ModelRow
from app.sweeps import service
from app.sweeps.schemas import SweepCreate
from app.sweeps.table import make_table
from tests.contract.test_sweeps import NO_KEY, add_model, context

__all__ = ["context"]

CONFIG = {"selection": {"mode": "budget", "macs": 0.9}, "retrain": {"epochs": 3}}
GRID = {"/selection/macs": [0.5, 0.25], "/criterion/kind": ["l1", "l2"]}
WIDE, BEATEN, FAILED, NARROW = range(4)


def add_sweep(context: Context, **changes: Any) -> str:
    model = add_model(context)
    with context.sessions.begin() as session:
        data = DatasetRow(
            id=new_id("ds"), tenant="t", name="data", status="ready", format="npz", filename=None,
            sha256="0" * 64, num_bytes=1, preprocess={}, summary={}, error=None, meta={},
            created_at=current_time(session), deleted_at=None,
        )  # fmt: skip
        session.add(data)
    body = {"model": model, "dataset": data.id, "config": CONFIG, "grid": GRID, **changes}
    return service.create(context, NO_KEY, SweepCreate.model_validate(body))[0]


def rows(context: Context, sweep: str) -> list[JobRow]:
    return [job for _, job in service.read(context, "t", sweep)[1]]


def status(context: Context, sweep: str) -> str:
    with context.sessions() as session:
        return service.status_of(service.count_states(session, [sweep])[sweep])


def claim(context: Context, job: JobRow) -> Claim:
    with context.sessions.begin() as session:
        held = leases.claim(session, job_id=job.id, owner="w", lease_seconds=30)
    assert held is not None
    return held


def end(context: Context, held: Claim, top1: float, macs: int) -> None:
    def network(top1: float, macs: int) -> dict[str, Any]:
        metrics = [{"split": "test", "runtime": "torch", "top1": top1}]
        return {"macs": macs, "num_parameters": macs, "metrics": metrics}

    dense, after = network(0.9, 1000), network(top1, macs)
    summary = {"dense": dense, "repaired": after, "retrained": after}
    file = StoredFile("model.onnx", "application/octet-stream", held.job_id, 1)
    with context.sessions.begin() as session:
        outcome = Outcome({"summary": summary}, {}, (file,), "model.onnx", None)
        assert leases.finish(session, held, outcome)


def finish(context: Context, job: JobRow, top1: float, macs: int) -> None:
    end(context, claim(context, job), top1, macs)


def fail(context: Context, job: JobRow) -> None:
    held = claim(context, job)
    with context.sessions.begin() as session:
        leases.fail(session, held, FailureCode.PLAN_IMPOSSIBLE, "no", Stage.SELECT)


def judge(context: Context, sweep: str) -> list[JobRow]:
    """End all judging jobs: one point beats another, one fails."""
    found = rows(context, sweep)
    finish(context, found[WIDE], 0.8, 500)
    finish(context, found[BEATEN], 0.7, 500)
    fail(context, found[FAILED])
    assert status(context, sweep) == "running"
    finish(context, found[NARROW], 0.6, 250)
    return found


def test_only_points_that_no_other_beats_after_repair_are_trained(context: Context) -> None:
    sweep = add_sweep(context)
    assert [job.resolved["retrain"]["epochs"] for job in rows(context, sweep)] == [0] * 4  # type: ignore[index]
    context.queue.rings.clear()  # type: ignore[attr-defined]
    judged = judge(context, sweep)
    assert status(context, sweep) == "running", "no client may take it for finished"
    training = [job for job in rows(context, sweep) if job.id not in {j.id for j in judged}]
    assert [job.sweep_index for job in training] == [WIDE, NARROW]
    assert [job.resolved["retrain"]["epochs"] for job in training] == [3, 3]  # type: ignore[index]
    assert [job.id for job in training] == [job for job, _ in context.queue.rings]  # type: ignore[attr-defined]
    assert training[0].config == judged[WIDE].config
    finish(context, training[0], 0.88, 500)
    fail(context, training[1])
    assert status(context, sweep) == "partial"
    table = make_table(service.read(context, "t", sweep)[1])
    assert [row.job for row in table] == [
        training[0].id, judged[BEATEN].id, judged[FAILED].id, training[1].id,
    ]  # fmt: skip
    assert [row.value for row in table] == [0.88, 0.7, None, 0.6]
    assert [row.is_trained for row in table] == [True, False, None, False]
    assert [row.status for row in table] == ["succeeded", "succeeded", "failed", "failed"]
    assert [row.judging_job for row in table] == [job.id for job in judged]


def test_a_judged_point_shows_its_repaired_network_until_it_is_trained(context: Context) -> None:
    sweep = add_sweep(context)
    judge(context, sweep)
    table = make_table(service.read(context, "t", sweep)[1])
    assert [row.value for row in table] == [0.8, 0.7, None, 0.6]
    assert [row.repaired_value for row in table] == [0.8, 0.7, None, 0.6]
    assert [row.status for row in table] == ["queued", "succeeded", "failed", "queued"]
    assert [row.is_pareto_macs for row in table] == [True, False, False, True]


def test_of_two_judging_jobs_that_end_at_once_the_second_sees_the_first(context: Context) -> None:
    sweep = add_sweep(context, grid={"/selection/macs": [0.5, 0.25]})
    failing, good = (claim(context, job) for job in rows(context, sweep))
    with context.sessions.begin() as session:
        leases.fail(session, failing, FailureCode.PLAN_IMPOSSIBLE, "no", Stage.SELECT)
        session.flush()
        other = threading.Thread(target=end, args=(context, good, 0.6, 250))
        other.start()
        other.join(timeout=0.3)  # it waits for this transaction
    other.join()
    assert [job.sweep_index for job in rows(context, sweep)] == [0, 1, 1]


def test_a_cancelled_sweep_trains_nothing(context: Context) -> None:
    sweep = add_sweep(context)
    found = rows(context, sweep)
    for job in found[:-1]:
        finish(context, job, 0.8, 500)
    service.cancel(context, "t", sweep)
    assert len(rows(context, sweep)) == 4
    assert status(context, sweep) == "partial"


def test_cancelling_stops_training_jobs_too(context: Context) -> None:
    sweep = add_sweep(context)
    judge(context, sweep)
    service.cancel(context, "t", sweep)
    states = [job.state for job in rows(context, sweep)]
    assert states.count("cancelled") == 2
    assert status(context, sweep) == "partial"


def test_a_point_that_is_judged_later_is_trained_if_nothing_beats_it(context: Context) -> None:
    sweep = add_sweep(context)
    judged = judge(context, sweep)
    with context.sessions.begin() as session:
        jobs.retry(session, judged[FAILED].id)
    finish(context, judged[FAILED], 0.65, 250)
    indices = [job.sweep_index for job in rows(context, sweep)]
    assert indices == [WIDE, WIDE, BEATEN, FAILED, FAILED, NARROW, NARROW], "each is trained once"


@pytest.mark.parametrize("kind", [ModelRow, DatasetRow])
def test_nothing_is_trained_without_its_model_or_data_set(
    context: Context, kind: type[ModelRow | DatasetRow]
) -> None:
    sweep = add_sweep(context, grid={"/selection/macs": [0.5, 0.25]})
    first, last = rows(context, sweep)
    finish(context, first, 0.8, 500)
    with context.sessions.begin() as session:
        column = JobRow.model_id if kind is ModelRow else JobRow.dataset_id
        row = session.scalars(select(kind).where(kind.id.in_(select(column)))).one()
        row.deleted_at = current_time(session)
    finish(context, last, 0.6, 250)
    assert len(rows(context, sweep)) == 2


def test_every_point_is_trained_on_request(context: Context) -> None:
    sweep = add_sweep(context, train="all")
    judge(context, sweep)
    found = rows(context, sweep)
    assert [job.resolved["retrain"]["epochs"] for job in found] == [3] * 4  # type: ignore[index]


def test_epochs_written_as_text_are_no_sign_of_judging(context: Context) -> None:
    sweep = add_sweep(context, config={**CONFIG, "retrain": {"epochs": "0"}})
    judge(context, sweep)
    assert len(rows(context, sweep)) == 4
