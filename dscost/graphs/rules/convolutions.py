"""Convolutions. Letters as in `layers.formulas`: M channels in, N out, G groups, kernel K."""

from typing import Any

from dscost.graphs.convolutions import BLOCKED
from dscost.graphs.nodes import MICROSOFT
from dscost.graphs.values import Shape
from dscost.traces.rules import named, register_formula
from dscost.traces.rules.convolutions import conv_macs, deform_conv_macs, transposed_conv_macs

# Conv(X (B, M, *positions), W (N, M/G, *K), B?), ConvInteger(x, w, zero points?)
# FusedConv(X, W, B?, Z?): Z is added, an activation follows
# NhwcConv(X (B, *positions, M), W (N, M/G, *K), B?)
register_formula(
    *named("ai.onnx", "Conv ConvInteger"),
    *named(MICROSOFT, "FusedConv NhwcConv NhwcFusedConv"),
    f"{BLOCKED}::Conv",
    op="convolution",
)(conv_macs)


# QLinearConv(x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, B?);
# that of com.microsoft may have its channels last
@register_formula(
    *named("ai.onnx", "QLinearConv"),
    *named(MICROSOFT, "QLinearConv"),
    op="convolution",
    factors=(0, 3),
)
def quantized_conv_macs(x: Shape, xs: Shape, xz: Shape, w: Shape, /, *_: Any, **named: Any) -> int:
    """Return what the convolution costs."""
    return conv_macs(x, w, out=named["out"])


# ConvTranspose(X, W (M, N/G, *K), B?): every input value meets every tap once
register_formula(
    *named("ai.onnx", "ConvTranspose"),
    *named(MICROSOFT, "ConvTransposeWithDynamicPads"),
    op="transposed_convolution",
)(transposed_conv_macs)


# DeformConv(X, W, offset, B?, mask?)
register_formula("ai.onnx::DeformConv", is_layer=True)(deform_conv_macs)


# CausalConvWithState(input (B, C, L), weight (C, 1, K), bias?, past_state?)
@register_formula("ai.onnx::CausalConvWithState", op="convolution")
def causal_conv_macs(x: Shape, w: Shape, /, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·C·L · K`: depthwise, and every position has the taps before it."""
    return conv_macs(x, w, out=out)
