"""Whole jobs of every task with labels in the image, with networks that read them perfectly."""

from pathlib import Path
from typing import Any

import pytest
import torch

from app.contracts.job import Stage
from app.contracts.report import Report
from secateur.engine.errors import DataError
from tests.fixtures import cells
from tests.fixtures.jobs import Recorder, dataset_input, request_for, save_model
from worker.messages import StageStarted, Succeeded, Warned
from worker.pipeline.prune import prune

NUM = 48
SHAPES = {"boxes": (32, 32), "masks": (32, 32), "keypoints": (32, 32), "texts": (8, 64)}
SHAPES["vectors"] = SHAPES["keypoints"]
WRITE = {
    "boxes": cells.coco,
    "masks": cells.masks,
    "keypoints": cells.keypoints,
    "texts": cells.texts,
}
TASKS = {
    "boxes": "detection",
    "masks": "segmentation",
    "keypoints": "keypoints",
    "texts": "text_recognition",
}
KINDS = tuple(WRITE)
LIGHT = {"selection": {"mode": "ratio", "ratio": 0.25, "round_to": 1}}
HARSH = {"selection": {"mode": "ratio", "ratio": 0.7, "round_to": 1, "min_channels": 1}}


def found_in(kind: str) -> cells.Grid:
    draw = {"texts": cells.lines, "keypoints": cells.pairs}.get(kind, cells.grids)
    return draw(NUM)


def run(
    folder: Path, kind: str, config: dict[str, Any], data: Path | None = None
) -> tuple[Report, Recorder, Succeeded]:
    example = torch.rand(2, 3, *SHAPES[kind])
    network = Vectors() if kind == "vectors" else cells.Reader(kind)
    model = save_model(network, (example,), folder / "model.pt2")
    given = dataset_input(data or WRITE[kind](found_in(kind), folder), format="zip")
    body = {"sanity": {"action": "stop"}, "export": {"formats": ["pt2"]}, **LIGHT, **config}
    request, reporter = request_for(model, folder, body, dataset=given), Recorder()
    done = prune(request, reporter)
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    return report, reporter, done


@pytest.mark.parametrize(
    ("kind", "task", "metric", "objective"),
    [
        ("boxes", "detection", "map50_95", "distill_sure"),
        ("masks", "segmentation", "miou", "dice"),
        ("texts", "text_recognition", "exact", "ctc"),
        ("keypoints", "keypoints", "oks_ap", "distill_sure"),
    ],
)
def test_a_task_is_found_from_the_data_and_judged_by_its_metric(
    tmp_path: Path, kind: str, task: str, metric: str, objective: str
) -> None:
    config = {"retrain": {"epochs": 1, "batch_size": 16, "optimizer": {"learning_rate": 1e-3}}}
    report, reporter, done = run(tmp_path, kind, config)
    assert (report.task, report.metric, report.objective) == (task, metric, objective)
    assert done.report["task"]["name"] == task
    dense, after = report.dense.metrics[0], report.retrained.metrics[0]
    assert dense.value(metric) == pytest.approx(1.0)
    assert after.value(metric) == pytest.approx(1.0)
    assert after.interval is not None
    assert after.change is not None
    assert not after.change.is_measurable
    assert {finding.severity for finding in reporter.findings} <= {"notice"}
    page = (tmp_path / "out/report.html").read_text()
    assert task.replace("_", " ") in page


@pytest.mark.parametrize("kind", ["boxes", "masks", "keypoints"])
def test_a_report_has_the_metrics_of_every_class(tmp_path: Path, kind: str) -> None:
    report, _, _ = run(tmp_path, kind, {})
    found = report.retrained.metrics[0].classes
    names = [each.name for each in found]
    assert names == (["black"] if kind == "masks" else []) + list(cells.NAMES)
    assert all(set(each.intervals) == set(each.values) for each in found)
    assert "red" in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_is_trained_without_its_labels(tmp_path: Path, kind: str) -> None:
    config = {
        "task": TASKS[kind],
        "retrain": {"epochs": 1, "batch_size": 16, "objective": "distill"},
    }
    report, _, _ = run(tmp_path, kind, config)
    assert report.objective == "distill"
    assert report.retrained.metrics[0].value(report.metric or "") == pytest.approx(1.0)


