import pytest
import torch

from secateur.engine.retrain.features import attention_distance, find_taps
from tests.unit.engine.retrain.networks import small_program


def test_attention_is_compared_at_the_last_layer_of_every_image_size() -> None:
    program = small_program()
    taps = find_taps(program, program)
    assert len(taps.student) == 2, "images of 8 and of 4 pixels"
    x = torch.randn(3, 5, 4, 4)
    assert float(attention_distance([x], [x])) == 0
    # Channels that look at the same places make the same map, however many they are.
    assert float(attention_distance([x], [x.repeat(1, 2, 1, 1)])) == pytest.approx(0, abs=1e-10)
    assert float(attention_distance([x], [x.flip(3)])) > 0.01
