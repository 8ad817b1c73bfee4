"""Attention and recurrent layers of ONNX Runtime itself, and linear attention."""

from collections.abc import Sequence

from dscost.errors import SpecError
from dscost.graphs.nodes import MICROSOFT, Node
from dscost.graphs.shapes.products import recurrent
from dscost.graphs.shapes.table import Type, has, read, shaped
from dscost.graphs.values import Shape


@shaped("DynamicQuantizeLSTM", domain=MICROSOFT)
def _quantized_lstm(node: Node) -> Sequence[Type]:
    x, w, r = read(node), read(node, 1).shape, read(node, 2).shape
    if len(x.shape) != 3 or len(w) != 3 or len(r) != 3:
        raise SpecError(f"an input {x.shape} does not fit weights {w} and {r}")
    return recurrent(node, x, (w[0], w[2]), r[1], w[1], gates=4)


@shaped("Attention", domain=MICROSOFT)
def _projecting(node: Node) -> Sequence[Type]:
    return _projected(node, 4)


@shaped("QAttention", domain=MICROSOFT)
def _quantized_projecting(node: Node) -> Sequence[Type]:
    types = _projected(node, 8)
    return [(read(node, 3).dtype, shape) for _, shape in types]


def _projected(node: Node, past: int) -> Sequence[Type]:
    """Return the result, and the keys and values of which `past` is the beginning."""
    (dtype, x), (_, w) = read(node), read(node, 1)
    if len(x) != 3 or len(w) != 2 or x[2] != w[0]:
        raise SpecError(f"an input {x} does not fit weights {w}")
    sizes = node.attributes.get("qkv_hidden_sizes") or (w[1] // 3,) * 3
    if len(sizes) != 3 or sum(sizes) != w[1] or sizes[0] != sizes[1]:
        raise SpecError(f"weights {w} are not those of queries, keys and values of {sizes}")
    heads = _divided(node, sizes[0], "num_heads")
    keys = x[1] + _cached(node, past, -2)
    return [
        (dtype, (*x[:2], sizes[2])),
        (dtype, (2, x[0], heads, keys, sizes[0] // heads)),
    ]


@shaped("MultiHeadAttention", domain=MICROSOFT)
def _multi_head(node: Node) -> Sequence[Type]:
    dtype, q = read(node)
    k = read(node, 1).shape if has(node, 1) else None
    v = read(node, 2).shape if has(node, 2) else k
    if len(q) == 5 or v is None:  # (B, L, H, 3, E)
        if len(q) != 5:
            raise SpecError(f"queries {q} have no keys")
        heads, size, keys = max(1, q[2]), q[4], q[1]
        wide = heads * size
    else:
        if len(q) != 3 or k is None or len(k) not in (3, 4, 5) or len(v) not in (3, 4, 5):
            raise SpecError(f"queries {q} do not fit keys {k}")
        heads = _divided(node, q[2], "num_heads")
        size = q[2] // heads
        keys = k[-2] if len(k) == 4 else k[1]
        wide = v[2] if len(v) == 3 else heads * v[-1]
        if wide % heads or (k[-1] if len(k) > 3 else k[-1] // heads) != size:
            raise SpecError(f"queries {q}, keys {k} and values {v} do not fit")
    keys += 0 if k is not None and len(k) == 4 else _cached(node, 6, -2)
    held: Shape = (q[0], heads, keys, size)
    return [
        (dtype, (*q[:2], wide)),
        (dtype, held),
        (dtype, (*held[:3], wide // heads)),
        (dtype, (*held[:2], q[1], keys)),
    ]


@shaped("GroupQueryAttention", domain=MICROSOFT)
def _grouped(node: Node) -> Sequence[Type]:
    dtype, q = read(node)
    if len(q) != 3:
        raise SpecError(f"queries {q} are not (B, L, H·E)")
    heads = node.attributes.get("num_heads", 0)
    shared = _divided(node, heads, "kv_num_heads")
    parts = heads if has(node, 1) else heads + 2 * shared
    if heads < 1 or q[2] % parts:
        raise SpecError(f"{q[2]} values are not {parts} heads")
    size = q[2] // parts
    if has(node, 1) and read(node, 1).shape != (*q[:2], shared * size):
        raise SpecError(f"queries {q} do not fit keys {read(node, 1).shape}")
    held = (dtype, (q[0], shared, q[1] + _cached(node, 3, -2), size))
    return [(dtype, (*q[:2], heads * size)), held, held]


@shaped("LinearAttention")
@shaped("LinearAttention", domain=MICROSOFT)
def _linear(node: Node) -> Sequence[Type]:
    (dtype, q), (_, k), (_, v) = read(node), read(node, 1), read(node, 2)
    if {len(q), len(k), len(v)} != {3} or k[:2] != q[:2] or v[:2] != q[:2]:
        raise SpecError(f"queries {q}, keys {k} and values {v} do not fit")
    shared = _divided(node, k[2], "kv_num_heads")
    heads = _divided(node, q[2], "q_num_heads")
    if v[2] % shared or k[2] // shared != q[2] // heads:
        raise SpecError(f"queries {q}, keys {k} and values {v} do not fit")
    size = v[2] // shared
    state = (q[0], shared, k[2] // shared, size)
    return [(dtype, (*q[:2], heads * size)), (dtype, state)]


def _divided(node: Node, values: int, name: str) -> int:
    """Return a number of heads that values are divided among."""
    heads: int = node.attributes.get(name, 0)
    if heads < 1 or values % heads:
        raise SpecError(f"{values} are not {heads} heads")
    return heads


def _cached(node: Node, at: int, axis: int) -> int:
    return read(node, at).shape[axis] if has(node, at) and len(read(node, at).shape) > 3 else 0
