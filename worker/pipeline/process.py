"""Entry point of a job process. `worker.fork_server` imports it once and runs it in every child."""

import signal
import traceback
from pathlib import Path

import torch

from app.contracts.job import JobKind
from secateur.engine.export.onnx import warm_up_exporter
from worker.messages import PROBE, JobRequest
from worker.pipeline.intake import intake_dataset, intake_model
from worker.pipeline.job.device import start_device
from worker.pipeline.job.failures import to_failed
from worker.pipeline.job.reporter import Reporter
from worker.pipeline.preview import preview
from worker.pipeline.prune import prune

_STAGES = {
    JobKind.PRUNE: prune,
    JobKind.PLAN: preview,
    JobKind.INTAKE_MODEL: intake_model,
    JobKind.INTAKE_DATASET: intake_dataset,
}


def warm_up() -> None:
    """Import what would otherwise load on first use; compute nothing."""
    warm_up_exporter()


def main(path: Path, events: int) -> int:
    """Run the request at ``path`` and send its final message; return 0, also if the job failed.

    A file named `PROBE` holds the name of a device instead of a request.

    Raises:
        DeviceUnavailableError: The device does not compute.
    """
    if path.name == PROBE:
        start_device(path.read_text())
        return 0
    request = JobRequest.model_validate_json(path.read_bytes())
    reporter = Reporter(events)
    signal.signal(signal.SIGTERM, reporter.stop.on_signal)
    if request.num_threads > 0:
        torch.set_num_threads(request.num_threads)
    torch.manual_seed(request.config.seed)
    try:
        reporter.succeed(_STAGES[request.kind](request, reporter))
    except Exception as error:  # noqa: BLE001  # outermost frame: every error becomes a message
        traceback.print_exc()
        reporter.send(to_failed(error, reporter.stage))
    return 0
