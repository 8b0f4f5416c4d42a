"""Nobody but the service's user reads its files, whatever the umask is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.private import make_private, private_files, write_private
from app.cli.serve import _prepare_database, _prepare_directories
from app.contracts.settings import Settings
from app.records.database import create_database
from app.records.migrations import upgrade


@pytest.fixture(autouse=True)
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def rights_of_others(folder: Path) -> dict[str, str]:
    """Return what others may do with each file and folder, if anything."""
    return {
        str(path.relative_to(folder)): stat.filemode(path.stat().st_mode)
        for path in folder.rglob("*")
        if path.stat().st_mode & 0o077 and not path.is_symlink()
    }


def test_the_database_is_private_from_its_first_byte(tmp_path: Path) -> None:
    engine = create_database(f"sqlite:///{tmp_path / 'secateur.db'}")
    upgrade(engine)
    with engine.connect():
        assert {path.name for path in tmp_path.iterdir()} >= {"secateur.db", "secateur.db-wal"}
        assert rights_of_others(tmp_path) == {}
    engine.dispose()


def test_what_serve_prepares_is_private_even_where_it_was_not(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with private_files():
        _prepare_directories(settings)
    for name in ("secateur.db", "api-key"):
        (settings.data_dir / name).touch(mode=0o666)
    with private_files():
        _prepare_database(settings)
        _prepare_database(settings)
    assert (settings.data_dir / "api-key").read_text().startswith("sec_")
    assert rights_of_others(settings.data_dir) == {}


def test_the_umask_of_before_is_restored(tmp_path: Path) -> None:
    with private_files():
        (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    assert list(rights_of_others(tmp_path)) == ["b"]


def test_a_private_file_replaces_a_public_one_and_follows_no_link(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    path.touch(mode=0o644)
    write_private(path, "secret")
    assert path.read_text() == "secret"
    assert rights_of_others(tmp_path) == {}
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        write_private(link, "secret")
    assert not (tmp_path / "elsewhere").exists()
    path.chmod(0o754)
    make_private(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
