"""A layer or a model → its analytic report. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from dscost.errors import UnknownNameError, first_of
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.making import Extent, conv, dims_of, extent
from dscost.layers.variants import (
    SEPARABLE,
    STANDARD,
    depthwise_separable,
    formula_ratio,
    why_not_separable,
)
from dscost.networks.network import (
    stage_costs,
)
from dscost.notation.units import dtype_bytes, format_layer, format_shape
from dscost.reports.figures import Cost, chain_cost
from dscost.reports.records import Coverage, Input, Layer, Report, Stage, Totals

if TYPE_CHECKING:
    from typing import Protocol

    from torch import nn

    from dscost.conventions import Convention
    from dscost.networks.swaps import Swap
    from dscost.runtimes.programs import Program
    from dscost.timing import Setting
    from dscost.tracing import Arguments

    class PaperVersions(Protocol):
        """A model that can be written anew with some of its swaps done, on paper."""

        def layer_of(self, swap: "Swap") -> tuple[str, Shape]:
            """Return the layer that a swap stands with, and the shape of its input."""
            ...

        def totals(self, swaps: "Sequence[Swap]") -> Totals:
            """Return what the versions cost with these swaps and no others."""
            ...

    class Versions(PaperVersions, Protocol):
        """A model that can be written anew for real as well."""

        def build(
            self, variant: str, swaps: "Sequence[Swap]"
        ) -> "tuple[nn.Module, Mapping[str, str]]":
            """Return a version of the model by its name, and why layers had to be left, by name."""
            ...

        def arguments(self, setting: "Setting") -> "Arguments":
            """Return what its forward is called with, made for a setting."""
            ...

        def program(
            self, variant: str, swaps: "Sequence[Swap]", setting: "Setting", *, seed: int = 0
        ) -> "tuple[Program, Mapping[str, str]]":
            """Return a version to be run by another than torch, and what had to be left.

            Its random weights and inputs are those of the seed.
            """
            ...


LAYER_DEFAULTS: Mapping[str, Any] = {
    "stride": 1,
    "padding": None,
    "dilation": 1,
    "groups": 1,
    "bias": False,
    "input_size": 14,
    "batch": 1,
    "depth_multiplier": 1,
    "dtype": "float32",
}
"""What is assumed of a layer where nothing is said; no padding means the one that keeps the size at
stride 1."""


KIND_DEFAULTS: Mapping[str, Any] = {"dims": None, "transposed": False, "output_padding": None}
"""The kind of a convolution where nothing is said: as many dimensions as an extent has sizes, else
two. Nothing of it is told as assumed, but an output padding that there is."""


INSTEAD = ": give --runtime onnxruntime"
"""What to ask for where an ONNX file is to be timed, behind why it is not."""


class CountedModel(NamedTuple):
    """A counted model with what it takes to build and time it, unless it is a saved report.

    Args:
        report: What was counted.
        swaps: What could be swapped.
        versions: What writes it anew; nothing where it is a report only.
        saved: Whether it is a saved report.
        is_graph: Whether it is an ONNX file, which no torch module is made of.
        timed_in: The dtype that a runtime makes of it, where that is another than its own.
        conventions: Those of others by which it is counted as well.
    """

    report: Report
    swaps: tuple["Swap", ...] = ()
    versions: "PaperVersions | None" = None
    saved: bool = False
    is_graph: bool = False
    timed_in: str | None = None
    conventions: "tuple[Convention, ...]" = ()

    @property
    def runnable(self) -> "Versions | None":
        """What writes it anew for real, where that can be."""
        return cast("Versions", self.versions) if hasattr(self.versions, "program") else None

    def why_not_by(self, *runtimes: str, instead: str = "") -> str:
        """Return why none of some runtimes runs it, as a part of a sentence; empty where one does.

        Args:
            runtimes: By name.
            instead: What the sentence ends with.
        """
        from dscost.runtimes import RUNTIMES

        asked = [RUNTIMES[name] for name in runtimes] if self.is_graph else []
        if not asked or any(one.takes == "onnx" for one in asked):
            return ""
        titles = " and ".join(one.title for one in asked)
        return f"{titles} {'runs' if len(asked) == 1 else 'run'} no ONNX file{instead}"

    @property
    def own_dtype(self) -> str:
        """What it is timed in where nothing is asked for; an ONNX file is as it is."""
        from dscost.analysis.predicting import dtype_of

        if self.timed_in is not None:
            return self.timed_in
        return "float32" if self.is_graph else dtype_of(self.report)


def count_layer(
    *,
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int],
    variants: Sequence[str] = (),
    conventions: Sequence[str] = (),
    **given: Any,
) -> Report:
    """Return the analytic report of a convolution and its variants: the usual, or those asked for.

    With conventions also by those. What else is `given` are keys of `LAYER_DEFAULTS`, which are
    assumed and listed as such where left out or `None`, and of `KIND_DEFAULTS`.

    Raises:
        InputError: The layer cannot exist, or a variant with the value that was given.
    """
    known = {**LAYER_DEFAULTS, **KIND_DEFAULTS}
    for key in given:
        if key not in known:
            raise UnknownNameError("argument", key, known)
    chosen = {key: value for key, value in given.items() if value is not None}
    values = {**known, **chosen}
    spec, sizes = _shaped(in_channels, out_channels, kernel_size, values)
    element_bytes = dtype_bytes(values["dtype"])
    input_shape = (values["batch"], in_channels, *sizes)
    layer = layer_of(spec, input_shape, values["depth_multiplier"], element_bytes)
    totals = Totals(layer.cost, layer.cost, layer.variants.get(SEPARABLE, layer.cost))
    settings = {"depth_multiplier": values["depth_multiplier"]}
    if variants:
        from dscost.analysis.varying import with_variants

        layer, settings["variants"] = with_variants(layer, variants, element_bytes)
    report = Report(
        target=f"{spec.type} {in_channels} → {out_channels}, {format_shape(spec.kernel_size)}",
        source="layer",
        inputs=(Input(input_shape, values["dtype"]),),
        totals=totals,
        layers=(layer,),
        coverage=Coverage(counted=1, free=0),
        shared_weights=(),
        settings=settings,
        assumed=tuple(_assumed(chosen)),
    )
    if not conventions:
        return report
    from dscost.analysis.by_convention import conventions_of, layer_with_conventions

    return layer_with_conventions(report, conventions_of(conventions))


def _shaped(
    in_channels: int, out_channels: int, kernel_size: Extent, values: Mapping[str, Any]
) -> tuple[ConvSpec, Shape]:
    """Return a convolution and the sizes of its input, over as many dimensions as they have."""
    names = ("stride", "padding", "dilation", "output_padding")
    extents = {name: values[name] for name in names}
    size = values["input_size"]
    dims = dims_of(values["dims"], kernel_size=kernel_size, **extents, input_size=size)
    others = {name: values[name] for name in ("groups", "bias", "transposed")}
    spec = conv(in_channels, out_channels, kernel_size, dims=dims, **extents, **others)
    return spec, extent("input_size", size, dims)


def _assumed(chosen: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of what nobody gave."""
    for key in LAYER_DEFAULTS:
        if key not in chosen:
            yield key
        if key == "padding" and chosen.get("transposed") and "output_padding" not in chosen:
            yield "output_padding"


