import torch

from tests.unit.engine.saliency.networks import filters, scores


def test_geometric_median_is_the_summed_distance_to_all_filters() -> None:
    expected = [sum(float((a - b).norm()) for b in filters()) for a in filters()]
    found = scores("geometric_median")["conv3.weight"]
    assert torch.allclose(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-6)
