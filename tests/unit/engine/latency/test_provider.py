"""Latencies are those of the provider that was asked for; ONNX Runtime would fall back silently."""

import numpy as np
import onnxruntime as ort
import pytest

from secateur.engine.errors import ExportError
from secateur.engine.export.session import CPU_PROVIDER, OnnxSession, bind
from secateur.engine.latency import LayerTimer
from secateur.engine.latency.timer import LayerShape, layer_model

CUDA = "CUDAExecutionProvider"
SHAPE = LayerShape("linear", 2, 3, 4, space=(1,))


@pytest.mark.skipif(CUDA in ort.get_available_providers(), reason="this machine may have it")
def test_a_provider_that_is_missing_is_an_error_and_not_the_cpu() -> None:
    with pytest.raises(ExportError, match=f"cannot compute with {CUDA} on this worker"):
        OnnxSession(layer_model(SHAPE).SerializeToString(), provider=CUDA)
    with pytest.raises(ExportError, match=CUDA):
        LayerTimer(provider=CUDA)(SHAPE)


def test_a_provider_that_falls_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ort.InferenceSession
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU_PROVIDER])
    monkeypatch.setattr(
        ort,
        "InferenceSession",
        lambda data, options, **_: whole(data, options, providers=[CPU_PROVIDER]),
    )
    with pytest.raises(ExportError, match=CUDA):
        OnnxSession(layer_model(SHAPE).SerializeToString(), provider=CUDA)


def test_a_binding_gives_the_outputs_of_an_ordinary_run() -> None:
    data, x = layer_model(SHAPE).SerializeToString(), np.ones((2, 3), np.float32)
    session = ort.InferenceSession(data, providers=[CPU_PROVIDER])
    binding = bind(session, {"x": x}, "cpu")
    session.run_with_iobinding(binding)
    [expected] = session.run(None, {"x": x})
    assert np.array_equal(binding.get_outputs()[0].numpy(), expected)
    assert OnnxSession(data).provider == CPU_PROVIDER
