import torch

from secateur.engine.program.module import ProgramModule
from secateur.engine.saliency.ablation import PartialRunner
from tests.unit.engine.saliency.networks import branches


def test_only_operators_downstream_of_the_tensors_run_again() -> None:
    program, _ = branches()
    ablation = PartialRunner(program).ablation(["outer.weight"])
    changed = [str(node.target) for node, _ in ablation.changed]
    assert [name.split(".")[1] for name in changed] == [
        "conv2d", "add", "cat", "max_pool2d", "flatten", "linear",
    ]  # fmt: skip
    assert [str(node.target).split(".")[1] for node, _ in ablation.clean] == ["conv2d", "relu"]


def test_partial_outputs_are_the_bits_of_a_full_pass() -> None:
    program, _ = branches()
    runner = PartialRunner(program)
    x = torch.randn(5, 1, 6, 6)
    for name, tensor in program.tensors.items():
        if not tensor.is_floating_point():
            continue
        other = torch.rand_like(tensor)
        ablation = runner.ablation([name])
        with torch.inference_mode():
            frontier = runner.advance(runner.begin((x,)), 0, ablation.start)
            shared = runner.unchanged(ablation, frontier)
            found = [runner.outputs(ablation, shared, {name: other})[0] for _ in range(2)]
            replaced = program.with_tensors({**program.tensors, name: other})
            expected = ProgramModule(replaced).eval().run((x,))
        assert all(torch.equal(output, expected[0]) for output in found), name
