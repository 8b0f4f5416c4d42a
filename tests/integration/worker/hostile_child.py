"""A job's process that was taken over: it attacks after the genuine `isolate`, and then reports.

The config's seed is the number of the attack in `ATTACKS`.
"""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Send = Callable[..., None]
Request = dict[str, Any]

MEBIBYTE = 1024**2
FILES = [{"name": "pruned.pt2", "media_type": "application/zip"}]


def main(path: Path, events: int) -> int:
    """Attack, then report success as a genuine job does."""
    request = json.loads(path.read_text())

    def send(**message: object) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(events, data) :]

    out = Path(request["output_dir"])
    (out / "pruned.pt2").write_bytes(b"a program")
    send(type="stage", stage="export")
    attack = list(ATTACKS.values())[request["config"]["seed"]]
    changed = attack(request, out, send) or {}
    result = {"summary": {}}
    last = {"result": result, "report": {}, "files": FILES, "program": "pruned.pt2", **changed}
    send(type="succeeded", **last)
    return 0


def plant_specials(request: Request, out: Path, _: Send) -> dict[str, Any]:
    """Try to put links, pipes, sockets and devices where the worker expects files."""
    refused = 0
    for number, plant in enumerate(
        (
            lambda path: path.symlink_to("/proc/self/environ"),
            lambda path: path.symlink_to("../../../../../api-key"),
            os.mkfifo,
            lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
            lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
            lambda path: path.hardlink_to("/etc/passwd"),
        )
    ):
        for folder in (out, Path(request["checkpoint_dir"])):
            try:
                plant(folder / f"x{number}.bin")
            except OSError:
                refused += 1
    return {"result": {"summary": {"refused": refused}}}


def fill_disk(request: Request, out: Path, _: Send) -> None:
    """Write many files, each below the limit of a file, to all folders in turn."""
    for number in range(40):
        folder = (out, Path(request["checkpoint_dir"]))[number % 2]
        (folder / f"{number}.tmp").write_bytes(bytes(8 * MEBIBYTE))
    time.sleep(60)


def fill_disk_without_names(_request: Request, out: Path, _: Send) -> None:
    """Write many files and delete them, but keep them open."""
    kept = []
    for number in range(40):
        path = out / f"{number}.tmp"
        kept.append(path.open("wb", buffering=0))
        path.unlink()
        kept[-1].write(bytes(8 * MEBIBYTE))
    time.sleep(60)


def fill_disk_with_empty_files(_request: Request, out: Path, _: Send) -> None:
    """Write files that take no room but their entries."""
    for number in range(10_000):
        (out / f"{number}.tmp").touch()
    time.sleep(60)


def sparse_file(_request: Request, out: Path, _: Send) -> None:
    """Make a file that is large, and takes no room here."""
    with (out / "pruned.pt2").open("wb") as file:
        file.truncate(1024 * MEBIBYTE)


def many_sparse_files(_request: Request, out: Path, _: Send) -> dict[str, Any]:
    """The same in parts, each below the limit."""
    names = [f"part{number}.bin" for number in range(20)]
    for name in names:
        with (out / name).open("wb") as file:
            file.truncate(2 * MEBIBYTE)
    files = [{"name": name, "media_type": "application/octet-stream"} for name in names]
    return {"files": [*FILES, *files]}


def many_files(_request: Request, out: Path, _: Send) -> dict[str, Any]:
    names = [f"part{number}.bin" for number in range(100)]
    for name in names:
        (out / name).write_bytes(b"x")
    files = [{"name": name, "media_type": "application/octet-stream"} for name in names]
    return {"files": [*FILES, *files]}


def missing_file(_request: Request, out: Path, _: Send) -> None:
    (out / "pruned.pt2").unlink()


def folder_as_file(_request: Request, out: Path, _: Send) -> None:
    (out / "pruned.pt2").unlink()
    (out / "pruned.pt2").mkdir()


def long_warning(_request: Request, _out: Path, send: Send) -> None:
    send(type="warning", message="kept")
    time.sleep(0.3)
    send(type="warning", message="x" * 8 * MEBIBYTE)


