"""``python -m worker.pipeline --request PATH --events-fd N``: one job, then exit."""

import argparse
import signal
import sys
import traceback
from pathlib import Path

import torch

from app.contracts.job import JobKind
from worker.pipeline.failures import to_failed
from worker.pipeline.intake import intake_dataset, intake_model
from worker.pipeline.preview import preview
from worker.pipeline.prune import prune
from worker.pipeline.reporter import Reporter
from worker.protocol import JobRequest

_STAGES = {
    JobKind.PRUNE: prune,
    JobKind.PLAN: preview,
    JobKind.INTAKE_MODEL: intake_model,
    JobKind.INTAKE_DATASET: intake_dataset,
}


def main() -> int:
    """Run the request; exit 0 when a last message was sent, whatever it says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    options = parser.parse_args()
    request = JobRequest.model_validate_json(options.request.read_bytes())
    reporter = Reporter(options.events_fd)
    signal.signal(signal.SIGTERM, reporter.stop.on_signal)
    if request.num_threads > 0:
        torch.set_num_threads(request.num_threads)
    torch.manual_seed(request.config.seed)
    try:
        reporter.succeed(_STAGES[request.kind](request, reporter))
    except Exception as error:  # noqa: BLE001  # the last frame: everything becomes a message
        traceback.print_exc()
        reporter.send(to_failed(error, reporter.stage))
    return 0


if __name__ == "__main__":
    sys.exit(main())
