"""`secateur.prune` for modules, files and programs: smaller network, plan and certificate."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import secateur
from secateur.engine import EngineError, Plan, read_program
from secateur.engine.errors import DataError, PlanError
from secateur.engine.program.exported import export
from secateur.errors import SecateurError
from secateur.torch import export_module, load_pruned
from tests.fixtures.networks import randomise

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two convolutions and a classifier that takes its size from its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU())
        self.conv = nn.Conv2d(32, 32, 3)
        self.fc = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(self.conv(self.stem(x))).mean((2, 3))
        found: Tensor = self.fc(y.view(-1, self.fc.in_features))
        return found


class Numbered(Net):
    """The same network with a literal size."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.relu(self.conv(self.stem(x))).mean((2, 3))
        found: Tensor = self.fc(y.view(-1, 32))
        return found


def make(kind: type[Net] = Net) -> Net:
    torch.manual_seed(0)
    net = kind()
    randomise(net)
    return net.eval()


def outputs(pruned: secateur.Pruned, x: Tensor = X) -> Tensor:
    from secateur.engine import ProgramModule  # noqa: PLC0415

    found: Tensor = ProgramModule(pruned.program).eval()(x)
    return found.detach()


def test_half_of_the_work_is_left_and_every_number_can_be_read() -> None:
    net = make()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    pruned = secateur.prune(net, X, macs=0.5)
    assert 0.3 < pruned.cost.macs / pruned.dense.macs <= 0.5
    assert pruned.cost.num_parameters < pruned.dense.num_parameters
    assert pruned.certificate.is_exact
    plan = str(pruned.plan)
    assert plan.startswith("Plan: ")
    assert "stem.0.weight" in plan
    assert "exact" in str(pruned.certificate)
    assert "relative in float64" in str(pruned.certificate)
    for part in ("Net", "MACs", "parameters", str(pruned.certificate)):
        assert part in pruned.summary()
    assert "of the MACs" in repr(pruned)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), "the module that was given has changed"


def test_the_module_is_of_the_users_class_and_can_be_trained() -> None:
    net = make()
    pruned = secateur.prune(net, X[:1], params=0.6)
    small = pruned.module
    assert type(small) is Net
    assert small is not net
    assert not small.training
    width = small.conv.out_channels  # type: ignore[union-attr]
    assert width < 32
    assert torch.allclose(small(X), outputs(pruned), atol=1e-5)
    small.train()(X).sum().backward()
    assert small.conv.weight.grad.shape == (width, small.conv.in_channels, 3, 3)  # type: ignore[union-attr]


def test_where_a_size_is_a_number_the_graph_runs_instead() -> None:
    pruned = secateur.prune(make(Numbered), X, ratio=0.5)
    with pytest.warns(UserWarning, match="x.view"):
        small = pruned.module
    assert torch.equal(small(X), outputs(pruned))
    assert "conv.weight" in small.state_dict()
    small.train()(X).sum().backward()


def test_a_file_and_a_program_are_pruned_like_the_module(tmp_path: Path) -> None:
    path = export_module(make(), X, tmp_path / "model.pt2")
    by_module = secateur.prune(make(), X, macs=0.5)
    by_file = secateur.prune(path, macs=0.5)
    by_program = secateur.prune(export(make(), (X,)), macs=0.5)
    assert [f.kept for f in by_file.plan.families] == [f.kept for f in by_module.plan.families]
    assert [f.kept for f in by_program.plan.families] == [f.kept for f in by_module.plan.families]
    assert by_file.name == "model.pt2"
    assert torch.equal(by_file.module(X), outputs(by_file))


class Keywords(Net):
    """The same network as libraries call theirs: by keyword, with a dictionary in it."""

    def forward(self, *, pixels: Tensor, others: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        y = super().forward(pixels + others["more"][0])
        return {"scores": y + others["more"][1][:, :1]}


def test_keyword_arguments_are_those_of_the_users_class(tmp_path: Path) -> None:
    example = {"pixels": X, "others": {"more": [X + 1, torch.ones(len(X), 3)]}}
    pruned = secateur.prune(make(Keywords), example, ratio=0.5, round_to=1)
    assert pruned.cost.macs < 0.5 * pruned.dense.macs
    assert type(pruned.module) is Keywords
    path = export_module(make(Keywords), example, tmp_path / "model.pt2")
    loaded = torch.export.load(path).module()
    torch.testing.assert_close(loaded(**example), make(Keywords)(**example))
    for wrong in ({}, {"pixels": torch.tensor(1.0)}, {"pixels": X, "number": 3}):
        with pytest.raises(SecateurError, match="tensors whose first dimension is the batch"):
            secateur.prune(make(Keywords), wrong)


def test_saved_results_can_be_read_again(tmp_path: Path) -> None:
    pruned = secateur.prune(make(), X, macs=0.5)
    found = read_program(pruned.save(tmp_path / "net.pt2"))
    assert found.parameters()["conv.weight"].shape == pruned.program.tensors["conv.weight"].shape
    small = load_pruned(pruned.save(tmp_path / "net.safetensors"), make())
    assert torch.allclose(small.eval()(X), outputs(pruned), atol=1e-5)
    text = pruned.save(tmp_path / "plan.json").read_text()
    assert Plan.from_json(text).keeps().keys() == pruned.plan.keeps().keys()
    assert json.loads(text)["settings"] == {
        "criterion": "l1", "seed": 0, "selection": {"norms": "fused"}, "repair": {"kind": "fold"},
    }  # fmt: skip
    with pytest.raises(SecateurError, match=r"'\.pth'.*\.pt2, \.onnx"):
        pruned.save(tmp_path / "net.pth")


def test_named_layers_keep_all_their_filters() -> None:
    pruned = secateur.prune(make(), X, ratio=0.5, ignore=["stem"], round_to=1)
    kept = {family.name: family.num_removed for family in pruned.plan.families}
    assert kept == {"stem.0.weight": 0, "conv.weight": 16}


def test_criteria_that_measure_read_data() -> None:
    labels = torch.tensor([0, 1])
    for data in ([(X, labels)], [((X,), labels)]):
        pruned = secateur.prune(make(), X, ratio=0.5, criterion="taylor", data=data)
        assert pruned.certificate.num_samples == 4  # two of them are real
    assert secateur.prune(make(), X, ratio=0.5, criterion="loss", data=[X]).plan.num_removed


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"macs": 0.0}, "macs is 0; it is a share to keep, between 0 and 1"),
        ({"macs": 50}, "macs is 50"),
        ({"ratio": 1.0}, "ratio is 1; it is a share to remove"),
        ({"steepness": -1.0}, "steepness is -1"),
        ({"macs": 0.5, "ratio": 0.5}, "macs=0.5 and ratio=0.5 exclude each other"),
        ({"round_to": 0}, "round_to is 0"),
        ({"max_ratio": 2.0}, "max_ratio is 2"),
        ({"ignore": ["cnov"]}, "'cnov', which is neither a layer nor a weight; there are stem"),
        ({"data": [torch.zeros(2, 3, 9, 9)]}, r"\[2, 3, 9, 9\].*takes \[\[3, 8, 8\]\]"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SecateurError, match=said):
        secateur.prune(make(), X, **options)


