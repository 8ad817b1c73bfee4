"""ONNX files: read without their weights, evaluated node by node, counted. onnx alone, no torch."""
