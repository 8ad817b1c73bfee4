"""What ONNX's operators cost: one rule for each, in the file of its family."""

from dscost.graphs.rules import convolutions, free, products  # noqa: F401
