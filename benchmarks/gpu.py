"""Run what needs a GPU, on a GPU: ``python -m benchmarks.gpu``. Under nine minutes, seven lines.

Without a GPU it says so, and runs the steps that can be simulated on the tests' simulated device,
which shows that the script itself works. Writes ``gpu.json``. Exits with 1 if a step fails.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec, SplitSpec
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from benchmarks.machine import machine
from secateur.engine.errors import EngineError
from secateur.engine.export.onnx import export_onnx
from secateur.engine.graph import Analysis, analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.measure import compare_latency
from secateur.engine.metrics import evaluate
from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.plan import make_plan
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.retrain import (
    AugmentOptions,
    Hooks,
    OptimizerOptions,
    RetrainOptions,
    RetrainState,
    TrainingData,
    recalibrate,
    retrain_program,
)
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.saliency.agreement import mean_spearman
from secateur.engine.samples import SampleSource
from secateur.engine.selection import Budget, SelectionOptions, select
from secateur.engine.surgery import audit, compact
from worker.fork_server.client import ChildRequest, ForkServer
from worker.messages import PROBE
from worker.pipeline.data import open_dataset
from worker.pipeline.data.dataset import Dataset
from worker.pipeline.job.batches import Batches
from worker.pipeline.job.device import OnDevice, start_device
from worker.pipeline.job.failures import to_failed

_SAME_ORDER, _CERTIFIED = 0.999, 1e-9
_WORTH = 20.0  # times faster than the CPU, for the stages that cost hours there
_CUDA = "CUDAExecutionProvider"

Found = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What every step uses.

    Attributes:
        device: ``cuda``, or ``sim`` for the tests' simulated device.
        dense: Network with random weights, on the CPU.
        analysis: Its channel groups.
        pruned: The network at half of its multiply-accumulates.
        samples: Images of bytes.
        batch_size: Samples of a training step.
        num_steps: Training steps of a run.
    """

    device: torch.device
    dense: Program
    analysis: Analysis
    pruned: Program
    samples: Dataset
    batch_size: int
    num_steps: int

    @property
    def is_simulated(self) -> bool:
        """Whether there is no GPU."""
        return self.device.type != "cuda"

    def source(self, device: torch.device) -> SampleSource:
        """Return the samples on a device."""
        return self.samples if device.type == "cpu" else OnDevice(self.samples, device)

    def training(self, device: torch.device) -> TrainingData:
        """Return as many samples as a run of `num_steps` takes."""
        train = torch.arange(self.batch_size * self.num_steps) % len(self.samples)
        return TrainingData(self.source(device), train, train[:0])


