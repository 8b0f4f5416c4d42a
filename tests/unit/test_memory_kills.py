"""The control group's count of out-of-memory kills, read from a stand-in file."""

from pathlib import Path

import pytest

from worker.memory_kills import count_memory_kills


@pytest.mark.parametrize(
    ("events", "number"),
    [
        ("low 7\nhigh 9\nmax 12\noom 4\noom_kill 3\noom_group_kill 1\n", 4),
        ("low 7\nmax 12\noom 4\noom_kill 0\n", 0),  # an allocation failed, and nobody was killed
        ("", 0),
    ],
)
def test_kills_are_counted_and_nothing_else(events: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text(events)
    assert count_memory_kills(tmp_path) == number


def test_without_a_control_group_the_machine_counts(tmp_path: Path) -> None:
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 5\npgfault 7\n")
    assert count_memory_kills(tmp_path / "absent", tmp_path / "vmstat") == 5


def test_without_kernel_counters_no_kill_is_assumed(tmp_path: Path) -> None:
    assert count_memory_kills(tmp_path / "absent", tmp_path / "absent") == 0
