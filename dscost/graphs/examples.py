"""Sizes that an input might have whose axes a file leaves open: for an example to copy."""

from collections.abc import Iterator, Sequence

from onnx import GraphProto

IMAGE, LENGTH = 224, 128
"""Height and width of a picture; length of anything else."""
_ONE_BY_ONE = frozenset(
    "Identity Cast Sub Div Mul Add Pad BatchNormalization QuantizeLinear "
    "DequantizeLinear Clip Relu".split()
)
"""Operators that leave channels where they are."""


def example_sizes(graph: GraphProto, name: str, axes: Sequence[int | str | None]) -> Iterator[int]:
    """Yield a size for every axis of an input: what is known, else one that could be."""
    usual = IMAGE if len(axes) == 4 else LENGTH
    channels = _channels(graph, name) if len(axes) > 2 else None
    for at, axis in enumerate(axes):
        if isinstance(axis, int):
            yield axis
        elif at == 0 or "batch" in str(axis).lower():
            yield 1
        elif at == 1 and channels:
            yield channels
        else:
            yield usual


def _channels(graph: GraphProto, name: str) -> int | None:
    """Return how many channels the first convolution reads of an input, if one reads it."""
    weights = {one.name: one.dims for one in graph.initializer}
    reached = {name}
    for node in graph.node:
        if node.op_type == "Constant":
            stored = [one.t.dims for one in node.attribute if one.name == "value"]
            weights |= dict(zip(node.output, stored, strict=False))
        if not node.input or node.input[0] not in reached:
            continue
        if node.op_type in _ONE_BY_ONE:
            reached.update(node.output)
        if node.op_type == "Conv" and len(node.input) > 1:
            dims = weights.get(node.input[1], ())
            groups = next((one.i for one in node.attribute if one.name == "group"), 1)
            return int(dims[1] * groups) if len(dims) > 2 else None
    return None
