"""ONNX files: read without their weights, evaluated node by node, counted. onnx alone, no torch."""

import onnx  # noqa: F401 - first of all, so that what is missing goes by its name
