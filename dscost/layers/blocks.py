"""The building blocks of efficient networks as variants, registered when they are asked for.

Each has the input and the output of the convolution that it stands for. The stage with its kernel
takes stride, padding, dilation and padding mode; the last stage takes the bias, in ghost also the
one whose result is kept. A grouped convolution keeps its groups in every stage that mixes channels,
so that no output sees more inputs than it did.

In the formulas `area` is Kh·Kw, and M, N and G are those of the convolution.
"""

from dataclasses import replace
from typing import Any

from dscost.errors import SpecError
from dscost.layers.convolution import ConvSpec, spread
from dscost.layers.orders import pointwise_first
from dscost.layers.others import ConcatSpec, JoinSpec, Part, ShuffleSpec
from dscost.layers.variants import (
    Convs,
    pointwise_like,
    register_variant,
    why_not_denser,
    why_not_separable,
)
from dscost.notation.units import format_shape

Parts = tuple[Part, ...]

CHEAP_KERNEL = 3
"""The kernel of ghost's cheap operation, d of the paper."""
SHUFFLE_WIDTH = 4
"""Shuffle's middle has N over that many channels, as in the paper."""


def _divided(spec: ConvSpec, divisor: int, name: str = "") -> int:
    """Return the output channels over a parameter, or a constant where that has no name."""
    if spec.out_channels % divisor:
        found = f"{name}={divisor}" if name else str(divisor)
        raise SpecError(f"{found} does not divide out_channels={spec.out_channels}")
    return spec.out_channels // divisor


def _with_skip(spec: ConvSpec, convs: Convs) -> Parts:
    """Return the stages and, where input and output have one shape, the addition of the input."""
    size_keeping = spread(spec.kernel_size, spec.dilation)
    keeps_size = set(spec.stride) == {1} and spec.padding_total == size_keeping
    if not keeps_size or any(spec.output_padding) or spec.in_channels != spec.out_channels:
        return convs
    return (*convs, ("add", JoinSpec("add"), (convs[-1][0], "input")))


def _depthwise_like(spec: ConvSpec, channels: int) -> ConvSpec:
    return replace(spec, in_channels=channels, out_channels=channels, groups=channels, bias=False)


# -- grouped


@register_variant(
    "grouped",
    summary="every group of channels in g groups of their own",
    formula="1/g",
    source="Krizhevsky et al. 2012, AlexNet; Xie et al. 2017, ResNeXt (arXiv:1611.05431)",
    gives_up="connections between the groups, until another layer mixes them",
    parameter="g",
    default=4,
    why_not=why_not_denser,
)
def grouped(spec: ConvSpec, g: int) -> Convs:
    """Return the convolution in g times its groups."""
    return (("grouped", replace(spec, groups=spec.groups * g)),)


# -- bottleneck


@register_variant(
    "bottleneck",
    summary="a 1×1 convolution to N/r channels, K×K among them, 1×1 to N",
    formula="1/(r·K²) + N/(r²·M) + N/(r·M·K²), which is 1/r² + 2/(r·K²) for M = N",
    source="He et al. 2016, ResNet (arXiv:1512.03385)",
    gives_up="width: everything passes through N/r channels",
    parameter="r",
    default=4,
    why_not=why_not_separable,
)
def bottleneck(spec: ConvSpec, r: int) -> Convs:
    """Return reduce, spatial and expand."""
    middle = _divided(spec, r, "r")
    return (
        ("reduce", pointwise_like(spec, spec.in_channels, middle)),
        ("spatial", replace(spec, in_channels=middle, out_channels=middle, bias=False)),
        ("expand", pointwise_like(spec, middle, spec.out_channels, bias=spec.bias)),
    )


# -- inverted residuals


def _inverted_ratio(spec: ConvSpec, t: int) -> float:
    m, n, groups, area = spec.in_channels, spec.out_channels, spec.groups, spec.kernel_area
    expand = t * m / (n * area) if t > 1 else 0.0
    return expand + t * groups / n + t / area


@register_variant(
    "inverted_residual",
    summary="a 1×1 convolution to t·M channels, depthwise K×K, 1×1 to N, "
    "plus the input where the shapes agree",
    formula="t·(M/(N·K²) + G/N + 1/K²); "
    "for t = 1 without the first term, since nothing is expanded",
    source="Sandler et al. 2018, MobileNetV2 (arXiv:1801.04381)",
    gives_up="width between blocks, for t times the activations inside; "
    "kernels see one channel each",
    parameter="t",
    default=6,
    ratio=_inverted_ratio,
    why_not=why_not_separable,
)
def inverted_residual(spec: ConvSpec, t: int) -> Parts:
    """Return expand (for t > 1), depthwise, project, and add where there is a skip."""
    middle = t * spec.in_channels
    expand = (("expand", pointwise_like(spec, spec.in_channels, middle)),) if t > 1 else ()
    depthwise = ("depthwise", _depthwise_like(spec, middle))
    project = ("project", pointwise_like(spec, middle, spec.out_channels, bias=spec.bias))
    return _with_skip(spec, (*expand, depthwise, project))


