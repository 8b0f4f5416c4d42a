"""A process that reads files one after another, as a job does, under a memory limit.

Run by `reading`. Takes one request a line and answers each with the last message that a job's
process would have sent. One process for many files: importing torch takes longer than all of them.
"""

import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from app.contracts.job import JobKind
from secateur.engine.graph import analyse
from tests.fixtures.jobs import Recorder
from worker.messages import JobRequest
from worker.pipeline.intake import intake_dataset
from worker.pipeline.job.checks import check_computes
from worker.pipeline.job.failures import to_failed
from worker.pipeline.job.model_files import read_model

SECONDS = 60  # of one file, and then the process is ended


def main() -> None:
    """Answer requests until the input ends.

    The argument is the memory in bytes above what torch, Pillow and Arrow take when imported.
    """
    room = int(sys.argv[1])
    torch.set_num_threads(1)
    warm_up()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    private = int(status.partition("VmData:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (private + room, private + room))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        signal.alarm(SECONDS)
        answer = read(JobRequest.model_validate_json(line))
        signal.alarm(0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def warm_up() -> None:
    """Import the modules that a job imports lazily."""
    import pyarrow.parquet  # noqa: F401, PLC0415  # for its memory
    import timm  # noqa: F401, PLC0415  # likewise
    import torchvision  # noqa: F401, PLC0415  # likewise


def read(request: JobRequest) -> dict[str, Any]:
    """Read the file as intake does; models are not exported, which takes seconds."""
    reporter = Recorder()
    try:
        if request.kind is JobKind.INTAKE_DATASET:
            report = intake_dataset(request, reporter).report
            return {"code": "read", "message": "", "report": report}
        program = read_model(request.require_model(), request.limits)
        check_computes(program)
        analyse(program)
    except Exception as error:  # noqa: BLE001  # the last frame, as in `worker.pipeline`
        failed = to_failed(error, reporter.stage)
        found = {"code": failed.code, "message": failed.message}
        return {**found, "error": f"{type(error).__name__}: {error}"[:500]}
    return {"code": "read", "message": ""}


if __name__ == "__main__":
    main()
