"""Training throughput of our loop, a plain PyTorch loop and Lightning on one network.

Usage: pip install lightning; python -m benchmarks.throughput [--threads 1] [--output FILE].
The dense ResNet-20 of the demo on Fashion-MNIST, batches of 128, cross-entropy, SGD, float32, crops
and flips. Then only our loop: networks pruned to fractions of the MACs, the teacher, masks and
torch.compile. Sides alternate in one run; medians over rounds. Writes JSON.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from safetensors.torch import load_file

from benchmarks.machine import machine
from benchmarks.quality import dense_program
from examples.data import TRAIN, Images, load_images
from examples.resnet20 import ResNet20
from examples.train_resnet20 import augment, weights_path
from secateur.engine.graph import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.retrain import (
    AugmentOptions,
    Hooks,
    RetrainOptions,
    TrainingData,
    retrain_program,
)
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import compact, keep_masks, mask_program

BATCH_SIZE = 128
WARM_STEPS = 3
NUM_STEPS = 15
ROUNDS = 3
RATE = 0.01

Side = Callable[[], list[float]]  # runs training and returns the times at which steps ended


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/throughput.json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    images = load_images(is_fallback_allowed=False)
    pixels, labels = images.part(TRAIN)
    num_samples = (WARM_STEPS + NUM_STEPS) * BATCH_SIZE
    x = torch.from_numpy(images.normalise(pixels[:num_samples]))
    y = torch.from_numpy(labels[:num_samples])
    sides = {
        "plain PyTorch": lambda: plain(images, x, y),
        "Lightning": lambda: lightning_loop(images, x, y),
        **our_sides(dense_program(images), x, y),
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS):
        for name, side in sides.items():
            seconds = per_step(side())
            found[name].append(seconds)
            print(f"round {number + 1}: {name}: {seconds:.4f} s a step", flush=True)
    medians = {name: statistics.median(values) for name, values in found.items()}
    base = medians["ours, dense"]
    body = {
        "seconds_per_step": {name: round(value, 5) for name, value in medians.items()},
        "relative_to_ours_dense": {n: round(v / base, 3) for n, v in medians.items()},
        "our_throughput_over_plain": round(medians["plain PyTorch"] / base, 3),
        "our_throughput_over_lightning": round(medians["Lightning"] / base, 3),
        "rounds": ROUNDS,
        "steps": NUM_STEPS,
        "machine": machine(),
    }
    options.output.write_text(json.dumps(body, indent=1) + "\n")
    print(json.dumps(body, indent=1))


def our_sides(program: Program, x: torch.Tensor, y: torch.Tensor) -> dict[str, Side]:
    """Return our loop on the dense and on pruned networks, and with the costly options."""
    analysis = analyse(program)
    cost = CostModel(program, analysis)
    scores = CRITERIA["l1"](program, analysis, None, SaliencyOptions())

    def plan_of(share: float, round_to: int) -> Plan:
        options = SelectionOptions(Budget("macs", share), min_channels=2, round_to=round_to)
        return make_plan(program, analysis, select(analysis, scores, options, cost).keeps)

    half = plan_of(0.5, 8)
    twin = mask_program(program, half)
    options = RetrainOptions(
        epochs=1, batch_size=BATCH_SIZE, precision="float32",
        augment=AugmentOptions(crop=2, flip=True),
    )  # fmt: skip
    options = replace(options, optimizer=replace(options.optimizer, learning_rate=RATE))
    mixed = replace(options, objective=ObjectiveOptions("mixed"))
    data = TrainingData(TensorSource(x, y), torch.arange(len(x)), torch.arange(0))

    def ours(network: Program, chosen: RetrainOptions, **more: Any) -> Side:  # noqa: ANN401
        return lambda: _timed(
            lambda hooks: retrain_program(network, data, chosen, hooks=hooks, **more)
        )

    pruned = {
        f"ours, {share:g} of the MACs": ours(compact(program, analysis, plan_of(share, 8)), options)
        for share in (0.5, 0.25)
    }
    return {
        "ours, dense": ours(program, options),
        **pruned,
        "ours, 0.5 of the MACs, taught": ours(
            compact(program, analysis, half), mixed, teacher=program
        ),
        "ours, masked twin of 0.5": ours(twin, options, masks=keep_masks(program, half)),
        "ours, dense, compiled": ours(program, replace(options, is_compiled=True)),
    }


def _timed(run: Callable[[Hooks], object]) -> list[float]:
    times: list[float] = []
    run(Hooks(on_step=lambda _step, _total: times.append(time.perf_counter())))
    return times


def plain(images: Images, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """Train with a plain PyTorch loop."""
    model = _model(images).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        model.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = len(x) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    random = torch.Generator().manual_seed(0)
    order = torch.randperm(len(x), generator=random)
    times = []
    for index in order.view(steps, -1):
        loss = F.cross_entropy(model(augment(x[index], random, can_flip=True)), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        times.append(time.perf_counter())
    return times


def lightning_loop(images: Images, x: torch.Tensor, y: torch.Tensor) -> list[float]:
    """Train as Lightning's documentation does, without loggers and checkpoints."""
    import lightning  # noqa: PLC0415  # a peer, not a dependency

    random = torch.Generator().manual_seed(0)
    times: list[float] = []

    class Module(lightning.LightningModule):
        """The network and its step."""

        def __init__(self) -> None:
            super().__init__()
            self.model = _model(images).to(memory_format=torch.channels_last)

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _index: int) -> Any:  # noqa: ANN401
            return F.cross_entropy(self.model(augment(batch[0], random, can_flip=True)), batch[1])

        def on_train_batch_end(self, *_arguments: object) -> None:
            times.append(time.perf_counter())

        def configure_optimizers(self) -> Any:  # noqa: ANN401
            return torch.optim.SGD(
                self.parameters(), RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
            )

    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), BATCH_SIZE, shuffle=True, drop_last=True
    )
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Module(), loader)
    return times


def per_step(times: list[float]) -> float:
    """Return the mean seconds per step, without the first steps."""
    return (times[-1] - times[WARM_STEPS - 1]) / (len(times) - WARM_STEPS)


def _model(images: Images) -> ResNet20:
    network = ResNet20()
    network.load_state_dict(load_file(weights_path(images.name)))
    return network


if __name__ == "__main__":
    main()
