"""Files that others read: ONNX, and safetensors with the user's own names."""
