"""A repair survives a restart: an attempt that resumes reads what the one before it solved."""

from pathlib import Path

import pytest
import torch

from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.selection import Ratio
from tests.integration.pipeline.test_modes import job
from worker.pipeline.job import settling
from worker.pipeline.job.inputs import Inputs, open_inputs
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
