"""The provider that serves, for measurements: the same one, or none that decides anything."""

import onnxruntime as ort

from secateur.engine.errors import PlanError
from secateur.engine.export.session import CPU_PROVIDER
from worker.pipeline.job.inputs import Inputs

PROVIDERS = {
    "cpu": CPU_PROVIDER,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


def serving_provider(inputs: Inputs) -> str:
    """Return the provider that serves, or the CPU's with a warning if this worker lacks it."""
    wanted = PROVIDERS[inputs.request.serving_provider]
    if _is_here(inputs, wanted):
        return wanted
    inputs.reporter.warn(
        f"latencies were measured with {CPU_PROVIDER}: /infer computes with {wanted}, which this "
        "worker cannot"
    )
    return CPU_PROVIDER


def deciding_provider(inputs: Inputs) -> str:
    """Return the provider that serves, by whose latencies widths are chosen.

    Raises:
        PlanError: This worker lacks it; another one's latencies would choose other widths.
    """
    wanted = PROVIDERS[inputs.request.serving_provider]
    if _is_here(inputs, wanted):
        return wanted
    raise PlanError(
        f"widths by measured latency need {wanted}, with which /infer computes, and this worker "
        "cannot",
        hint="Set resources.accelerator to gpu, or give a budget of macs or params and a number "
        "for round_to.",
    )


def _is_here(inputs: Inputs, provider: str) -> bool:
    has_device = provider == CPU_PROVIDER or inputs.device.type == "cuda"
    return has_device and provider in ort.get_available_providers()