def _fused_ratio(spec: ConvSpec, t: int) -> float:
    return t * (spec.in_channels / spec.out_channels + 1 / spec.kernel_area) if t > 1 else 1.0


@register_variant(
    "fused_inverted_residual",
    summary="a K×K convolution to t·M channels, 1×1 to N, plus the input where the shapes agree",
    formula="t·(M/N + 1/K²), above 1 unless N is much larger than M; "
    "1 for t = 1, a single convolution",
    source="Tan and Le 2021, EfficientNetV2 (arXiv:2104.00298)",
    gives_up="arithmetic, for dense kernels that run at full speed: "
    "it is made to replace an inverted residual",
    parameter="t",
    default=4,
    ratio=_fused_ratio,
    why_not=why_not_separable,
)
def fused_inverted_residual(spec: ConvSpec, t: int) -> Parts:
    """Return expand and project (for t = 1 one convolution), and add where there is a skip."""
    if t == 1:
        return _with_skip(spec, (("fused", spec),))
    middle = t * spec.in_channels
    expand = replace(spec, out_channels=middle, bias=False)
    project = pointwise_like(spec, middle, spec.out_channels, bias=spec.bias)
    return _with_skip(spec, (("expand", expand), ("project", project)))


# -- kernels in two parts


def _why_not_two_kernels(spec: ConvSpec) -> str | None:
    if len(spec.kernel_size) != 2 or 1 in spec.kernel_size:
        return f"a {format_shape(spec.kernel_size)} kernel has no height and width to take apart"
    return None


@register_variant(
    "spatially_separable",
    summary="a K×1 convolution to N channels, then 1×K",
    formula="1/Kw + N/(M·Kh), which is 2/K for M = N",
    source="Szegedy et al. 2016, Inception-v3 (arXiv:1512.00567)",
    gives_up="columns of its own for every output: all outputs share the N of the middle",
    why_not=_why_not_two_kernels,
)
def spatially_separable(spec: ConvSpec) -> Convs:
    """Return vertical and horizontal."""
    (kh, kw), (sh, sw), (dh, dw) = spec.kernel_size, spec.stride, spec.dilation
    down: dict[str, Any] = {"kernel_size": (kh, 1), "stride": (sh, 1), "dilation": (dh, 1)}
    across: dict[str, Any] = {"kernel_size": (1, kw), "stride": (1, sw), "dilation": (1, dw)}
    if not isinstance(spec.padding, str):  # "same" suits either
        above, beside = spec.padding
        down["padding"], across["padding"] = (above, 0), (0, beside)
    if spec.transposed:
        below, right = spec.output_padding
        down["output_padding"], across["output_padding"] = (below, 0), (0, right)
    vertical = replace(spec, **down, bias=False)
    horizontal = replace(spec, **across, in_channels=spec.out_channels)
    return (("vertical", vertical), ("horizontal", horizontal))


@register_variant(
    "blueprint_separable",
    summary="a 1×1 convolution to T·N channels, then K×K, T inputs to an output",
    formula="T·(1/K² + G/M), which is 1/K² + 1/M",
    source="Haase and Amthor 2020, BSConv-U (arXiv:2003.13549)",
    gives_up="kernels that differ between the inputs of one output channel: "
    "T blueprints serve them all",
    parameter="T",
    default=1,
    why_not=why_not_separable,
)
def blueprint_separable(spec: ConvSpec, t: int) -> Convs:
    """Return pointwise and depthwise."""
    return pointwise_first(spec, t)


# -- ghost


def _ghost_ratio(spec: ConvSpec, s: int) -> float:
    cheap: int = CHEAP_KERNEL ** len(spec.kernel_size)
    return 1 / s + (1 - 1 / s) * spec.groups * cheap / (spec.in_channels * spec.kernel_area)


