"""Inference behind ``/infer``: ONNX Runtime on threads; very short runs stay on the event loop."""