def main() -> int:
    """Run the steps and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("gpu.json"))
    options = parser.parse_args()
    began, found = time.monotonic(), dict[str, Found]()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    if not name:
        print("no GPU: torch sees none. What can be simulated runs on the tests' simulated device.")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        bench = make_bench(Path(folder), is_simulated=not name)
        if bench.is_simulated:
            from tests.accelerator.simulated import Simulation  # noqa: PLC0415  # changes torch

            stack.enter_context(Simulation())
        start_device(bench.device.type)
        for number, (step, run) in enumerate(STEPS.items(), 1):
            found[step] = attempt(bench, run, Path(folder))
            print(f"{number} {step}: {line(found[step])}", flush=True)
    done = [each for each in found.values() if each["passed"] is not None]
    passed = sum(bool(each["passed"]) for each in done)
    seconds = time.monotonic() - began
    about = {"gpu": name or None, "seconds": seconds, "machine": machine(), "steps": found}
    options.output.write_text(json.dumps(about, indent=1, default=str) + "\n")
    what = name or "simulated device, NOT a GPU"
    num_steps = len(done) if bench.is_simulated else len(STEPS)
    print(f"gpu: {passed} of {num_steps} passed, {what}, {seconds:.0f} s")
    return 0 if passed == len(done) else 1


def attempt(bench: Bench, run: Callable[[Bench, Path], Found], folder: Path) -> Found:
    """Return the results of a step; an error is a step that has not passed."""
    began = time.monotonic()
    try:
        found = run(bench, folder)
    except (RuntimeError, EngineError, AssertionError, OSError, TypeError, ValueError) as error:
        found = {"passed": False, "error": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    return {**found, "step_seconds": round(time.monotonic() - began, 1)}


def line(found: Found) -> str:
    """Return the results of a step as one line."""
    words = {True: "PASS", False: "FAIL", None: "needs a GPU"}[found["passed"]]
    more = [f"{name} {_short(value)}" for name, value in found.items() if name != "passed"]
    return f"{words}; {', '.join(more)}"


def make_bench(folder: Path, *, is_simulated: bool) -> Bench:
    """Return the network and the samples: ResNet-50 and 224 pixels, or small ones."""
    torch.manual_seed(0)
    if is_simulated:
        from tests.accelerator.jobs import Net  # noqa: PLC0415  # tests are not installed
        from tests.accelerator.simulated import register  # noqa: PLC0415  # likewise

        register()
        net, size, channels, num_samples = Net().eval(), 8, 1, 96
    else:
        import torchvision  # noqa: PLC0415  # slow to import

        net = torchvision.models.resnet50(num_classes=100).eval()
        size, channels, num_samples = 224, 3, 2048
    dense = from_exported(export(net, (torch.randn(2, channels, size, size),)))
    analysis = analyse(dense)
    scores = CRITERIA["l1"](dense, analysis, None, SaliencyOptions())
    rule = SelectionOptions(mode=Budget("macs", 0.5), round_to=1 if is_simulated else 8)
    keeps = select(analysis, scores, rule, CostModel(dense, analysis)).keeps
    pruned = compact(dense, analysis, make_plan(dense, analysis, keeps))
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (num_samples, channels, size, size), dtype=np.uint8)
    np.savez(folder / "x.npz", x=x, y=random.integers(0, 4, num_samples))
    scratch = folder / "scratch"
    scratch.mkdir()
    samples = open_dataset(
        folder / "x.npz",
        "npz",
        PreprocessSpec(mean=(0.5,), std=(0.25,)),
        scratch,
        limits=LimitSettings(),
        split=SplitSpec(),
    )
    device = torch.device("sim" if is_simulated else "cuda")
    return Bench(
        device,
        dense,
        analysis,
        pruned,
        samples,
        16 if is_simulated else 128,
        6 if is_simulated else 30,
    )


def sandbox(bench: Bench, folder: Path) -> Found:
    """Compute on the device from a job's process, with its fork and its sandbox."""
    name = "cpu" if bench.is_simulated else "cuda"
    home = folder / "home"
    home.mkdir()
    (home / PROBE).write_text(name)
    server = ForkServer("worker.pipeline.process", os.environ)  # noqa: TID251  # handed on
    reader, events = os.pipe()
    try:
        needs = Needs(gpu=not bench.is_simulated)
        request = ChildRequest(home / PROBE, home, home / "log", [home], ProcessLimits(), needs)
        child = server.start_child(request, events)
        code = child.wait(120)
    finally:
        server.close()
        os.close(reader)
        os.close(events)
    return {"passed": code == 0, "code": code, "isolation": " ".join(child.isolation)}


