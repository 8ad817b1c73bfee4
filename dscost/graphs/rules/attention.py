"""Attention: two products, of queries with keys and of scores with values.

L queries, S keys, E values a head. All keys count that are there: those of a cache as well, and
those that a mask or causality hides.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

from dscost.graphs.nodes import MICROSOFT
from dscost.graphs.values import Shape
from dscost.traces.rules import register_formula


# Attention(Q (B, H, L, E) or (B, L, H·E), K (…, S, …), V (…, S, …), attn_mask?, past_key?, …)
@register_formula(
    "ai.onnx::Attention", "ai.onnx.preview::FlexAttention", op="attention", factors=(0, 1, 2)
)
def attention_macs(q: Shape, k: Shape, v: Shape, /, *more: Any, out: Shape, **__: Any) -> int:
    """Return `B·H · L · S · (E + Ev)`; heads of keys and values that are shared cost the same."""
    keys: int = k[-2] + _length(more, 1, -2)
    return keys * (prod(q) + prod(out))


# Attention(input (B, L, M), weights (M, E + E + Ev of all heads), bias?, mask?,
#           past (2, B, H, P, E)?, …)
@register_formula(f"{MICROSOFT}::Attention", op="attention", factors=(0, 1))
def projecting_attention_macs(x: Shape, w: Shape, /, *more: Any, out: Shape, **__: Any) -> int:
    """Return the projections of the input, and attention over all heads."""
    return _projecting(x, w, out, _length(more, 2, -2))


# QAttention(input, weight, bias, input_scale, weight_scale, mask?, zero points?, past?)
@register_formula(f"{MICROSOFT}::QAttention", op="attention", factors=(0, 1))
def quantized_attention_macs(x: Shape, w: Shape, /, *more: Any, out: Shape, **__: Any) -> int:
    """Return the projections of the input, and attention over all heads."""
    return _projecting(x, w, out, _length(more, 6, -2))


def _projecting(x: Shape, w: Shape, out: Shape, past: int) -> int:
    rows, keys = prod(x[:-1]), x[1] + past
    values = out[-1]
    queries = (w[-1] - values) // 2
    return rows * prod(w) + rows * keys * (queries + values)


# MultiHeadAttention(query (B, L, H·E) or packed (B, L, H, 3, E), key (B, S, H·E) or with values
#                    (B, S, H, 2, E) or of a cache (B, H, S, E), value?, bias?, mask?,
#                    attention_bias?, past_key (B, H, P, E)?, …)
@register_formula(f"{MICROSOFT}::MultiHeadAttention", op="attention", factors=(0, 1, 2))
def multi_head_attention_macs(
    q: Shape, k: Shape | None = None, /, *more: Any, out: Shape, **__: Any
) -> int:
    """Return `B·H · L · S · (E + Ev)`."""
    queries = prod(q) // (3 if len(q) == 5 else 1)
    keys = q[1] if k is None else k[-2] if len(k) == 4 else k[1]
    past = 0 if k is not None and len(k) == 4 else _length(more, 4, -2)
    return (keys + past) * (queries + prod(out))


# GroupQueryAttention(query (B, L, H·E) or packed with keys and values, key?, value?,
#                     past_key (B, G, P, E)?, past_value?, …)
@register_formula(f"{MICROSOFT}::GroupQueryAttention", op="attention", factors=(0, 1, 2))
def grouped_attention_macs(q: Shape, /, *more: Any, out: Shape, **__: Any) -> int:
    """Return `B·H · L · (P + L) · 2·E`: the keys that the cache has room for, and the new ones."""
    return (q[1] + _length(more, 2, -2)) * 2 * prod(out)


# LinearAttention(query (B, L, H·E), key (B, L, G·E), value (B, L, G·Ev), past_state?, …)
@register_formula(
    "ai.onnx::LinearAttention", f"{MICROSOFT}::LinearAttention", op="attention", factors=(0, 1, 2)
)
def linear_attention_macs(
    q: Shape, k: Shape, v: Shape, /, *_: Any, out: Shape, **attributes: Any
) -> int:
    """Return, for each of L rows, `E·Ev` for what is read of the state and what is added to it.

    It is read by each of H heads of queries, and written by each of G heads; the delta rule reads
    it once more for each of these. Decay is elementwise.
    """
    heads: int = max(1, attributes.get("kv_num_heads", 1))
    size = (k[-1] // heads) * (v[-1] // heads)
    is_delta: bool = attributes.get("update_rule", "gated_delta").endswith("delta")
    readers: int = attributes.get("q_num_heads", 1) + heads * is_delta
    return prod(q[:-1]) * size * (readers + heads)


def _length(inputs: Sequence[Shape | None], at: int, axis: int) -> int:
    """Return the size of an axis of an input that may be left out, which is one of length 0."""
    shape = inputs[at] if at < len(inputs) else None
    return 0 if shape is None or len(shape) < -axis else shape[axis]
