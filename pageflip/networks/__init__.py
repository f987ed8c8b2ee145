"""Network architectures, initial weights and ONNX export."""
