"""Rewrites of one convolution as cheaper ones: a spec in, named specs out. No tensors.

Counted of a variant are its convolutions and what moves data between them. The normalisations and
activations that networks put between its stages are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from dscost.errors import InputError, SpecError
from dscost.layers.convolution import ConvSpec
from dscost.layers.formulas import formula_value, separable_ratio
from dscost.layers.whole import Whole
from dscost.notation.units import format_shape
from dscost.registries import Registry

if TYPE_CHECKING:
    from dscost.layers.others import Part

Convs = tuple[tuple[str, ConvSpec], ...]
"""Named convolutions, run one after the other."""
Rewrite = Callable[..., "Sequence[Part]"]
"""From the standard convolution, and the value of the parameter if there is one, to named stages.
They run one after the other, unless a stage names those that it reads, see
`dscost.layers.others.Part`."""


class Variant(NamedTuple):
    """A way to write a convolution: a function and what `register_variant` was told of it.

    In a formula M and N are channels, G the groups and K² = Kh·Kw the kernel area of the
    convolution. It is of weights, and of MACs as well where every stage has the output positions of
    the whole. What stands before the first comma is what reports compute.
    """

    rewrite: "Rewrite"
    summary: str
    formula: str
    source: str
    gives_up: str = ""
    parameter: str | None = None
    default: int | Callable[[ConvSpec], int] | None = None
    default_text: str = ""
    ratio: Callable[..., float] | None = None
    why_not: Callable[[ConvSpec], str | None] | None = None

    @property
    def usage(self) -> str:
        """The parameter with its default, such as `g = 4`; empty where there is none."""
        return f"{self.parameter} = {self.default_text or self.default}" if self.parameter else ""

    def value_for(self, spec: ConvSpec) -> int | None:
        """Return the default of the parameter, `None` where there is no parameter."""
        return self.default(spec) if callable(self.default) else self.default

    def stages(self, spec: ConvSpec, value: int | None) -> "Sequence[Part]":
        """Return the stages that stand for `spec`; a `SpecError` where there are none."""
        if value is not None and value < 1:
            raise SpecError(f"{self.parameter} must be at least 1, found {value}")
        return self.rewrite(spec) if value is None else self.rewrite(spec, value)

    def ratio_for(self, spec: ConvSpec, value: int | None) -> float | None:
        """Return the formula for `spec`; unknown where it is words alone."""
        if self.ratio is not None:
            return self.ratio(spec) if value is None else self.ratio(spec, value)
        letters = {
            "M": spec.in_channels,
            "N": spec.out_channels,
            "G": spec.groups,
            "K²": spec.kernel_area,
            **dict(zip(("Kh", "Kw"), spec.kernel_size, strict=False)),
        }
        if self.parameter and value is not None:
            letters[self.parameter] = value
        return formula_value(self.formula, letters)


STANDARD, SEPARABLE = "standard", "depthwise_separable"
BOTH_WAYS = (STANDARD, SEPARABLE)
"""The two ways to write a convolution that every report compares."""
VERSIONS = ("as_is", *BOTH_WAYS)
"""What a whole model is counted and timed as."""

TIMING_KEYS = (
    *(*VERSIONS, "speedup", "stages", "gap_s", "backends", "layers_s", "speedups"),
    *("cpu_clock", "ran"),
)
"""The keys of a timing in JSON. Beside them stand further variants, so none may be called so."""

VARIANTS: Registry[Variant] = Registry("variant", "variants", more="dscost.layers.blocks")


def register_variant(
    name: str,
    *,
    summary: str = "",
    formula: str = "",
    source: str = "",
    gives_up: str = "",
    parameter: str | None = None,
    default: int | Callable[[ConvSpec], int] | None = None,
    default_text: str = "",
    ratio: Callable[..., float] | None = None,
    why_not: Callable[[ConvSpec], str | None] | None = None,
) -> Callable[[Rewrite], Variant]:
    """Return a decorator that makes a function a variant, for `dscost layer --variant NAME`.

    The function takes a `ConvSpec`, and the value of the parameter if there is one, and returns
    named convolutions that run one after the other. A stage that reads others than the one before
    it names them, `"input"` among them. An installed package has its variants found by the
    entry-point group `dscost.variants`, one per name.

    Args:
        name: Letters, digits and `_`; a later variant of the same name replaces it, but for the two
            that all stand on.
        summary: What is done, in a line, as `dscost list variants` shows it.
        formula: Its weights over those of the standard convolution, as text: `1/N + 1/K²`.
        source: The paper that it is from.
        gives_up: What it no longer can, in a line.
        parameter: The letter of its parameter, if it has one: `g`.
        default: Value of the parameter, or a function of the convolution; needed where there is a
            parameter.
        default_text: What a default is that depends on the convolution, in words.
        ratio: The formula as a function of the `ConvSpec` and the value of the parameter, where one
            expression does not say it.
        why_not: A function that says why a `ConvSpec` has no such variant, or `None` where it has.

    Raises:
        InputError: The name is none or reserved, or there is a parameter without a default.

    Example::

        @dscost.register_variant("half_groups", summary="half as many connections", formula="1/2")
        def half_groups(spec):
            return [("half", dataclasses.replace(spec, groups=2 * spec.groups))]
    """
    if not name.isidentifier() or name in TIMING_KEYS:
        raise InputError(
            f"a variant cannot be called '{name}': "
            "expected letters, digits and _, and no name of ours"
        )
    if (parameter is None) != (default is None):
        raise InputError(f"variant '{name}': a parameter and its default belong together")

    told = (summary, formula, source, gives_up, parameter, default, default_text, ratio, why_not)
    return lambda rewrite: VARIANTS.register(name)(Variant(rewrite, *told))


def depthwise_separable(spec: ConvSpec, depth_multiplier: int = 1) -> Convs:
    """Return the depthwise stage, then the pointwise stage, that stand for `spec`.

    The first takes stride, padding, dilation and padding mode, the second the groups and the bias.
    `SpecError` says why there are none, see `why_not_separable`.
    """
    make = _separable if _is_of_many(spec) else _kept_separable
    return make(spec, depth_multiplier)


def _separable(spec: ConvSpec, depth_multiplier: int) -> Convs:
    reason = why_not_separable(spec)
    if reason:
        raise SpecError(reason)
    if depth_multiplier < 1:
        raise SpecError(f"depth_multiplier must be at least 1, found {depth_multiplier}")
    middle = spec.in_channels * depth_multiplier
    depthwise = replace(spec, out_channels=middle, groups=spec.in_channels, bias=False)
    return (
        ("depthwise", depthwise),
        ("pointwise", pointwise_like(spec, middle, spec.out_channels, bias=spec.bias)),
    )


_kept_separable = lru_cache(maxsize=4096)(_separable)


def _is_of_many(spec: ConvSpec) -> bool:
    """Whether a spec stands for many layers, so that it must not be kept.

    Where the layers that count are of one number, it would be found in the place of an int.
    """
    sizes = (spec.kernel_size, spec.stride, spec.padding, spec.dilation, spec.output_padding)
    numbers = chain((spec.in_channels, spec.out_channels, spec.groups), *sizes)
    return any(isinstance(one, Whole) for one in numbers)


def pointwise_like(
    spec: ConvSpec,
    in_channels: int,
    out_channels: int,
    *,
    bias: bool = False,
    groups: int | None = None,
) -> ConvSpec:
    """Return a 1×1 convolution of the dimensions and, unless others are given, groups of `spec`."""
    ones = (1,) * len(spec.kernel_size)
    return ConvSpec(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=ones,
        stride=ones,
        padding=(0,) * len(ones),
        dilation=ones,
        groups=spec.groups if groups is None else groups,
        bias=bias,
    )


def standard(spec: ConvSpec, depth_multiplier: int = 1) -> Convs:
    """Return the convolution itself, as the only stage."""
    return ((STANDARD, spec),)


def why_not_separable(spec: ConvSpec) -> str | None:
    """Return why a convolution has no depthwise-separable variant, or `None` if it has one."""
    if spec.kernel_area == 1:
        return f"a {format_shape(spec.kernel_size)} kernel has no spatial part to separate"
    return why_not_denser(spec)


def why_not_cheaper(spec: ConvSpec) -> str | None:
    """Return why two stages in the place of a convolution would cost no less, or `None`.

    Groups of one filter have no channels to mix: pointwise-first, it is the second of such stages.
    """
    if spec.groups > 1 and spec.out_channels == spec.groups:
        return "each of its groups has one filter, so there is nothing to separate"
    return None


MIN_CHANNELS = 32
"""Convolutions of fewer channels in or out are best left alone: a stem computes little less, and
its few filters are approximated badly."""


def too_few_channels(spec: ConvSpec, min_channels: int) -> str | None:
    """Return that a convolution has fewer channels in or out than are worth a swap, or `None`."""
    for side, channels in (("input", spec.in_channels), ("output", spec.out_channels)):
        if channels < min_channels:
            many = f"{side} channel is" if channels == 1 else f"{side} channels are"
            least = f"min_channels={min_channels}"
            return f"{channels} {many} fewer than {least} (--min-channels 1 takes it)"
    return None


def why_not_denser(spec: ConvSpec) -> str | None:
    """Return why a convolution mixes no channels that a variant could mix less, or `None`."""
    if spec.is_depthwise:
        return f"it is depthwise already (groups = in_channels = {spec.groups})"
    return None


def formula_ratio(spec: ConvSpec, depth_multiplier: int = 1) -> float:
    """Return the cost of the depthwise-separable variant in units of `spec`, by the formula."""
    return separable_ratio(spec.out_channels, spec.kernel_area, spec.groups, depth_multiplier)


VARIANTS.register(STANDARD)(
    Variant(
        standard,
        "the dense (or grouped) convolution itself",
        "1",
        "LeCun et al. 1989",
        gives_up="nothing",
    )
)
VARIANTS.register(SEPARABLE)(
    Variant(
        depthwise_separable,
        "a depthwise K×K convolution, then a pointwise 1×1",
        "T·(G/N + 1/(Kh·Kw)), which is 1/N + 1/K²",
        "Howard et al. 2017, MobileNets (arXiv:1704.04861)",
        gives_up="kernels that differ between the outputs of one input channel: "
        "T of them serve all outputs",
        parameter="T",
        default=1,
        ratio=formula_ratio,
        why_not=why_not_separable,
    )
)


def standard_of_pair(depthwise: ConvSpec, pointwise: ConvSpec) -> ConvSpec:
    """Return the convolution that a depthwise → pointwise pair stands for.

    It has the kernel of the first stage, and the groups and the bias of the second.
    """
    return replace(
        depthwise, out_channels=pointwise.out_channels, groups=pointwise.groups, bias=pointwise.bias
    )


def depth_multiplier_of(depthwise: ConvSpec) -> int:
    """Return T, the output channels per input channel of a depthwise convolution."""
    return depthwise.out_channels // depthwise.in_channels
