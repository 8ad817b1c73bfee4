"""A second count of what nodes cost, from shapes that somebody else has found: plain on purpose.

It shares nothing with `graphs.rules` but the conventions, so that a mistake in one shows.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from dscost.graphs.values import Shape

Shapes = Sequence[Shape]
Recount = Callable[[Shapes, Shapes, Mapping[str, Any]], int]
"""From the shapes that a node reads and writes, and its attributes, to its multiply-accumulates."""


def recounted(
    type: str, read: Shapes, written: Shapes, attributes: Mapping[str, Any]
) -> int | None:
    """Return the multiply-accumulates of a node by its shapes; 0 of a type without a rule.

    `None` where there are too few shapes, as of kernels that keep their weights for themselves.

    >>> recounted("Conv", [(1, 3, 8, 8), (4, 3, 3, 3)], [(1, 4, 6, 6)], {})
    3888
    """
    rule = _RECOUNTS.get(type)
    try:
        return rule(read, written, attributes) if rule else 0
    except (IndexError, KeyError, ValueError):
        return None


def is_recounted(type: str) -> bool:
    """Whether a type of nodes has a rule here."""
    return type in _RECOUNTS


def _taps(weight: int) -> Recount:
    """Return the count of a convolution whose weights (N, M/G, *K) are at a place."""
    return lambda read, written, _: prod(written[0]) * prod(read[weight][1:])


def _transposed_taps(read: Shapes, _: Shapes, __: Mapping[str, Any]) -> int:
    return prod(read[0]) * prod(read[1][1:])


def _contracted(read: Shapes, written: Shapes, attributes: Mapping[str, Any]) -> int:
    """Return the count of a product, whose first factor may be turned."""
    turned = attributes.get("transA") and len(read[0]) > 1
    return prod(written[0]) * read[0][-2 if turned else -1]


def _every_step(read: Shapes, _: Shapes, __: Mapping[str, Any]) -> int:
    """Return the count of a recurrent layer: all weights, for each step of each sequence."""
    steps, batch = read[0][:2]
    return steps * batch * (prod(read[1]) + prod(read[2]))


def _all_letters(read: Shapes, _: Shapes, attributes: Mapping[str, Any]) -> int:
    """Return the count of an `Einsum` of two: the product of the sizes of all of its letters."""
    factors = attributes["equation"].replace(" ", "").partition("->")[0].split(",")
    if len(factors) != 2:
        return 0
    sizes: dict[str, int] = {}
    for letters, shape in zip(factors, read, strict=True):
        before, _, behind = letters.partition("...")
        dots = range(len(shape) - len(before) - len(behind)) if "..." in letters else range(0)
        axes = [*before, *(f".{len(dots) - at}" for at in dots), *behind]
        for axis, size in zip(axes, shape, strict=True):
            sizes[axis] = max(size, sizes.get(axis, 1))
    return prod(sizes.values())


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
    **dict.fromkeys(("Conv", "FusedConv", "ConvInteger"), _taps(1)),
    "QLinearConv": _taps(3),
    "ConvTranspose": _transposed_taps,
    **dict.fromkeys(
        ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "FusedMatMul", "FusedGemm"),
        _contracted,
    ),
    **dict.fromkeys(("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "MatMulNBits"), _contracted),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"), _every_step),
    "Einsum": _all_letters,
    "Attention": _scores_and_sums,
}
