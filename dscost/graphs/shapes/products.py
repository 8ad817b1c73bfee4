"""Products of matrices, recurrent layers, attention."""

from collections.abc import Sequence

from dscost.errors import SpecError
from dscost.graphs.nodes import Node
from dscost.graphs.rules.products import labelled
from dscost.graphs.shapes.table import Read, Type, broadcast, has, read, shaped
from dscost.graphs.values import Shape
from dscost.notation.units import format_shape


@shaped("MatMul")
def _product(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, product(read(node).shape, read(node, 1).shape))]


@shaped("MatMulInteger")
def _whole_product(node: Node) -> Sequence[Type]:
    return [("int32", product(read(node).shape, read(node, 1).shape))]


@shaped("QLinearMatMul")
def _quantized_product(node: Node) -> Sequence[Type]:
    return [(read(node, 7).dtype, product(read(node).shape, read(node, 3).shape))]


def product(a: Shape, b: Shape) -> Shape:
    """Return the shape of a product as numpy has it: one of one dimension is a vector.

    Raises:
        SpecError: They have none.
    """
    if not a or not b:
        raise SpecError("a number is no matrix")
    left, right = (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b
    if left[-1] != right[-2]:
        raise SpecError(f"{a} has {left[-1]} columns, but {b} has {right[-2]} rows")
    found = (*broadcast([left[:-2], right[:-2]]), left[-2], right[-1])
    if len(a) == 1:
        found = (*found[:-2], found[-1])
    return found[:-1] if len(b) == 1 else found


@shaped("Gemm")
def _gemm(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, gemm(node, read(node).shape, read(node, 1).shape))]


def gemm(node: Node, a: Shape, b: Shape) -> Shape:
    """Return the shape of a product of two matrices that may be transposed.

    Raises:
        SpecError: They have none.
    """
    if len(a) != 2 or len(b) != 2:
        raise SpecError(f"{a} and {b} are not two matrices")
    if node.attributes.get("transA"):
        a = (a[1], a[0])
    if node.attributes.get("transB"):
        b = (b[1], b[0])
    return product(a, b)


@shaped("Einsum")
def _summed(node: Node) -> Sequence[Type]:
    shapes = [read(node, at).shape for at in range(len(node.inputs))]
    _, result, sizes = labelled(node.attributes.get("equation", ""), shapes)
    return [(read(node).dtype, tuple(sizes[label] for label in result))]


# -- recurrent


@shaped("LSTM GRU RNN")
def _recurrent(node: Node) -> Sequence[Type]:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[node.base]
    x, w, r = read(node), read(node, 1), read(node, 2)
    if len(x.shape) != 3 or len(w.shape) != 3 or len(r.shape) != 3:
        raise SpecError(f"an input {x.shape} does not fit weights {w.shape} and {r.shape}")
    return recurrent(node, x, w.shape[:2], r.shape[-1], w.shape[-1], gates=gates)


def recurrent(
    node: Node, x: Read, weights: Shape, hidden: int, columns: int, *, gates: int
) -> Sequence[Type]:
    """Return what a recurrent layer writes: all outputs, the last, and of an LSTM its cells.

    Args:
        x: `(T, B, M)`, or `(B, T, M)` where `layout` is 1.
        weights: Directions and rows of weights.
        hidden: Values of a state, H.
        columns: M by the weights.
        gates: How many each step has.

    Raises:
        SpecError: They do not fit.
    """
    way = node.attributes.get("direction", "forward")
    directions, rows = weights
    if directions != (2 if way == "bidirectional" else 1):
        raise SpecError(f"it is {way}, but has weights of {directions} directions")
    if rows != gates * hidden or x.shape[2] != columns:
        raise SpecError(f"an input {x.shape} does not fit {rows}×{columns} weights of {hidden}")
    if node.attributes.get("hidden_size", hidden) != hidden:
        raise SpecError(f"its weights are of {hidden}, not {node.attributes['hidden_size']}")
    steps, batch = x.shape[:2]
    if node.attributes.get("layout", 0):
        batch, steps = x.shape[:2]
        last: Shape = (batch, directions, hidden)
        _check_state(node, batch, last)
        return [(x.dtype, (batch, steps, directions, hidden)), (x.dtype, last), (x.dtype, last)]
    last = (directions, batch, hidden)
    _check_state(node, batch, last)
    return [(x.dtype, (steps, directions, batch, hidden)), (x.dtype, last), (x.dtype, last)]


def _check_state(node: Node, batch: int, state: Shape) -> None:
    """Refuse lengths or a state to begin with that are of another batch or size.

    Raises:
        SpecError: They are.
    """
    for at, name, wanted in (
        (4, "sequence_lens", (batch,)),
        (5, "initial_h", state),
        (6, "initial_c", state),
    ):
        found = node.shape(at)
        if found is not None and found != wanted:
            raise SpecError(f"its {name} is {format_shape(found)}, not {format_shape(wanted)}")


# -- attention


@shaped("FlexAttention", domain="ai.onnx.preview")
@shaped("Attention")
def _attention(node: Node) -> Sequence[Type]:
    (dtype, q), (_, k), (kind, v) = read(node), read(node, 1), read(node, 2)
    if {len(q), len(k), len(v)} == {3}:
        heads, shared = (node.attributes.get(f"{one}_num_heads", 0) for one in ("q", "kv"))
        q, k, v = _heads(q, heads), _heads(k, shared), _heads(v, shared)
    elif {len(q), len(k), len(v)} != {4}:
        raise SpecError(f"{q}, {k} and {v} are no queries, keys and values")
    if q[3] != k[3] or k[1:3] != v[1:3] or q[1] % k[1] or not q[0] == k[0] == v[0]:
        raise SpecError(f"queries {q}, keys {k} and values {v} do not fit")
    past = read(node, 4).shape[2] if has(node, 4) else 0
    batch, heads, length, _ = q
    keys = k[2] + past
    out = (
        (batch, heads, length, v[3])
        if len(read(node).shape) == 4
        else (
            batch,
            length,
            heads * v[3],
        )
    )
    return [
        (dtype, out),
        (dtype, (batch, k[1], keys, k[3])),
        (kind, (batch, k[1], keys, v[3])),
        (dtype, (batch, heads, length, keys)),
    ]


def _heads(shape: Shape, heads: int) -> Shape:
    batch, length, values = shape
    if heads < 1 or values % heads:
        raise SpecError(f"{values} values are not {heads} heads")
    return (batch, heads, length, values // heads)
