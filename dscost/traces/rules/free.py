"""Operators without multiply-accumulates in the sense of the conventions, and their words.

Elementwise operators and views need not stand here unless they have a word of their own: torch tags
them itself. Nor need the same in place, nor gradients of what stands here.
"""

from collections.abc import Collection

from dscost.traces.rules.table import ELEMENTWISE, FREE, named

MEAN = "mean"
"""The word of an average until its shapes tell whether it is global pooling."""


def all_positions(axes: Collection[int], rank: int) -> bool:
    """Whether axes are all of a feature map but its first two, so that a mean is global pooling.

    Of three axes the last may as well be features, `(B, L, M)`: a mean of these is none.
    """
    return rank > 3 and {axis % rank for axis in axes} == set(range(2, rank))


def _free(names: str, *, op: str = "", namespace: str = "aten") -> None:
    FREE.update(dict.fromkeys(named(namespace, names), op))


# -- what has a word

_ACTIVATIONS = named("aten", "relu relu6 silu sigmoid hardsigmoid hardtanh tanh")
_MORE_ACTIVATIONS = named("aten", "leaky_relu elu softplus selu celu clamp")
ELEMENTWISE.update(dict.fromkeys((*_ACTIVATIONS, *_MORE_ACTIVATIONS), "activation"))
ELEMENTWISE.update({"aten::add": "add", "aten::mul": "multiply"})
_free("gelu hardswish mish softmax _softmax log_softmax glu prelu", op="activation")
_free(
    """
batch_norm layer_norm group_norm instance_norm rms_norm native_batch_norm native_layer_norm
native_group_norm
""",
    op="normalization",
)
_free(
    """
max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_max_pool2d
max_pool2d_with_indices
""",
    op="pooling",
)
_free("mean adaptive_avg_pool2d", op=MEAN)
_free("cat", op="concatenation")
_free("embedding", op="embedding")
_free("add add_relu add_scalar", op="add", namespace="quantized")
_free("mul mul_relu mul_scalar", op="multiply", namespace="quantized")
_free("cat cat_relu", op="concatenation", namespace="quantized")
_free(
    "batch_norm batch_norm2d batch_norm3d layer_norm group_norm instance_norm",
    op="normalization",
    namespace="quantized",
)
_free(
    "embedding_byte embedding_4bit embedding_bag_byte embedding_bag_4bit",
    op="embedding",
    namespace="quantized",
)

# -- what has none

# what most networks are made of
_free("""
adaptive_avg_pool1d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool3d max_pool3d_with_indices max_unpool2d all any amax amin
aminmax argmax argmin argsort sort topk max min sum prod std var std_mean var_mean cumsum cumprod
logsumexp median mode norm linalg_vector_norm nansum count_nonzero _native_batch_norm_legit
_native_batch_norm_legit_no_training _fused_rms_norm _log_softmax _safe_softmax dropout
native_dropout feature_dropout alpha_dropout feature_alpha_dropout bernoulli embedding_bag
_embedding_bag one_hot bucketize searchsorted histc bincount concat stack hstack vstack pad
constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
replication_pad2d replication_pad3d _pad_circular clone copy contiguous reshape flatten to _to_copy
type_as cpu cuda repeat repeat_interleave tile roll flip rot90 tril triu tril_indices triu_indices
meshgrid cartesian_prod gather scatter scatter_add scatter_reduce index index_put _unsafe_index
index_select index_add index_fill masked_fill masked_scatter masked_select take take_along_dim
where nonzero unique_consecutive unique_dim _unique2 nonzero_static upsample_nearest1d
upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d upsample_bicubic2d
upsample_trilinear3d _upsample_nearest_exact2d _upsample_bilinear2d_aa _upsample_bicubic2d_aa
grid_sampler grid_sampler_2d grid_sampler_3d affine_grid_generator pixel_shuffle pixel_unshuffle
channel_shuffle native_channel_shuffle im2col col2im unfold empty empty_like empty_strided
empty_permuted new_empty new_empty_strided new_full new_zeros new_ones zeros zeros_like ones
ones_like full full_like arange linspace logspace eye rand rand_like randn randn_like randint
randint_like randperm normal uniform fill zero scalar_tensor tensor lift_fresh lift_fresh_copy lift
detach detach_ alias _local_scalar_dense item is_nonzero equal allclose resize_ set_ numpy_T
_weight_norm _weight_norm_interface _assert_async _assert_tensor_metadata sym_size sym_numel
unsafe_split unsafe_split_with_sizes unsafe_chunk _reshape_alias _reshape_copy _unsafe_view _conj
_neg_view resolve_conj resolve_neg expand_copy outer kron cross nll_loss nll_loss_forward
cross_entropy_loss smooth_l1_loss result_type can_cast broadcast_tensors atleast_1d atleast_2d
cosine_similarity isin diff renorm mse_loss _nested_tensor_from_mask _pack_padded_sequence
_pad_packed_sequence pin_memory quantize_per_tensor dequantize fake_quantize_per_tensor_affine
""")

