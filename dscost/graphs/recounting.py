"""A second count of what nodes cost, from shapes that somebody else has found: plain on purpose.

It shares nothing with `graphs.rules` but the conventions, so that a mistake in one shows.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from dscost.graphs.nodes import MAIN, MICROSOFT
from dscost.graphs.values import Shape
from dscost.traces.rules import named

Shapes = Sequence[Shape]
Recount = Callable[[Shapes, Shapes, Mapping[str, Any]], int | None]
"""From the shapes that a node reads and writes, and its attributes, to its multiply-accumulates."""


def recounted(
    operator: str, read: Shapes, written: Shapes, attributes: Mapping[str, Any]
) -> int | None:
    """Return the multiply-accumulates of a node by its shapes; 0 of an operator without a rule.

    `None` where there are too few shapes, as of kernels that keep their weights for themselves, and
    where there are several ways to compute it, as with products of three.

    >>> recounted("ai.onnx::Conv", [(1, 3, 8, 8), (4, 3, 3, 3)], [(1, 4, 6, 6)], {})
    3888
    """
    rule = _RECOUNTS.get(operator)
    try:
        return rule(read, written, attributes) if rule else 0
    except (IndexError, KeyError, ValueError):
        return None


def is_recounted(operator: str) -> bool:
    """Whether an operator has a rule here."""
    return operator in _RECOUNTS


def _taps(weight: int) -> Recount:
    """Return the count of a convolution whose weights (N, M/G, *K) are at a place."""
    return lambda read, written, _: prod(written[0]) * prod(read[weight][1:])


def _transposed_taps(read: Shapes, _: Shapes, __: Mapping[str, Any]) -> int:
    return prod(read[0]) * prod(read[1][1:])


def _contracted(read: Shapes, written: Shapes, attributes: Mapping[str, Any]) -> int:
    """Return the count of a product, whose first factor may be turned, or lie behind its batch."""
    turned = attributes.get("transA") and len(read[0]) > 1
    summed = (0 if attributes.get("transBatchA") else -2) if turned else -1
    return prod(written[0]) * read[0][summed]


def _every_step(read: Shapes, _: Shapes, __: Mapping[str, Any]) -> int:
    """Return the count of a recurrent layer: all weights, for each step of each sequence."""
    steps, batch = read[0][:2]
    return steps * batch * (prod(read[1]) + prod(read[2]))


def _letters(read: Shapes, _: Shapes, attributes: Mapping[str, Any]) -> int | None:
    """Return the count of an `Einsum` of two: the product of the sizes of its letters.

    One that only one factor has, and not the result, is summed before. Where nothing is summed with
    what is multiplied, it is elementwise. With three, it depends on which two come first.
    """
    left, arrow, right = attributes["equation"].replace(" ", "").partition("->")
    factors = left.split(",")
    if len(factors) != 2:
        return 0 if len(factors) == 1 else None
    sizes: dict[str, int] = {}
    terms: list[list[str]] = []
    for letters, shape in zip(factors, read, strict=True):
        before, _, behind = letters.partition("...")
        dots = range(len(shape) - len(before) - len(behind)) if "..." in letters else range(0)
        terms.append([*before, *(f".{len(dots) - at}" for at in dots), *behind])
        for axis, size in zip(terms[-1], shape, strict=True):
            sizes[axis] = max(size, sizes.get(axis, 1))
    kept = set(right if arrow else (axis for axis in sizes if left.count(axis) == 1))
    if "..." in right or not arrow:
        kept.update(axis for axis in sizes if axis[0] == ".")
    shared = set(terms[0]) & set(terms[1])
    is_product = any(sizes[axis] > 1 for axis in shared - kept)
    return prod(sizes[axis] for axis in sizes if axis in shared | kept) if is_product else 0


def _scores_and_sums(read: Shapes, written: Shapes, attributes: Mapping[str, Any]) -> int:
    """Return the count of attention: queries with keys, and then the weighted values."""
    query, key, value = read[:3]
    if len(query) == 4:  # batch, heads, positions, width
        batch, heads, positions, width = query
        keys, value_width = key[2], value[3]
    else:  # heads side by side
        batch, positions, _ = query
        heads, others = attributes["q_num_heads"], attributes["kv_num_heads"]
        width, keys, value_width = query[2] // heads, key[1], value[2] // others
    if len(written) > 1 and len(written[1]) == 4:
        keys = written[1][2]  # with those of the past
    return batch * heads * positions * keys * (width + value_width)


_RECOUNTS: Mapping[str, Recount] = {
    **dict.fromkeys(named(MAIN, "Conv ConvInteger DeformConv"), _taps(1)),
    **dict.fromkeys(named(MICROSOFT, "FusedConv NhwcConv NhwcFusedConv"), _taps(1)),
    **dict.fromkeys((f"{MAIN}::QLinearConv", f"{MICROSOFT}::QLinearConv"), _taps(3)),
    f"{MAIN}::ConvTranspose": _transposed_taps,
    **dict.fromkeys(named(MAIN, "Gemm MatMul MatMulInteger QLinearMatMul"), _contracted),
    **dict.fromkeys(
        named(
            MICROSOFT,
            "FusedMatMul FusedGemm DynamicQuantizeMatMul MatMulIntegerToFloat MatMulNBits",
        ),
        _contracted,
    ),
    **dict.fromkeys(named(MAIN, "LSTM GRU RNN"), _every_step),
    f"{MICROSOFT}::DynamicQuantizeLSTM": _every_step,
    f"{MAIN}::Einsum": _letters,
    f"{MAIN}::Attention": _scores_and_sums,
}
