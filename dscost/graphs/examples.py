"""Sizes that an input might have whose axes a file leaves open: for an example to copy."""

from collections.abc import Iterator, Sequence

from onnx import GraphProto

IMAGES = (
    *((224, 224), (48, 320), (256, 256), (320, 320), (640, 640), (32, 320), (32, 128), (32, 32)),
    *((512, 512), (64, 64)),
)
"""Heights and widths of pictures, in the order in which they are tried."""
LENGTHS = (128, 512, 576, 1024, 1280, 16000, 256, 64, 32, 1)
"""Lengths of anything else, likewise."""
LENGTH = LENGTHS[0]
CHOICES = len(LENGTHS)
_BATCH = frozenset({"n", "b", "bs"})
_LAYERS = 2, 8
"""Of how many layers and directions a state may be."""
_ONE_BY_ONE = frozenset(
    "Identity Cast Sub Div Mul Add Pad BatchNormalization QuantizeLinear "
    "DequantizeLinear Clip Relu".split()
)
"""Operators that leave channels where they are."""


def example_sizes(
    graph: GraphProto, name: str, axes: Sequence[int | str | None], choice: int = 0, batch: int = 1
) -> Iterator[int]:
    """Yield a size for every axis of an input: what is known, else one that could be.

    Args:
        graph: The graph.
        name: Of the input.
        axes: Of the input.
        choice: Which of the usual sizes, below `CHOICES`.
        batch: The size of axes that seem to be a batch.
    """
    channels = _channels(graph, name) if len(axes) > 2 else None
    pictures = [LENGTHS[choice]] * len(axes)
    if len(axes) == 4:
        free = [at for at, axis in enumerate(axes) if at and not isinstance(axis, int)]
        free = [at for at in free if at != 1 or not channels][-2:]
        height, width = IMAGES[choice]
        pictures = [height if len(free) > 1 and at == free[0] else width for at in range(4)]
    for at, axis in enumerate(axes):
        if isinstance(axis, int):
            yield axis
        elif at == 0 or _is_batch(axis) or _is_state(axes):
            yield batch
        elif at == 1 and channels:
            yield channels
        else:
            yield pictures[at]


def _is_batch(axis: str | None) -> bool:
    text = str(axis).lower()
    return "batch" in text or text in _BATCH


def _is_state(axes: Sequence[int | str | None]) -> bool:
    """Whether they are those of a state, `(layers, batch, size)`, and the batch is open."""
    if len(axes) != 3 or not isinstance(axes[0], int) or not isinstance(axes[2], int):
        return False
    return _LAYERS[0] <= axes[0] <= _LAYERS[1]


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
