"""``python -m app.serving OPTIONS``: drop every right, then answer the API over three sockets.

The lane of runs computes. The lane of help loads models and decodes images. The lane of control
stops runs and answers pings, so it is never behind a computation.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

from app.sandbox.isolation import isolate
from app.sandbox.limits import ProcessLimits, apply_limits
from app.sandbox.needs import Needs

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_NAME = b"secateur-serve"
_OPEN_FILES, _FILE_BYTES = 256, 1024**2  # it writes nothing but the report of its crash
READY = 0  # number of the first frame, which no call asked for


def main() -> None:
    """Isolate the process, import what computes, and serve until the API is gone."""
    options = json.loads(sys.argv[1])
    _die_with(options["parent"])
    from app.serving.memory import Meter  # noqa: PLC0415  # opens files that the sandbox closes

    meter = Meter()
    # Alone in its thread, and before any library that starts threads: they inherit it.
    needs = Needs(gpu=options["inference"]["provider"] != "cpu", sockets=True)
    granted = isolate([], needs, hidden=[Path(options["data_dir"])])
    limits = ProcessLimits(
        memory_bytes=options["memory_bytes"], file_bytes=_FILE_BYTES, open_files=_OPEN_FILES
    )
    apply_limits(limits)
    from app.contracts.settings import InferenceSettings, LimitSettings  # noqa: PLC0415
    from app.serving.calls import Calls, Limits  # noqa: PLC0415  # imports ONNX Runtime
    from app.serving.crash import CrashNotes  # noqa: PLC0415
    from app.serving.lanes import Lane  # noqa: PLC0415

    inference = InferenceSettings(**options["inference"])
    calls = Calls(Limits(inference, LimitSettings(**options["limits"])), meter)
    notes = CrashNotes(options["crash"])
    runs, help_, control = (
        Lane(socket.socket(fileno=number), calls.answer, notes) for number in options["sockets"]
    )
    runs.start(inference.num_workers)
    help_.start(inference.num_workers + 2)  # two loads beside the decoders
    control.send(READY, {"isolation": granted, "bytes": meter.now()})
    control.serve()


def _die_with(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the API decides
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(_PR_SET_NAME, _NAME)
    if os.getppid() != parent:  # the API died before the call above
        os._exit(1)
    with contextlib.suppress(OSError):  # if memory runs out, this process goes before the API
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


if __name__ == "__main__":
    main()