class Vectors(torch.nn.Module):
    """A network that answers the colour of every cell as a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.read = cells.Reader("keypoints")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vector: torch.Tensor = self.read(x).flatten(1)
        return vector


def test_an_embedding_is_judged_by_the_nearest_samples(tmp_path: Path) -> None:
    scenes = cells.grids(4, seed=3)  # a folder for each, with pictures of different brightness
    files = {
        f"{name}/{n}.png": cells.png(scene, brightness=255 - 5 * n)
        for name, scene in zip("abcd", scenes, strict=True)
        for n in range(12)
    }
    data = cells.archive(tmp_path, files)
    config = {"task": "embedding", "retrain": {"epochs": 1, "batch_size": 16}}
    report, _, done = run(tmp_path, "vectors", config, data)
    found = report.task, report.metric, report.objective
    assert found == ("embedding", "recall1", "distill_cosine")
    dense, after = report.dense.metrics[0], report.retrained.metrics[0]
    assert (dense.recall1, after.recall1, after.top1) == (1.0, 1.0, None)
    assert after.interval is not None
    assert after.change is not None
    assert done.report["outputs"][0]["kind"] == "other"  # no classes for /infer to name


def test_pairs_are_judged_as_identities(tmp_path: Path) -> None:
    scenes = cells.grids(20, seed=3)
    files = {
        f"{n}_{brightness}.png": cells.png(scene, brightness=brightness)
        for n, scene in enumerate(scenes)
        for brightness in (255, 250)
    }
    rows = [f"{n}_255.png,{n}_250.png,1" for n in range(20)]
    data = cells.archive(tmp_path, files | {"pairs.csv": "\n".join(rows).encode()})
    report, _, _ = run(tmp_path, "vectors", {}, data)
    assert (report.task, report.metric) == ("embedding", "recall1")
    assert report.dense.metrics[0].recall1 == 1.0


def test_recall_needs_an_identity_twice_in_a_split(tmp_path: Path) -> None:
    """A recall of nothing was 0, for the dense network as well, and the verdict was good."""
    pictures = {name: cells.png(scene) for name, scene in zip("ab", cells.grids(2), strict=True)}
    files = {f"train/{name}/{n}.png": pictures[name] for name in "ab" for n in range(20)}
    files |= {f"test/{name}/x.png": pictures[name] for name in "ab"}
    with pytest.raises(DataError, match="no identity occurs twice in the test split of 2 samples"):
        run(tmp_path, "vectors", {"task": "embedding"}, cells.archive(tmp_path, files))


def test_an_embedding_is_one_vector(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": cells.png(cells.grids(1)[0]) for name in "ab" for n in range(8)}
    with pytest.raises(DataError, match="embeddings are one vector for each sample"):
        run(tmp_path, "keypoints", {"task": "embedding"}, cells.archive(tmp_path, files))


def test_a_custom_task_compares_outputs_alone(tmp_path: Path) -> None:
    report, _, done = run(tmp_path, "boxes", {"task": "custom"})
    assert (report.task, report.metric) == ("custom", "output_error")
    assert done.report["task"] == done.report["task"] | {"name": "custom", "head": None}


def test_a_task_that_the_labels_do_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs labels of the kind masks; the data set has boxes"):
        run(tmp_path, "boxes", {"task": "segmentation"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_finds_nothing_after_the_cut_is_named_before_training(
    tmp_path: Path, kind: str
) -> None:
    config = {**HARSH, "repair": {"kind": "none"}}
    report, _, _ = run(tmp_path, kind, config)
    assert [each.severity for each in report.findings if each.code == "finds_nothing"] == [
        "serious"
    ]
    assert report.verdict is not None
    assert report.verdict.status == "not_ready"


def test_training_that_starts_from_nothing_is_told_before_it_starts(tmp_path: Path) -> None:
    config = {**HARSH, "repair": {"kind": "none"}, "retrain": {"epochs": 1, "batch_size": 16}}
    _, reporter, _ = run(tmp_path, "boxes", config)
    sent = [m for m in reporter.messages if isinstance(m, StageStarted | Warned)]
    codes = [m.stage if isinstance(m, StageStarted) else m.code for m in sent]
    assert codes.index("finds_nothing_before_training") < codes.index(Stage.RETRAIN)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_do_not_fit_the_images_stop_the_job(tmp_path: Path, kind: str) -> None:
    wanted = found_in(kind)
    data = WRITE[kind](wanted, tmp_path, pictures=wanted[::-1] * 0)
    with pytest.raises(DataError, match="dense network"):
        run(tmp_path, kind, {}, data)
