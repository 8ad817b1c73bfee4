"""What a report comes to, in words."""

from collections.abc import Iterator, Mapping, Sequence
from math import isclose

from dscost.errors import first_of
from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation.units import (
    UNKNOWN,
    Exact,
    counted,
    format_count,
    format_factor,
    format_seconds_with_interval,
)
from dscost.pages.left_alone import left_by_convert
from dscost.pages.page import Toned, judged_as
from dscost.pages.runs import other_engines, under
from dscost.reports.records import (
    Latency,
    Layer,
    Reduction,
    Report,
    Speedup,
    Timing,
)

VARIANT_TITLES = {"as_is": "as it is", STANDARD: "standard", SEPARABLE: "depthwise-separable"}
"""How a table calls the versions that every report has, in their order."""
SHORT_TITLES = {STANDARD: "standard", SEPARABLE: "separable"}
"""The two that settings are compared for, with the short titles of a narrow table."""

LATENCY, REDUCTION, SPEEDUP = "latency [95 %]", "fewer MACs", "speedup [95 %]"
"""What stands above the columns of what was measured, and of what a variant saves."""


def format_latency(latency: Latency | None) -> str:
    """Return a median with its interval, `812 µs [806, 819]`."""
    if latency is None:
        return UNKNOWN
    return format_seconds_with_interval(latency.median_s, latency.ci95_s)


def format_speedup(speedup: Speedup | None) -> str:
    """Return a speedup as people say it, with its interval in the same direction.

    A word stands only where the interval and the noise floor allow it; without one the figures
    are those of a speedup, and a value below 1 is a slowdown.

    >>> format_speedup(Speedup(3.6, (3.5, 3.7))), format_speedup(Speedup(0.119, (0.093, 0.153)))
    ('3.6× faster [3.5, 3.7]', '8.4× slower [6.5, 10.8]')
    >>> format_speedup(Speedup(1.01, (0.98, 1.02))), format_speedup(Speedup(1.1, (0.9, 1.3)))
    ('no difference [0.98, 1.02]', '1.10× [0.90, 1.30]')
    >>> format_speedup(Speedup(4.47, (0.163, 122.0)))
    'cannot tell'
    """
    if speedup is None:
        return UNKNOWN
    if speedup.is_wide:
        return Toned("cannot tell", "unclear")
    return judged_as(Exact(_speedup_words(speedup), speedup.median), speedup.verdict)


def _speedup_words(speedup: Speedup) -> str:
    median, (low, high) = speedup.median, speedup.ci95
    match speedup.verdict:
        case "slower":
            slowdown, interval = _plain_factors(1 / median, 1 / high, 1 / low)
            return f"{slowdown}× slower {interval}"
        case "faster":
            factor, interval = _plain_factors(median, low, high)
            return f"{factor}× faster {interval}"
        case "same":
            return f"no difference {_plain_factors(median, low, high)[1]}"
    factor, interval = _plain_factors(median, low, high)
    return f"{factor}× {interval}"


def _plain_factors(factor: float, low: float, high: float) -> tuple[str, str]:
    """Return a factor and its interval with as many decimals as somebody would say aloud."""
    decimals = said_decimals(factor)
    if decimals < 2 and f"{low:.{decimals}f}" == f"{high:.{decimals}f}":
        decimals += 1
    return f"{factor:.{decimals}f}", f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def said_decimals(factor: float) -> int:
    """Return with how many decimals somebody would say a factor aloud."""
    return 2 if factor < 2 else 1 if factor < 100 else 0


def formula_line(conv: ConvSpec, depth_multiplier: int, ratio: float) -> str:
    """Return the formula with the numbers of the layer in it."""
    area, dims = conv.kernel_area, len(conv.kernel_size)
    is_cube = len(set(conv.kernel_size)) == 1
    kernel = f"K{_POWERS[dims]}" if is_cube else f"({'·'.join(_SIDES[-dims:])})"
    if conv.groups == 1 and depth_multiplier == 1 and is_cube:
        left = f"1/N + 1/{kernel} = 1/{conv.out_channels} + 1/{area}"
    else:
        numbers = f"{depth_multiplier}·({conv.groups}/{conv.out_channels} + 1/{area})"
        left = f"T·(G/N + 1/{kernel}) = {numbers}"
    # the stages of a transposed one have positions of their own
    of = "weights" if conv.transposed else "weights and MACs"
    return f"{left} = {_ratio(ratio, of)}"


_POWERS = {1: "", 2: "²", 3: "³"}
_SIDES = ("Kd", "Kh", "Kw")


def _ratio(ratio: float, of: str) -> str:
    return f"{ratio:.4f} → {format_times(1 / ratio, of)}"


def variant_titles(report: Report) -> Mapping[str, str]:
    """Return how a table calls the versions of a layer or a model, in their order.

    A further variant of a layer has the value of its parameter in its title, whether it was given
    or assumed.
    """
    titles = dict(VARIANT_TITLES)
    further = report.settings.get("variants", {}) if report.source == "layer" else {}
    for name, value in further.items():
        title = name.replace("_", "-")
        titles[name] = title if value is None or ":" in name else f"{title}:{value}"
    return titles


