import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from secateur.engine.program.exported import export, from_exported
from secateur.engine.retrain import RetrainOptions, recalibrate, retrain_program
from tests.unit.engine.retrain.networks import small_data, small_program


def test_statistics_are_what_torch_estimates_cumulatively() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
    net.append(nn.BatchNorm2d(4, momentum=0.3))
    program = from_exported(export(net, (torch.randn(2, 1, 8, 8),)))
    batches = [torch.randn(8, 1, 8, 8) * scale for scale in (1, 2, 3)]
    update_bn(batches, net)  # its average gives every batch the same weight
    found = recalibrate(program, batches)
    for name, expected in net.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(found.tensors[name], expected)


def test_a_short_batch_counts_less() -> None:
    program = small_program()
    a, b = torch.randn(12, 1, 8, 8), torch.randn(4, 1, 8, 8) + 2
    first, second = (recalibrate(program, [x]).tensors["1.running_mean"] for x in (a, b))
    both = recalibrate(program, [a, b]).tensors["1.running_mean"]
    torch.testing.assert_close(both, (12 * first + 4 * second) / 16)


def test_weights_stay_and_dropout_is_off() -> None:
    program = small_program(dropout=0.9)
    x = torch.randn(16, 1, 8, 8)
    first, second = recalibrate(program, [x]), recalibrate(program, [x])
    for name, tensor in program.tensors.items():
        assert torch.equal(first.tensors[name], second.tensors[name])
        is_statistic = name.endswith(("running_mean", "running_var"))
        assert torch.equal(first.tensors[name], tensor) != is_statistic, name


@pytest.mark.parametrize("batches", [[], iter(())])
def test_no_batches_change_nothing(batches: list[torch.Tensor]) -> None:
    program = small_program()
    assert recalibrate(program, batches) is program


def test_statistics_keep_up_in_a_short_training_whatever_the_networks_momentum() -> None:
    options = RetrainOptions(epochs=2, batch_size=8)
    usual = retrain_program(small_program(), small_data(), options)
    for momentum in (0.01, None):
        found = retrain_program(small_program(momentum=momentum), small_data(), options)
        assert [e.val_loss for e in found.history] == [e.val_loss for e in usual.history]
        for name, tensor in usual.program.tensors.items():
            assert torch.equal(found.program.tensors[name], tensor), name
    quicker = retrain_program(small_program(momentum=0.5), small_data(), options)
    mean = "1.running_mean"
    assert not torch.equal(quicker.program.tensors[mean], usual.program.tensors[mean])
