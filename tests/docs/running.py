"""Run the blocks of one page in order, in one folder, and compare their output."""

import contextlib
import gc
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema
import yaml

from app.contracts.spec import PruneConfig
from tests.docs.blocks import Block

_SECONDS = 480
# Variables go on to the page's next block, and an HTTP error is an error.
_PRELUDE = """
set -euo pipefail
[ ! -f "$STATE" ] || source "$STATE"
curl() { command curl --fail-with-body "$@"; }
set -a
"""
_POSTLUDE = """
set +a
export -p > "$STATE"
"""


class PageError(AssertionError):
    """A block's behaviour differs from the page."""


class PageRun:
    """The state that the blocks of a page share: a folder, names, variables, what was printed."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        names: dict[str, Any],
        *,
        document: dict[str, Any],
        database: Path | None = None,
        address: str | None = None,
    ) -> None:
        self.folder, self.names = folder, names
        self._environment = environment
        self._document, self._database, self._address = document, database, address
        self._state = folder.with_name(folder.name + ".env")
        self._running: list[subprocess.Popen[bytes]] = []
        self.printed = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in reversed(self._running):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(60)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # as when an interpreter ends
            self.names.clear()
            gc.collect()

    def run(self, block: Block) -> None:
        """Run or check one block.

        Raises:
            PageError: It failed, or printed something else than the page says.
        """
        if block.note == "not run":
            check_syntax(block)
        elif block.note == "output":
            self._compare(block)
        elif block.note == "until":
            self._start(block)
        else:
            runners = {
                "python": self._python,
                "bash": self._bash,
                "json": self._json,
                "sql": self._sql,
            }
            runners[block.language](block)

    def _python(self, block: Block) -> None:
        text = "\n" * (block.line - 1) + self._here(block.text)  # tracebacks name the page's line
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("default")  # as a user's interpreter has it
            for kind in (DeprecationWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            exec(compile(text, block.page, "exec"), self.names)  # noqa: S102  # our own documents
        self.printed = printed.getvalue()

    def _bash(self, block: Block) -> None:
        script = _PRELUDE + self._here(block.text) + _POSTLUDE
        done = subprocess.run(
            ["/bin/bash", "-c", script],
            cwd=self.folder,
            env=self._environment | {"STATE": str(self._state)},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            output = (done.stdout + done.stderr)[-3000:]
            raise PageError(f"{block.where}: exit code {done.returncode}\n{output}")
        self.printed = done.stdout

    def _start(self, block: Block) -> None:
        log = self.folder.with_name(f"{self.folder.name}-{block.line}.log")
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["/bin/bash", "-c", self._here(block.text)],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        end = time.monotonic() + _SECONDS
        while block.detail not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise PageError(f"{block.where}: not ready\n{log.read_text()}")
            time.sleep(0.2)
        time.sleep(0.2)  # the rest of what it prints
        self.printed = log.read_text()

    def _json(self, block: Block) -> None:
        found = json.loads(block.text)
        if not block.detail:
            PruneConfig.model_validate(found)
            return
        if block.detail not in self._document["components"]["schemas"]:
            raise PageError(f"{block.where}: the API has no object {block.detail!r}")
        schema = {**self._document, "$ref": f"#/components/schemas/{block.detail}"}
        jsonschema.validate(found, schema)

    def _sql(self, block: Block) -> None:
        if self._database is None:
            raise PageError(f"{block.where}: the page is not given a service")
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        with contextlib.closing(connection):
            rows = connection.execute(block.text).fetchall()
        self.printed = "\n".join(str(row) for row in rows)

    def _compare(self, block: Block) -> None:
        expected = "".join(
            ".*?" if part == "…" else re.escape(part)
            for part in re.split(r"(…)", _plain(block.text))
        )
        if not re.fullmatch(expected, _plain(self.printed), re.DOTALL):
            raise PageError(f"{block.where}: printed was\n{self.printed}")

    def _here(self, text: str) -> str:
        """Return the block with the address of the service that runs for the page."""
        return text if self._address is None else text.replace("127.0.0.1:8000", self._address)


def check_syntax(block: Block) -> None:
    """Check a block that cannot be run as far as its language allows."""
    if block.language == "python":
        compile(block.text, block.where, "exec")
    elif block.language == "bash":
        done = subprocess.run(
            ["/bin/bash", "-n"], input=block.text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise PageError(f"{block.where}: {done.stderr}")
    elif block.language == "json" and "…" not in block.text:
        json.loads(block.text)
    elif block.language == "yaml":
        yaml.safe_load(block.text)


def _plain(text: str) -> str:
    """Return text without table widths and trailing spaces."""
    return "\n".join(" ".join(line.split()) for line in text.strip().splitlines())
