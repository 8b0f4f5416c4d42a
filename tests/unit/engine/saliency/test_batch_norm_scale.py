import torch

from tests.unit.engine.saliency.networks import PROGRAM, scores


def test_bn_scale_is_the_magnitude_of_the_scale() -> None:
    expected = PROGRAM.tensors["bn3.weight"].double().abs()
    assert torch.equal(scores("bn_scale")["conv3.weight"], expected)
