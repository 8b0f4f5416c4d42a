"""A job's process that does what the config's seed tells it: speaks the real protocol, no torch."""

import json
import os
import signal
import time
from pathlib import Path

from app.contracts.job import Stage

(
    SUCCEED,
    HANG,
    GARBLE,
    FAIL,
    DIE_ONCE,
    STUBBORN,
    DIE,
    MANY,
    SAVE,
    NO_MEMORY,
    DISK_FULL,
    LAST_WORDS,
) = range(12)

STAGES = tuple(stage.value for stage in Stage)


def main(path: Path, events: int) -> int:  # noqa: C901  # a script each
    request = json.loads(path.read_text())

    def send(**message: object) -> None:
        os.write(events, json.dumps(message).encode() + b"\n")

    script = request["config"]["seed"]
    # The config says how to behave, in fields that it has: which stage to stand in, by number.
    epochs = request["config"]["retrain"]["epochs"]
    stage = STAGES[0 if epochs == "auto" else epochs % len(STAGES)]
    send(type="stage", stage=stage if script == STUBBORN else "saliency")
    if script == STUBBORN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if script == LAST_WORDS:

        def say(*_: object) -> None:
            send(type="metric", data={"kind": "epoch", "epoch": 4})
            raise SystemExit(143)

        signal.signal(signal.SIGTERM, say)
        time.sleep(60)
    if script in {HANG, STUBBORN}:
        time.sleep(60)
    elif script == GARBLE:
        os.write(events, b"this is not a message\n")
    elif script == FAIL:
        send(type="failed", code="data_error", message="labels go up to 9", stage="retrain")
        return 0
    elif script == DIE or (script == DIE_ONCE and request["attempt"] == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    elif script == NO_MEMORY and request["config"]["retrain"]["batch_size"] > 64:
        send(type="failed", code="out_of_memory", message="no memory for 128", stage="retrain")
        return 0
    elif script == DISK_FULL:
        code, message = "storage_unavailable", "the worker's disk is full"
        send(type="failed", code=code, message=message, stage="export")
        return 0
    elif script == SAVE:
        state = Path(request["checkpoint_dir"]) / "run" / "state.bin"
        if not state.exists():
            state.parent.mkdir()
            state.write_bytes(b"epoch 1")
            send(type="saved")
            time.sleep(60)
    elif script == MANY:
        for step in range(2000):
            send(type="progress", fraction=0.5, step=step, num_steps=2000, message="x")
    out = Path(request["output_dir"])
    (out / "model.onnx").write_bytes(b"onnx")
    (out / "plan.json").write_bytes(b"{}")
    # What the child gets of our environment is a short list.
    names = [*os.environ, *Path("/proc/self/environ").read_text().split("\0")]
    leaked = [name for name in names if name.startswith(("SECATEUR_", "AWS_"))]
    files = [
        {"name": "model.onnx", "media_type": "application/octet-stream"},
        {"name": "plan.json", "media_type": "application/json"},
    ]
    saved = {
        path.name: path.read_text() for path in Path(request["checkpoint_dir"]).glob("*/*.bin")
    }
    summary = {
        "leaked": leaked,
        "saved": saved,
        "batch_size": request["config"]["retrain"]["batch_size"],
    }
    result = {"summary": summary}
    send(type="succeeded", result=result, report={"macs": 1}, files=files, onnx="model.onnx")
    return 0
