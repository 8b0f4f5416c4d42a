"""Inference: ONNX Runtime behind ``/infer``. The event loop never computes."""
