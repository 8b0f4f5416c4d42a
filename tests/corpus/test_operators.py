"""Everyday operators, one at a time: only random ones are refused, and cuts and folds are exact.

To accept a change, run python -m tests.corpus.operators and review the diff of operators.json.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.errors import ModelRejectedError
from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.repair import fold_program
from secateur.engine.surgery import certify, compact, mask_program
from tests.corpus.operators import GOLDEN, read_operator, stored_operators, summary

STORED = stored_operators()
RECORDED: dict[str, Any] = json.loads(GOLDEN.read_text())
RANDOM = {"rand_noise", "rand_new", "bernoulli", "fractional_max_pool"}


def test_only_operators_that_draw_random_numbers_are_refused() -> None:
    assert {name for name, found in RECORDED.items() if "refused" in found} == RANDOM
    assert sum(found.get("free", 0) > 0 for found in RECORDED.values()) >= 177


@pytest.mark.parametrize("name", STORED)
def test_an_operator_is_refused_frozen_or_pruned_as_recorded(name: str, tmp_path: Path) -> None:
    if name in RANDOM:
        with pytest.raises(ModelRejectedError, match="random numbers"):
            read_operator(STORED[name], tmp_path)
        return
    program = read_operator(STORED[name], tmp_path)
    analysis = analyse(program)
    assert summary(analysis) == RECORDED[name]
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 0 for f in analysis.families}
    plan = make_plan(program, analysis, keeps)
    inexact = tuple(op for family in analysis.families for op in family.inexact_ops)
    smaller = compact(program, analysis, plan)
    certify(mask_program(program, plan), smaller, [program.example_inputs(3)], inexact)
    folded = fold_program(program, analysis, plan)
    certify(folded.twin, folded.program, [program.example_inputs(3)], inexact)
