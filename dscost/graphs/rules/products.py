"""Linear layers and products of matrices."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from dscost.errors import SpecError
from dscost.graphs.nodes import MICROSOFT
from dscost.graphs.values import Shape
from dscost.layers import formulas
from dscost.traces.rules import named, register_formula


# MatMul(A (…, P, M), B (…, M, N)) as numpy has it: one of one dimension is a vector
@register_formula(
    *named("ai.onnx", "MatMul MatMulInteger"),
    *named(MICROSOFT, "MatMulInteger16 MatMulIntegerToFloat DynamicQuantizeMatMul MatMulFpQ4"),
    op="matmul",
)
# QLinearMatMul(a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point)
@register_formula("ai.onnx::QLinearMatMul", op="matmul", factors=(0, 3))
# QOrderedMatMul(A, scale_A, B, scale_B, scale_Y, …)
@register_formula(f"{MICROSOFT}::QOrderedMatMul", op="matmul", factors=(0, 2))
# CDist(A (P, M), B (R, M))
@register_formula(f"{MICROSOFT}::CDist")
def matmul_macs(a: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the length of the contracted dimension."""
    return prod(out) * a[-1]


# FusedMatMul(A, B) of which each may be transposed, and have its batch behind its rows
@register_formula(
    *named(MICROSOFT, "FusedMatMul FusedMatMulActivation TransposeMatMul"), op="matmul"
)
def fused_matmul_macs(a: Shape, b: Shape, /, *_: Any, out: Shape, **attributes: Any) -> int:
    """Return the output's values times the length of the contracted dimension."""
    if not attributes.get("transA") or len(a) < 2:
        return prod(out) * a[-1]
    return prod(out) * a[0 if attributes.get("transBatchA") else -2]


# Gemm(A, B, C?) with A or B transposed; GemmFastGelu(X (…, M), W (M, N), bias?)
@register_formula(
    "ai.onnx::Gemm", *named(MICROSOFT, "FusedGemm GemmFloat8 GemmFastGelu"), op="linear"
)
def gemm_macs(a: Shape, b: Shape, /, *_: Any, out: Shape, **attributes: Any) -> int:
    """Return `rows · N · M`."""
    return prod(out) * a[0 if attributes.get("transA") else -1]


# QGemm(A, a_scale, a_zero_point, B, b_scale, b_zero_point, C?, …)
@register_formula(f"{MICROSOFT}::QGemm", op="linear", factors=(0, 3))
def quantized_gemm_macs(a: Shape, /, *_: Any, out: Shape, **attributes: Any) -> int:
    """Return `rows · N · M`."""
    return gemm_macs(a, a, out=out, **attributes)


# MatMulNBits(A (…, K), packed B, scales, …) with K and N as attributes
@register_formula(*named(MICROSOFT, "MatMulNBits MatMulBnb4 MatMulPacked"), op="linear")
def packed_matmul_macs(a: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · K`."""
    return formulas.linear_macs(a[-1], out[-1], rows=prod(a[:-1]))


# MatMulNBitsMlp(A (…, K), …, gate_B, …, up_B, …) of N columns each
@register_formula(f"{MICROSOFT}::MatMulNBitsMlp", op="linear")
def packed_gate_macs(a: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · 2·N · K`: gate and value."""
    return 2 * packed_matmul_macs(a, out=out)


# MatMulNBitsQkv(A (…, K), …) of Nq columns of queries, Nkv of keys, Nkv of values
@register_formula(f"{MICROSOFT}::MatMulNBitsQkv", op="linear")
def packed_projections_macs(a: Shape, /, *_: Any, out: Shape, **attributes: Any) -> int:
    """Return `rows · (Nq + 2·Nkv) · K`."""
    columns: int = attributes.get("Nq", 0) + 2 * attributes.get("Nkv", 0)
    return formulas.linear_macs(a[-1], columns, rows=prod(a[:-1]))


# MoE(input (…, M), router_probs (rows, E), fc1 (E, F, M), bias?, fc2 (E, M, F), bias?, fc3?, bias?)
@register_formula(f"{MICROSOFT}::MoE", op="linear", factors=(0, 2, 4, 6))
def mixture_macs(x: Shape, router: Shape, /, *weights: Any, out: Shape, **attributes: Any) -> int:
    """Return `rows · k · weights of one expert`: each row meets the k best experts."""
    one_expert: int = sum(prod(one[1:]) for one in weights if one is not None and len(one) == 3)
    met: int = attributes.get("k", 1)
    return prod(x[:-1]) * met * one_expert


# LinearClassifier(X (rows, M)), LinearRegressor(X): their weights are an attribute
@register_formula(*named("ai.onnx.ml", "LinearClassifier LinearRegressor"), op="linear")
def linear_model_macs(x: Shape, /, *_: Any, out: Shape, **attributes: Any) -> int:
    """Return `rows · coefficients`."""
    return prod(x[:-1]) * len(attributes.get("coefficients", ()))


# -- sums of products


# Einsum(operands…), equation
@register_formula("ai.onnx::Einsum", op="matmul")
def einsum_macs(*shapes: Shape, out: Shape, **attributes: Any) -> int:
    """Return the multiply-accumulates of the products of matrices that an equation comes to.

    From left to right, two operands at a time; what no later operand and not the result has is
    summed, before the product where one of the two has it alone. A product in which nothing is
    summed is elementwise. That is how torch does it too, without opt_einsum.
    """
    terms, result, sizes = labelled(attributes.get("equation", ""), shapes)
    macs, held = 0, set(terms[0])
    for at in range(1, len(terms)):
        later = set(result).union(*terms[at + 1 :])
        given = set(terms[at])
        both = held & given
        summed = both - later
        held = (held & (later | both)) | (given & (later | both))
        if any(sizes[label] > 1 for label in summed):
            macs += prod(sizes[label] for label in held)
        held -= summed
    return macs


def labelled(
    equation: str, shapes: Sequence[Shape]
) -> tuple[list[tuple[str, ...]], tuple[str, ...], Mapping[str, int]]:
    """Return the labels of every operand's axes, those of the result, and the size of each.

    Axes that an ellipsis stands for are labelled by numbers, the last is 1.

    Raises:
        SpecError: The equation does not fit the operands.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise SpecError(f"equation '{equation}' has {len(parts)} operands, found {len(shapes)}")
    sizes: dict[str, int] = {}
    terms, most = [], 0
    for part, shape in zip(parts, shapes, strict=True):
        rest = len(shape) - len(part.replace("...", ""))
        if rest < 0 or (rest and "..." not in part) or part.count("...") > 1:
            raise SpecError(f"equation '{equation}' does not fit an operand {shape}")
        most = max(most, rest)
        labels = _labels(part, rest)
        terms.append(labels)
        for label, size in zip(labels, shape, strict=True):
            if sizes.setdefault(label, size) not in (size, 1) and size != 1:
                raise SpecError(f"equation '{equation}' has two sizes for {label}")
            sizes[label] = max(sizes[label], size)
    if not arrow:
        once = sorted(one for one in set(left) - set(".,") if left.count(one) == 1)
        right = "..." + "".join(once)
    result = _labels(right, most if "..." in right else 0)
    if any(label not in sizes for label in result) or len(set(result)) < len(result):
        raise SpecError(f"equation '{equation}' writes what it does not read")
    return terms, result, sizes


def _labels(part: str, rest: int) -> tuple[str, ...]:
    before, _, behind = part.partition("...")
    return (*before, *(str(rest - at) for at in range(rest)), *behind)
