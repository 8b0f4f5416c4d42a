"""Runs commands in a pseudo-terminal, as if a user typed them."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

COLUMNS, ROWS = 100, 40
_CHUNK = 65_536


class SessionError(Exception):
    """A command failed or did not print the expected text."""


@dataclass
class Terminal:
    """Pseudo-terminal for a series of commands.

    Attributes:
        folder: Working directory.
        environment: Environment variables of every command.
        written: Typed commands and their output, in order.
    """

    folder: Path
    environment: Mapping[str, str]
    written: list[str] = field(default_factory=list)

    def run(self, command: str, seconds: float = 900) -> str:
        """Type a command, wait for its end, and return its output.

        Raises:
            SessionError: The command fails or takes longer than ``seconds``.
        """
        self._prompt(command)
        with self._started(command) as (process, master):
            text = _read(master, time.monotonic() + seconds)
            code = process.wait()
        self.written.append(text)
        if code != 0:
            raise SessionError(f"{command} ended with {code}:\n{text}")
        return text

    @contextmanager
    def in_background(self, command: str, until: str, seconds: float = 120) -> Iterator[None]:
        """Run a command in the background; enter the block when it has printed ``until``.

        The command is stopped with SIGINT at the end of the block.

        Raises:
            SessionError: The command does not print ``until`` within ``seconds``.
        """
        self._prompt(f"{command} &")
        with self._started(command) as (process, master):
            text = _read(master, time.monotonic() + seconds, until)
            self.written.append(text)
            if until not in text:
                process.kill()
                raise SessionError(f"{command} did not start:\n{text}")
            try:
                yield
            finally:
                process.send_signal(signal.SIGINT)
                _read(master, time.monotonic() + seconds)
                process.wait(seconds)

    def _prompt(self, command: str) -> None:
        self.written.append(f"\x1b[1;32m$\x1b[0m \x1b[1m{command}\x1b[0m\n")

    @contextmanager
    def _started(self, command: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        arguments: Sequence[str] = ["/bin/bash", "-c", f"exec {command}"]
        process = subprocess.Popen(  # noqa: S603  # our own script
            arguments,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_interrupts,  # noqa: PLW1509  # nothing else runs here
        )
        os.close(slave)
        try:
            yield process, master
        finally:
            os.close(master)


def _take_interrupts() -> None:
    """Restore the default of SIGINT, which this process may have inherited as ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(master: int, end: float, until: str | None = None) -> str:
    """Return the output until the other side closes or ``until`` has been printed."""
    data = b""
    while (left := end - time.monotonic()) > 0 and (until is None or until.encode() not in data):
        ready, _, _ = select.select([master], [], [], min(left, 1))
        try:
            chunk = os.read(master, _CHUNK) if ready else None
        except OSError:  # Linux raises this when the last writer has closed
            break
        if chunk == b"":
            break
        data += chunk or b""
    return data.decode(errors="replace")


def without_secrets(text: str) -> str:
    """Black out the secret parts of keys."""
    return re.sub(r"sec_[0-9A-Za-z]+_[0-9A-Za-z_-]+", "sec_••••••••", text)
