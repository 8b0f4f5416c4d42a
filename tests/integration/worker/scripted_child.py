"""A job's process scripted by the config's seed: speaks the real protocol, no torch."""

import json
import os
import signal
import time
from pathlib import Path

from app.contracts.job import Stage
from tests.integration.worker.attacking_child import fill_privately, start_threads

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
    FOREIGN_DATA,
    FOREIGN_INT8,
    FILL,
    CROWD,
    LATE,
) = range(17)

# The smallest network, y = x, and one whose weight lies in a file beside the service's data.
ONNX = (
    b'\x08\t:L\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x04testZ\x18\n\x01x\x12\x13\n\x11\x08\x01'
    b"\x12\r\n\x07\x12\x05batch\n\x02\x08\x02b\x18\n\x01y\x12\x13\n\x11\x08\x01\x12\r\n\x07\x12"
    b"\x05batch\n\x02\x08\x02B\x04\n\x00\x10\x12"
)
INT8_ONNX = ONNX.replace(b"test", b"int8")
_WEIGHT = b"\x08\x01\x10\x01B\x01wj\x14\n\x08location\x12\x08data/keyp\x01"
ONNX_WITH_FOREIGN_DATA = ONNX.replace(b":L", b":" + bytes([0x4C + 2 + len(_WEIGHT)])).replace(
    b"\x12\x04test", b"\x12\x04test*" + bytes([len(_WEIGHT)]) + _WEIGHT
)

EXCESSES = {FILL: fill_privately, CROWD: start_threads}
STAGES = tuple(stage.value for stage in Stage)


def main(path: Path, events: int) -> int:  # noqa: C901, PLR0912, PLR0915  # a script each
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
    EXCESSES.get(script, lambda: None)()
    if script in {HANG, STUBBORN, CROWD}:
        time.sleep(60)
    elif script == LATE:
        time.sleep(0.5)
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
    (out / "model.onnx").write_bytes(ONNX_WITH_FOREIGN_DATA if script == FOREIGN_DATA else ONNX)
    (out / "model_int8.onnx").write_bytes(
        ONNX_WITH_FOREIGN_DATA if script == FOREIGN_INT8 else INT8_ONNX
    )
    (out / "plan.json").write_bytes(b"{}")
    # What the child gets of our environment is a short list.
    names = [*os.environ, *Path("/proc/self/environ").read_text().split("\0")]
    leaked = [name for name in names if name.startswith(("SECATEUR_", "AWS_"))]
    files = [
        {"name": "model.onnx", "media_type": "application/octet-stream"},
        {"name": "model_int8.onnx", "media_type": "application/octet-stream"},
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
    names = {"onnx": "model.onnx", "int8": "model_int8.onnx"}
    send(type="succeeded", result=result, report={"macs": 1}, files=files, **names)
    return 0
