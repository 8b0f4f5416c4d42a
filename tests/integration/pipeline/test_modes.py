"""Whole jobs in the test's own process, one for each way of training and selecting."""

import hashlib
import json
import tempfile
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.contracts.report import Report
from app.contracts.spec import CriterionSpec
from secateur.engine.errors import DataError, DivergenceError, PlanError
from tests.fixtures.jobs import Recorder, dataset_input, request_for, save_model
from tests.fixtures.networks import SmallNet, randomise
from tests.fixtures.pages import read_page
from worker.messages import JobRequest, Metric, Planned, Progress
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Trained
from worker.pipeline.preview import preview
from worker.pipeline.prune import prune
from worker.pipeline.report.page import render_page
from worker.pipeline.report.verdict import judge
from worker.pipeline.training.run import Start, train

RETRAIN = {"epochs": 2, "batch_size": 32, "optimizer": {"learning_rate": 0.05}}
ALL_FILES = {"formats": ["pt2", "onnx", "safetensors"]}
EXAMPLE = (torch.zeros(2, 1, 8, 8),)
HALF = {"mode": "budget", "macs": 0.5, "round_to": 1, "min_channels": 2}


class TwoHeads(nn.Module):
    """Boxes and softmaxed scores, as a detector returns them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3), nn.Conv2d(12, 16, 3)
        self.boxes, self.scores = nn.Linear(16, 4), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.conv2(torch.relu(self.conv1(x)))).mean((2, 3))
        return self.boxes(y), self.scores(y).softmax(1)


def samples(num_samples: int = 320) -> tuple[np.ndarray, np.ndarray]:
    """Four classes of noise that differ in amplitude."""
    random = np.random.default_rng(0)
    y = random.integers(0, 4, num_samples)
    x = random.standard_normal((num_samples, 1, 8, 8)) * (1 + y[:, None, None, None])
    return x.astype(np.float32), y


def trained_net(width: int = 16) -> nn.Module:
    """Return a network of the caller's own; the training takes as long as a job."""
    net, state = _trained(width)
    torch.set_rng_state(state)
    return deepcopy(net)


