"""Cheap convolutions and blocks as torch modules, each counted as its paper counts it.

>>> import dscost
>>> module = DepthwiseSeparableConv2d(256, 256, 3, padding=1)
>>> report = dscost.analyze(module, input=(1, 256, 14, 14))
>>> report.totals.as_is.macs == 14 * 14 * (256 * 9 + 256 * 256)
True

Letters as in the papers: B batch, M input channels, N output channels, K kernel, G groups, T depth
multiplier.
"""

from dscost.errors import is_without_torch, without_torch

try:
    from dscost.nn.attention import EfficientChannelAttention, SqueezeExcite
    from dscost.nn.ghost import GhostConv2d
    from dscost.nn.residual import FusedInvertedResidual, InvertedResidual
    from dscost.nn.separable import (
        BlueprintSeparableConv1d,
        BlueprintSeparableConv2d,
        BlueprintSeparableConv3d,
        DepthwiseSeparableConv1d,
        DepthwiseSeparableConv2d,
        DepthwiseSeparableConv3d,
    )
except ModuleNotFoundError as error:
    if is_without_torch(error):
        raise ModuleNotFoundError(without_torch(), name="torch") from error
    raise

__all__ = [
    "BlueprintSeparableConv1d",
    "BlueprintSeparableConv2d",
    "BlueprintSeparableConv3d",
    "DepthwiseSeparableConv1d",
    "DepthwiseSeparableConv2d",
    "DepthwiseSeparableConv3d",
    "EfficientChannelAttention",
    "FusedInvertedResidual",
    "GhostConv2d",
    "InvertedResidual",
    "SqueezeExcite",
]
