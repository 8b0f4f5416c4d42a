"""Links, devices and pipes in place of a file are refused without blocking."""

import os
import socket
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from app.objects.untrusted import UntrustedFileError, UntrustedFolder

MOST = 1000


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that a process can write to, beside a secret."""
    (tmp_path / "secret").write_text("sec_x")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x.bin").write_text("sec_x")
    folder = tmp_path / "work"
    (folder / "out").mkdir(parents=True)
    return folder


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


NOT_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link to a file": (lambda p: p.symlink_to(p.parents[2] / "secret"), "symbolic link"),
    "a relative link": (lambda p: p.symlink_to("../../secret"), "symbolic link"),
    "a link to itself": (lambda p: p.symlink_to(p.name), "symbolic link"),
    "a link to nothing": (lambda p: p.symlink_to("/nowhere"), "symbolic link"),
    "a link to /proc": (lambda p: p.symlink_to("/proc/self/environ"), "symbolic link"),
    "a pipe": (os.mkfifo, "a pipe"),
    "a socket": (make_socket, "a socket"),
    "a folder": (Path.mkdir, "a folder"),
    "a hard link": (lambda p: p.hardlink_to(p.parents[2] / "secret"), "linked from 2 places"),
    "nothing": (lambda _: None, "is missing"),
    "a large file": (lambda p: p.write_bytes(bytes(MOST + 1)), "1001 bytes, and at most 1000"),
    "a sparse file": (make_sparse, f"{2**40} bytes, and at most 1000"),
}


@pytest.mark.parametrize("what", NOT_FILES)
def test_only_a_regular_file_of_its_own_is_opened(what: str, place: Path) -> None:
    make, reason = NOT_FILES[what]
    make(place / "out" / "x.bin")
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError, match=reason):
        folder.open("out/x.bin", MOST)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_opened(place: Path) -> None:
    os.mknod(place / "out" / "x.bin", 0o20600, os.makedev(1, 5))  # /dev/zero: endless
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError, match="a device"):
        folder.open("out/x.bin", MOST)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_not_opened(place: Path) -> None:
    (place / "out" / "x.bin").write_text("x")
    os.chown(place / "out" / "x.bin", 12345, 12345)
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError, match="another user"):
        folder.open("out/x.bin", MOST)


@pytest.mark.parametrize("above", ["out", "out/deep"])
def test_no_folder_on_the_way_may_be_a_link(above: str, place: Path) -> None:
    (place / "out").rmdir()
    (place / above).parent.mkdir(exist_ok=True)
    (place / above).symlink_to(place.parent / "secrets")
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError, match="not a folder"):
        folder.open(f"{above}/x.bin", MOST)


def test_the_folder_itself_may_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UntrustedFileError):
        UntrustedFolder(tmp_path / "link")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../secret",
        "out/../../secret",
        "out//x",
        "./x",
        "out/",
        "a\0b",
        "a/" * 99,
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(name: str, place: Path) -> None:
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError, match="not the name"):
        folder.open(name, MOST)


def test_a_name_that_is_too_long_is_refused(place: Path) -> None:
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError):
        folder.open("x" * 300, MOST)


def test_a_file_is_copied_with_its_hash(place: Path, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (place / "out" / "x.bin").write_bytes(content)
    with UntrustedFolder(place) as folder, folder.open("out/x.bin", len(content)) as file:
        assert file.num_bytes == len(content)
        assert file.copy_to(tmp_path / "copy") == sha256(content).hexdigest()
    assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.parametrize(
    ("size", "word"), [(MOST + 1, "grew"), (MOST - 1, "shrank"), (0, "shrank")]
)
def test_a_file_that_changes_its_size_while_it_is_copied_is_refused(
    size: int, word: str, place: Path, tmp_path: Path
) -> None:
    path = place / "out" / "x.bin"
    path.write_bytes(bytes(MOST))
    with UntrustedFolder(place) as folder, folder.open("out/x.bin", MOST) as file:
        os.truncate(path, size)
        with pytest.raises(UntrustedFileError, match=word):
            file.copy_to(tmp_path / "copy")


def test_a_file_replaced_after_it_was_opened_changes_nothing(place: Path, tmp_path: Path) -> None:
    path = place / "out" / "x.bin"
    path.write_text("mine")
    with UntrustedFolder(place) as folder, folder.open("out/x.bin", MOST) as file:
        path.unlink()
        path.symlink_to(tmp_path / "secret")
        file.copy_to(tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"


def test_a_copy_never_writes_through_an_existing_file_or_link(place: Path, tmp_path: Path) -> None:
    (place / "out" / "x.bin").write_text("mine")
    (tmp_path / "copy").symlink_to(tmp_path / "secret")
    with (
        UntrustedFolder(place) as folder,
        folder.open("out/x.bin", MOST) as file,
        pytest.raises(FileExistsError),
    ):
        file.copy_to(tmp_path / "copy")
    assert (tmp_path / "secret").read_text() == "sec_x"


def test_a_copy_can_be_cancelled(place: Path, tmp_path: Path) -> None:
    (place / "out" / "x.bin").write_bytes(bytes(MOST))

    def stop() -> None:
        raise TimeoutError

    with (
        UntrustedFolder(place) as folder,
        folder.open("out/x.bin", MOST) as file,
        pytest.raises(TimeoutError),
    ):
        file.copy_to(tmp_path / "copy", stop)


def test_files_are_listed_with_their_folders(place: Path) -> None:
    (place / "out" / "b").mkdir()
    (place / "out" / "b" / "x").write_text("12")
    (place / "a").write_text("1")
    with UntrustedFolder(place) as folder:
        assert [(f.name, f.num_bytes) for f in folder.find_files(10)] == [("a", 1), ("out/b/x", 2)]
        with pytest.raises(UntrustedFileError, match="too many"):
            folder.find_files(3)


@pytest.mark.parametrize("what", ["a link to a file", "a pipe", "a socket", "a hard link"])
def test_a_list_is_refused_if_it_has_something_else(what: str, place: Path) -> None:
    NOT_FILES[what][0](place / "out" / "x")
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError):
        folder.find_files(10)


def test_folders_that_are_nested_too_deep_are_not_listed(place: Path) -> None:
    place.joinpath(*["d"] * 40).mkdir(parents=True)
    with UntrustedFolder(place) as folder, pytest.raises(UntrustedFileError, match="deep"):
        folder.find_files(1000)


def test_no_descriptor_is_left_open(place: Path, tmp_path: Path) -> None:
    (place / "out" / "x.bin").write_text("x")
    (place / "out" / "pipe").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("out/x.bin", "out/pipe", "out/none", "none/x"):
        with UntrustedFolder(place) as folder:
            try:
                with folder.open(name, MOST) as file:
                    file.copy_to(tmp_path / "copy")
            except UntrustedFileError:
                folder.find_files(10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
