"""A data set three times as large as the memory left for it."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.lib import format as npy
from numpy.typing import NDArray

from tests.integration.worker.reading_child import BATCH_SIZE

MEBIBYTE = 1024**2
ROOM = 288 * MEBIBYTE  # for batches, gradients, and the stacks of the threads that training starts
SHAPE = (3, 64, 64)
BLOCK = 1000


def run(*arguments: object, memory: int | None = None) -> str:
    """Run the child under the memory limit of a job's process."""
    child = [sys.executable, "-m", "tests.integration.worker.reading_child"]
    done = subprocess.run(
        [*child, str(memory or 0), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def limit() -> int:
    return int(run("measure")) + ROOM


def write_npz(path: Path, num_samples: int) -> None:
    """Write images whose first four bytes are their number, in two splits, block by block."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for suffix, first, last in (
            ("", 0, num_samples // 2),
            ("_val", num_samples // 2, num_samples),
        ):
            shape = (last - first, *SHAPE)
            with archive.open(f"x{suffix}.npy", "w", force_zip64=True) as file:
                header = {"descr": "|u1", "fortran_order": False, "shape": shape}
                npy.write_array_header_1_0(file, header)
                for start in range(first, last, BLOCK):
                    file.write(images(start, min(last, start + BLOCK)).data)
            with archive.open(f"y{suffix}.npy", "w") as file:
                npy.write_array(file, np.arange(first, last) % 4)


def images(first: int, last: int) -> NDArray[np.uint8]:
    numbers = np.arange(first, last, dtype="<u4")
    block = np.zeros((len(numbers), *SHAPE), np.uint8)
    block[:, 1] = (numbers % 4 * 60).astype(np.uint8)[:, None, None]
    block.reshape(len(numbers), -1)[:, :4] = numbers.view(np.uint8).reshape(-1, 4)
    return block


def test_an_allocation_beyond_the_limit_fails_inside_the_process(limit: int) -> None:
    assert run("allocate", limit, memory=limit).split() == ["MemoryError", "RuntimeError"]


def test_a_data_set_three_times_as_large_as_the_room_left_trains_to_the_end(
    limit: int, tmp_path: Path
) -> None:
    path = tmp_path / "large.npz"
    num_samples = 3 * ROOM // int(np.prod(SHAPE)) + 1
    write_npz(path, num_samples)
    try:
        assert path.stat().st_size >= 3 * ROOM
        found = run("npz", path, tmp_path, memory=limit)
    finally:  # gigabytes, which pytest would keep for three runs
        for file in tmp_path.iterdir():
            file.unlink()
    num_trained = num_samples // BATCH_SIZE * BATCH_SIZE  # a short last batch is dropped
    assert found.split() == [str(num_samples), str(num_trained)]
