"""What the report says about the devices that a job computed on."""

from app.contracts.report import AcceleratorReport, StageUse
from worker.pipeline.job.device import describe_device
from worker.pipeline.job.inputs import Inputs


def accelerator_report(inputs: Inputs) -> AcceleratorReport:
    """Return the device and the seconds of each stage that has ended."""
    reporter = inputs.reporter
    return AcceleratorReport(
        asked=inputs.request.config.resources.accelerator,
        device=inputs.device.type,
        name=describe_device(inputs.device),
        fallback=inputs.request.fallback,
        stages=tuple(
            StageUse(
                stage=stage,
                device=reporter.stage_devices.get(stage, "cpu"),
                seconds=seconds,
                peak_memory_bytes=reporter.stage_peaks.get(stage),
            )
            for stage, seconds in reporter.stage_seconds.items()
        ),
    )
