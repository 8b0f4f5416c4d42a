"""The API's own process, started as `secateur serve` does, with an empty database and folder."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.contracts.settings import Settings
from app.keys.service import create_key
from app.records.database import create_database, create_sessions
from tests.fixtures.databases import migrate
from tests.fixtures.services import running_redis

START_SECONDS = 60


@dataclass(frozen=True)
class Server:
    """A running server: its address, a key, and its log."""

    port: int
    key: str
    pid: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def exchange(self, *pieces: bytes) -> bytes:
        """Send raw bytes and return the answer until the server closes the connection."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Read until the peer closes the connection."""
    received = bytearray()
    with suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return bytes(received)


@contextmanager
def running_server(
    folder: Path, *, program: tuple[str, ...] = ("app.server",), **settings: str
) -> Iterator[Server]:
    """Run ``program`` with settings, given without their prefix, until the block ends."""
    folder.mkdir(exist_ok=True)
    engine = create_database(Settings(data_dir=folder).database_url)
    migrate(engine)
    _, key = create_key(create_sessions(engine), "default", "test", ["admin"])
    engine.dispose()
    own = {"DATA_DIR": str(folder), **settings}
    environment = {**os.environ, **{f"SECATEUR_{name}": value for name, value in own.items()}}
    log = folder / "api.log"
    with (
        tempfile.TemporaryDirectory(prefix="redis-") as place,
        running_redis(Path(place)) as queue,  # the paths of its sockets must be short
        socket.socket() as listener,
        log.open("wb") as output,
    ):
        environment["SECATEUR_QUEUE__URL"] = queue
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        number, port = listener.fileno(), listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", *program, "--fd", str(number)],
            env=environment,
            stdout=output,
            stderr=output,
            pass_fds=(number,),
        )
        try:
            _wait(f"http://127.0.0.1:{port}/healthz", process, log)
            yield Server(port, key, process.pid, log)
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