def short_titles(report: Report) -> Mapping[str, str]:
    """Return how a narrow table calls the versions of a layer or a model."""
    return {**variant_titles(report), **SHORT_TITLES}


def formula_lines(report: Report, *, with_separable: bool = True) -> list[str]:
    """Return the formulas with the numbers of the layer; of further variants what they come to.

    That of the separable one is left out where it stands elsewhere.
    """
    (layer,) = report.layers
    assert layer.conv is not None
    lines = []
    if with_separable and layer.formula_ratio is not None:
        depth_multiplier = report.settings["depth_multiplier"]
        lines.append(formula_line(layer.conv, depth_multiplier, layer.formula_ratio))
    titles = variant_titles(report)
    for name, ratio in layer.formula_ratios.items():
        if name != SEPARABLE:
            macs = layer.reduction_of(name).macs
            # where stages differ in their output positions the formula is one of weights
            is_of_macs = macs is not None and isclose(macs * ratio, 1, rel_tol=0.005)
            of = "weights and MACs" if is_of_macs else "weights"
            lines.append(f"{titles[name]}: by its formula {_ratio(ratio, of)}")
    return lines


def layer_sentence(report: Report, pending: bool) -> str:
    """Return in words what swapping one layer comes to, and which variants it does not have."""
    (layer,) = report.layers
    variants = [name for name in layer.variants if name != STANDARD]
    sentences = []
    if len(variants) == 1:
        sentences.append(_one_variant(report, variants[0], pending))
    elif variants:
        sentences.append(_several_variants(report, variants, pending))
    if layer.note:
        sentences.append(layer.note[0].upper() + layer.note[1:] + ".")
    return " ".join(sentences) or "Nothing to compare it with: see dscost list variants for others."


def _one_variant(report: Report, name: str, pending: bool) -> str:
    (layer,) = report.layers
    reduction, timing = layer.reduction_of(name), layer.timing
    on_paper = (
        f"On paper the {variant_titles(report)[name]} layer "
        f"needs {format_times(reduction.macs, 'MACs')} "
        f"and moves {format_times(reduction.traffic_bytes, 'bytes')}"
    )
    speedup = timing.speedup_of(name) if timing else None
    if speedup:
        said = _clock_agrees(speedup, reduction.macs)
        for title, other in other_engines(layer.latency):
            if one := other.speedup_of(name):
                said = f"{said[:-1]}; under {title} {format_speedup(one)}."
        return f"{on_paper}; {under(layer.latency)}{said}"
    return f"{on_paper}; {_not_yet('whether it is faster', pending)}"


LONGER = "a longer --time-budget may"


def _several_variants(report: Report, variants: Sequence[str], pending: bool) -> str:
    """Return the best of several on paper and on the clock."""
    (layer,) = report.layers
    titles, timing = variant_titles(report), layer.timing or Timing()
    cheapest = max(variants, key=lambda name: layer.reduction_of(name).macs or 0.0)
    reduction = layer.reduction_of(cheapest)
    on_paper = (
        f"On paper {titles[cheapest]} is the cheapest of {len(variants)}: "
        f"{format_times(reduction.macs, 'MACs')} "
        f"and {format_times(reduction.traffic_bytes, 'bytes')} moved"
    )
    of_each = {name: one for name in variants if (one := timing.speedup_of(name))}
    if not of_each:
        return f"{on_paper}; {_not_yet('which is the fastest', pending)}"
    known = {name: one for name, one in of_each.items() if not one.is_wide}
    on_paper = f"{on_paper}; {under(layer.latency)}"
    if not known:
        return f"{on_paper}the clock cannot tell which is the fastest; {LONGER}."
    fastest = max(known, key=lambda name: known[name].median)
    measured = f"{format_speedup(known[fastest])} than the standard layer"
    if known[fastest].verdict != "faster":
        measured = format_speedup(known[fastest])
        first = f"{titles[fastest]} comes first: {measured}"
        return f"{on_paper}on the clock none is surely faster, {first}."
    also = "it is also the fastest" if fastest == cheapest else f"{titles[fastest]} is the fastest"
    return f"{on_paper}on the clock {also}: {measured}."


def _not_yet(what: str, pending: bool) -> str:
    return "measuring …" if pending else f"{what} was not measured."


