import pytest
import torch

from tests.unit.engine.saliency.networks import filters, scores


def test_lamp_is_the_share_of_what_is_not_smaller() -> None:
    squares = filters().square().sum(1).tolist()
    expected = [s / sum(other for other in squares if other >= s) for s in squares]
    found = scores("lamp")["conv3.weight"]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9)
    assert float(found.max()) == pytest.approx(1.0)
