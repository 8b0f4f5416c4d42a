"""Repair in jobs: it survives a restart, and needs no samples if there is BatchNorm."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from app.contracts.report import Report
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from secateur.engine.selection import Ratio
from tests.fixtures.jobs import Recorder, request_for, save_model
from tests.fixtures.networks import SmallNet, randomise
from tests.integration.pipeline.test_modes import HALF, TwoHeads, job
from worker.cli.main import app
from worker.messages import JobRequest
from worker.pipeline.job import settling
from worker.pipeline.job.inputs import Inputs, open_inputs
from worker.pipeline.preview import preview
from worker.pipeline.prune import prune
from worker.pipeline.replay import apply_plan
from worker.pipeline.report.page import render_page
from worker.pipeline.selecting.planning import Planner
from worker.pipeline.stages.saliency import measure_saliency
from worker.pipeline.stages.select import choose


def prepared(folder: Path) -> tuple[Inputs, Plan]:
    inputs = open_inputs(*job(folder, {}))
    return inputs, choose(inputs, measure_saliency(inputs)).plan


def are_equal(one: Program, other: Program) -> bool:
    return all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


def test_a_later_attempt_reads_the_repair_and_a_damaged_file_is_solved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, plan = prepared(tmp_path)
    first = settling.repaired(inputs, inputs.program, plan)
    [path] = (tmp_path / "checkpoints").glob("repair-*")

    path.write_bytes(path.read_bytes()[:100])  # the disk was full, or the file was cut off
    again = settling.repaired(inputs, inputs.program, plan)
    assert are_equal(again.program, first.program), "the same samples give the same bytes"

    monkeypatch.setattr(settling, "repair_program", None)  # not needed again
    found = settling.repaired(inputs, inputs.program, plan)
    assert are_equal(found.program, first.program)
    assert (found.refits, found.num_samples) == (first.refits, first.num_samples)


def test_another_plan_is_another_repair(tmp_path: Path) -> None:
    inputs, plan = prepared(tmp_path)
    settling.repaired(inputs, inputs.program, plan)
    planner = Planner(inputs, measure_saliency(inputs))
    narrow = planner.plan(inputs.program, Ratio(0.7))
    settling.repaired(inputs, inputs.program, narrow)
    assert len(list((tmp_path / "checkpoints").glob("repair-*"))) == 2


def without_samples(folder: Path, network: nn.Module, norms: str = "fused") -> Report:
    request = unlabelled(folder, network, norms)
    prune(request, Recorder())
    return Report.model_validate_json((request.output_dir / "report.json").read_text())


def unlabelled(folder: Path, network: nn.Module, norms: str = "fused") -> JobRequest:
    """Return a request without samples."""
    path = save_model(network.eval(), (torch.randn(2, 1, 8, 8),), folder / "model.pt2")
    config = {"selection": {**HALF, "norms": norms}, "export": {"formats": ["pt2", "safetensors"]}}
    return request_for(path, folder, config)


def test_a_job_without_samples_folds_a_network_with_batch_norm(tmp_path: Path) -> None:
    network = SmallNet(16)
    randomise(network)
    report = without_samples(tmp_path, network)
    assert report.repair is not None
    assert (report.repair.kind, report.repair.num_samples) == ("fold", 0)
    assert report.repair.num_merged > 0
    assert report.kept is not None
    assert report.kept.what == "repaired"
    assert report.equivalence.is_exact
    assert "merged into similar ones, without samples" in render_page(report)


def test_a_job_with_neither_samples_nor_batch_norm_says_that_it_only_cut(tmp_path: Path) -> None:
    report = without_samples(tmp_path, TwoHeads())
    assert report.repair is None
    assert any("cut without repair" in note for note in report.notes)


def test_a_plan_repeats_the_repair_of_its_job_with_the_same_samples(tmp_path: Path) -> None:
    config = {"retrain": {"epochs": 0}, "repair": {"num_samples": 100}, "seed": 3,
              "split": {"validation": 0.2, "seed": 5},
              "export": {"formats": ["pt2", "safetensors"]}}  # fmt: skip
    request, reporter = job(tmp_path, config)
    prune(request, reporter)
    report = json.loads((request.output_dir / "report.json").read_text())
    assert report["kept"]["what"] == "repaired"
    expected = load_file(request.output_dir / "weights.safetensors")
    plan, model = str(request.output_dir / "plan.json"), str(tmp_path / "model.pt2")
    data = str(tmp_path / "data.npz")
    found = {}
    for name, more in (("with", ["--data", data]), ("without", [])):
        out = tmp_path / name
        done = CliRunner().invoke(app, ["apply", plan, model, "--out", str(out), *more])
        assert done.exit_code == 0, done.output
        found[name] = load_file(out / "weights.safetensors"), done.output
    weights, text = found["with"]
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert "refitted from 100 samples" in text
    assert "is not the data set" in text, "the request's hash is made up"
    weights, text = found["without"]
    assert not all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    assert "--data repeats that" in text


def test_a_plan_repeats_the_folding_of_its_job(tmp_path: Path) -> None:
    network = SmallNet(16)
    randomise(network)
    request = unlabelled(tmp_path, network)
    assert preview(request, Recorder()).result["repair"] == "fold"
    prune(request, Recorder())
    plan, model = request.output_dir / "plan.json", tmp_path / "model.pt2"
    found = apply_plan(read_program(model), Plan.from_json(plan.read_text()), tmp_path / "again")
    assert found["repair"]["kind"] == "fold"
    assert found["repair"]["num_merged"] > 0
    assert found["repair"]["float64_max_relative_error"] < 1e-9
    one, other = (load_file(each / "weights.safetensors") for each in
                  (request.output_dir, tmp_path / "again"))  # fmt: skip
    assert all(torch.equal(one[name], tensor) for name, tensor in other.items())
    arguments = ["apply", str(plan), str(model), "--out", str(tmp_path / "more")]
    done = CliRunner().invoke(app, arguments)
    assert "folded: " in done.output
    assert "relative in float64" in done.output
    (tmp_path / "data.npz").write_bytes(b"")
    done = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "data.npz")])
    assert done.exit_code == 1
    assert "folded its network, so there is nothing to repeat with samples" in done.output


def test_a_plan_of_a_job_that_did_not_repair_is_cut_plainly(tmp_path: Path) -> None:
    request = unlabelled(tmp_path, TwoHeads())
    assert preview(request, Recorder()).result["repair"] == "none"
    prune(request, Recorder())
    plan = Plan.from_json((request.output_dir / "plan.json").read_text())
    assert apply_plan(read_program(tmp_path / "model.pt2"), plan, tmp_path / "a")["repair"] is None


_JOB = """
import sys
from pathlib import Path
from worker.pipeline.process import main
main(Path(sys.argv[1]), int(sys.argv[2]))
"""


def test_a_job_killed_in_the_stage_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """A real ``kill -9`` of the job's process, then a second attempt with the same checkpoints."""
    undisturbed, reporter = job(tmp_path / "undisturbed", {"repair": {"num_samples": 256}})
    prune(undisturbed, reporter)

    killed, reporter = job(tmp_path / "killed", {"repair": {"num_samples": 256}})
    path = tmp_path / "request.json"
    path.write_text(killed.model_dump_json())
    reads, writes = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(path), str(writes)], pass_fds=[writes]
    )
    os.close(writes)
    with os.fdopen(reads) as messages:
        stages = []
        for line in messages:
            message = json.loads(line)
            if message["type"] == "stage":
                stages.append(message["stage"])
            if stages[-1:] == ["repair"] and process.poll() is None:
                process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert stages[-1] == "repair", "it was killed in the stage"

    prune(killed, reporter)
    names = ("pruned.pt2", "plan.json")
    for name in names:
        one, other = ((each.output_dir / name).read_bytes() for each in (undisturbed, killed))
        assert one == other, name


@pytest.mark.parametrize(("norms", "is_exact"), [("fused", False), ("exact", True)])
def test_norms_over_removed_channels_are_exact_on_request(
    norms: str, is_exact: bool, tmp_path: Path
) -> None:
    layers = [nn.Conv2d(1, 16, 3), nn.GroupNorm(1, 16), nn.ReLU(), nn.Conv2d(16, 4, 3)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 4))
    randomise(network)
    report = without_samples(tmp_path, network, norms)
    assert report.equivalence.is_exact is is_exact
