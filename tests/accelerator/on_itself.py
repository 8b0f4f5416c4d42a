"""The simulated device: it refuses what a GPU refuses, and counts what it should."""

import pytest
import torch

from tests.accelerator.simulated import COUNT, Simulation


def test_a_tensor_of_the_cpu_that_meets_one_of_the_device_raises() -> None:
    with Simulation():
        x = torch.ones(3).to("sim")
        with pytest.raises(RuntimeError, match="found sim:0 and cpu"):
            x + torch.ones(3)
        assert float((x + torch.ones(()))[0]) == 2, "kernels take scalars"
        y = torch.zeros(4, device="sim")
        y[torch.tensor([0, 2])] = 1.0
        assert y.sum().item() == 2


def test_synchronisations_are_counted() -> None:
    with Simulation(), COUNT.named("waits"):
        x = torch.arange(4.0).to("sim")  # not pinned
        _ = x * 2
        assert COUNT.waits["waits"] == 1
        x.sum().item()
        x[x > 1]
        x.cpu()
        torch.ones(3).pin_memory().to("sim", non_blocking=True)
    assert COUNT.waits["waits"] == 4, COUNT.where["waits"]


def test_arithmetic_is_counted_where_it_runs() -> None:
    with Simulation(), COUNT.named("work"):
        x = torch.ones(8, 16)
        x @ x.T
        moved = x.to("sim")
        moved @ moved.T
    assert COUNT.work["work", "device"] == COUNT.work["work", "host"] == 8 * 8 * 16


def test_gradients_and_fused_steps_equal_the_cpus() -> None:
    def step(device: str) -> torch.Tensor:
        torch.manual_seed(0)
        weight = torch.randn(4, 3).to(device).requires_grad_()
        optimizer = torch.optim.AdamW([weight], 0.1, fused=True)
        for _ in range(2):
            optimizer.zero_grad()
            (torch.ones(2, 3).to(device) @ weight.T).square().sum().backward()
            optimizer.step()
        return weight.detach().cpu()

    with Simulation():
        assert torch.equal(step("sim"), step("cpu"))