def parity(bench: Bench, _folder: Path) -> Found:
    """Compare scores, statistics, metrics and the certificate with the CPU's."""
    cpu, few = torch.device("cpu"), torch.arange(32)
    there, order = bench.dense.to(bench.device), {}
    for name in ("taylor", "jacobian", "reconstruction"):
        scores = []
        for device, program in ((cpu, bench.dense), (bench.device, there)):
            x, y = bench.source(device).batch(few)
            batch = CalibrationBatch((x,), y)
            scores.append(CRITERIA[name](program, bench.analysis, (batch,), SaliencyOptions()))
        order[name] = mean_spearman(*scores)
    pruned, moved = bench.pruned, bench.pruned.to(bench.device)
    both = [
        recalibrate(program, [bench.source(device).batch(few)[0]])
        for device, program in ((cpu, pruned), (bench.device, moved))
    ]
    statistics = max(
        float((a - both[1].tensors[name].cpu()).abs().max() / a.abs().max().clamp_min(1e-6))
        for name, a in both[0].tensors.items()
        if a.is_floating_point()
    )
    losses = [
        evaluate(program, bench.source(device), few).loss
        for device, program in ((cpu, both[0]), (bench.device, both[1]))
    ]
    scores = CRITERIA["l1"](bench.dense, bench.analysis, None, SaliencyOptions())
    keeps = {name: values >= values.median() for name, values in scores.items()}
    plan = make_plan(bench.dense, bench.analysis, keeps)
    proof = audit(bench.dense, bench.analysis, plan, [bench.dense.example_inputs(2)])
    certified = proof.exact.max_relative_error if proof.exact is not None else 0.0
    loss = abs(losses[0] - losses[1]) / max(1e-9, abs(losses[0]))
    is_close = statistics < 1e-3 and loss < 1e-3 and certified <= _CERTIFIED  # noqa: PLR2004
    return {
        "passed": min(order.values()) > _SAME_ORDER and is_close,
        "spearman": min(order.values()),
        "statistics": statistics,
        "loss": loss,
        "certificate": certified,
    }


def same_bytes(bench: Bench, _folder: Path) -> Found:
    """Train twice, and once with a stop: the same weights to the last bit."""
    digests: dict[str, set[str]] = {}
    for kind in ("sgd", "adamw"):
        options = training(bench, OptimizerOptions(kind=kind, learning_rate=0.01))
        states: list[RetrainState] = []
        stop = Hooks(checkpoint=states.append, is_save_due=lambda found=states: not found)
        data = bench.training(bench.device)
        runs = [retrain_program(bench.pruned.to(bench.device), data, options) for _ in range(2)]
        runs.append(retrain_program(bench.pruned.to(bench.device), data, options, hooks=stop))
        program = bench.pruned.to(bench.device)
        runs.append(retrain_program(program, data, options, resume=states[0]))
        digests[kind] = {_digest(run.program) for run in runs}
    return {
        "passed": all(len(found) == 1 for found in digests.values()),
        **{name: f"{len(found)} result(s) of 4 runs" for name, found in digests.items()},
    }


def stages(bench: Bench, _folder: Path) -> Found:
    """Time exact losses and an evaluation on the CPU and the GPU; count waits in a step."""
    if bench.is_simulated:
        return {"passed": None}
    cpu, seconds = torch.device("cpu"), dict[str, float]()
    one = _one_family(bench.analysis)
    for device, share in ((cpu, 8), (bench.device, 256)):
        x, y = bench.source(device).batch(torch.arange(share))
        program, batch = bench.dense.to(device), CalibrationBatch((x,), y)
        for what, run in (
            ("loss", lambda p=program, b=batch: CRITERIA["loss"](p, one, (b,), SaliencyOptions())),
            (
                "evaluation",
                lambda p=program, d=device, n=share: evaluate(p, bench.source(d), torch.arange(n)),
            ),
        ):
            seconds[f"{what} {device.type}"] = _timed(run) / share
    ratios = {w: seconds[f"{w} cpu"] / seconds[f"{w} cuda"] for w in ("loss", "evaluation")}
    waits = _waits(bench)
    return {
        "passed": min(ratios.values()) >= _WORTH and waits <= 1,
        **{f"{name} ratio": ratio for name, ratio in ratios.items()},
        "waits a step": waits,
    }


def speed(bench: Bench, _folder: Path) -> Found:
    """Time training steps: dense and pruned, in each type."""
    if bench.is_simulated:
        return {"passed": None}
    found: Found = {}
    for name, program in (("dense", bench.dense), ("pruned", bench.pruned)):
        for precision in ("float32", "bfloat16"):
            times: list[float] = []
            options = replace(training(bench, OptimizerOptions()), precision=precision)
            hooks = Hooks(on_step=lambda *_, at=times: at.append(time.perf_counter()))
            retrain_program(
                program.to(bench.device), bench.training(bench.device), options, hooks=hooks
            )
            rate = bench.batch_size * (len(times) - 6) / (times[-1] - times[5])
            found[f"{name} {precision} images/s"] = rate
    is_faster = found["pruned bfloat16 images/s"] > found["dense bfloat16 images/s"]
    return {"passed": is_faster, **found}


