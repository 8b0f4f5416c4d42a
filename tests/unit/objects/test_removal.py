"""A folder is removed whatever a process has put there, and nothing beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.objects.removal import remove_folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    folder = tmp_path / "work"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("x")
    return folder


def test_links_are_removed_and_not_followed(place: Path, tmp_path: Path) -> None:
    (place / "a" / "link").symlink_to(tmp_path / "kept")
    (place / "link").symlink_to(tmp_path / "kept")
    os.mkfifo(place / "pipe")
    remove_folder(place)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_a_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    (tmp_path / "work").symlink_to(tmp_path / "kept")
    remove_folder(tmp_path / "work")
    assert (tmp_path / "kept" / "file").exists()


def test_a_folder_may_be_deeper_than_a_path_and_a_stack(place: Path) -> None:
    here = os.open(place, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove_folder(place)
    assert not place.exists()


def test_a_missing_folder_is_fine(tmp_path: Path) -> None:
    remove_folder(tmp_path / "none")
    remove_folder(tmp_path / "none" / "none")


def test_files_without_permissions_are_removed(place: Path, tmp_path: Path) -> None:
    """Runs as an ordinary user, because root ignores permissions."""
    (place / "a" / "b" / "c").mkdir()
    script = (
        "import os, sys; from pathlib import Path\n"
        "from app.objects.removal import remove_folder\n"
        "place = Path(sys.argv[1])\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "for name in ('a/b/c', 'a/b', 'a', '.'): (place / name).chmod(0)\n"
        "remove_folder(place)\n"
    )
    if os.geteuid() == 0:
        for path in (tmp_path, place, *place.rglob("*")):
            os.chown(path, 65534, 65534)
        for path in tmp_path.parents[: len(tmp_path.parents) - 1]:
            path.chmod(path.stat().st_mode | 0o055)
    subprocess.run([sys.executable, "-c", script, str(place)], check=True)
    assert not place.exists()