FOURIER = frozenset(named("aten", "_fft_c2c _fft_r2c _fft_c2r"))
"""Fast Fourier transforms: free by convention, which a report says of a model that has one.

Their 5 N log N operations are no multiply-accumulates of a kind that is counted, and no published
count has them.
"""

FREE.update(dict.fromkeys(FOURIER, ""))

# random
_free("""
random multinomial poisson binomial _sample_dirichlet _standard_gamma _dirichlet_grad
_standard_gamma_grad cauchy geometric exponential log_normal normal_functional rrelu_with_noise
rrelu_with_noise_functional _philox_normal _philox_uniform _philox_key_fold_in _philox_key_split
_fused_dropout _masked_scale _cudnn_init_dropout_state _fill_mem_eff_dropout_mask_
""")

# order and histograms
_free("""
kthvalue nanmedian cummax cummin _cummax_helper _cummin_helper logcumsumexp _logcumsumexp
histogram _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors _aminmax
_unique unique_dim_consecutive hash_tensor
""")

# pooling, resampling, padding
_free("""
fractional_max_pool2d fractional_max_pool3d quantized_max_pool1d quantized_max_pool2d
quantized_max_pool3d mkldnn_adaptive_avg_pool2d mkldnn_max_pool2d mkldnn_max_pool3d
cudnn_grid_sampler cudnn_affine_grid_generator _grid_sampler_2d_cpu_fallback
_upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact3d
""")

# normalisation, losses, gates
_free("""
_batch_norm_with_update _batch_norm_no_update native_norm linalg__powsum batch_norm_stats
batch_norm_elemt batch_norm_update_stats batch_norm_gather_stats
batch_norm_gather_stats_with_counts batch_norm_backward_elemt batch_norm_backward_reduce
miopen_batch_norm quantized_batch_norm _masked_softmax _nested_tensor_softmax_with_shape
_ctc_loss _cudnn_ctc_loss _use_cudnn_ctc_loss miopen_ctc_loss _use_miopen_ctc_loss
multi_margin_loss multilabel_margin_loss _add_relu addr _transform_bias_rescale_qkv
_thnn_fused_lstm_cell _thnn_fused_gru_cell glu_jvp glu_backward_jvp hardshrink softshrink
_conj_physical
""")

# moving values
_free("""
put _index_put_impl index_reduce segment_reduce _segment_reduce_backward embedding_renorm
_embedding_bag_forward_only _embedding_bag_dense_backward
_embedding_bag_per_sample_weights_backward _stack split_copy lu_unpack set resize resize_as_
resize_as_sparse _resize_output _lazy_clone _pin_memory _copy_from _copy_from_and_resize
_new_zeros_with_same_feature_meta _efficientzerotensor range from_file _cudnn_rnn_flatten_weight
to_mkldnn _to_dense _mkldnn_reshape _mkldnn_transpose mkldnn_reorder_conv2d_weight
mkldnn_reorder_conv3d_weight
""")

# asking and asserting
_free("""
is_pinned is_set_to record_stream _has_same_storage_numel _make_dep_token _print _is_all_true
_is_any_true _assert_scalar _functional_assert_async _functional_assert_scalar
sym_constrain_range sym_constrain_range_for_size _functional_sym_constrain_range
_functional_sym_constrain_range_for_size _linalg_check_errors _fused_sdp_choice
""")

# windows
_free("""
fft_fftfreq fft_rfftfreq bartlett_window blackman_window hamming_window hann_window kaiser_window
""")

# quantisation and what observes for it
_free("""
fake_quantize_per_tensor_affine_cachemask
_fake_quantize_per_tensor_affine_cachemask_tensor_qparams fake_quantize_per_channel_affine
fake_quantize_per_channel_affine_cachemask _fake_quantize_learnable_per_tensor_affine
_fake_quantize_learnable_per_channel_affine _fused_moving_avg_obs_fq_helper
_fused_moving_avg_obs_fq_helper_functional fused_moving_avg_obs_fake_quant quantize_per_channel
quantize_per_tensor_dynamic int_repr qscheme q_scale q_zero_point q_per_channel_axis
q_per_channel_scales q_per_channel_zero_points _make_per_tensor_quantized_tensor
_make_per_channel_quantized_tensor _empty_affine_quantized _empty_per_channel_affine_quantized
empty_quantized _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu
_dyn_quant_pack_4bit_weight
""")