def long_metric(_request: Request, _out: Path, send: Send) -> None:
    send(type="metric", data={"x": "x" * 8 * MEBIBYTE})


def long_line(_request: Request, _out: Path, send: Send) -> None:
    send(type="metric", data={"x": "x" * 40 * MEBIBYTE})


def long_summary(_request: Request, _out: Path, _: Send) -> dict[str, Any]:
    return {"result": {"summary": {"x": "x" * 2 * MEBIBYTE}}}


def many_metrics(_request: Request, _out: Path, send: Send) -> None:
    for number in range(3000):
        send(type="metric", data={"number": number})


def large_metrics(_request: Request, _out: Path, send: Send) -> None:
    for number in range(400):
        send(type="metric", data={"number": number, "x": "x" * 15_000})


def deep_metric(_request: Request, _out: Path, send: Send) -> None:
    data: dict[str, Any] = {}
    for _ in range(100):
        data = {"x": data}
    send(type="metric", data=data)


def nul_in_report(_request: Request, _out: Path, _: Send) -> dict[str, Any]:
    return {"report": {"macs": "1\0"}}


def finding_without_severity(_request: Request, _out: Path, send: Send) -> None:
    send(type="warning", message="x", code="x")


def long_name(_request: Request, out: Path, _: Send) -> dict[str, Any]:
    name = "x" * 250 + ".bin"
    (out / name).write_bytes(b"x")
    return {"files": [*FILES, {"name": name, "media_type": "application/octet-stream"}]}


def media_type(_request: Request, _out: Path, _: Send) -> dict[str, Any]:
    return {"files": [FILES[0] | {"media_type": "text/html\r\nset-cookie: x"}]}


def foreign_format(_request: Request, out: Path, _: Send) -> dict[str, Any]:
    (out / "x.exe").write_bytes(b"x")
    files = [{"name": "x.exe", "media_type": "application/octet-stream"}]
    return {"files": files, "program": "x.exe"}


def no_program(_request: Request, _out: Path, _: Send) -> dict[str, Any]:
    return {"files": [], "program": None}


def unremovable(_request: Request, out: Path, _: Send) -> None:
    """Leave folders that are deep, and that nobody may open."""
    here = os.open(out.parent, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    with contextlib.suppress(OSError):  # the filter may refuse it
        (out.parent / "d").chmod(0)


def replaced_log(_request: Request, out: Path, _: Send) -> None:
    """Put a pipe in place of the log, and die: the worker reads the end of the log."""
    for name in ("log.txt", "../log.txt"):
        log = out.parent / name
        with contextlib.suppress(OSError):
            log.unlink()
        with contextlib.suppress(OSError):
            os.mkfifo(log)
    print("\x1b]0;owned\x07 last words", flush=True)  # noqa: T201  # to the log
    os._exit(3)


def forged_processes(_request: Request, out: Path, _: Send) -> dict[str, Any]:
    """Look for the record by which a later worker kills, and overwrite it."""
    time.sleep(0.2)  # it is written once we have started
    found = 0
    for folder in (out.parent, *out.parents[1:3]):
        path = folder / "processes.json"
        with contextlib.suppress(OSError):
            path.read_text()
            found += 1
        with contextlib.suppress(OSError):
            path.write_text("[]")
            found += folder != out.parent
    return {"result": {"summary": {"found": found}}}


def wait(_request: Request, out: Path, send: Send) -> None:
    """Let the test play what a kernel without Landlock does not refuse."""
    send(type="metric", data={"waits": True})
    while not (out / "go").exists():
        time.sleep(0.02)


ATTACKS: dict[str, Callable[[Request, Path, Send], dict[str, Any] | None]] = {
    each.__name__: each
    for each in (
        plant_specials, sparse_file, many_sparse_files, many_files, missing_file, folder_as_file,
        long_warning, long_metric, long_line, long_summary, many_metrics, large_metrics,
        deep_metric, nul_in_report, finding_without_severity, long_name, media_type,
        foreign_format, no_program, unremovable, replaced_log, forged_processes, wait, fill_disk,
        fill_disk_without_names, fill_disk_with_empty_files,
    )
}  # fmt: skip
