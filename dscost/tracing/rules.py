"""What each operator costs in multiply-accumulates: a formula over shapes. What is free stands in `free`; else unknown.

A formula takes the operator's own arguments with every tensor replaced by its shape, and the shape
of the (first) output as `out`. It sees nothing else, so it is tested without a tensor. Padding
positions count like others, a bias is not a MAC, masking and causality save nothing.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from dscost.errors import InputError

Shape = tuple[int, ...]
Formula = Callable[..., int]

FORMULAS: dict[str, Formula] = {}
"""MACs by operator, `namespace::name` without the overload."""


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


# convolution(Tensor input, Tensor weight, Tensor? bias, stride, padding, dilation, bool transposed,
# …)
@register_formula("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def convolution_macs(
    x: Shape,
    w: Shape,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
    out: Shape,
) -> int:
    """Return `positions · N · M/G · K`: output positions, or input positions where it is transposed."""
    return transposed_conv_macs(x, w, out=out) if transposed else conv_macs(x, w, out=out)


# conv2d(Tensor input, Tensor weight, Tensor? bias, stride, padding, dilation, groups); weight is
# (N, M/G, *K)
@register_formula(
    "aten::conv1d",
    "aten::conv2d",
    "aten::conv3d",
    "aten::_slow_conv2d_forward",
    "aten::slow_conv3d_forward",
    "aten::slow_conv_dilated2d",
    "aten::slow_conv_dilated3d",
    "aten::_conv_depthwise2d",
    "aten::conv_depthwise3d",
    "aten::_nnpack_spatial_convolution",
    "aten::mkldnn_convolution",
    "aten::cudnn_convolution",
    "aten::cudnn_convolution_relu",
    "aten::cudnn_convolution_add_relu",
    "aten::miopen_convolution",
    "aten::miopen_convolution_relu",
    "aten::miopen_convolution_add_relu",
    "aten::miopen_depthwise_convolution",
    "mkldnn::_convolution_pointwise",
    "quantized::conv1d",
    "quantized::conv1d_relu",
    "quantized::conv1d_dynamic",
    "quantized::conv2d",
    "quantized::conv2d_relu",
    "quantized::conv2d_dynamic",
    "quantized::conv3d",
    "quantized::conv3d_relu",
    "quantized::conv3d_dynamic",
)
def conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H'·W' · N · M/G · Kh·Kw`; the output may lack the batch."""
    return prod(out) * prod(w[1:])


# conv_transpose2d(Tensor input, Tensor weight, …); weight is (M, N/G, *K): every input value meets
# every tap once
@register_formula(
    "aten::conv_transpose1d",
    "aten::conv_transpose2d",
    "aten::conv_transpose3d",
    "aten::slow_conv_transpose2d",
    "aten::slow_conv_transpose3d",
    "aten::cudnn_convolution_transpose",
    "aten::miopen_convolution_transpose",
    "quantized::conv_transpose1d",
    "quantized::conv_transpose1d_dynamic",
    "quantized::conv_transpose2d",
    "quantized::conv_transpose2d_dynamic",
    "quantized::conv_transpose3d",
    "quantized::conv_transpose3d_dynamic",
)
def transposed_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H·W · M · N/G · Kh·Kw`; the input may lack the batch."""
    return prod(x) * prod(w[1:])


# conv2d_add(Tensor qx, Tensor qaccum, packed weight, …): what is added is no product
@register_formula("quantized::conv2d_add", "quantized::conv2d_add_relu")
def conv_add_macs(x: Shape, added: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return what the convolution costs."""
    return conv_macs(x, w, out=out)


# qconv2d_pointwise(Tensor qx, float x_scale, int x_zero_point, Tensor qw, …)
@register_formula(
    "onednn::qconv_pointwise",
    "onednn::qconv1d_pointwise",
    "onednn::qconv2d_pointwise",
    "onednn::qconv3d_pointwise",
)
def lowered_conv_macs(
    x: Shape, scale: Any, zero_point: Any, w: Shape, *_: Any, out: Shape, **__: Any
) -> int:
    """Return what the convolution costs."""
    return conv_macs(x, w, out=out)


# conv_tbc(Tensor self (T, B, M), Tensor weight (K, M, N), Tensor bias, int pad)
@register_formula("aten::conv_tbc")
def time_first_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `T'·B · N · M · K`."""
    return prod(out) * w[0] * w[1]


