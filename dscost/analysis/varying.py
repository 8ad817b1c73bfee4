"""A counted layer → the same with the variants that were asked for. No torch."""

from collections.abc import Iterator, Sequence

from dscost.analysis.counting import stages_cost
from dscost.errors import InputError, SpecError
from dscost.layers.choosing import Asked, chosen, parse_variants
from dscost.layers.convolution import ConvSpec
from dscost.layers.others import ActivationSpec, BatchNormSpec, Part
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.networks.network import stage_costs
from dscost.notation.units import format_shape
from dscost.reports.records import Layer, Report, Stage


def with_variants(
    layer: Layer, names: Sequence[str], element_bytes: int
) -> tuple[Layer, dict[str, int | None]]:
    """Return a layer with its standard form and the named variants, and their parameters' values.

    Why a variant does not exist stands in the note of the layer. Depthwise-separable without a
    value is that of the layer's own depth multiplier.

    Raises:
        InputError: There is no such variant, or it cannot have the value that was given.
    """
    assert layer.conv is not None
    found = {STANDARD: layer.stages[STANDARD]}
    ratios: dict[str, float] = {}
    values: dict[str, int | None] = {}
    lacking: dict[str, list[str]] = {}
    seen: set[tuple[object, int | None]] = set()
    for asked in parse_variants(names):
        label = asked.label
        if label == STANDARD:
            continue
        if label == SEPARABLE and SEPARABLE in layer.stages:
            found[label] = layer.stages[label]
            ratios[label] = layer.formula_ratio or 0.0
            continue
        variant = chosen(asked, layer.conv)
        if isinstance(variant, str):
            lacking.setdefault(variant, []).append(label.replace("_", "-"))
            continue
        if (asked.variant, variant.value) in seen:  # the default, and the same value as a number
            continue
        seen.add((asked.variant, variant.value))
        found[label] = _stages(asked, variant.parts, layer, element_bytes)
        values[label] = variant.value
        if variant.ratio is not None:
            ratios[label] = variant.ratio
    costs = {label: stages_cost(own) for label, own in found.items()}
    notes = [f"no {_either(labels)} variant: {reason}" for reason, labels in lacking.items()]
    changed = layer._replace(
        stages=found, variants=costs, formula_ratios=ratios, note="; ".join(notes) or None
    )
    return changed if SEPARABLE in found else changed._replace(formula_ratio=None), values


def _either(labels: Sequence[str]) -> str:
    *others, last = labels
    return f"{', '.join(others)} or {last}" if others else last


def _stages(
    asked: Asked, parts: Sequence[Part], layer: Layer, element_bytes: int
) -> tuple[Stage, ...]:
    """Return the stages of a variant with their costs, if they make what the layer makes."""
    try:
        stages = stage_costs(parts, layer.input_shape, element_bytes)
    except InputError as error:
        raise SpecError(f"variant {asked.label}: {error}") from None
    if not stages or stages[-1].output_shape != layer.output_shape:
        made = format_shape(stages[-1].output_shape) if stages else "nothing"
        wanted = format_shape(layer.output_shape)
        raise SpecError(f"variant {asked.label}: makes {made}, the convolution {wanted}")
    return stages


def parts_of(report: Report, label: str) -> Sequence[Part]:
    """Return the stages of a variant of a layer's report, to be built."""
    (layer,) = report.layers
    values = report.settings.get("variants", {})
    if label not in values:
        return tuple((stage.name, stage.conv) for stage in layer.stages[label] if stage.conv)
    assert layer.conv is not None
    ((_, variant, _),) = parse_variants([label])
    return variant.stages(layer.conv, values[label])


def with_norms(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield stages with a batch normalisation and a ReLU after each convolution.

    What read a convolution reads what stands behind it now.
    """
    behind: dict[str, str] = {}
    for name, spec, *reads in parts:
        if reads:
            yield name, spec, tuple(behind.get(one, one) for one in reads[0])
        else:
            yield name, spec
        if isinstance(spec, ConvSpec):
            yield f"{name}_norm", BatchNormSpec(spec.out_channels, len(spec.kernel_size))
            yield f"{name}_relu", ActivationSpec("relu")
            behind[name] = f"{name}_relu"