# making and reshaping sparse tensors
_free("""
sparse_coo_tensor _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors
_sparse_coo_tensor_unsafe sparse_compressed_tensor _sparse_compressed_tensor_unsafe
_sparse_compressed_tensor_with_dims _validate_sparse_coo_tensor_args
_validate_sparse_compressed_tensor_args _validate_compressed_sparse_indices
_convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo _coalesce _coalesced
is_coalesced _nnz sparse_dim dense_dim _dimI _dimV _to_sparse _to_sparse_csr _to_sparse_csc
_to_sparse_bsr _to_sparse_bsc sparse_mask _sparse_mask_projection _sparse_softmax
_sparse_log_softmax _sparse_softmax_backward_data _sparse_log_softmax_backward_data _sparse_sum
_sparse_csr_sum _sparse_csr_prod _sparse_broadcast_to copy_sparse_to_sparse sparse_resize
sparse_resize_and_clear _spdiags _to_sparse_semi_structured _cslt_compress
""")

# making and reshaping nested tensors
_free("""
_nested_from_padded _nested_from_padded_and_nested_example _nested_from_padded_tensor
_nested_tensor_from_tensor_list _nested_tensor_from_mask_left_aligned _nested_tensor_size
_nested_tensor_strides _nested_tensor_storage_offsets _nested_compute_contiguous_strides_offsets
_nested_get_jagged_dummy _nested_get_lengths _nested_get_max_seqlen _nested_get_min_seqlen
_nested_get_offsets _nested_get_ragged_idx _nested_select_backward _nested_sum_backward
_padded_dense_to_jagged_forward _jagged_to_padded_dense_forward to_padded_tensor
""")

# optimisers
_free("""
_amp_foreach_non_finite_check_and_unscale _amp_update_scale _fused_adagrad _fused_adam
_fused_adamw _fused_sgd
""")

# activations, normalisation, embeddings, and the packing of weights
_free(
    """
add_out add_relu_out add_scalar_out add_scalar_relu add_scalar_relu_out mul_out mul_relu_out
mul_scalar_out mul_scalar_relu mul_scalar_relu_out cat_out cat_relu_out batch_norm_relu
batch_norm1d batch_norm1d_relu batch_norm2d_relu batch_norm3d_relu leaky_relu hardswish relu6
sigmoid celu elu prelu clamp dropout threshold softmax max_pool1d max_pool2d
embedding_bag_byte_rowwise_offsets embedding_bag_4bit_rowwise_offsets
embedding_bag_2bit_rowwise_offsets embedding_bag_prepack embedding_bag_byte_prepack
embedding_bag_4bit_prepack embedding_bag_2bit_prepack embedding_bag_byte_unpack
embedding_bag_4bit_unpack embedding_bag_2bit_unpack embedding_bag_unpack conv_prepack
conv1d_prepack conv2d_prepack conv3d_prepack conv_transpose1d_prepack conv_transpose2d_prepack
conv_transpose3d_prepack conv1d_unpack conv2d_unpack conv3d_unpack conv_unpack
conv_transpose1d_unpack conv_transpose2d_unpack conv_transpose3d_unpack linear_prepack
linear_prepack_fp16 linear_unpack linear_unpack_fp16 make_quantized_cell_params
make_quantized_cell_params_dynamic make_quantized_cell_params_fp16
""",
    namespace="quantized",
)

_free("nms roi_align roi_pool ps_roi_align ps_roi_pool", namespace="torchvision")

FREE_NAMESPACES = frozenset(
    (
        "profiler prims rngprims prim debugprims debug_mode_ops quantized_decomposed c10d "
        "_c10d_functional _c10d_functional_autograd c10d_functional symm_mem fsdp cplib _dtensor "
        "device_mesh"
    ).split()
)
"""Whole families of operators that multiply no matrices: elementwise, asking, telling, sending."""

NOT_FREE = frozenset(
    ("prims::svd", "quantized_decomposed::mixed_mm", "quantized_decomposed::mixed_linear")
)
"""What is of unknown cost in them."""


def is_free(name: str) -> bool:
    """Whether an operator, in place or not, or whose gradient it is, is known to be free."""
    if name in NOT_FREE:
        return False
    base = name.removesuffix("_") if not name.endswith("__") else name
    namespace, _, own = name.partition("::")
    return (
        name in FREE
        or base in FREE
        or name.removesuffix("_backward") in FREE
        or namespace in FREE_NAMESPACES
        or own.startswith("_foreach_")
    )
