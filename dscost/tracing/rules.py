"""What each operator costs in multiply-accumulates: a formula over shapes, known to be free, or unknown.

A formula takes the operator's own arguments with every tensor replaced by its shape, and the shape of the
(first) output as `out`. It sees nothing else, so it is tested without a tensor. Padding positions count like
others, a bias is not a MAC, masking and causality save nothing.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from dscost.errors import InputError

Shape = tuple[int, ...]
Formula = Callable[..., int]

FORMULAS: dict[str, Formula] = {}
"""MACs by operator, `namespace::name` without the overload."""

FREE: set[str] = set()
"""Operators without multiply-accumulates in the sense of the conventions: interpolation, normalisation, pooling.

Elementwise operators and views need not stand here: torch tags them itself.
"""


def register_formula(*operators: str) -> Callable[[Formula], Formula]:
    """Return a decorator that makes a function the MAC formula of some operators.

    Args:
        operators: Names such as `aten::mm` or `mylib::fused_attention`, without overload.

    Raises:
        InputError: A name is not of that form.

    >>> @register_formula("example::dot")
    ... def dot_macs(a, b, *, out):
    ...     return a[0]
    >>> FORMULAS.pop("example::dot")((5,), (5,), out=())
    5
    """
    for operator in operators:
        if operator.count("::") != 1 or "." in operator:
            raise InputError(f"an operator is named like 'aten::mm', found '{operator}'")

    def add(formula: Formula) -> Formula:
        for operator in operators:
            FORMULAS[operator] = formula
        return formula

    return add


# convolution(Tensor input, Tensor weight, Tensor? bias, stride, padding, dilation, bool transposed, …)
@register_formula("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def convolution_macs(
    x: Shape, w: Shape, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, *_: Any, out: Shape
) -> int:
    """Return `positions · N · M/G · K`: output positions, or input positions where it is transposed."""
    return transposed_conv_macs(x, w, out=out) if transposed else conv_macs(x, w, out=out)


# conv2d(Tensor input, Tensor weight, Tensor? bias, stride, padding, dilation, groups); weight is (N, M/G, *K)
@register_formula(
    "aten::conv1d",
    "aten::conv2d",
    "aten::conv3d",
    "aten::_slow_conv2d_forward",
    "aten::mkldnn_convolution",
    "aten::cudnn_convolution",
)
def conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H'·W' · N · M/G · Kh·Kw`; the output may lack the batch."""
    return prod(out) * prod(w[1:])


# conv_transpose2d(Tensor input, Tensor weight, …); weight is (M, N/G, *K): every input value meets every tap once
@register_formula("aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d")
def transposed_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H·W · M · N/G · Kh·Kw`; the input may lack the batch."""
    return prod(x) * prod(w[1:])


# linear(Tensor input, Tensor weight, Tensor? bias); weight is (N, M)
@register_formula("aten::linear")
def linear_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M`."""
    return prod(x) * w[0] if len(w) == 2 else prod(x)


# matmul(Tensor self, Tensor other): vectors, matrices and batches that broadcast
@register_formula(
    "aten::matmul",
    "aten::mm",
    "aten::bmm",
    "aten::mv",
    "aten::dot",
    "aten::vdot",
    "aten::inner",
    "aten::_int_mm",
    "aten::_scaled_mm",
)
def matmul_macs(a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the length of the contracted dimension."""
    return prod(out) * a[-1] if a else prod(out)