@cache
def _trained(width: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    net, (x, y) = SmallNet(width), samples()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    return net.eval(), torch.get_rng_state()


@cache
def _trained_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save_model(trained_net(), EXAMPLE, Path(folder) / "model.pt2").read_bytes()


def save_data(folder: Path, **arrays: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def job(
    folder: Path, config: dict[str, Any], model: nn.Module | None = None, data: Path | None = None
) -> tuple[JobRequest, Recorder]:
    folder.mkdir(parents=True, exist_ok=True)
    x, y = samples()
    path = folder / "model.pt2"
    if model is None:
        path.write_bytes(_trained_file())
    else:
        save_model(model, EXAMPLE, path)
    data = data or save_data(folder, x=x, y=y)
    # Without ONNX, its proof and its latencies a job takes half of the time.
    config = {"retrain": RETRAIN, "selection": HALF, "export": {"formats": ["pt2"]}, **config}
    return request_for(path, folder, config, dataset=dataset_input(data)), Recorder()


def run(folder: Path, config: dict[str, Any], **more: Any) -> tuple[Report, Recorder]:
    request, reporter = job(folder, config, **more)
    prune(request, reporter)
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    page = (request.output_dir / "report.html").read_text()
    assert page == render_page(report)
    read_page(page)  # well-formed, whatever happened
    return report, reporter


def test_labels_and_teacher_are_the_default_and_the_learning_rate_is_found(tmp_path: Path) -> None:
    config = {"retrain": {"epochs": 2, "batch_size": 32}, "export": ALL_FILES}
    report, _ = run(tmp_path, config)
    assert (report.metric, report.objective, report.criterion) == ("top1", "mixed", "l1")
    assert report.range_test is not None
    assert report.learning_rate == report.range_test.learning_rate
    assert len(report.range_test.curve) > 10
    before, after = (n.metrics[0].top1 for n in (report.pruned, report.retrained))
    assert before is not None
    assert after is not None
    assert after > before
    agreement = report.retrained.metrics[0].agreement
    assert agreement is not None
    assert report.dense.metrics[0].agreement == 1.0
    served = [m for m in report.retrained.metrics if m.runtime == "onnxruntime"]
    assert served[0].top1 == pytest.approx(after, abs=0.05)


def test_a_network_with_several_outputs_is_retrained_without_labels(tmp_path: Path) -> None:
    x, _ = samples()
    config = {"retrain": {"epochs": 6, "batch_size": 32, "optimizer": {"kind": "adamw"}}}
    data = save_data(tmp_path, x=x)
    report, _ = run(tmp_path, config, model=randomise(TwoHeads()), data=data)
    assert (report.metric, report.objective) == ("agreement", "distill")
    pruned, retrained = report.pruned.metrics[0], report.retrained.metrics[0]
    assert pruned.output_error is not None
    assert retrained.output_error is not None
    assert retrained.output_error < pruned.output_error
    assert retrained.top1 is None


@pytest.mark.parametrize(
    ("y", "objective", "metric"),
    [
        (np.random.default_rng(0).random((320, 4)).astype(np.float32), "mse", "mean_error"),
        (np.random.default_rng(0).random((320, 4)) > 0.5, "bce", "macro_f1"),
    ],
)
def test_other_labels_have_objectives_and_metrics_of_their_own(
    y: np.ndarray, objective: str, metric: str, tmp_path: Path
) -> None:
    x, _ = samples()
    report, _ = run(tmp_path, {}, data=save_data(tmp_path, x=x, y=y))
    assert (report.objective, report.metric) == (objective, metric)
    assert report.retrained.metrics[0].value(metric) is not None


def test_an_objective_that_needs_other_labels_is_refused(tmp_path: Path) -> None:
    x, _ = samples()
    config = {"retrain": {**RETRAIN, "objective": "cross_entropy"}}
    with pytest.raises(
        DataError, match=r"needs labels of the kind 'classes'; the data set has 'none'"
    ):
        run(tmp_path, config, data=save_data(tmp_path, x=x))


@pytest.mark.parametrize("mode", ["compact", "masked"])
def test_an_iterative_job_cuts_on_the_way(mode: str, tmp_path: Path) -> None:
    config = {
        "schedule": {"kind": "iterative", "rounds": 3, "ramp": 0.5},
        "retrain": {**RETRAIN, "mode": mode},
    }
    report, _ = run(tmp_path, config)
    assert [cut.target for cut in report.cuts] == sorted(
        (c.target for c in report.cuts), reverse=True
    )
    assert report.cuts[0].step == 0
    assert 0 < report.cuts[1].step < report.cuts[2].step
    assert report.cuts[-1].target == pytest.approx(0.5)
    assert report.retrained.macs <= 0.5 * report.dense.macs
    assert report.pruned.macs == report.retrained.macs
    assert report.equivalence.is_exact


def test_the_plan_of_an_iterative_job_is_that_of_its_last_cut(tmp_path: Path) -> None:
    request, reporter = job(tmp_path, {"schedule": {"kind": "iterative", "rounds": 3}})
    found = preview(request, reporter).result
    assert 0.3 < found["left"]["macs"] <= 0.5
    assert any("again at every cut" in warning for warning in found["warnings"])


def test_a_preview_tells_the_quality_of_the_repaired_network_if_there_is_time(
    tmp_path: Path,
) -> None:
    request, reporter = job(tmp_path, {"retrain": {"epochs": 0}})
    planned = preview(request, reporter).result
    assert planned["repair"] == "reconstruct"
    quality = planned["quality"]
    prune(request, reporter)
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    assert report.repaired is not None
    for network, name in ((report.dense, "dense"), (report.repaired, "repaired")):
        assert network.metrics[0].split == "validation"
        assert quality[name] == network.metrics[0].top1
    assert (quality["metric"], quality["num_samples"]) == ("top1", 32)

    (tmp_path / "other").mkdir()
    late, reporter = job(tmp_path / "other", {})
    late = late.model_copy(update={"preview_seconds": 1e-6})
    assert preview(late, reporter).result["quality"] is None


def test_a_job_without_training_returns_the_repaired_network(tmp_path: Path) -> None:
    x, _ = samples()
    config = {"retrain": {"epochs": 0}, "repair": {"num_samples": 100}}
    report, _ = run(tmp_path, config, data=save_data(tmp_path, x=x))  # without labels
    assert report.repair is not None
    assert report.repair.num_samples == 100
    assert [refit.weight for refit in report.repair.refits]
    assert all(refit.after <= refit.before for refit in report.repair.refits)
    assert report.kept is not None
    assert report.kept.what == "repaired"
    assert report.repaired is not None
    assert report.retrained.metrics[0] == report.repaired.metrics[0]
    before, after = (
        m.agreement for m in (report.recalibrated_metrics[0], report.repaired.metrics[0])
    )
    assert (after or 0.0) > (before or 1.0)
    assert report.equivalence.is_exact


def test_training_starts_from_the_repaired_network_unless_the_config_says_none(
    tmp_path: Path,
) -> None:
    slow = {"retrain": {**RETRAIN, "epochs": 1, "optimizer": {"learning_rate": 1e-7}}}
    on, _ = run(tmp_path / "on", slow)
    off, _ = run(tmp_path / "off", {**slow, "repair": {"kind": "none"}})
    assert (off.repair, off.repaired) == (None, None)
    assert on.repaired is not None
    assert on.history[0].validation_loss == pytest.approx(on.repaired.metrics[0].loss, rel=0.05)
    assert on.kept is not None
    assert "repaired" in {candidate.what for candidate in on.kept.candidates}
    assert off.history[0].validation_loss > on.history[0].validation_loss  # type: ignore[operator]


def test_masked_and_compact_jobs_end_alike(tmp_path: Path) -> None:
    found = {}
    for mode in ("compact", "masked"):
        config = {"retrain": {**RETRAIN, "mode": mode, "precision": "float32"}}
        report, _ = run(tmp_path / mode, config)
        found[mode] = report
    a, b = (found[mode].retrained.metrics[0] for mode in ("compact", "masked"))
    assert a.loss == pytest.approx(b.loss, rel=0.02)
    assert found["compact"].groups == found["masked"].groups


def test_auto_tries_the_cheap_criteria_and_keeps_the_best(tmp_path: Path) -> None:
    report, _ = run(tmp_path, {"criterion": {"kind": "auto"}})
    tried = {trial.criterion: trial for trial in report.criterion_trials}
    assert set(tried) == {*CriterionSpec().candidates, "random"}
    losses = {n: t.validation_loss for n, t in tried.items() if n != "random"}
    assert losses[report.criterion] == min(v for v in losses.values() if v is not None)
    assert all(trial.macs <= 0.5 for trial in tried.values()), "all were pruned to one cost"


def test_an_accuracy_target_is_met_or_the_job_says_why_not(tmp_path: Path) -> None:
    selection = {"mode": "accuracy", "max_drop": 0.1, "max_trials": 4, "round_to": 1}
    report, reporter = run(tmp_path / "kept", {"selection": selection})
    *repaired, trained = report.accuracy_trials
    assert [trial.is_trained for trial in repaired] == [False] * 4, "trials are not trained"
    assert trained.is_trained, "only the chosen network is"
    dense, after = (n.metrics[0].top1 for n in (report.dense, report.retrained))
    assert dense is not None
    assert after is not None
    assert after >= dense - 0.1
    kept = [trial for trial in report.accuracy_trials if trial.is_kept]
    assert trained.asked == min(trial.asked for trial in kept)
    assert report.retrained.macs / report.dense.macs == pytest.approx(trained.macs, abs=1e-6)
    assert trained.validation_metric == pytest.approx(after), "the trial's network is the result"
    told = [m.data for m in reporter.messages if isinstance(m, Metric)]
    assert sum(data["kind"] == "trial" for data in told) == len(report.accuracy_trials)
    fractions = [m.fraction for m in reporter.messages if isinstance(m, Progress)]
    assert fractions == sorted(fractions), "progress never goes back"
    broken = {**selection, "max_drop": 0.0, "max_trials": 1, "min_channels": 1, "max_ratio": 0.95}
    little = {**RETRAIN, "optimizer": {"learning_rate": 1e-6}}
    with pytest.raises(
        PlanError, match=r"no pruning kept max_drop 0 in 1 trials: the nearest lost"
    ):
        run(tmp_path / "broken", {"selection": broken, "retrain": little}, model=trained_net(4))


def test_without_data_the_pruned_network_is_kept_and_nothing_else_is_named(tmp_path: Path) -> None:
    path = save_model(trained_net(), EXAMPLE, tmp_path / "model.pt2")
    config = {"selection": HALF, "repair": {"kind": "none"}, "export": {"formats": ["pt2"]}}
    request = request_for(path, tmp_path, config)
    prune(request, Recorder())
    report = Report.model_validate_json((request.output_dir / "report.json").read_text())
    assert report.kept is not None
    assert [each.what for each in report.kept.candidates] == ["pruned"]
    assert report.kept.reason.endswith("the pruned network is kept")


def test_max_drop_may_be_kept_without_training(tmp_path: Path) -> None:
    selection = {"mode": "accuracy", "max_drop": 0.1, "max_trials": 3, "round_to": 1}
    report, _ = run(tmp_path, {"selection": selection, "retrain": {"epochs": 0}})
    assert not any(trial.is_trained for trial in report.accuracy_trials)
    chosen = min((t for t in report.accuracy_trials if t.is_kept), key=lambda t: t.asked)
    assert report.retrained.macs / report.dense.macs == pytest.approx(chosen.macs, abs=1e-6)
    dense, after = (n.metrics[0].top1 for n in (report.dense, report.retrained))
    assert dense is not None
    assert after is not None
    assert after >= dense - 0.1
    assert any("max_drop 0.1 is kept without training" in note for note in report.notes)
    assert report.history == ()


def test_a_search_goes_on_past_a_trial_that_diverges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def first_diverges(inputs: Inputs, start: Start) -> Trained:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise DivergenceError("the loss became nan")
        return train(inputs, start)

    monkeypatch.setattr("worker.pipeline.selecting.trials.train", first_diverges)
    selection = {"mode": "accuracy", "max_drop": 0.5, "max_trials": 2, "round_to": 1}
    report, _ = run(tmp_path, {"selection": selection})
    diverged, kept = (trial for trial in report.accuracy_trials if trial.is_trained)
    assert (diverged.drop, diverged.is_kept) == (None, False)
    assert kept.is_kept
    assert kept.asked > diverged.asked


def test_a_search_may_cut_on_the_way(tmp_path: Path) -> None:
    """Trials with different goals are different runs, even if their first cut is the same."""
    config = {
        "selection": {"mode": "accuracy", "max_drop": 0.3, "max_trials": 3, "round_to": 8},
        "schedule": {"kind": "iterative", "rounds": 2, "ramp": 0.2},
    }
    report, _ = run(tmp_path, config)
    kept = [trial for trial in report.accuracy_trials if trial.is_kept]
    least = min(kept, key=lambda trial: trial.asked)
    assert report.retrained.macs / report.dense.macs == pytest.approx(least.macs, abs=1e-6)
    assert report.retrained.metrics[0].top1 == pytest.approx(least.validation_metric)


def test_baselines_have_the_same_widths_and_budget(tmp_path: Path) -> None:
    report, _ = run(tmp_path, {"baselines": True})
    assert [baseline.kind for baseline in report.baselines] == ["random", "scratch"]
    for baseline in report.baselines:
        assert len(baseline.history) == len(report.history)
        assert baseline.metrics[0].top1 is not None
    first = report.baselines[1].history[0].train_loss
    assert first != report.history[0].train_loss


def without_clocks(report: Report) -> Report:
    """Return a report without measured times and the notes about them."""
    networks = {
        name: getattr(report, name).model_copy(update={"latency_seconds": ()})
        for name in ("dense", "pruned", "repaired", "retrained")
    }
    notes = tuple(note for note in report.notes if "latency" not in note)
    timed = {"speedups": (), "load": None}
    untimed = report.model_copy(update={**networks, **timed, "notes": notes})
    return untimed.model_copy(update={"verdict": judge(untimed)})  # its text names the speed-up


def test_the_same_job_twice_makes_the_same_bytes(tmp_path: Path) -> None:
    config = {
        "criterion": {"kind": "auto"},
        "schedule": {"kind": "iterative", "rounds": 2},
        "retrain": {"epochs": 2, "batch_size": 32, "ema": 0.9, "augment": {"rotate": 5}},
        "export": ALL_FILES,
        "seed": 3,
    }
    digests, pages = [], []
    for name in ("first", "second"):
        report, _ = run(tmp_path / name, config)
        out = tmp_path / name / "out"
        files = json.loads((out / "manifest.json").read_text())["files"]
        digests.append({k: v["sha256"] for k, v in files.items() if not k.startswith("report.")})
        digest = hashlib.sha256((out / "report.html").read_bytes()).hexdigest()
        assert digest == files["report.html"]["sha256"]
        pages.append(render_page(without_clocks(report)))
    assert digests[0] == digests[1]
    assert pages[0] == pages[1], "but for the latency, the page is the same too"
    assert {"model.onnx", "pruned.pt2", "weights.safetensors", "plan.json"} <= digests[0].keys()


def test_the_report_says_which_model_data_and_layers_it_is_about(tmp_path: Path) -> None:
    report, _ = run(tmp_path, {})
    assert report.model is not None
    assert report.model.sha256 == "0" * 64
    assert report.model.inputs[0]["shape"] == ["batch", 1, 8, 8]
    assert report.data is not None
    assert (report.data.id, report.data.labels, report.data.num_classes) == (
        "ds_test",
        "classes",
        4,
    )
    assert report.data.splits == {"train": 256, "validation": 32, "test": 32}
    assert not report.data.is_split_given
    assert sum(layer.macs[0] for layer in report.layers) == report.dense.macs
    assert sum(layer.macs[1] for layer in report.layers) == report.retrained.macs
    widths = {
        member.removesuffix("[0]"): (group.num_groups, group.num_kept)
        for group in report.groups
        for member in group.members
    }
    for layer in report.layers:
        assert layer.weight is not None
        assert layer.num_outputs == widths.get(layer.weight, (4, 4)), layer.weight


@pytest.mark.parametrize(
    ("schedule", "num_plans"), [({"kind": "one_shot"}, 1), ({"kind": "iterative", "rounds": 3}, 2)]
)
def test_the_plan_is_reported_when_made_and_when_training_changes_it(
    schedule: dict[str, Any], num_plans: int, tmp_path: Path
) -> None:
    report, reporter = run(tmp_path, {"schedule": schedule})
    messages = reporter.messages
    plans = [message.plan for message in messages if isinstance(message, Planned)]
    assert len(plans) == num_plans
    first = next(i for i, message in enumerate(messages) if isinstance(message, Planned))
    assert first < next(i for i, message in enumerate(messages) if isinstance(message, Metric))
    told = [(layer.name, layer.num_kept, layer.reason) for layer in plans[-1].layers]
    assert told == [(group.name, group.num_kept, group.reason) for group in report.groups]
    for layer, group in zip(plans[-1].layers, report.groups, strict=True):
        assert [value for _, value in layer.curve] == pytest.approx(group.saliency, rel=1e-4)


def test_epochs_name_their_run_and_metric(tmp_path: Path) -> None:
    _, reporter = run(tmp_path, {"baselines": True})
    found = [message.data for message in reporter.messages if isinstance(message, Metric)]
    assert {data["metric"] for data in found} == {"top1"}
    runs = ["retraining", "baselines, baseline: random", "baselines, baseline: scratch"]
    assert [(data["run"], data["epoch"]) for data in found] == [
        (run, epoch) for run in runs for epoch in (1, 2)
    ]


def test_class_imbalance_is_reported(tmp_path: Path) -> None:
    x, _ = samples()
    y = np.zeros(320, np.int64)
    y[:16] = np.arange(16) % 4
    report, _ = run(tmp_path, {}, data=save_data(tmp_path, x=x, y=y))
    assert any("times the training samples" in note for note in report.notes)
