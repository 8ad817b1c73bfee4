"""Convolutions. Letters as in `layers.formulas`: M channels in, N out, G groups, kernel K."""

from collections.abc import Sequence
from math import prod
from typing import Any

from dscost.layers import formulas
from dscost.traces.rules.table import Shape, named, register_formula, twice


# convolution(input, weight, bias?, stride, padding, dilation, bool transposed, …)
@register_formula(
    *named("aten", "convolution _convolution convolution_overrideable"), op="convolution"
)
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
    """Return `positions · N · M/G · K`: output positions, or input positions where transposed."""
    return formulas.conv_macs(prod(x if transposed else out), w[1], prod(w[2:]))


# conv2d(input, weight (N, M/G, *K), bias?, stride, padding, dilation, groups)
@register_formula(
    *named("aten", "conv1d conv2d conv3d _slow_conv2d_forward slow_conv3d_forward"),
    *named("aten", "slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d"),
    *named("aten", "_nnpack_spatial_convolution mkldnn_convolution miopen_depthwise_convolution"),
    *named("aten", "cudnn_convolution cudnn_convolution_relu cudnn_convolution_add_relu"),
    *named("aten", "miopen_convolution miopen_convolution_relu miopen_convolution_add_relu"),
    *named("mkldnn", "_convolution_pointwise"),
    *named("quantized", "conv1d conv1d_relu conv1d_dynamic conv2d conv2d_relu conv2d_dynamic"),
    *named("quantized", "conv3d conv3d_relu conv3d_dynamic"),
    op="convolution",
)
def conv_macs(x: Shape, w: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H'·W' · N · M/G · Kh·Kw`; the output may lack the batch."""
    return formulas.conv_macs(prod(out), w[1], prod(w[2:]))


# conv_transpose2d(input, weight (M, N/G, *K), …): every input value meets every tap once
@register_formula(
    *named("aten", "conv_transpose1d conv_transpose2d conv_transpose3d slow_conv_transpose2d"),
    *named("aten", "slow_conv_transpose3d cudnn_convolution_transpose"),
    *named("aten", "miopen_convolution_transpose"),
    *named("quantized", "conv_transpose1d conv_transpose1d_dynamic conv_transpose2d"),
    *named("quantized", "conv_transpose2d_dynamic conv_transpose3d conv_transpose3d_dynamic"),
    op="transposed_convolution",
)
def transposed_conv_macs(x: Shape, w: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H·W · M · N/G · Kh·Kw`; the input may lack the batch."""
    return formulas.conv_macs(prod(x), w[1], prod(w[2:]))


# conv2d_add(qx, qaccum, packed weight, …): what is added is no product
@register_formula(*named("quantized", "conv2d_add conv2d_add_relu"), op="convolution")
def conv_add_macs(x: Shape, added: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return what the convolution costs."""
    return conv_macs(x, w, out=out)


# qconv2d_pointwise(qx, float x_scale, int x_zero_point, qw, …)
@register_formula(
    *named("onednn", "qconv_pointwise qconv1d_pointwise qconv2d_pointwise qconv3d_pointwise"),
    op="convolution",
)
def lowered_conv_macs(
    x: Shape, scale: Any, zero_point: Any, w: Shape, *_: Any, out: Shape, **__: Any
) -> int:
    """Return what the convolution costs."""
    return conv_macs(x, w, out=out)


# deform_conv2d(input, weight, offset, mask, bias, …)
@register_formula("torchvision::deform_conv2d", is_layer=True)
def deform_conv_macs(x: Shape, w: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return what the convolution costs; sampling its input is interpolation."""
    return conv_macs(x, w, out=out)


# conv_tbc(self (T, B, M), weight (K, M, N), bias, int pad)
@register_formula("aten::conv_tbc", is_layer=True)
def time_first_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `T'·B · N · M · K`."""
    return formulas.conv_macs(prod(out), w[1], w[0])


# convolution_backward(grad_output, input, weight, bias_sizes, stride, padding, dilation,
#                      bool transposed, output_padding, groups, bool[3] output_mask)
# torch works out the gradients of a gradient by both of its factors, needed or not
@register_formula(
    *named("aten", "convolution_backward convolution_backward_overrideable"), gradients=twice
)
def conv_backward_macs(
    grad: Shape, x: Shape, w: Shape, *arguments: Any, out: Any, **named: Any
) -> int:
    """Return what the convolution costs for each gradient that is wanted: of input and weight."""
    mask: Sequence[bool] = named.get("output_mask", arguments[-1] if arguments else ())
    transposed = next(value for value in arguments if isinstance(value, bool))
    forward = transposed_conv_macs if transposed else conv_macs
    return sum(map(bool, mask[:2])) * forward(x, w, out=grad)
