"""The memory of a machine or container, and a job's share of it."""

from pathlib import Path

import pytest

from app.sandbox.machine import memory_bytes
from worker.memory_share import share_of_memory

MACHINE = memory_bytes(Path("/nowhere"), Path("/nowhere"))
GIBIBYTE = 1024**3


@pytest.mark.parametrize(
    ("file", "text", "groups", "expected"),
    [
        ("memory.max", "5000000", "0::/\n", 5_000_000),
        ("memory.max", "5000000", "0::/a/b\n", 5_000_000),
        ("a/memory.max", "5000000", "0::/a/b\n", 5_000_000),
        ("a/b/memory.max", "5000000", "0::/a/b\n", 5_000_000),
        ("c/memory.max", "5000000", "0::/a/b\n", MACHINE),
        ("memory.max", "max", "0::/\n", MACHINE),
        ("memory/memory.limit_in_bytes", "5000000", "1:cpu:/\n", 5_000_000),
        ("memory/a/memory.limit_in_bytes", "5000000", "4:cpu,memory:/a\n0::/\n", 5_000_000),
        ("memory/memory.limit_in_bytes", "9223372036854771712", "4:memory:/\n", MACHINE),
    ],
)
def test_the_smallest_limit_around_a_process_counts(
    file: str, text: str, groups: str, expected: int, tmp_path: Path
) -> None:
    root = tmp_path / "cgroup"
    (root / file).parent.mkdir(parents=True)
    (root / file).write_text(text)
    (tmp_path / "groups").write_text(groups)
    assert memory_bytes(root, tmp_path / "groups") == expected


def test_a_machine_without_control_groups_has_its_memory() -> None:
    assert MACHINE > 2**28


@pytest.mark.parametrize(
    ("total", "num_slots", "expected"),
    [
        (100 * GIBIBYTE, 1, 80 * GIBIBYTE),
        (100 * GIBIBYTE, 4, 20 * GIBIBYTE),
        (10 * GIBIBYTE, 4, 4 * GIBIBYTE),
        (4 * GIBIBYTE, 3, int(0.8 * 4 * GIBIBYTE)),
    ],
)
def test_a_slot_gets_its_share_and_enough_to_work(
    total: int, num_slots: int, expected: int
) -> None:
    assert share_of_memory(num_slots, total) == pytest.approx(expected, abs=1)
