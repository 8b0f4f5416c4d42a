"""On a machine with NVIDIA's driver: no server that forks asks it anything.

A driver that was initialised does not survive a fork, so one question in the server would end
every job. The driver here is a stub that notes who asks and may see a GPU; none is needed.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from app.contracts.settings import OutputSettings
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from tests.fixtures.jobs import request_for, save_model
from tests.fixtures.networks import SmallNet
from worker.fork_server.client import ChildRequest, ForkServer
from worker.messages import Succeeded
from worker.supervisor import Limits, Listener, run_process

DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static int note(void) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible && !*visible) return 100; /* to this process there is no GPU */
    FILE *log = fopen(LOG, "a");
    if (log) { fprintf(log, "%d\n", (int)getpid()); fclose(log); }
    return 100; /* no device */
}
int cuInit(unsigned flags) { return note(); }
int cuDriverGetVersion(int *version) { *version = 13000; return note() * 0; }
int cuGetProcAddress_v2(const char *name, void **f, int v, unsigned long long flags, void *s) {
    *f = note; return note() * 0;
}
int cuGetProcAddress(const char *name, void **f, int v, unsigned long long flags) {
    *f = note; return note() * 0;
}
"""


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """The folder with the driver; it records its callers in `asked`, in the child's folder."""
    compiler = shutil.which("gcc") or shutil.which("g++")
    if compiler is None and "CI" not in os.environ:
        pytest.skip("there is no C compiler")
    folder = tmp_path / "driver"
    folder.mkdir()
    (folder / "driver.c").write_text(DRIVER)
    log = tmp_path / "home" / "asked"
    log.parent.mkdir()
    command = [str(compiler), "-x", "c", "-shared", "-fPIC", f'-DLOG="{log}"']
    subprocess.run(
        [*command, "-o", str(folder / "libcuda.so.1"), str(folder / "driver.c")], check=True
    )
    return folder


@pytest.fixture
def server(driver: Path) -> Iterator[ForkServer]:
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(driver),
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "OMP_NUM_THREADS": "1",
    }
    with closing(ForkServer("tests.integration.worker.gpu_child", environment)) as running:
        yield running


def test_a_job_on_the_cpu_runs_to_its_end_and_asks_no_driver(
    server: ForkServer, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = save_model(SmallNet(8), (torch.randn(2, 1, 8, 8),), tmp_path / "home" / "model.pt2")
    home = tmp_path / "home"
    selection = {"mode": "budget", "macs": 0.7, "round_to": 1, "min_channels": 2}
    request = request_for(model, home, {"selection": selection}, num_threads=1)
    limits = Limits(300, 300, 5, ProcessLimits(), OutputSettings(), 1024**4)
    listener = Listener(lambda _: None, lambda _: None, lambda: False)
    finished = run_process(server, request, home, home / "log.txt", limits, listener)
    assert isinstance(finished.ending, Succeeded), (home / "log.txt").read_text()
    assert not (home / "asked").exists(), "nobody asked the driver"


@pytest.mark.skipif(torch.version.cuda is None, reason="this torch knows no CUDA")
def test_a_job_on_a_gpu_is_the_first_to_ask_the_driver(server: ForkServer, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "request.json").write_text("{}")
    reader, writer = os.pipe()
    request = ChildRequest(
        home / "request.json", home, home / "log.txt", [home], ProcessLimits(), Needs(gpu=True)
    )
    child = server.start_child(request, writer)
    os.close(writer)
    assert child.wait(60) == 7, (home / "log.txt").read_text()
    os.close(reader)
    assert set((home / "asked").read_text().split()) == {str(child.pid)}
