"""A job's process that attempts forbidden actions and records the outcome; no torch."""

import gc
import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path


def main(path: Path, events: int) -> int:
    """Try all forbidden actions, or wait, as the request says."""
    request = json.loads(path.read_text())
    os.write(events, b"begun\n")
    if request["what"] == "wait":
        time.sleep(60)
    if request["what"] == "burn":
        while True:
            pass
    if request["what"] == "collect garbage":
        return int(gc.isenabled())
    if request["what"] == "name threads":
        return name_threads(Path(request["folder"]))
    folder, secret = Path(request["folder"]), Path(request["secret"])
    attempts: dict[str, Callable[[], object]] = {
        "write its own folder": lambda: (folder / "mine").write_text("mine"),
        "read the system": lambda: Path("/etc/passwd").read_text(),
        "make a TCP socket": lambda: socket.socket(socket.AF_INET),
        "make a unix socket": lambda: socket.socket(socket.AF_UNIX),
        "read a secret": secret.read_text,
        "list the secrets": lambda: list(secret.parent.iterdir()),
        "write beside a secret": lambda: (secret.parent / "marker").write_text("x"),
        "remove a secret": secret.unlink,
        "read a worker's environment": lambda: Path(
            f"/proc/{request['worker']}/environ"
        ).read_bytes(),
        "signal the worker": lambda: os.kill(request["worker"], signal.SIGUSR2),
        "make a symbolic link": lambda: (folder / "link").symlink_to(secret),
        "make a pipe": lambda: os.mkfifo(folder / "pipe"),
        "make a socket file": lambda: os.mknod(folder / "sock", stat.S_IFSOCK | 0o600),
        "make a device": lambda: os.mknod(folder / "dev", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
        "make a block device": lambda: os.mknod(folder / "block", stat.S_IFBLK | 0o600, 0x700),
        "link a secret": lambda: (folder / "hard").hardlink_to(secret),
        "write a large file": lambda: (folder / "large").write_bytes(bytes(2_000_000)),
        "open many files": lambda: [(folder / "mine").open() for _ in range(200)],
    }
    found = {name: outcome(attempt) for name, attempt in attempts.items()}
    (folder / "found.json").write_text(json.dumps(found))
    return 7


def name_threads(folder: Path) -> int:
    """Name a new thread, and try to write to ``oom_score_adj``."""
    found: dict[str, str] = {}

    def name_own() -> None:
        path = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
        found["name a thread"] = outcome(lambda: path.write_text("cuda-EvtHandlr"))

    thread = threading.Thread(target=name_own)
    thread.start()
    thread.join()
    score = Path("/proc/self/oom_score_adj")
    found["write beside the threads"] = outcome(lambda: score.write_text("500"))
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    found["see a GPU"] = "none" if hidden == "" else "all"
    (folder / "found.json").write_text(json.dumps(found))
    return 7


def outcome(attempt: Callable[[], object]) -> str:
    """Return the result of an attempt, or the system's error."""
    try:
        attempt()
    except OSError as error:
        return type(error).__name__ if error.errno is None else os.strerror(error.errno)
    return "done"
