"""Attention: two products, of queries with keys and of scores with values."""

from collections.abc import Sequence
from math import prod
from typing import Any

from dscost.traces.rules.table import Shape, named, register_formula, twice


def attention_gradients(macs: int, needing: Sequence[bool]) -> int:
    """Return the gradients of both products, of the factors that need one.

    Each of the two products is half of the whole. The scores need a gradient as soon as the queries
    or the keys do.
    """
    if len(needing) < 3:
        return twice(macs, needing)
    query, key, value = needing[:3]
    return macs * (query + key + (query or key) + value) // 2


# scaled_dot_product_attention(query (…, L, E), key (…, S, E), value (…, S, Ev), …)
@register_formula(
    "higher_order::flex_attention",
    *named("aten", "scaled_dot_product_attention _scaled_dot_product_flash_attention"),
    *named("aten", "_scaled_dot_product_flash_attention_for_cpu"),
    *named("aten", "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"),
    *named("aten", "_scaled_dot_product_fused_attention_overrideable"),
    *named("aten", "_scaled_dot_product_attention_math"),
    op="attention",
    gradients=attention_gradients,
)
def attention_macs(q: Shape, k: Shape, v: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `Q·Kᵀ` and the product with V: `heads · L · S · (E + Ev)`."""
    rows = prod(out[:-1])
    return rows * k[-2] * (q[-1] + v[-1])


# _flash_attention_forward(query (B, L, H, E), key (B, S, H, E), value, cum_seq_q, cum_seq_k,
#                          max_q, max_k, …)
# _efficient_attention_forward(query, key, value, bias, cu_seqlens_q, cu_seqlens_k,
#                              max_seqlen_q, max_seqlen_k, …)
@register_formula(
    *named("aten", "_flash_attention_forward _efficient_attention_forward"),
    *named("torch_attn", "_varlen_attn"),
    op="attention",
    gradients=attention_gradients,
)
def heads_last_attention_macs(
    q: Shape, k: Shape, v: Shape, *lengths: Any, out: Shape, **__: Any
) -> int:
    """Return `B · H · L · S · (E + Ev)`; packed sequences `(rows, H, E)` count as the longest."""
    counts = [value for value in lengths if type(value) is int]
    keys = k[-3] if len(q) == 4 or len(counts) < 2 else counts[1]
    return prod(q[:-1]) * keys * (q[-1] + v[-1])


# _scaled_dot_product_flash_attention_backward(grad_out, query, key, value, …)
@register_formula(
    *named("aten", "_scaled_dot_product_flash_attention_backward"),
    *named("aten", "_scaled_dot_product_flash_attention_for_cpu_backward"),
    *named("aten", "_scaled_dot_product_efficient_attention_backward"),
    *named("aten", "_scaled_dot_product_cudnn_attention_backward"),
    *named("aten", "_scaled_dot_product_fused_attention_overrideable_backward"),
)
def attention_backward_macs(
    grad: Shape, q: Shape, k: Shape, v: Shape, *_: Any, out: Any, **__: Any
) -> int:
    """Return two gradients for each product; that scores are computed anew is left out."""
    return 2 * attention_macs(q, k, v, out=grad)


# _flash_attention_backward(grad_out (B, L, H, E), query, key, value, out, logsumexp, cum_seq_q,
#                           cum_seq_k, max_q, max_k, …)
# _efficient_attention_backward(grad_out, query, key, value, bias, out, cu_seqlens_q, …)
@register_formula(*named("aten", "_flash_attention_backward _efficient_attention_backward"))
def heads_last_attention_backward_macs(
    grad: Shape, q: Shape, k: Shape, v: Shape, *lengths: Any, out: Any, **__: Any
) -> int:
    """Return two gradients for each of the two products."""
    return 2 * heads_last_attention_macs(q, k, v, *lengths, out=grad)


# _native_multi_head_attention(query (B, L, E), key (B, S, E), value, embed_dim, num_head, …)
@register_formula("aten::_native_multi_head_attention", op="attention", gradients=twice)
def multi_head_attention_macs(q: Shape, k: Shape, *_: Any, out: Any) -> int:
    """Return the three projections of the inputs, attention over all heads, that of the output."""
    b, length, e = q
    s = k[-2]
    return b * (length * e * e + 2 * s * e * e + 2 * length * s * e + length * e * e)


# _transformer_encoder_layer_fwd(src (B, L, E), embed_dim, num_heads, qkv_weight, qkv_bias,
#                                proj_weight, proj_bias, use_gelu, norm_first, eps, norm_weight_1,
#                                norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1 (F, E), …)
@register_formula("aten::_transformer_encoder_layer_fwd", op="attention", gradients=twice)
def encoder_layer_macs(
    x: Shape, embed_dim: int, num_heads: int, *arguments: Any, out: Any, **__: Any
) -> int:
    """Return self-attention and both layers of the feed-forward network."""
    b, length, e = x
    ffn: Shape = arguments[11]
    return b * length * (4 * e * e + 2 * length * e + 2 * prod(ffn))
