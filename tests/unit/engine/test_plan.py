"""Plans are data: replayed, applied to other weights, refused where they contradict themselves."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from secateur.engine.errors import PlanError
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, check_consistent, make_plan
from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import Ratio, SelectionOptions, select
from secateur.engine.surgery import certify, compact, mask_program
from tests.fixtures.networks import small_program

LIMITS = SelectionOptions(Ratio(0.5), min_channels=1, round_to=1)


def plan_of(program: Program) -> Plan:
    analysis = analyse(program)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())
    found = select(analysis, scores, LIMITS, CostModel(program, analysis))
    return make_plan(program, analysis, found.keeps, saliency=scores, details=found.details)


def test_the_same_inputs_give_the_same_bytes_and_they_read_back() -> None:
    text = plan_of(small_program()).to_json()
    assert text == plan_of(small_program()).to_json()
    assert Plan.from_json(text).to_json() == text


def test_a_plan_applies_to_other_weights_of_the_same_graph() -> None:
    plan = Plan.from_json(plan_of(small_program(seed=0)).to_json())
    other = small_program(seed=1)
    analysis = analyse(other)
    check_consistent(plan, other, analysis)
    smaller = compact(other, analysis, plan)
    certify(mask_program(other, plan), smaller, [other.example_inputs(4)])
    assert smaller.tensors["conv1.weight"].shape[0] == 4
    kept = list(next(f for f in plan.families if f.name == "conv1.weight").kept)
    assert torch.equal(smaller.tensors["conv1.weight"], other.tensors["conv1.weight"][kept])


def edited(change: Callable[[dict[str, Any]], object]) -> str:
    body = json.loads(plan_of(small_program()).to_json())
    change(body)
    return json.dumps(body)


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "fingerprint": lambda body: body.update(fingerprint="0" * 64),
    "missing-family": lambda body: body["families"].pop(),
    "num-groups": lambda body: body["families"][0].update(num_groups=9),
    "keeps-nothing": lambda body: body["families"][0].update(kept=[]),
    "fewer-kept": lambda body: body["families"][0].update(kept=[0]),
    "twice": lambda body: body["families"][0].update(kept=[0, 0, 1, 2]),
    "negative": lambda body: body["families"][0].update(kept=[-1, 1, 2, 3]),
    "out-of-range": lambda body: body["families"][0].update(kept=[5, 6, 7, 8]),
    "descending": lambda body: body["families"][0].update(kept=[3, 2, 1, 0]),
    "text": lambda body: body["families"][0].update(kept="0123"),
    "name": lambda body: body["families"][0].update(name="another"),
    "missing-axis": lambda body: body["axes"].pop(),
    "axis-kept": lambda body: body["axes"][0].update(kept=[0]),
    "axis-tensor": lambda body: body["axes"][0].update(tensor="nothing"),
    "version": lambda body: body.update(version=2),
    "no-axes": lambda body: body.pop("axes"),
    "families": lambda body: body.update(families=7),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_plan_that_contradicts_itself_or_the_graph_is_refused(edit: str) -> None:
    program = small_program()
    with pytest.raises(PlanError):
        check_consistent(Plan.from_json(edited(EDITS[edit])), program, analyse(program))


def test_a_plan_for_another_graph_is_refused() -> None:
    plan, wider = plan_of(small_program(width=8)), small_program(width=12)
    with pytest.raises(PlanError, match="the plan is for graph"):
        check_consistent(plan, wider, analyse(wider))
