"""One process that imports what jobs need, for all workers of ``secateur serve`` on this machine.

It forks the server of jobs (`worker.fork_server`) of each worker: a worker that starts its own
spends three seconds and 600 MB on the same imports. It also tells whether jobs can run here.
"""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Self

from app.cli.processes import Command
from app.cli.worker_parts import SECONDS, BrokenPart, Probe
from app.contracts import installation
from app.sandbox.inherited import SERVER_SOCKET, inherited


class Preload:
    """The process, and the sockets of its servers that no worker has got yet.

    It needs no watching. Each server ends with its worker; a worker whose server ended starts one
    of its own, and so does a worker that was restarted.

    Args:
        names: Names of the commands that get a server.
        environment: Environment of the workers, of which a few variables are passed on.
        log_path: File for the process's output.
    """

    def __init__(
        self, names: Sequence[str], environment: Mapping[str, str], log_path: Path
    ) -> None:
        self._environment = environment
        self._ours = ExitStack()
        self._sockets: dict[str, socket.socket] = {}
        argv = [sys.executable, "-P", "-m", "worker.fork_server"]
        argv += ["--module", "worker.pipeline.process", "--check", *installation.WORKER_MODULES]
        with ExitStack() as theirs:
            ends = []
            for name in names:
                ours, end = socket.socketpair()
                self._sockets[name] = self._ours.enter_context(ours)
                ends.append(theirs.enter_context(end).fileno())
            reader, writer = os.pipe()
            self._report = self._ours.enter_context(os.fdopen(reader, "rb"))
            theirs.enter_context(os.fdopen(writer, "wb"))
            self._process = subprocess.Popen(  # noqa: S603  # our own command line
                [*argv, "--report", str(writer), "--socket", *map(str, ends)],
                env=inherited(environment, is_gpu=False),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=theirs.enter_context(log_path.open("ab")),
                pass_fds=(*ends, writer),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process. The workers have ended before it, and with each its server."""
        self._ours.close()
        self._process.kill()
        self._process.wait()

    def given(self, command: Command) -> Command:
        """Return the command with the socket of a server, if one is meant for it."""
        if command.name not in self._sockets:
            return command
        number = self._sockets[command.name].fileno()
        return replace(
            command,
            environment={**command.environment, SERVER_SOCKET: str(number)},
            pass_fds=(*command.pass_fds, number),
        )

    def let_go(self, command: Command) -> None:
        """Close our copy of a socket: a server ends when its worker's end is the last to close."""
        if command.name in self._sockets:
            self._sockets.pop(command.name).close()

    def broken(self) -> Sequence[BrokenPart]:
        """Wait for the imports and return the modules that cannot be imported."""
        if not select.select([self._report], [], [], SECONDS)[0]:
            return [BrokenPart("torch", f"importing took more than {SECONDS} s")]
        text = self._report.read()
        if text:
            return [BrokenPart(*part) for part in json.loads(text)]
        return Probe(self._environment).result()  # the import failed; tell why, module by module
