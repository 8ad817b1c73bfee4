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


# conv_transpose2d(Tensor input, Tensor weight, …); weight is (M, N/G, *K): every input value meets every tap once
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
    "onednn::qconv_pointwise", "onednn::qconv1d_pointwise", "onednn::qconv2d_pointwise", "onednn::qconv3d_pointwise"
)
def lowered_conv_macs(x: Shape, scale: Any, zero_point: Any, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return what the convolution costs."""
    return conv_macs(x, w, out=out)


# conv_tbc(Tensor self (T, B, M), Tensor weight (K, M, N), Tensor bias, int pad)
@register_formula("aten::conv_tbc")
def time_first_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `T'·B · N · M · K`."""
    return prod(out) * w[0] * w[1]


# convolution_backward(Tensor grad_output, Tensor input, Tensor weight, bias_sizes, stride, padding, dilation,
#   bool transposed, output_padding, groups, bool[3] output_mask)
@register_formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def conv_backward_macs(grad: Shape, x: Shape, w: Shape, *arguments: Any, out: Any, **named: Any) -> int:
    """Return what the convolution costs for each of its two gradients that is wanted: of the input, of the weight."""
    mask = named.get("output_mask", arguments[-1] if arguments else None)
    transposed = next(value for value in arguments if isinstance(value, bool))
    wanted = sum(map(bool, mask[:2]))
    return wanted * (transposed_conv_macs(x, w, out=grad) if transposed else conv_macs(x, w, out=grad))


# linear(Tensor input, Tensor weight, Tensor? bias); weight is (N, M)
@register_formula(
    "aten::linear",
    "aten::mkldnn_linear",
    "aten::_weight_int8pack_mm",
    "aten::_sparse_semi_structured_linear",
    "mkldnn::_linear_pointwise",
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


# _weight_int4pack_mm(Tensor self (rows, M), packed weight, …): the weight's shape is that of its packing
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


# _grouped_mm(Tensor self, Tensor mat2, Tensor? offs, …): rows (L, M) of which each group has its own (M, N) of
# (G, M, N), as in a mixture of experts; or the groups divide another dimension, or both are batches
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
def linear_backward_macs(x: Shape, grad: Shape, w: Shape, mask: Sequence[bool], *_: Any, out: Any) -> int:
    """Return `rows · N · M` for each of the gradients of input and weight that is wanted."""
    return sum(map(bool, mask[:2])) * prod(x) * grad[-1]


# matmul_backward(Tensor grad, Tensor self, Tensor other, bool[2] mask)
@register_formula("aten::matmul_backward")
def matmul_backward_macs(grad: Shape, a: Shape, b: Shape, mask: Sequence[bool], *_: Any, out: Any) -> int:
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


# _flash_attention_forward(query (B, L, H, E), key (B, S, H, E), value, cum_seq_q, cum_seq_k, max_q, max_k, …);
# _efficient_attention_forward(query, key, value, bias, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, …)
@register_formula("aten::_flash_attention_forward", "aten::_efficient_attention_forward")
def heads_last_attention_macs(q: Shape, k: Shape, v: Shape, *lengths: Any, out: Shape, **__: Any) -> int:
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
def attention_backward_macs(grad: Shape, q: Shape, k: Shape, v: Shape, *_: Any, out: Any, **__: Any) -> int:
    """Return two gradients for each of the two products; that the scores are computed anew is left out."""
    return 2 * attention_macs(q, k, v, out=grad)


# _flash_attention_backward(Tensor grad_out (B, L, H, E), query, key, value, out, logsumexp, cum_seq_q, cum_seq_k,
#   max_q, max_k, …); _efficient_attention_backward(grad_out, query, key, value, bias, out, cu_seqlens_q, …) alike
@register_formula("aten::_flash_attention_backward", "aten::_efficient_attention_backward")
def heads_last_attention_backward_macs(
    grad: Shape, q: Shape, k: Shape, v: Shape, *lengths: Any, out: Any, **__: Any
) -> int:
    """Return two gradients for each of the two products."""
    return 2 * heads_last_attention_macs(q, k, v, *lengths, out=grad)


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


# _cudnn_rnn(Tensor input, Tensor[] weight, …), quantized_lstm(Tensor input, Tensor[] hx, packed weights[] params, …)
@register_formula(
    "aten::_cudnn_rnn", "aten::miopen_rnn", "aten::_lstm_mps", "aten::quantized_lstm", "aten::quantized_gru"
)
def fused_recurrent_macs(x: Shape, *arguments: Any, out: Any, **__: Any) -> int:
    """Return one use of every weight matrix per row; weights are the matrices, states have three dimensions."""
    weights: int = sum(prod(shape) for value in arguments for shape in _shapes_in(value) if len(shape) == 2)
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


def _shapes_in(value: Any) -> list[Shape]:
    """Return the shapes in a list of shapes, which packed weights of several matrices nest; of anything else none."""
    if not isinstance(value, list):
        return []
    return [shape for entry in value for shape in ([entry] if isinstance(entry, tuple) else _shapes_in(entry))]


def _is_shapes(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(shape, tuple) for shape in value)


# fast Fourier transforms are free by convention: their 5 N log N operations are no multiply-accumulates of any kind
# that is counted, and no published count has them
_FREE_ATEN = """
_fft_c2c _fft_r2c _fft_c2r fft_fftfreq fft_rfftfreq bartlett_window blackman_window hamming_window hann_window
kaiser_window range from_file hash_tensor is_pinned is_set_to record_stream set resize resize_as_ resize_as_sparse
_resize_output _has_same_storage_numel _lazy_clone _pin_memory _new_zeros_with_same_feature_meta _efficientzerotensor
_copy_from _copy_from_and_resize _conj_physical _make_dep_token _print _is_all_true _is_any_true _assert_scalar
_functional_assert_async _functional_assert_scalar sym_constrain_range sym_constrain_range_for_size
_functional_sym_constrain_range _functional_sym_constrain_range_for_size _linalg_check_errors _fused_sdp_choice
kthvalue nanmedian cummax cummin _cummax_helper _cummin_helper logcumsumexp _logcumsumexp histogram
_histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors _aminmax _unique unique_dim_consecutive
multinomial poisson binomial _sample_dirichlet _standard_gamma _dirichlet_grad _standard_gamma_grad random cauchy
geometric exponential log_normal normal_functional rrelu_with_noise rrelu_with_noise_functional _philox_normal
_philox_uniform _philox_key_fold_in _philox_key_split _fused_dropout _masked_scale put _index_put_impl index_reduce
segment_reduce embedding_renorm _embedding_bag_forward_only fractional_max_pool2d fractional_max_pool3d
quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d mkldnn_adaptive_avg_pool2d mkldnn_max_pool2d
mkldnn_max_pool3d _ctc_loss _cudnn_ctc_loss _use_cudnn_ctc_loss miopen_ctc_loss _use_miopen_ctc_loss native_norm
linalg__powsum batch_norm_stats batch_norm_elemt batch_norm_update_stats batch_norm_gather_stats
batch_norm_gather_stats_with_counts batch_norm_backward_elemt batch_norm_backward_reduce miopen_batch_norm
quantized_batch_norm _masked_softmax _nested_tensor_softmax_with_shape _add_relu addr cudnn_grid_sampler
cudnn_affine_grid_generator _grid_sampler_2d_cpu_fallback _upsample_lanczos2d_aa _transform_bias_rescale_qkv
_thnn_fused_lstm_cell _thnn_fused_gru_cell lu_unpack glu_jvp _stack hardshrink softshrink
fake_quantize_per_tensor_affine_cachemask _fake_quantize_per_tensor_affine_cachemask_tensor_qparams
fake_quantize_per_channel_affine fake_quantize_per_channel_affine_cachemask
_fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine
_fused_moving_avg_obs_fq_helper _fused_moving_avg_obs_fq_helper_functional fused_moving_avg_obs_fake_quant
quantize_per_channel quantize_per_tensor_dynamic int_repr qscheme q_scale q_zero_point q_per_channel_axis
q_per_channel_scales q_per_channel_zero_points _make_per_tensor_quantized_tensor _make_per_channel_quantized_tensor
_empty_affine_quantized _empty_per_channel_affine_quantized empty_quantized _convert_weight_to_int4pack
_convert_weight_to_int4pack_for_cpu _dyn_quant_pack_4bit_weight to_mkldnn _to_dense _mkldnn_reshape
_mkldnn_transpose mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight sparse_coo_tensor
_sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors _sparse_coo_tensor_unsafe
sparse_compressed_tensor _sparse_compressed_tensor_unsafe _sparse_compressed_tensor_with_dims
_validate_sparse_coo_tensor_args _validate_sparse_compressed_tensor_args _validate_compressed_sparse_indices
_convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo _coalesce _coalesced is_coalesced _nnz sparse_dim
dense_dim _dimI _dimV _to_sparse _to_sparse_csr _to_sparse_csc _to_sparse_bsr _to_sparse_bsc sparse_mask
_sparse_mask_projection _sparse_softmax _sparse_log_softmax _sparse_sum _sparse_csr_sum _sparse_csr_prod
_sparse_broadcast_to copy_sparse_to_sparse sparse_resize sparse_resize_and_clear _spdiags _to_sparse_semi_structured
_cslt_compress _nested_from_padded _nested_from_padded_and_nested_example _nested_from_padded_tensor
_nested_tensor_from_tensor_list _nested_tensor_from_mask_left_aligned _nested_tensor_size _nested_tensor_strides
_nested_tensor_storage_offsets _nested_compute_contiguous_strides_offsets _nested_get_jagged_dummy
_nested_get_lengths _nested_get_max_seqlen _nested_get_min_seqlen _nested_get_offsets _nested_get_ragged_idx
_padded_dense_to_jagged_forward _jagged_to_padded_dense_forward to_padded_tensor
_embedding_bag_dense_backward _embedding_bag_per_sample_weights_backward _segment_reduce_backward _cudnn_init_dropout_state _cudnn_rnn_flatten_weight _fill_mem_eff_dropout_mask_ split_copy _upsample_nearest_exact1d _upsample_nearest_exact3d _nested_select_backward _nested_sum_backward _sparse_softmax_backward_data
_sparse_log_softmax_backward_data multi_margin_loss multilabel_margin_loss masked_scatter_backward glu_backward_jvp
_amp_foreach_non_finite_check_and_unscale _amp_update_scale _fused_adagrad _fused_adam _fused_adamw _fused_sgd
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
_FREE_QUANTIZED = """
add add_out add_relu add_relu_out add_scalar add_scalar_out add_scalar_relu add_scalar_relu_out mul mul_out mul_relu
mul_relu_out mul_scalar mul_scalar_out mul_scalar_relu mul_scalar_relu_out cat cat_out cat_relu cat_relu_out
batch_norm batch_norm_relu batch_norm1d batch_norm1d_relu batch_norm2d batch_norm2d_relu batch_norm3d
batch_norm3d_relu layer_norm group_norm instance_norm leaky_relu hardswish relu6 sigmoid celu elu prelu clamp dropout
threshold softmax max_pool1d max_pool2d embedding_byte embedding_4bit embedding_bag_byte embedding_bag_4bit
embedding_bag_byte_rowwise_offsets embedding_bag_4bit_rowwise_offsets embedding_bag_2bit_rowwise_offsets
embedding_bag_prepack embedding_bag_byte_prepack embedding_bag_4bit_prepack embedding_bag_2bit_prepack
embedding_bag_byte_unpack embedding_bag_4bit_unpack embedding_bag_2bit_unpack embedding_bag_unpack conv_prepack
conv1d_prepack conv2d_prepack conv3d_prepack conv_transpose1d_prepack conv_transpose2d_prepack
conv_transpose3d_prepack conv1d_unpack conv2d_unpack conv3d_unpack conv_unpack conv_transpose1d_unpack
conv_transpose2d_unpack conv_transpose3d_unpack linear_prepack linear_prepack_fp16 linear_unpack linear_unpack_fp16
make_quantized_cell_params make_quantized_cell_params_dynamic make_quantized_cell_params_fp16
"""

FREE |= {f"quantized::{name}" for name in _FREE_QUANTIZED.split()}
FREE |= {f"torchvision::{name}" for name in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")}

FREE_NAMESPACES = frozenset(
    (
        *("profiler", "prims", "rngprims", "prim", "debugprims", "quantized_decomposed"),
        *("c10d", "_c10d_functional", "_c10d_functional_autograd", "c10d_functional", "symm_mem", "_dtensor"),
    )
)
"""Whole families of operators that multiply no matrices: elementwise, asking, telling, sending."""

NOT_FREE = frozenset(("prims::svd", "quantized_decomposed::mixed_mm", "quantized_decomposed::mixed_linear"))
"""What is of unknown cost in them."""

_OURS = dict(FORMULAS)


def replaced() -> set[str]:
    """Return the operators whose formula a user has given."""
    return {operator for operator, formula in FORMULAS.items() if _OURS.get(operator) is not formula}