def test_networks_that_cannot_be_pruned_get_advice(tmp_path: Path) -> None:
    net: Any = make()
    (tmp_path / "model.pth").touch()
    for model, example, said in (
        (net.train(), X, r"Net is in training mode.*call module.eval\(\) first"),
        (make(), None, r"prune\(module, example\)"),
        (make(), X.to("meta"), r"example is on meta and Net on cpu: call example.to\('cpu'\)"),
        (tmp_path / "model.pth", None, "model.pth is not a .pt2 or .onnx file"),
        (tmp_path / "none.pt2", None, "none.pt2 does not exist"),
        (tmp_path / "none.pt2", X, "example_inputs belong to a module"),
        (7, None, "cannot prune a int"),
    ):
        with pytest.raises(SecateurError, match=said):
            secateur.prune(model, example, macs=0.5)


def test_errors_of_the_engine_keep_their_classes() -> None:
    with pytest.raises(DataError, match=r"'taylor'.*data=\[\(inputs, labels\)"):
        secateur.prune(make(), X, macs=0.5, criterion="taylor")
    with pytest.raises(PlanError, match=r"criterion is 'l3'; it is one of bn_scale, .*taylor"):
        secateur.prune(make(), X, macs=0.5, criterion="l3")
    with pytest.raises(EngineError, match="cannot be met"):
        secateur.prune(make(), X, macs=0.01)


def test_an_uncaught_error_of_the_engine_says_what_to_do() -> None:
    with pytest.raises(PlanError) as caught:
        secateur.prune(make(), X, macs=0.001)
    assert caught.value.__notes__ == [caught.value.hint]
    assert "Ask for" in caught.value.hint


@torch.no_grad()
def test_without_data_a_network_with_batch_norm_is_folded() -> None:
    found = secateur.prune(make(), X, macs=0.5)
    assert (found.repair, found.num_repair_samples) == ("fold", 0)
    assert "folded without samples" in found.summary()
    cut = secateur.prune(make(), X, macs=0.5, repair=False)
    assert (cut.plan.families, cut.cost) == (found.plan.families, found.cost)
    wanted = make()(X).detach()
    errors = [float((outputs(each) - wanted).square().mean()) for each in (found, cut)]
    assert errors[0] < errors[1]
    plain = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 4, 3)).eval()
    assert "not repaired" in secateur.prune(plain, X, macs=0.5).summary()


def test_with_data_the_kept_weights_are_repaired() -> None:
    net, images = make(), torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    wanted, unseen = net(images).detach(), images[48:]
    found = {
        repair: secateur.prune(net, X, macs=0.5, data=[images[:48]], repair=repair)
        for repair in (True, False)
    }
    errors = {
        k: float((outputs(p, unseen) - wanted[48:]).square().mean()) for k, p in found.items()
    }
    assert errors[True] < 0.5 * errors[False]
    assert found[True].certificate.is_exact
    assert found[True].num_repair_samples == 48
    assert "repaired from 48 samples" in found[True].summary()
    assert "not repaired" in found[False].summary()
    torch.testing.assert_close(found[True].module(unseen), outputs(found[True], unseen))


class Normed(nn.Module):
    """A block whose LayerNorm is over channels that can be removed."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.norm, self.head = nn.Linear(6, 32), nn.LayerNorm(32), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.norm(self.wide(x))))
        return found


@pytest.mark.filterwarnings("ignore:.*runs the graph instead")
def test_norms_over_removed_channels_are_exact_on_request() -> None:
    torch.manual_seed(0)
    net, x = Normed().eval(), torch.randn(4, 6)
    fused = secateur.prune(net, x, ratio=0.5)
    exact = secateur.prune(net, x, ratio=0.5, norms="exact")
    assert not fused.certificate.is_exact
    assert exact.certificate.is_exact
    assert exact.certificate.float64.max_relative_error <= 1e-9
    assert exact.cost.num_parameters == fused.cost.num_parameters
    assert torch.allclose(exact.module(x), outputs(exact, x), atol=1e-6), "it computes the same"
    assert json.loads(exact.plan.to_json())["settings"]["selection"] == {"norms": "exact"}
    with pytest.raises(SecateurError, match="norms is 'fast'"):
        secateur.prune(net, x, norms="fast")  # type: ignore[arg-type]
