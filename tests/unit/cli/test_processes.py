"""Child processes of `secateur serve`."""

from pathlib import Path

from app.cli.processes import Child, Command, stop, wait_until

IDLE = "touch {own}; while :; do sleep 0.02; done"
WAITS = "trap 'until test -e {other}; do sleep 0.02; done; exit 7' TERM; " + IDLE
WRITES = "trap 'touch {other}; exit 7' TERM; " + IDLE


def test_children_stop_together(tmp_path: Path) -> None:
    stopped, children = tmp_path / "stopped", []
    for name, script in (("first", WAITS), ("second", WRITES)):
        line = script.format(other=stopped, own=tmp_path / name)
        command = Command(name, ["sh", "-c", line], {"PATH": "/usr/bin:/bin"}, stop_seconds=10)
        children.append(Child(command, tmp_path))
        children[-1].start()
    assert wait_until(
        lambda: (tmp_path / "second").exists() and (tmp_path / "first").exists(), 10, []
    )
    stop(children)  # the first ends when the second was asked to
    assert [child._process and child._process.poll() for child in children] == [7, 7]
