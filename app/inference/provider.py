"""Whether the provider that shall serve runs here; the API itself does not import ONNX Runtime."""

import os
import subprocess
import sys

from app.contracts.settings import Settings

_SECONDS = 120.0  # CUDA's libraries are large, and a disk may be cold


def find_trouble(settings: Settings) -> str | None:
    """Return why ``inference.provider`` cannot serve and what to do, or None if it can."""
    provider = settings.inference.provider
    if provider == "cpu":
        return None
    command = [sys.executable, "-P", "-m", "app.serving.providers", provider]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}  # noqa: TID251  # handed on
    try:
        done = subprocess.run(  # noqa: S603  # our own command line
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        missing = f"it did not start within {_SECONDS:g} s"
    else:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        missing = done.stdout.strip() or (last if done.returncode else "")
    if not missing:
        return None
    return (
        f"inference.provider is {provider}, which cannot run here: {missing}; or set "
        "SECATEUR_INFERENCE__PROVIDER=cpu"
    )
