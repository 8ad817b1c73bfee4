"""Convolutions. Letters as in `layers.formulas`: M channels in, N out, G groups, kernel K."""

from math import prod
from typing import Any

from dscost.graphs.values import Shape
from dscost.layers import formulas
from dscost.traces.rules import named, register_formula


# Conv(X (B, M, *positions), W (N, M/G, *K), B?)
@register_formula(*named("ai.onnx", "Conv"), op="convolution")
def conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H'·W' · N · M/G · Kh·Kw`."""
    return formulas.conv_macs(prod(out), w[1], prod(w[2:]))


# ConvTranspose(X, W (M, N/G, *K), B?): every input value meets every tap once
@register_formula(*named("ai.onnx", "ConvTranspose"), op="transposed_convolution")
def transposed_conv_macs(x: Shape, w: Shape, *_: Any, out: Shape, **__: Any) -> int:
    """Return `B·H·W · M · N/G · Kh·Kw`."""
    return formulas.conv_macs(prod(x), w[1], prod(w[2:]))
