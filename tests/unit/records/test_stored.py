"""Readers of what a job's process reported stand any JSON: a list must not fail for one row."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from app.contracts.spec import PreprocessSpec
from app.datasets.schemas import warnings_of
from app.inference.labels import labelled_output
from app.inference.servable import Servable
from app.models.schemas import to_model
from app.records.stored import DatasetSummary, summary_of_dataset
from app.records.tables import DatasetRow, JobRow, ModelRow
from app.sweeps.table import make_table

NETWORK: dict[str, Any] = {"macs": 5, "num_parameters": 2, "metrics": [], "latency_seconds": []}
ODD: list[Any] = [None, 7, "x", [], [1], {}, {"x": 1}, float("inf"), -1, 10**400, 5e-324]
ODD_METRICS = [{"split": "test", "runtime": "torch", "top1": value} for value in (*ODD, True)]


def to_json(found: BaseModel) -> str:
    return json.dumps(found.model_dump(mode="json"), allow_nan=False)


def rows(*summaries: object) -> list[Any]:
    jobs = [
        JobRow(id="job", state="succeeded", error=None, result={"summary": summary, "model": "m"})
        for summary in summaries
    ]
    return make_table([({}, job) for job in jobs])


@pytest.mark.parametrize("name", ["dense", "retrained", "metric", "speedups", "load"])
def test_a_sweep_shows_a_job_whatever_its_summary_says(name: str) -> None:
    whole = {"dense": NETWORK, "retrained": NETWORK, "metric": "top1"}
    lacking = {field: value for field, value in whole.items() if field != name}
    found = rows(lacking, *({**whole, name: odd} for odd in ODD), *ODD)
    assert all(row.status == "succeeded" for row in found)
    for row in found:
        to_json(row)


@pytest.mark.parametrize("field", NETWORK)
def test_a_sweep_shows_a_job_whatever_its_networks_report(field: str) -> None:
    for odd in (*ODD, *([found] for found in ODD_METRICS), [{"batch_size": 1, "p50": 5e-324}]):
        hostile = {**NETWORK, field: odd}
        networks = {"dense": NETWORK, "retrained": NETWORK}
        for row in rows(networks | {"dense": hostile}, networks | {"retrained": hostile}):
            to_json(row)
    speedup = {"batch_size": 1, "ratio": 0.0, "low": 0.0, "high": 1.0}
    [row] = rows({"dense": NETWORK, "retrained": NETWORK, "speedups": [speedup]})
    assert row.macs_share == 1


@pytest.mark.parametrize("field", ["num_parameters", "macs", "inputs", "outputs"])
def test_a_model_is_shown_whatever_its_report_says(field: str) -> None:
    for odd in ODD:
        row = ModelRow(
            id="m", name="n", version="1", tags=[], status="ready", format="onnx", sha256="",
            num_bytes=1,
            report={"num_parameters": 3, field: odd}, meta={}, created_at=0.0,
        )  # fmt: skip
        to_json(to_model(row))


def test_a_data_set_keeps_its_readable_fields() -> None:
    for odd in ODD:
        row = DatasetRow(summary={"notes": odd, "class_names": ["a"]}, format="csv")
        assert isinstance(warnings_of(row), list)
        assert summary_of_dataset(row).class_names == ["a"]
    assert summary_of_dataset(DatasetRow(summary=7)) == DatasetSummary()


@pytest.mark.parametrize("kind", ["logits", "log_probabilities", "binary_logit", "label_logits"])
@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 3, 4), (2, 0)])
def test_scores_of_another_shape_than_their_kind_are_plain_outputs(
    kind: str, shape: tuple[int, ...]
) -> None:
    model = Servable("m", "t", "1", "", PreprocessSpec(), None, output_kinds={"y": kind})
    found = labelled_output(model, {"y": np.zeros(shape, np.float32)})
    is_right = shape == ((2,) if kind == "binary_logit" else (2, 3))
    assert (found is not None) == is_right