# convolution_backward(Tensor grad_output, Tensor input, Tensor weight, bias_sizes, stride, padding,
# dilation,   bool transposed, output_padding, groups, bool[3] output_mask)
@register_formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def conv_backward_macs(
    grad: Shape, x: Shape, w: Shape, *arguments: Any, out: Any, **named: Any
) -> int:
    """Return what the convolution costs for each of its two gradients that is wanted: of the input, of the weight."""
    mask: Sequence[bool] = named.get("output_mask", arguments[-1] if arguments else ())
    transposed = next(value for value in arguments if isinstance(value, bool))
    wanted = sum(map(bool, mask[:2]))
    return wanted * (
        transposed_conv_macs(x, w, out=grad) if transposed else conv_macs(x, w, out=grad)
    )


# linear(Tensor input, Tensor weight, Tensor? bias); weight is (N, M)
@register_formula(
    "aten::linear",
    "aten::mkldnn_linear",
    "aten::_weight_int8pack_mm",
    "aten::_sparse_semi_structured_linear",
    "mkldnn::_linear_pointwise",
    "torch_nn::_linear_cross_entropy_batch_chunked",
    "torch_nn::_linear_cross_entropy_batch_chunked_no_reduction",
    "quantized::linear",
    "quantized::linear_relu",
    "quantized::linear_leaky_relu",
    "quantized::linear_tanh",
    "quantized::linear_dynamic",
    "quantized::linear_relu_dynamic",
    "quantized::linear_dynamic_fp16",
    "quantized::linear_relu_dynamic_fp16",
    "quantized::linear_with_input_q_dq_qweight_dq_output_fp32",
    "quantized::linear_with_input_q_dq_qweight_dq_relu_output_fp32",
)
def linear_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M`."""
    return prod(x) * w[0] if len(w) == 2 else prod(x)


# _weight_int4pack_mm(Tensor self (rows, M), packed weight, …): the weight's shape is that of its
# packing
@register_formula(
    "aten::_weight_int4pack_mm",
    "aten::_weight_int4pack_mm_for_cpu",
    "aten::_weight_int4pack_mm_with_scales_and_zeros",
    "aten::_dyn_quant_matmul_4bit",
    "aten::_mixed_dtypes_linear",
    "onednn::qlinear_pointwise",
    "quantized::linear_dynamic_fp16_unpacked_weight",
)
def packed_linear_macs(x: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M`."""
    return prod(x) * out[-1]


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
    "aten::_scaled_mm_v2",
    "quantized::matmul",
)
def matmul_macs(a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the length of the contracted dimension."""
    return prod(out) * a[-1] if a else prod(out)


