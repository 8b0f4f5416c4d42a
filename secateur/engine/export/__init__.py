"""Export of pruned networks: ONNX, PT2, and safetensors with the user's own tensor names."""
