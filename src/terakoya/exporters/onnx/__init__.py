"""ONNX graphs of built-in models, and onnxruntime that predicts with them."""
