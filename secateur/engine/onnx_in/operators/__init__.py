"""The ONNX operators that can be imported: for each name, a function that calls ATen."""