def model_sentences(report: Report) -> list[str]:
    """Return in words what making a whole model depthwise-separable, or standard, comes to."""
    totals = report.totals
    pairs = swappable = kept = 0
    for layer in report.layers:
        if layer.variants:
            pairs += _pairs_in(layer)
            swappable += layer.swappable
            kept += layer.swappable if layer.name in report.skipped else 0
    sentences = []
    if pairs and totals.as_is.macs:
        sentences.append(
            f"{counted(pairs, 'depthwise-separable pair')}: "
            "made of standard convolutions it would need "
            f"{format_count(totals.standard.macs)} MACs "
            f"instead of {format_count(totals.as_is.macs)}, "
            f"{format_factor(totals.standard.macs / totals.as_is.macs)} as many. "
            "Each pair is listed at its depthwise layer. Its standard form drops what is between "
            "the two convolutions, such as normalisation or squeeze-and-excite."
        )
    saved = Reduction.between(totals.as_is, totals.depthwise_separable)
    # a report of somebody else's may say that nothing is left
    if swappable and saved.macs and saved.params:
        fewer = format_times(saved.macs, "MACs"), format_times(saved.params, "params")
        comes_to = f": that takes {fewer[0]} and {fewer[1]} in all"
        if format_factor(saved.macs) == format_factor(saved.params) == "1.00×":
            comes_to = ", which saves nothing (1.00×)"
        could_be = f"{counted(swappable, 'convolution')} could be depthwise-separable"
        if kept:
            which = "all of them" if kept == swappable else f"{kept} of them"
            could_be += f", {which} measured slower and {'is' if kept == 1 else 'are'} kept"
        sentence = f"{could_be}{'' if kept == swappable else comes_to}"
        # where there are times they decide
        sentence += "." if report.latency else f"{left_by_convert(report.layers, swappable)}."
        sentences.append(sentence if report.latency else Toned(sentence, "verdict"))
    if not any(_has_spatial(layer) for layer in report.layers):
        sentences.append("This model has no convolution larger than 1×1.")
    return [*sentences, *_measured_sentences(report)]


def clock_sentence(report: Report) -> Iterator[str]:
    """Yield what the clock says of a whole model, if it was timed both ways."""
    timing = report.timing
    if timing and timing.speedup:
        clock = _clock_agrees(timing.speedup, report.totals.reduction.macs)
        of_two = "The whole model, standard against depthwise-separable"
        whole = f"{of_two}: {under(report.latency)}{clock}"
        yield judged_as(whole, timing.speedup.verdict)


def _measured_sentences(report: Report) -> Iterator[str]:
    """Yield what the clock says of a whole model, and of layers that are slower when swapped."""
    yield from clock_sentence(report)
    if report.skipped:
        yield (
            "Kept as they are, since they measured slower when swapped: "
            f"{', '.join(report.skipped)}; the depthwise-separable figures have them so."
        )
    losing = [
        layer
        for layer in report.layers
        if layer.verdict == "slower" and layer.name not in report.skipped
    ]
    if losing:
        slower = f"The swap makes {counted(len(losing), 'layer')} slower: {_slowed(losing)}."
        yield Toned(slower, "bad")


def _pairs_in(layer: Layer) -> int:
    """Return how many pairs begin in a layer; an old report does not tell: it knew one."""
    if layer.separable_pairs or layer.could_be_separable:
        return layer.separable_pairs
    return int(layer.pair is not None)


def _has_spatial(layer: Layer) -> bool:
    """Whether a layer runs a convolution larger than 1×1, as far as the report tells."""
    runs_several = bool(layer.variants or layer.separable_pairs or layer.could_be_separable)
    if layer.conv is None:  # a quantised convolution has no specification
        return runs_several or layer.op == "convolution"
    return runs_several or layer.conv.kernel_area > 1


def _clock_agrees(speedup: Speedup, promised: float | None) -> str:
    """Return what the clock says beside what the MACs promise."""
    measured = format_speedup(speedup)
    match speedup.verdict:
        case "same":
            return f"the clock sees {measured}."
        case "unclear":
            figures = "" if speedup.is_wide else f" ({measured})"
            return f"the clock cannot tell{figures}; {LONGER}."
        case "slower":
            view = "disagrees" if promised is None or promised > 1 else "agrees"
            return f"the clock {view}: it ran {measured}."
    if promised and promised < 1:
        return f"the clock disagrees: it ran {measured}."
    if promised and speedup.ci95[0] > promised:
        return f"the clock says {measured}, more than the MACs explain."
    if promised and speedup.median < 0.8 * promised:
        share = speedup.median / promised
        return f"the clock says {measured}, {share:.0%} of what the MACs promise."
    return f"the clock agrees: {measured}."


def format_times(factor: float | None, of: str) -> str:
    """Return `8.69× fewer MACs`, `1.20× more bytes` or `as many params`."""
    if factor is None:
        return f"an unknown factor of {of}"
    if format_factor(factor) == "1.00×":
        return f"about as many {of}"
    if factor > 1:
        return f"{format_factor(factor)} fewer {of}"
    return f"{format_factor(1 / factor)} more {of}"


def _slowed(layers: Sequence[Layer], at_most: int = 4) -> str:
    """Return the names of slower layers, each with how many times as long it takes."""
    names = []
    for layer in layers:
        timing, factor = layer.timing, ""
        if timing and timing.speedup:
            inverse = 1 / timing.speedup.median
            factor = f" ({inverse:.{said_decimals(inverse)}f}×)"
        names.append(layer.name + factor)
    return first_of(names, at_most)
