"""Rewrites of one convolution as cheaper ones: a spec in, named specs out. No tensors, no side effects."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from dscost.errors import SpecError
from dscost.formulas import separable_ratio
from dscost.registries import Registry
from dscost.specs import ConvSpec
from dscost.units import format_shape

Convs = tuple[tuple[str, ConvSpec], ...]
"""Named convolutions, run one after the other."""


class Variant(NamedTuple):
    """A way to write a convolution.

    Args:
        rewrite: From the standard convolution and the depth multiplier to named stages.
        summary: What it is, in a line.
        formula: Its cost over the standard one, as the paper writes it.
        source: Where it comes from.
    """

    rewrite: Callable[[ConvSpec, int], Convs]
    summary: str
    formula: str
    source: str


VARIANTS: Registry[Variant] = Registry("variant", "variants")


@lru_cache(maxsize=4096)
def depthwise_separable(spec: ConvSpec, depth_multiplier: int = 1) -> Convs:
    """Return the depthwise stage, then the pointwise stage, that stand for `spec`.

    The depthwise stage takes stride, padding, dilation and padding mode; the pointwise stage takes
    the groups and the bias.

    Raises:
        SpecError: `spec` has no such variant, see `why_not_separable`.
    """
    reason = why_not_separable(spec)
    if reason:
        raise SpecError(reason)
    if depth_multiplier < 1:
        raise SpecError(f"depth_multiplier must be at least 1, found {depth_multiplier}")
    middle = spec.in_channels * depth_multiplier
    depthwise = replace(spec, out_channels=middle, groups=spec.in_channels, bias=False)
    ones = (1,) * len(spec.kernel_size)
    pointwise = ConvSpec(
        in_channels=middle,
        out_channels=spec.out_channels,
        kernel_size=ones,
        stride=ones,
        padding=(0,) * len(ones),
        dilation=ones,
        groups=spec.groups,
        bias=spec.bias,
    )
    return (("depthwise", depthwise), ("pointwise", pointwise))


def standard(spec: ConvSpec, depth_multiplier: int = 1) -> Convs:
    """Return the convolution itself, as the only stage."""
    return (("standard", spec),)


VARIANTS.register("standard")(Variant(standard, "the dense (or grouped) convolution itself", "1", "LeCun et al. 1989"))
VARIANTS.register("depthwise_separable")(
    Variant(
        depthwise_separable,
        "a depthwise K×K convolution, then a pointwise 1×1",
        "T·(G/N + 1/(Kh·Kw)), which is 1/N + 1/K²",
        "Howard et al. 2017, MobileNets (arXiv:1704.04861)",
    )
)


def why_not_separable(spec: ConvSpec) -> str | None:
    """Return why a convolution has no depthwise-separable variant, or `None` if it has one."""
    if spec.kernel_area == 1:
        return f"a {format_shape(spec.kernel_size)} kernel has no spatial part to separate"
    if spec.is_depthwise:
        return f"it is depthwise already (groups = in_channels = {spec.groups})"
    return None


def formula_ratio(spec: ConvSpec, depth_multiplier: int = 1) -> float:
    """Return the cost of the depthwise-separable variant in units of `spec`, as the formula has it."""
    return separable_ratio(spec.out_channels, spec.kernel_area, spec.groups, depth_multiplier)


def standard_of_pair(depthwise: ConvSpec, pointwise: ConvSpec) -> ConvSpec:
    """Return the convolution that a depthwise → pointwise pair stands for.

    It goes from the pair's input channels to the pair's output channels with the depthwise kernel,
    and keeps the groups and the bias of the pointwise stage.
    """
    return replace(
        depthwise,
        out_channels=pointwise.out_channels,
        groups=pointwise.groups,
        bias=pointwise.bias,
    )


def depth_multiplier_of(depthwise: ConvSpec) -> int:
    """Return T, the output channels per input channel of a depthwise convolution."""
    return depthwise.out_channels // depthwise.in_channels
