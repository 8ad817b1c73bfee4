"""Linear layers, products of matrices and vectors, and distances, which are made of products."""

from collections.abc import Sequence
from math import prod
from typing import Any

from dscost.layers import formulas
from dscost.traces.rules.table import Shape, named, register_formula


# linear(input (…, M), weight (N, M), bias?)
@register_formula(
    *named("aten", "linear mkldnn_linear _weight_int8pack_mm _sparse_semi_structured_linear"),
    *named("mkldnn", "_linear_pointwise"),
    *named("torch_nn", "_linear_cross_entropy_batch_chunked"),
    *named("torch_nn", "_linear_cross_entropy_batch_chunked_no_reduction"),
    *named("quantized", "linear linear_relu linear_leaky_relu linear_tanh linear_dynamic"),
    *named("quantized", "linear_relu_dynamic linear_dynamic_fp16 linear_relu_dynamic_fp16"),
    *named("quantized", "linear_with_input_q_dq_qweight_dq_output_fp32"),
    *named("quantized", "linear_with_input_q_dq_qweight_dq_relu_output_fp32"),
    op="linear",
)
def linear_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M`; one row of weights has no N."""
    return formulas.linear_macs(x[-1], prod(w[:-1]), rows=prod(x[:-1]))


# _weight_int4pack_mm(self (rows, M), packed weight, …): its shape is that of its packing
@register_formula(
    *named("aten", "_weight_int4pack_mm _weight_int4pack_mm_for_cpu _mixed_dtypes_linear"),
    *named("aten", "_weight_int4pack_mm_with_scales_and_zeros _dyn_quant_matmul_4bit"),
    *named("onednn", "qlinear_pointwise"),
    *named("quantized", "linear_dynamic_fp16_unpacked_weight"),
    op="linear",
)
def packed_linear_macs(x: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M`."""
    return formulas.linear_macs(x[-1], out[-1], rows=prod(x[:-1]))


# matmul(self, other): vectors, matrices and batches that broadcast
@register_formula(
    *named("aten", "matmul mm bmm mv dot vdot inner _int_mm _scaled_mm _scaled_mm_v2"),
    *named("quantized", "matmul"),
    op="matmul",
)
def matmul_macs(a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the length of the contracted dimension."""
    return prod(out) * a[-1] if a else prod(out)


# addmm(self, mat1, mat2): self is added, not multiplied
@register_formula(
    *named("aten", "addmm addmm_ baddbmm baddbmm_ addmv addmv_ _addmm_activation"),
    op="matmul",
    factors=(1, 2),
)
def addmm_macs(added: Shape, a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return the output's values times the contracted dimension."""
    return prod(out) * a[-1]


# addbmm(self, batch1, batch2): the products of the batch are summed
@register_formula("aten::addbmm", "aten::addbmm_", op="matmul", factors=(1, 2))
def addbmm_macs(added: Shape, a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B · rows · columns · contracted`."""
    return prod(a) * b[-1]


# _grouped_mm(self, mat2, offs?, …): rows (L, M) of which each group has its own (M, N) of
# (G, M, N), as in a mixture of experts; or the groups divide another dimension, or both are batches
@register_formula(
    *named("aten", "_grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2"), op="matmul"
)
def grouped_mm_macs(a: Shape, b: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · contracted · columns`: each row, or column, is in one group only."""
    groups = a[0] if len(a) == len(b) == 3 else 1
    return groups * a[-2] * a[-1] * b[-1]


# _foreach_mm(Tensor[] self, Tensor[] mat2)
@register_formula("aten::_foreach_mm", op="matmul")
def foreach_mm_macs(a: Sequence[Shape], b: Sequence[Shape], *_: Any, out: Any, **__: Any) -> int:
    """Return the sum over the products."""
    return sum(prod(left) * right[-1] for left, right in zip(a, b, strict=True))


# bilinear(input1, input2, weight (N, M1, M2), bias?)
@register_formula("aten::bilinear", op="matmul", factors=(0, 1, 2), is_layer=True)
def bilinear_macs(a: Shape, b: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `rows · N · M1 · M2`, for each output one product of a weight with both inputs."""
    return prod(out) * prod(w[1:])


# cdist(x1 (…, P, M), x2 (…, R, M), float p)
@register_formula("aten::cdist", "aten::_cdist_forward", "aten::_euclidean_dist")
def cdist_macs(a: Shape, b: Shape, p: float = 2.0, *_: Any, out: Shape, **__: Any) -> int:
    """Return `… P · R · M` of Euclidean distances; other norms multiply nothing."""
    return prod(out) * a[-1] if p == 2 else 0


# pdist(self (P, M), float p)
@register_formula("aten::pdist", "aten::_pdist_forward")
def pdist_macs(x: Shape, p: float = 2.0, *_: Any, out: Shape, **__: Any) -> int:
    """Return `P·(P-1)/2 · M` of Euclidean distances."""
    return prod(out) * x[-1] if p == 2 else 0


# linear_backward(self (…, M), grad_output (…, N), weight, bool[3] output_mask)
@register_formula("aten::linear_backward", "aten::mkldnn_linear_backward")
def linear_backward_macs(
    x: Shape, grad: Shape, w: Shape, mask: Sequence[bool], *_: Any, out: Any
) -> int:
    """Return `rows · N · M` for each of the gradients of input and weight that is wanted."""
    return sum(map(bool, mask[:2])) * prod(x) * grad[-1]


# matmul_backward(grad, self, other, bool[2] mask)
@register_formula("aten::matmul_backward")
def matmul_backward_macs(
    grad: Shape, a: Shape, b: Shape, mask: Sequence[bool], *_: Any, out: Any
) -> int:
    """Return what the product costs for each of its two gradients that is wanted."""
    return sum(map(bool, mask)) * matmul_macs(a, b, out=grad)
