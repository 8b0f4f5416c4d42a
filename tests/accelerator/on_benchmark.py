"""The steps of `benchmarks.gpu` that can be simulated run, and find what they look for."""

from pathlib import Path

from benchmarks.gpu import STEPS, attempt, failure, make_bench, parity
from tests.accelerator.simulated import Simulation
from worker.pipeline.job.device import start_device


def test_the_script_for_a_gpu_runs_without_one(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, is_simulated=True)
    with Simulation():
        start_device(bench.device.type)
        for step in (parity, failure):
            found = attempt(bench, step, tmp_path)
            assert found["passed"], found
        assert attempt(bench, STEPS["stages"], tmp_path)["passed"] is None, "it needs a GPU"