def latency(bench: Bench, folder: Path) -> Found:
    """Time the ONNX files with the provider that serves from a GPU."""
    import onnxruntime as ort  # noqa: PLC0415  # only here

    if bench.is_simulated or _CUDA not in ort.get_available_providers():
        return {"passed": None, "why": "onnxruntime-gpu is not installed"}
    ort.preload_dlls()
    paths = [folder / "dense.onnx", folder / "pruned.onnx"]
    for program, path in zip((bench.dense, bench.pruned), paths, strict=True):
        export_onnx(program, path)
    timed = compare_latency(paths, bench.dense.inputs, (1, 8, 64), provider=_CUDA, seconds=2)
    used = {latency.provider for found in timed.latencies for latency in found}
    ratios = {f"batch {each.batch_size}": each.ratio for each in timed.speedups[0]}
    return {"passed": used == {_CUDA}, **ratios}


def failure(bench: Bench, _folder: Path) -> Found:
    """Run out of memory: smaller batches follow, the code is right, and the device goes on."""
    told: list[str] = []

    def compute(size: int) -> int:
        if bench.is_simulated:
            if size > 1:
                raise torch.OutOfMemoryError("simulated")
        elif size > 1:
            free, _ = torch.cuda.mem_get_info()
            torch.empty(size * free, dtype=torch.uint8, device=bench.device)
        return size

    size = Batches(bench.device, told.append).run("step", 4, compute)
    code = "out_of_memory"
    if not bench.is_simulated:
        try:
            torch.empty(2**50, dtype=torch.uint8, device=bench.device)
        except RuntimeError as error:
            code = str(to_failed(error, None).code.value)
    total = float(torch.ones(8, device=bench.device).sum())
    passed = size == 1 and len(told) == 2 and code == "out_of_memory" and total == 8  # noqa: PLR2004
    return {"passed": passed, "code": code}


STEPS: dict[str, Callable[[Bench, Path], Found]] = {
    "sandbox": sandbox,
    "parity": parity,
    "bytes": same_bytes,
    "stages": stages,
    "training": speed,
    "latency": latency,
    "failure": failure,
}


def training(bench: Bench, optimizer: OptimizerOptions) -> RetrainOptions:
    """Return options of one short epoch."""
    return RetrainOptions(
        epochs=1,
        batch_size=bench.batch_size,
        precision="float32",
        objective=ObjectiveOptions(kind="cross_entropy"),
        optimizer=optimizer,
        augment=AugmentOptions(crop=1, flip=True),
    )


def _waits(bench: Bench) -> float:
    """Return how often a training step waits for the GPU, by torch's own count."""
    counts: list[int] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        hooks = Hooks(on_step=lambda *_: counts.append(len(caught)))
        torch.cuda.set_sync_debug_mode("warn")
        try:
            options = training(bench, OptimizerOptions())
            retrain_program(
                bench.pruned.to(bench.device), bench.training(bench.device), options, hooks=hooks
            )
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return (counts[-1] - counts[5]) / (len(counts) - 6)


def _one_family(analysis: Analysis, most: int = 8) -> Analysis:
    """Return an analysis of a few groups of the last family: eight tell the time of one."""
    family = analysis.families[-1]
    number = min(most, family.num_groups)
    members = tuple(replace(member, index_GK=member.index_GK[:number]) for member in family.members)
    return replace(analysis, families=(replace(family, num_groups=number, members=members),))


def _timed(run: Callable[[], object]) -> float:
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _digest(program: Program) -> str:
    digest = hashlib.sha256()
    for name, tensor in program.tensors.items():
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().tobytes()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
