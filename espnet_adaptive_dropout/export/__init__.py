"""The forms of a trained encoder for use without training: ONNX and int8."""