# addmm(Tensor self, Tensor mat1, Tensor mat2): self is added, not multiplied
@register_formula("aten::addmm", "aten::baddbmm", "aten::addmv", "aten::_addmm_activation")
def addmm_macs(_self: Shape, a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the contracted dimension."""
    return prod(out) * a[-1]


# addbmm(Tensor self, Tensor batch1, Tensor batch2): the products of the batch are summed
@register_formula("aten::addbmm")
def addbmm_macs(_self: Shape, a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B · rows · columns · contracted`."""
    return prod(a) * b[-1]


# scaled_dot_product_attention(query (…, L, E), key (…, S, E), value (…, S, Ev), …)
@register_formula(
    "aten::scaled_dot_product_attention",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "aten::_scaled_dot_product_attention_math",
)
def attention_macs(q: Shape, k: Shape, v: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `Q·Kᵀ` and the product with V: `heads · L · S · (E + Ev)`."""
    rows = prod(out[:-1])
    return rows * k[-2] * (q[-1] + v[-1])


# _flash_attention_forward(query (B, L, H, E), key (B, S, H, E), value, cum_seq_q, cum_seq_k, max_q, max_k, …);
# _efficient_attention_forward(query, key, value, bias, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, …)
@register_formula("aten::_flash_attention_forward", "aten::_efficient_attention_forward")
def heads_last_attention_macs(q: Shape, k: Shape, v: Shape, *lengths: Any, out: Shape, **__: Any) -> int:
    """Return `B · H · L · S · (E + Ev)`; of packed sequences `(rows, H, E)` every one counts as the longest."""
    counts = [value for value in lengths if type(value) is int]
    keys = k[-3] if len(q) == 4 or len(counts) < 2 else counts[1]
    return prod(q[:-1]) * keys * (q[-1] + v[-1])


# lstm(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, …), or (data, batch_sizes, hx, params, …)
@register_formula("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")
def recurrent_macs(x: Shape, *arguments: Any, out: Shape, **__: Any) -> int:
    """Return one use of every weight matrix per time step and sequence.

    The first argument is `(T, B, M)` in either order, or `(rows, M)` of a packed sequence; each weight
    matrix (input, hidden, projection) of each layer and direction is met once by each row.
    """
    params = next(a for a in reversed(arguments) if _is_shapes(a) and any(len(shape) == 2 for shape in a))
    weights: int = sum(prod(shape) for shape in params if len(shape) == 2)
    return prod(x[:-1]) * weights


# lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, …)
@register_formula("aten::lstm_cell", "aten::gru_cell", "aten::rnn_tanh_cell", "aten::rnn_relu_cell")
def recurrent_cell_macs(x: Shape, hx: Any, w_ih: Shape, w_hh: Shape, *_: Any, out: Any, **__: Any) -> int:
    """Return one use of both weight matrices per sequence."""
    return prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


# bilinear(Tensor input1, Tensor input2, Tensor weight (N, M1, M2), Tensor? bias)
@register_formula("aten::bilinear")
def bilinear_macs(a: Shape, b: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M1 · M2`, for each output one product of a weight with both inputs."""
    return prod(out) * prod(w[1:])


# _native_multi_head_attention(query (B, L, E), key (B, S, E), value, embed_dim, num_head, qkv_weight, …)
@register_formula("aten::_native_multi_head_attention")
def multi_head_attention_macs(
    q: Shape,
    k: Shape,
    v: Shape,
    embed_dim: int,
    num_head: int,
    qkv_weight: Shape,
    qkv_bias: Any,
    proj: Shape,
    *_: Any,
    out: Any,
) -> int:
    """Return the three projections of the inputs, attention over all heads, and the projection of the output."""
    b, length, e = q
    s = k[-2]
    return b * (length * e * e + 2 * s * e * e + 2 * length * s * e + length * e * e)


# _transformer_encoder_layer_fwd(src (B, L, E), embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias,
#   use_gelu, norm_first, eps, norm_weight_1, norm_bias_1, norm_weight_2, norm_bias_2, ffn_weight_1 (F, E), …)
@register_formula("aten::_transformer_encoder_layer_fwd")
def encoder_layer_macs(x: Shape, embed_dim: int, num_heads: int, *arguments: Any, out: Any, **__: Any) -> int:
    """Return self-attention and both layers of the feed-forward network."""
    b, length, e = x
    ffn: Shape = arguments[11]
    return b * length * (4 * e * e + 2 * length * e + 2 * prod(ffn))


# deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, …)
@register_formula("torchvision::deform_conv2d")
def deform_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return what the convolution costs; sampling its input is interpolation."""
    return conv_macs(x, w, out=out)


def _is_shapes(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(shape, tuple) for shape in value)


_FREE_ATEN = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool1d
max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices max_unpool2d all any amax amin aminmax
argmax argmin argsort sort topk max min mean sum prod std var std_mean var_mean cumsum cumprod logsumexp median
mode norm linalg_vector_norm nansum count_nonzero batch_norm native_batch_norm _native_batch_norm_legit
_native_batch_norm_legit_no_training native_layer_norm layer_norm group_norm native_group_norm instance_norm
rms_norm _fused_rms_norm softmax _softmax log_softmax _log_softmax _safe_softmax gelu glu prelu dropout
native_dropout feature_dropout alpha_dropout feature_alpha_dropout bernoulli bernoulli_ embedding embedding_bag
_embedding_bag one_hot bucketize searchsorted histc bincount cat concat stack hstack vstack pad constant_pad_nd
reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
_pad_circular clone copy copy_ contiguous reshape flatten to _to_copy type_as cpu cuda repeat repeat_interleave
tile roll flip rot90 tril triu tril_indices triu_indices meshgrid cartesian_prod gather scatter scatter_
scatter_add scatter_add_ scatter_reduce index index_put index_put_ _unsafe_index index_select index_add
index_fill masked_fill masked_fill_ masked_scatter masked_select take take_along_dim where nonzero
unique_consecutive unique_dim _unique2 nonzero_static upsample_nearest1d upsample_nearest2d upsample_nearest3d
upsample_linear1d upsample_bilinear2d upsample_bicubic2d upsample_trilinear3d _upsample_nearest_exact2d
_upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler grid_sampler_2d grid_sampler_3d
affine_grid_generator pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle im2col col2im unfold
empty empty_like empty_strided empty_permuted new_empty new_empty_strided new_full new_zeros new_ones zeros
zeros_like ones ones_like full full_like arange linspace logspace eye rand rand_like randn randn_like randint
randint_like randperm normal normal_ uniform uniform_ exponential_ random_ fill_ zero_ fill zero scalar_tensor
tensor lift_fresh lift_fresh_copy lift detach detach_ alias _local_scalar_dense item is_nonzero equal allclose
resize_ set_ numpy_T _weight_norm _weight_norm_interface _assert_async _assert_tensor_metadata sym_size
sym_numel unsafe_split unsafe_split_with_sizes unsafe_chunk _reshape_alias _reshape_copy _unsafe_view _conj
_neg_view resolve_conj resolve_neg expand_copy outer kron cross bitwise_and_ clamp_min_ nll_loss
nll_loss_forward cross_entropy_loss smooth_l1_loss result_type can_cast broadcast_tensors atleast_1d atleast_2d
cosine_similarity square_ native_dropout_backward isin diff renorm mish hardswish mse_loss
_nested_tensor_from_mask _pack_padded_sequence _pad_packed_sequence pin_memory quantize_per_tensor dequantize
fake_quantize_per_tensor_affine
"""

FREE |= {f"aten::{name}" for name in _FREE_ATEN.split()}
FREE |= {f"torchvision::{name}" for name in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")}

_OURS = dict(FORMULAS)


def replaced() -> set[str]:
    """Return the operators whose formula a user has given."""
    return {operator for operator, formula in FORMULAS.items() if _OURS.get(operator) is not formula}
