import torch
import torchvision

from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from tests.fixtures.networks import randomise, small_program
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.training.baselines import at_random, reset_weights


def test_new_weights_are_those_of_an_untrained_network() -> None:
    torch.manual_seed(0)
    model = randomise(torchvision.models.resnet18(num_classes=10))
    program = from_exported(export(model, (torch.randn(2, 3, 32, 32),)))
    found = reset_weights(program, seed=1)
    fresh = torchvision.models.resnet18(num_classes=10).state_dict()
    for name, tensor in found.tensors.items():
        if name.endswith(("running_mean", "bias")):
            assert not tensor.any(), name
        elif name.endswith("running_var") or (tensor.ndim == 1 and "weight" in name):
            assert bool((tensor == 1).all()), name
        elif tensor.ndim > 1:
            assert float(tensor.std()) < 2 * float(fresh[name].std()), name
            assert not torch.equal(tensor, program.tensors[name])
    again = reset_weights(program, seed=1)
    assert all(torch.equal(again.tensors[n], t) for n, t in found.tensors.items())
    (logits,) = ProgramModule(found).eval().run((torch.randn(4, 3, 32, 32),))
    assert bool(torch.isfinite(logits).all())


def test_a_random_plan_has_the_widths_of_the_other() -> None:
    program = small_program()
    analysis = analyse(program)
    family = analysis.families[0]
    keep = torch.zeros(family.num_groups, dtype=torch.bool)
    keep[:3] = True
    plan = make_plan(program, analysis, {family.name: keep})
    inputs = Inputs(None, None, program, analysis, None)  # type: ignore[arg-type]
    plans = [at_random(inputs, plan, seed) for seed in (0, 0, 1)]
    for other in plans:
        assert [len(f.kept) for f in other.families] == [len(f.kept) for f in plan.families]
    assert plans[0] == plans[1]
    assert plans[0].families[0].kept != plans[2].families[0].kept
