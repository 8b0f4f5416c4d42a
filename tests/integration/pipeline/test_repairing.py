"""Repair in jobs: it survives a restart, and needs no samples if there is BatchNorm."""

from pathlib import Path

import pytest
import torch
from torch import nn

from app.contracts.report import Report
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.selection import Ratio
from tests.fixtures.jobs import Recorder, request_for, save_model
from tests.fixtures.networks import SmallNet, randomise
from tests.integration.pipeline.test_modes import HALF, TwoHeads, job
from worker.pipeline.job import settling
from worker.pipeline.job.inputs import Inputs, open_inputs
from worker.pipeline.prune import prune
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


def without_samples(folder: Path, network: nn.Module) -> Report:
    path = save_model(network.eval(), (torch.randn(2, 1, 8, 8),), folder / "model.pt2")
    config = {"selection": HALF, "export": {"formats": ["pt2"]}}
    request = request_for(path, folder, config)
    prune(request, Recorder())
    return Report.model_validate_json((request.output_dir / "report.json").read_text())


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
