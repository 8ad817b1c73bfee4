"""A dense convolution beside a 1×1 one of as many MACs: whether its kernel is slow, or a fast one.

What a depthwise-separable layer gains depends on what it is held against. Where the dense kernel is
slow, fewer MACs save more time than their share; where it computes by a transform with fewer
multiplications, such as Winograd's, they save less.
"""

from math import prod
from typing import NamedTuple

from dscost.layers.convolution import ConvSpec
from dscost.networks.network import stage_costs
from dscost.reports.records import Speedup, Stage
from dscost.timing.samples import Measurement
from dscost.timing.statistics import summarize

NAME = "1×1 of equal MACs"
MOST_CHANNELS = 1 << 16
"""Into a 1×1 convolution; with more it is no layer that anybody has."""

SLOWER_DENSE = 1.15
"""A dense kernel whose time differs by that factor from that of a 1×1 of equal MACs is worth a
word."""


class Beside(NamedTuple):
    """A dense convolution and a 1×1 one of as many MACs, timed in pairs.

    Args:
        ratio: Latency of the dense one over that of the other.
        flops_per_s: Of the dense one.
        pointwise_flops_per_s: Of the other.
    """

    ratio: Speedup
    flops_per_s: float
    pointwise_flops_per_s: float

    @classmethod
    def of(cls, found: Measurement, ratio: Speedup, dense: Stage) -> "Beside":
        """Return what was found of both, whose ratio is that of their pairs."""
        pointwise_s, flops = summarize(found.second_s).median_s, dense.cost.flops
        return cls(ratio, flops / (ratio.median * pointwise_s), flops / pointwise_s)

    @property
    def is_slow(self) -> bool:
        """Whether the dense kernel is slower by more than is worth a word."""
        return self.ratio.ci95[0] >= SLOWER_DENSE

    @property
    def is_fast(self) -> bool:
        """Whether it is faster by as much."""
        return self.ratio.ci95[1] <= 1 / SLOWER_DENSE


def pointwise_of(dense: Stage, element_bytes: int) -> tuple[Stage, ...]:
    """Return a 1×1 convolution with the MACs, the outputs, the groups and the batch of a dense one.

    It reads as many channels as the dense one has weights per output: the same matrix product. For
    what is 1×1 already or transposed there is none.
    """
    conv = dense.conv
    if conv is None or conv.transposed or prod(conv.kernel_size) == 1:
        return ()
    channels = conv.in_channels * prod(conv.kernel_size)
    if channels > MOST_CHANNELS:
        return ()
    ones = (1,) * len(conv.kernel_size)
    spec = ConvSpec(
        in_channels=channels,
        out_channels=conv.out_channels,
        kernel_size=ones,
        stride=ones,
        padding=(0,) * len(ones),
        dilation=ones,
        groups=conv.groups,
    )
    shape = (dense.output_shape[0], channels, *dense.output_shape[2:])
    return tuple(stage_costs([(NAME, spec)], shape, element_bytes))
