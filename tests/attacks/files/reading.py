"""Read hostile files in a separate process, under a memory limit."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.contracts.job import JobKind
from app.contracts.settings import LimitSettings
from secateur.core.formats import MODEL_FORMATS
from tests.fixtures.jobs import dataset_input, model_input
from worker.messages import JobRequest

ROOT = Path(__file__).parents[3]
READ = "read"  # the code of a file that is accepted
DIED = "died"  # of a process that ended without a word

Make = Callable[[Path], bytes]


@dataclass(frozen=True)
class Case:
    """A hostile file.

    Attributes:
        make: Returns its bytes; whatever runs them would touch the path that it is given.
        code: Of the failure, or `READ` where the file is harmless as it is read.
        words: The message has them.
        limits: Smaller than the defaults.
        options: Of the request.
    """

    make: Make
    code: str
    words: str
    limits: dict[str, int]
    options: dict[str, Any]

    @property
    def sentence(self) -> str:
        """What the file is."""
        return self.make.__name__.replace("_", " ")


@dataclass
class Cases:
    """The hostile files of one format."""

    format: str
    found: list[Case] = field(default_factory=list)

    def refused(self, code: str, words: str, **limits: int) -> Callable[[Make], Make]:
        """Register a file that is refused with a code and a message that contains the words."""

        def register(make: Make) -> Make:
            self.found.append(Case(make, code, words, limits, {}))
            return make

        return register

    def harmless(self, make: Make) -> Make:
        """Register a file that is accepted and whose attack has no effect."""
        self.found.append(Case(make, READ, "", {}, {}))
        return make


@dataclass(frozen=True)
class Outcome:
    """The last message of a job's process, and the files that it created elsewhere."""

    code: str
    message: str
    error: str
    strays: list[str]


class ReadingChild:
    """A process that reads files, restarted after a file ends it.

    Args:
        room_bytes: Memory that it may use above what its imports take.
    """

    def __init__(self, room_bytes: int = 640 * 1024**2) -> None:
        self._room_bytes = room_bytes
        self.home = Path(tempfile.mkdtemp(prefix="attacks-"))
        self._process: subprocess.Popen[str] | None = None
        self._before: set[Path] = set()  # what libraries leave when they are imported

    def read(
        self,
        data: bytes,
        format_: str,
        limits: dict[str, int] | None = None,
        architecture: dict[str, Any] | None = None,
    ) -> Outcome:
        """Read a file in a folder of its own, which is removed afterwards."""
        folder = self.home / "attempt"
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("out", "checkpoints"):
            (folder / name).mkdir(parents=True)
        path = folder / "file"
        path.write_bytes(data)
        is_model = format_ in MODEL_FORMATS
        request = JobRequest(
            job_id="job_test",
            kind=JobKind.INTAKE_MODEL if is_model else JobKind.INTAKE_DATASET,
            attempt=1,
            model=model_input(path, format=format_, architecture=architecture)
            if is_model
            else None,
            dataset=None if is_model else dataset_input(path, format=format_),
            output_dir=folder / "out",
            checkpoint_dir=folder / "checkpoints",
            limits=LimitSettings(**(limits or {})),
        )
        answer = self._ask(request)
        strays = [str(path) for path in {*self.home.rglob("*")} - self._before
                  if not path.is_relative_to(folder)]  # fmt: skip
        assert path.read_bytes() == data, "the file itself was changed"
        shutil.rmtree(folder)
        return Outcome(answer["code"], answer["message"], answer.get("error", ""), strays)

    def stop(self) -> None:
        """End the process and remove its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        shutil.rmtree(self.home)

    def _ask(self, request: JobRequest) -> dict[str, str]:
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request.model_dump_json() + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        while line and not line.startswith("{"):  # a library has printed something
            line = process.stdout.readline()
        if not line:
            process.communicate()
            self._process = None
            return {"code": DIED, "message": f"with code {process.returncode}"}
        found: dict[str, str] = json.loads(line)
        return found

    def _start(self) -> subprocess.Popen[str]:
        python_path = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        home = {"HOME": str(self.home), "TMPDIR": str(self.home)}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.attacks.files.child", str(self._room_bytes)],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "ARROW_DEFAULT_MEMORY_POOL": "system"}
            | python_path
            | home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        self._before = {*self.home.rglob("*")}
        return process


def check(case: Case, format_: str, child: ReadingChild, tmp_path: Path) -> None:
    """Read a hostile file and compare the outcome with the case."""
    marker = tmp_path / "executed"
    outcome = child.read(
        case.make(marker), format_, case.limits, architecture=case.options.get("architecture")
    )
    assert not marker.exists(), "something in the file was executed"
    assert outcome.strays == [], "files lie outside of the attempt's folder"
    assert (outcome.code, case.words in outcome.message) == (case.code, True), outcome