def layer_of(
    conv: ConvSpec, input_shape: Shape, depth_multiplier: int, element_bytes: int
) -> Layer:
    """Return a convolution with its depthwise-separable variant, or the reason why it has none."""
    (itself,) = stage_costs([(STANDARD, conv)], input_shape, element_bytes)
    layer = Layer(
        name="layer",
        type=conv.type,
        op=conv.op,
        calls=1,
        conv=conv,
        input_shape=input_shape,
        output_shape=itself.output_shape,
        cost=itself.cost,
        variants={STANDARD: itself.cost},
        stages={STANDARD: (itself,)},
    )
    reason = why_not_separable(conv)
    if reason:
        return layer._replace(note=f"no depthwise-separable variant: {reason}")
    stages = stage_costs(depthwise_separable(conv, depth_multiplier), input_shape, element_bytes)
    return layer._replace(
        variants={**layer.variants, SEPARABLE: stages_cost(stages)},
        stages={**layer.stages, SEPARABLE: stages},
        formula_ratio=formula_ratio(conv, depth_multiplier),
    )


def stages_cost(stages: Sequence[Stage]) -> Cost:
    """Return what the stages of a variant cost together."""
    return chain_cost([stage.cost for stage in stages])


NAMES_SHOWN = 3
ROOT = format_layer("")


def without_partner(layers: Sequence[str]) -> Iterator[str]:
    """Yield what a reader must know of depthwise convolutions in no pair, by the layer of each."""
    if layers:
        have, left = ("layers have", "them as they are")
        if len(layers) == 1:
            have, left = ("layer has", "it as it is")
        yield (
            f"{len(layers)} depthwise {have} no pointwise partner, "
            f"so the standard figure leaves {left}: {first_names(layers)}."
        )


def first_names(layers: Iterable[str]) -> str:
    """Return the distinct names of layers in a sentence, the first few of them."""
    return first_of(list(dict.fromkeys(name or ROOT for name in layers)), NAMES_SHOWN)
