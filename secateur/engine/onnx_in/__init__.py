"""ONNX files as programs: checked, imported node by node, and compared with ONNX Runtime.

`reader` is the entry. `file` reads what an ONNX file says, `importer` calls the `operators` on it
under ``torch.export``, and `admission` compares the result with ONNX Runtime.
"""