# addmm(Tensor self, Tensor mat1, Tensor mat2): self is added, not multiplied
@register_formula(
    "aten::addmm",
    "aten::addmm_",
    "aten::baddbmm",
    "aten::baddbmm_",
    "aten::addmv",
    "aten::addmv_",
    "aten::_addmm_activation",
)
def addmm_macs(_self: Shape, a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the contracted dimension."""
    return prod(out) * a[-1]


# addbmm(Tensor self, Tensor batch1, Tensor batch2): the products of the batch are summed
@register_formula("aten::addbmm", "aten::addbmm_")
def addbmm_macs(_self: Shape, a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B · rows · columns · contracted`."""
    return prod(a) * b[-1]


# _grouped_mm(Tensor self, Tensor mat2, Tensor? offs, …): rows (L, M) of which each group has its
# own (M, N) of (G, M, N), as in a mixture of experts; or the groups divide another dimension, or
# both are batches
@register_formula("aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2")
def grouped_mm_macs(a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · contracted · columns`, each row (column, contracted position) in one group only."""
    groups = a[0] if len(a) == len(b) == 3 else 1
    return groups * a[-2] * a[-1] * b[-1]


# _foreach_mm(Tensor[] self, Tensor[] mat2)
@register_formula("aten::_foreach_mm")
def foreach_mm_macs(a: Sequence[Shape], b: Sequence[Shape], *_: Any, out: Any, **__: Any) -> int:
    """Return the sum over the products."""
    return sum(prod(left) * right[-1] for left, right in zip(a, b, strict=True))


# cdist(Tensor x1 (…, P, M), Tensor x2 (…, R, M), float p)
@register_formula("aten::cdist", "aten::_cdist_forward", "aten::_euclidean_dist")
def cdist_macs(a: Shape, b: Shape, p: float = 2.0, *_: Any, out: Shape, **__: Any) -> int:
    """Return `… P · R · M`, the product that Euclidean distances are made of; other norms multiply nothing."""
    return prod(out) * a[-1] if p == 2 else 0


# pdist(Tensor self (P, M), float p)
@register_formula("aten::pdist", "aten::_pdist_forward")
def pdist_macs(x: Shape, p: float = 2.0, *_: Any, out: Shape, **__: Any) -> int:
    """Return `P·(P-1)/2 · M` of Euclidean distances."""
    return prod(out) * x[-1] if p == 2 else 0


# linear_backward(Tensor self (…, M), Tensor grad_output (…, N), Tensor weight, bool[3] output_mask)
@register_formula("aten::linear_backward", "aten::mkldnn_linear_backward")
def linear_backward_macs(
    x: Shape, grad: Shape, w: Shape, mask: Sequence[bool], *_: Any, out: Any
) -> int:
    """Return `rows · N · M` for each of the gradients of input and weight that is wanted."""
    return sum(map(bool, mask[:2])) * prod(x) * grad[-1]


# matmul_backward(Tensor grad, Tensor self, Tensor other, bool[2] mask)
@register_formula("aten::matmul_backward")
def matmul_backward_macs(
    grad: Shape, a: Shape, b: Shape, mask: Sequence[bool], *_: Any, out: Any
) -> int:
    """Return what the product costs for each of its two gradients that is wanted."""
    return sum(map(bool, mask)) * matmul_macs(a, b, out=grad)


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


# _flash_attention_forward(query (B, L, H, E), key (B, S, H, E), value, cum_seq_q, cum_seq_k, max_q,
# max_k, …); _efficient_attention_forward(query, key, value, bias, cu_seqlens_q, cu_seqlens_k,
# max_seqlen_q, max_seqlen_k, …)
@register_formula(
    "aten::_flash_attention_forward",
    "aten::_efficient_attention_forward",
    "torch_attn::_varlen_attn",
)
def heads_last_attention_macs(
    q: Shape, k: Shape, v: Shape, *lengths: Any, out: Shape, **__: Any
) -> int:
    """Return `B · H · L · S · (E + Ev)`; of packed sequences `(rows, H, E)` every one counts as the longest."""
    counts = [value for value in lengths if type(value) is int]
    keys = k[-3] if len(q) == 4 or len(counts) < 2 else counts[1]
    return prod(q[:-1]) * keys * (q[-1] + v[-1])


# _scaled_dot_product_flash_attention_backward(Tensor grad_out, query, key, value, …)
@register_formula(
    "aten::_scaled_dot_product_flash_attention_backward",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_cudnn_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)
def attention_backward_macs(
    grad: Shape, q: Shape, k: Shape, v: Shape, *_: Any, out: Any, **__: Any
) -> int:
    """Return two gradients for each of the two products; that the scores are computed anew is left out."""
    return 2 * attention_macs(q, k, v, out=grad)


# _flash_attention_backward(Tensor grad_out (B, L, H, E), query, key, value, out, logsumexp,
# cum_seq_q, cum_seq_k,   max_q, max_k, …); _efficient_attention_backward(grad_out, query, key,
# value, bias, out, cu_seqlens_q, …) alike
@register_formula("aten::_flash_attention_backward", "aten::_efficient_attention_backward")
def heads_last_attention_backward_macs(
    grad: Shape, q: Shape, k: Shape, v: Shape, *lengths: Any, out: Any, **__: Any
) -> int:
    """Return two gradients for each of the two products."""
    return 2 * heads_last_attention_macs(q, k, v, *lengths, out=grad)


# lstm(Tensor input, Tensor[] hx, Tensor[] params, bool has_biases, …), or (data, batch_sizes, hx,
# params, …)
@register_formula("aten::lstm", "aten::gru", "aten::rnn_tanh", "aten::rnn_relu")
def recurrent_macs(x: Shape, *arguments: Any, out: Shape, **__: Any) -> int:
    """Return one use of every weight matrix per time step and sequence.

    The first argument is `(T, B, M)` in either order, or `(rows, M)` of a packed sequence; each
    weight matrix (input, hidden, projection) of each layer and direction is met once by each row.
    """
    params = next(
        a for a in reversed(arguments) if _is_shapes(a) and any(len(shape) == 2 for shape in a)
    )
    weights: int = sum(prod(shape) for shape in params if len(shape) == 2)
    return prod(x[:-1]) * weights


# _cudnn_rnn(Tensor input, Tensor[] weight, …), quantized_lstm(Tensor input, Tensor[] hx, packed
# weights[] params, …)
@register_formula(
    "aten::_cudnn_rnn",
    "aten::miopen_rnn",
    "aten::_lstm_mps",
    "aten::quantized_lstm",
    "aten::quantized_gru",
)
def fused_recurrent_macs(x: Shape, *arguments: Any, out: Any, **__: Any) -> int:
    """Return one use of every weight matrix per row; weights are the matrices, states have three dimensions."""
    weights: int = sum(
        prod(shape) for value in arguments for shape in _shapes_in(value) if len(shape) == 2
    )
    return prod(x[:-1]) * weights


# mkldnn_rnn_layer(Tensor input, Tensor weight_ih, Tensor weight_hh, …): one layer in one direction
@register_formula("aten::mkldnn_rnn_layer")
def recurrent_layer_macs(x: Shape, w_ih: Shape, w_hh: Shape, *_: Any, out: Any, **__: Any) -> int:
    """Return one use of both weight matrices per row."""
    return prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


# lstm_cell(Tensor input, Tensor[] hx, Tensor w_ih, Tensor w_hh, …)
@register_formula(
    "aten::lstm_cell",
    "aten::gru_cell",
    "aten::rnn_tanh_cell",
    "aten::rnn_relu_cell",
    "aten::quantized_lstm_cell",
    "aten::quantized_gru_cell",
    "aten::quantized_rnn_tanh_cell",
    "aten::quantized_rnn_relu_cell",
    "quantized::quantized_lstm_cell_dynamic",
    "quantized::quantized_gru_cell_dynamic",
    "quantized::quantized_rnn_tanh_cell_dynamic",
    "quantized::quantized_rnn_relu_cell_dynamic",
)
def recurrent_cell_macs(
    x: Shape, hx: Any, w_ih: Shape, w_hh: Shape, *_: Any, out: Any, **__: Any
) -> int:
    """Return one use of both weight matrices per sequence."""
    return prod(x[:-1]) * (prod(w_ih) + prod(w_hh))


# bilinear(Tensor input1, Tensor input2, Tensor weight (N, M1, M2), Tensor? bias)
@register_formula("aten::bilinear")
def bilinear_macs(a: Shape, b: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M1 · M2`, for each output one product of a weight with both inputs."""
    return prod(out) * prod(w[1:])


# _native_multi_head_attention(query (B, L, E), key (B, S, E), value, embed_dim, num_head,
# qkv_weight, …)
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


# _transformer_encoder_layer_fwd(src (B, L, E), embed_dim, num_heads, qkv_weight, qkv_bias,
# proj_weight, proj_bias,   use_gelu, norm_first, eps, norm_weight_1, norm_bias_1, norm_weight_2,
# norm_bias_2, ffn_weight_1 (F, E), …)
@register_formula("aten::_transformer_encoder_layer_fwd")
def encoder_layer_macs(
    x: Shape, embed_dim: int, num_heads: int, *arguments: Any, out: Any, **__: Any
) -> int:
    """Return self-attention and both layers of the feed-forward network."""
    b, length, e = x
    ffn: Shape = arguments[11]
    return b * length * (4 * e * e + 2 * length * e + 2 * prod(ffn))


# deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, …)
@register_formula("torchvision::deform_conv2d")
def deform_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return what the convolution costs; sampling its input is interpolation."""
    return conv_macs(x, w, out=out)


def _shapes_in(value: Any) -> list[Shape]:
    """Return the shapes in a list of shapes, which packed weights of several matrices nest; of anything else none."""
    if not isinstance(value, list):
        return []
    return [
        shape
        for entry in value
        for shape in ([entry] if isinstance(entry, tuple) else _shapes_in(entry))
    ]


def _is_shapes(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and bool(value)
        and all(isinstance(shape, tuple) for shape in value)
    )


_OURS = dict(FORMULAS)


def replaced() -> set[str]:
    """Return the operators whose formula a user has given."""
    return {
        operator for operator, formula in FORMULAS.items() if _OURS.get(operator) is not formula
    }
