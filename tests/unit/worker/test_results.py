"""Results of jobs' processes: what the API reads has the type that the API expects."""

from typing import Any, get_args

import pytest

from app.contracts.job import JobKind
from app.jobs.plans import Plan
from secateur.engine.export.formats import EXPORT_FORMATS
from worker.messages import MediaType, Succeeded
from worker.pipeline.stages import package
from worker.results import ResultRefusedError, check_result

PROGRAM: dict[str, Any] = {
    "files": [{"name": "pruned.pt2", "media_type": "application/zip"}],
    "program": "pruned.pt2",
}
NETWORK = {"num_parameters": 1, "macs": 1, "file_bytes": 1, "latency_seconds": [], "metrics": []}
PLAN: dict[str, Any] = {
    "config": {}, "fingerprint": "x", "dense": {"macs": 2}, "pruned": {"macs": 1},
    "left": {"macs": 0.5}, "groups": [], "criteria_agreement": {}, "latency_trials": [],
    "warnings": [], "findings": [],
}  # fmt: skip
BOX = {"label": "cat", "x0": 0, "y0": 0, "x1": 1, "y1": 0.5}
POINT = {"label": "nose", "x": 0, "y": 1}
EXAMPLE: dict[str, Any] = {
    "label": "cat", "split": "train", "height": 1, "width": 2, "channels": 1, "pixels": "AAA=",
    "boxes": [BOX], "points": [POINT],
}  # fmt: skip
INT8: dict[str, Any] = {
    "is_kept": True, "is_served": True, "reason": "faster", "target": "vnni", "max_drop": 0.01,
    "metric": "top1", "before": 0.9, "after": 0.9, "num_judged": 10, "num_samples": 10,
    "agreement": 1.0, "recipe": "layers", "calibration": "minmax", "file_bytes": [4, 1],
    "fp32_latency_seconds": [], "latency_seconds": [], "speedups": [], "num_integer": 3,
    "num_float": 0, "num_conversions": 2,
}  # fmt: skip
SUMMARY = {"dense": NETWORK, "retrained": NETWORK, "metric": "top1"}


def check(kind: JobKind, result: object, report: object, **more: Any) -> None:
    more = more or (PROGRAM if kind == JobKind.PRUNE else {})
    message = {"type": "succeeded", "result": result, "report": report, **more}
    check_result(kind, Succeeded.model_validate(message))


def test_genuine_results_pass() -> None:
    check(JobKind.PRUNE, {"summary": SUMMARY}, {"macs": 1, "outputs": [{"name": "y"}]})
    check(JobKind.PRUNE, {"summary": SUMMARY | {"int8": INT8}}, {"int8": {"reason": "faster"}})
    check(JobKind.INTAKE_MODEL, {}, {"num_parameters": 1, "inputs": [{}], "other": "x"})
    check(JobKind.INTAKE_DATASET, {}, {"notes": ["x"], "preprocess": {"scale": 1.0}})
    check(JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE]})
    check(JobKind.PLAN, PLAN, {})


def test_plans_have_the_fields_of_the_api() -> None:
    assert Plan.model_validate(PLAN).fingerprint == "x"
    for name in PLAN:
        with pytest.raises(ResultRefusedError, match=name):
            check(JobKind.PLAN, PLAN | {name: 1}, {})


@pytest.mark.parametrize(
    ("kind", "result", "report"),
    [
        (JobKind.PRUNE, {}, {}),
        (JobKind.PRUNE, {"summary": []}, {}),
        (JobKind.PRUNE, {"summary": {"dense": {}}}, {}),
        (JobKind.PRUNE, {"summary": SUMMARY | {"retrained": NETWORK | {"macs": "x"}}}, {}),
        (JobKind.PRUNE, {"summary": SUMMARY | {"speedups": 1}}, {}),
        (JobKind.PRUNE, {"summary": SUMMARY | {"int8": INT8 | {"speedups": 1}}}, {}),
        (JobKind.PRUNE, {"summary": SUMMARY}, {"int8": {"reason": "x" * 3000}}),
        (JobKind.PRUNE, {"summary": SUMMARY}, {"num_parameters": "x"}),
        (JobKind.INTAKE_MODEL, {}, {"macs": []}),
        (JobKind.INTAKE_MODEL, {}, {"inputs": {}}),
        (JobKind.INTAKE_MODEL, {}, {"outputs": [{"kind": "x"}]}),
        (JobKind.INTAKE_DATASET, {}, {"preprocess": {"scale": "x"}}),
        (JobKind.INTAKE_DATASET, {}, {"preprocess": []}),
        (JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE] * 13}),
        (JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE | {"pixels": "AAAA"}]}),
        (JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE | {"pixels": "no Base64"}]}),
        (JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE | {"height": 65}]}),
        (JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE | {"boxes": [BOX | {"x0": 2}]}]}),
        (JobKind.INTAKE_DATASET, {}, {"examples": [EXAMPLE | {"points": [POINT | {"y": 2}]}]}),
        (JobKind.INTAKE_DATASET, {}, {"class_names": [1]}),
        (JobKind.INTAKE_DATASET, {}, {"notes": "x"}),
    ],
)
def test_a_field_of_another_type_is_refused(kind: JobKind, result: object, report: object) -> None:
    with pytest.raises(ResultRefusedError, match="not as it must be"):
        check(kind, result, report)


def test_a_pruned_model_needs_a_file() -> None:
    with pytest.raises(ResultRefusedError, match="no program"):
        check(JobKind.PRUNE, {"summary": {}}, {}, files=[])


def test_every_file_of_a_job_has_a_media_type_that_the_worker_takes() -> None:
    known = set(get_args(MediaType))
    assert {each.media_type for each in EXPORT_FORMATS.values()} <= known
    assert set(package._FILES.values()) <= known