@register_variant(
    "ghost",
    summary="a K×K convolution to N/s channels, and a depthwise 3×3 that makes the others of these",
    formula="1/s + (1 − 1/s)·G·d²/(M·K²) with d = 3, about 1/s",
    source="Han et al. 2020, GhostNet (arXiv:1911.11907)",
    gives_up="independent features: all but N/s of the outputs are cheap copies of others",
    parameter="s",
    default=2,
    ratio=_ghost_ratio,
    why_not=why_not_denser,
)
def ghost(spec: ConvSpec, s: int) -> Parts:
    """Return primary, cheap and concat; for s = 1 nothing is cheap."""
    if s == 1:
        return (("primary", spec),)
    middle, dimensions = _divided(spec, s, "s"), len(spec.kernel_size)
    others = pointwise_like(spec, middle, spec.out_channels - middle, groups=middle, bias=spec.bias)
    kernel, padding = (CHEAP_KERNEL,) * dimensions, (CHEAP_KERNEL // 2,) * dimensions
    return (
        ("primary", replace(spec, out_channels=middle)),
        ("cheap", replace(others, kernel_size=kernel, padding=padding)),
        ("concat", ConcatSpec(), ("primary", "cheap")),
    )


# -- shuffle


@register_variant(
    "shuffle",
    summary="a 1×1 convolution in g groups to N/4 channels, a channel shuffle, depthwise K×K, "
    "1×1 in g groups to N",
    formula="(1/(g·K²) + G/M + N/(g·M·K²))/4",
    source="Zhang et al. 2017, ShuffleNet (arXiv:1707.01083)",
    gives_up="width, and connections that only the shuffle restores, "
    "at the price of moving every value",
    parameter="g",
    default=4,
    why_not=why_not_separable,
)
def shuffle(spec: ConvSpec, g: int) -> Parts:
    """Return reduce, shuffle (unless it would move no channel), depthwise and expand."""
    middle, groups = _divided(spec, SHUFFLE_WIDTH), spec.groups * g
    moved: Parts = (("shuffle", ShuffleSpec(groups)),) if 1 < groups < middle else ()
    return (
        ("reduce", pointwise_like(spec, spec.in_channels, middle, groups=groups)),
        *moved,
        ("depthwise", _depthwise_like(spec, middle)),
        ("expand", pointwise_like(spec, middle, spec.out_channels, groups=groups, bias=spec.bias)),
    )


# -- low rank


def _quarter_rank(spec: ConvSpec) -> int:
    return spec.groups * max(1, spec.out_channels // spec.groups // 4)


@register_variant(
    "low_rank",
    summary="a K×K convolution to r channels, then 1×1 to N",
    formula="r/N + r/(M·K²)",
    source="Jaderberg et al. 2014 (arXiv:1405.3866); Zhang et al. 2015 (arXiv:1505.06798)",
    gives_up="filters that are no mixture of r others",
    parameter="r",
    default=_quarter_rank,
    default_text="N/4",
    why_not=why_not_denser,
)
def low_rank(spec: ConvSpec, r: int) -> Convs:
    """Return filters and mixture."""
    if r > spec.out_channels:
        raise SpecError(f"r={r} is above out_channels={spec.out_channels}, the largest rank")
    return (
        ("filters", replace(spec, out_channels=r, bias=False)),
        ("mixture", pointwise_like(spec, r, spec.out_channels, bias=spec.bias)),
    )


# -- dilated


def _why_not_sparser(spec: ConvSpec) -> str | None:
    if spec.kernel_area > 1:
        return None
    return f"a {format_shape(spec.kernel_size)} kernel sees one position only"


def _dilated_ratio(spec: ConvSpec, d: int) -> float:
    area = 1.0
    for size in spec.kernel_size:
        area *= (size - 1) / d + 1
    return area / spec.kernel_area


@register_variant(
    "dilated",
    summary="a smaller kernel with its taps d times as far apart, which sees the same extent",
    formula="((K − 1)/d + 1)²/K²",
    source="Yu and Koltun 2016 (arXiv:1511.07122)",
    gives_up="the positions between the taps",
    parameter="d",
    default=2,
    ratio=_dilated_ratio,
    why_not=_why_not_sparser,
)
def dilated(spec: ConvSpec, d: int) -> Convs:
    """Return the sparser convolution, as the only stage."""
    for size in spec.kernel_size:
        if (size - 1) % d:
            kernel_text = format_shape(spec.kernel_size)
            raise SpecError(f"d={d} does not divide K - 1 = {size - 1} of the {kernel_text} kernel")
    kernel = tuple((size - 1) // d + 1 for size in spec.kernel_size)
    gaps = tuple(
        gap * d if size > 1 else gap
        for gap, size in zip(spec.dilation, spec.kernel_size, strict=True)
    )
    return (("dilated", replace(spec, kernel_size=kernel, dilation=gaps)),)
