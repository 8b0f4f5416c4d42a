"""A job's process that speaks the real protocol and starts at once, because it imports nothing.

``config.seed`` says how long it works: tenths of a second, with one progress message each. Its
files depend on the request alone, as the real pipeline's do; they are small if it does no work.
"""

import hashlib
import json
import os
import time
from pathlib import Path

STEP_SECONDS = 0.1
PROGRAM_BYTES = 2 * 1024**2


def main(path: Path, events: int) -> int:
    request = json.loads(path.read_text())

    def send(**message: object) -> None:
        os.write(events, json.dumps(message).encode() + b"\n")

    num_steps = request["config"]["seed"] if request["kind"] == "prune" else 0
    send(type="stage", stage="retrain" if num_steps else "intake")
    for step in range(num_steps):
        time.sleep(STEP_SECONDS)  # the work
        share = step / num_steps
        send(type="progress", fraction=share, step=step, num_steps=num_steps, message="x")
    # Programs of one model and different seeds differ.
    seed = f"{request['model']['sha256']} {request['config']['seed']}".encode()
    block = hashlib.sha256(seed).digest()
    size = PROGRAM_BYTES if num_steps else len(block)
    contents = {"pruned.pt2": block * (size // len(block)), "plan.json": block}
    out = Path(request["output_dir"])
    for name, content in contents.items():
        (out / name).write_bytes(content)
    files = [{"name": name, "media_type": "application/octet-stream"} for name in contents]
    worker = os.getppid()  # the fork server: one a worker
    result = {"summary": {"worker": worker}}
    send(type="succeeded", result=result, report={}, files=files, program="pruned.pt2")
    return 0
