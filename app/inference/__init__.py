"""Inference behind ``/infer``: ONNX Runtime on threads; only very short runs stay on the loop."""
