"""Who counts as root of the machine."""

from pathlib import Path

import pytest

from app.sandbox.root import is_root_of_machine

EVERYBODY = "         0          0 4294967295\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/uid_map": EVERYBODY}, True),
        ({"proc/self/uid_map": EVERYBODY, "proc/1/cgroup": "0::/init.scope\n"}, True),
        ({}, True),  # not Linux
        ({"proc/self/uid_map": "0 100000 65536\n"}, False),  # a rootless container
        ({"proc/self/uid_map": EVERYBODY, ".dockerenv": ""}, False),
        ({"proc/self/uid_map": EVERYBODY, "run/.containerenv": ""}, False),
        ({"proc/self/uid_map": EVERYBODY, "proc/1/cgroup": "0::/kubepods/x\n"}, False),
        ({"proc/self/uid_map": EVERYBODY, "proc/1/environ": "A=b\0container=lxc\0"}, False),
    ],
)
def test_root_in_a_container_is_not_root_of_the_machine(
    files: dict[str, str], *, expected: bool, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert is_root_of_machine(0, tmp_path) is expected
    assert not is_root_of_machine(1000, tmp_path)
