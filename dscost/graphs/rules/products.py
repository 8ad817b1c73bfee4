"""Linear layers and products of matrices."""

from math import prod
from typing import Any

from dscost.graphs.values import Shape
from dscost.traces.rules import named, register_formula


# MatMul(A (…, P, M), B (…, M, N)) as numpy has it: one of one dimension is a vector
@register_formula(*named("ai.onnx", "MatMul"), op="matmul")
def matmul_macs(a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the length of the contracted dimension."""
    return prod(out) * a[-1]


# Gemm(A, B, C?) with A or B transposed
@register_formula(*named("ai.onnx", "Gemm"), op="linear")
def gemm_macs(a: Shape, b: Shape, *_: Any, out: Shape, **attributes: Any) -> int:
    """Return `rows · N · M`."""
    return prod(out) * a[0 if attributes.get("transA") else 1]
