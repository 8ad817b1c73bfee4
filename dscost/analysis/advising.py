"""A timed report → which of its convolutions are worth swapping. No torch."""

from collections.abc import Mapping
from types import MappingProxyType

from dscost.layers.variants import MIN_CHANNELS, SEPARABLE, STANDARD, too_few_channels
from dscost.reports.one_setting import setting_of_layers, under_setting
from dscost.reports.records import Advice, KeptLayer, Layer, Report, Speedup

NOTHING: Mapping[str, str] = MappingProxyType({})


MUCH = 1.1
"""What swaps that nobody is sure of have to promise beyond those that are sure."""


def advice_of(
    report: Report,
    min_channels: int = MIN_CHANNELS,
    irreplaceable: Mapping[str, str] = NOTHING,
    *,
    together: bool = False,
) -> Advice | None:
    """Return which convolutions to swap: those that measured faster, and have enough channels.

    All is by the first setting asked for under which such a layer was timed. Times are those of
    the whole model where they are of just these swaps, or else estimated from the layers.

    Args:
        report: Of a model.
        min_channels: A convolution of fewer channels in or out is kept.
        irreplaceable: Why layers cannot be replaced, by name.
        together: Whether to swap layers as well of which nobody is sure one by one.

    Returns:
        `None` where nothing was timed that could be swapped.
    """
    layers = [layer for layer in report.layers if layer.swappable and layer.variants]
    setting = setting_of_layers(report, layers)
    if setting is None and together:
        setting = next(iter(report.latency), None)
    if setting is None or not layers:
        return None
    report = under_setting(report, setting)
    layers = [layer for layer in report.layers if layer.swappable and layer.variants]
    reasons = {
        layer.name: _why_kept(layer, min_channels, irreplaceable, together=together)
        for layer in layers
    }
    swaps = [layer for layer in layers if reasons[layer.name] is None]
    advice = Advice(
        setting=setting,
        swaps=tuple(layer.name for layer in swaps),
        kept=tuple(reason for reason in reasons.values() if reason),
        swapped=sum(layer.swappable for layer in swaps),
        swappable=sum(layer.swappable for layer in layers),
        min_channels=min_channels,
    )
    return _with_times(advice, report) if swaps else advice


def promises_more(together: Advice | None, advice: Advice | None, report: Report) -> bool:
    """Whether a model with swaps that are not sure one by one may well beat that with sure ones.

    On a busy machine the clock tells of the whole model what it cannot tell of a layer.
    """
    whole = together and report.latency.get(together.setting)
    if not (together and together.swaps and whole and whole.as_is and whole.depthwise_separable):
        return False
    if advice and set(together.swaps) == set(advice.swaps):
        return False
    known_s = advice.advised_latency_s if advice and advice.swaps else whole.as_is.median_s
    return MUCH * whole.depthwise_separable.median_s < (known_s or whole.as_is.median_s)


def _best_of(report: Report, min_channels: int, irreplaceable: Mapping[str, str]) -> Advice | None:
    """Return the advice that a report bears out."""
    advice = advice_of(report, min_channels, irreplaceable)
    together = advice_of(report, min_channels, irreplaceable, together=True)
    is_sure = together and together.speedup and together.speedup.verdict == "faster"
    return together if is_sure and promises_more(together, advice, report) else advice


def readvised(report: Report, min_channels: int) -> Report:
    """Return a saved report with advice for so many channels: the one that it has, if that is."""
    found = report.advice
    if report.source == "layer" or (found and found.min_channels == min_channels):
        return report
    kept = found.kept if found else ()
    irreplaceable = {one.name: one.detail or "" for one in kept if one.why == "not_replaceable"}
    losing = tuple(one for one in kept if one.why == "whole_slower")
    advice = _best_of(report, min_channels, irreplaceable)
    measured = found and (found.swaps or tuple(one.name for one in losing))
    if advice and found and advice.swaps == measured:  # what was measured of them holds
        advice = found._replace(kept=(*advice.kept, *losing), min_channels=min_channels)
    return report._replace(advice=advice)


def with_measured(advice: Advice, as_is_s: float, advised_s: float, speedup: Speedup) -> Advice:
    """Return advice with what the whole model gains by its swaps; none, if it loses by them."""
    measured = advice._replace(latency_s=as_is_s, advised_latency_s=advised_s, speedup=speedup)
    if speedup.verdict != "slower":
        return measured
    kept = (*advice.kept, *(KeptLayer(name, "whole_slower") for name in advice.swaps))
    return measured._replace(swaps=(), swapped=0, kept=kept)


def _whole_is_of(advice: Advice, report: Report) -> bool:
    """Whether the depthwise-separable model that a report has timed has just these swaps."""
    done = {
        layer.name
        for layer in report.layers
        if layer.swappable and layer.name not in report.skipped
    }
    left = {one.name for one in advice.kept if one.why == "not_replaceable"}
    return done - left == set(advice.swaps)


def _why_kept(
    layer: Layer, min_channels: int, irreplaceable: Mapping[str, str], *, together: bool
) -> KeptLayer | None:
    conv = layer.stages[STANDARD][0].conv
    if layer.name in irreplaceable:
        return KeptLayer(layer.name, "not_replaceable", irreplaceable[layer.name])
    is_sure = layer.verdict not in (None, "unclear")
    if layer.verdict != "faster" and (is_sure or not together):
        return KeptLayer(layer.name, layer.verdict or "not_timed")
    few = too_few_channels(conv, min_channels) if conv else None
    return KeptLayer(layer.name, "min_channels", few) if few else None


def _with_times(advice: Advice, report: Report) -> Advice:
    whole = report.latency.get(advice.setting)
    if whole is None or whole.as_is is None:
        return advice
    has_pairs = any(layer.pair for layer in report.layers)
    separable, speedup = whole.depthwise_separable, whole.speedup
    if separable and speedup and not has_pairs and _whole_is_of(advice, report):
        measured = with_measured(advice, whole.as_is.median_s, separable.median_s, speedup)
        return measured._replace(cost=report.totals.depthwise_separable)
    as_is_s = whole.as_is.median_s
    advised_s = estimated_s(advice, report, as_is_s)
    return advice._replace(latency_s=as_is_s, advised_latency_s=advised_s)


def times_of(layer: Layer, setting: str) -> tuple[float, float] | None:
    """Return what all calls of a layer take, standard and separable; `None` if it was not timed.

    An old report tells of one call alone, and all are taken for alike.
    """
    timing = layer.latency.get(setting)
    if timing is None or timing.standard is None or timing.depthwise_separable is None:
        return None
    sums = timing.layers_s
    if sums.get(STANDARD) and sums.get(SEPARABLE):  # of pairs an old report tells 0
        return sums[STANDARD], sums[SEPARABLE]
    both = timing.standard.median_s, timing.depthwise_separable.median_s
    return layer.calls * both[0], layer.calls * both[1]


def estimated_s(advice: Advice, report: Report, as_is_s: float) -> float:
    """Return the time of the model as it is, less what its layers save, each timed alone.

    Alone they may take longer than within the model: all of them together no longer than it.
    """
    before_s = after_s = 0.0
    for layer in report.layers:
        times = times_of(layer, advice.setting) if layer.name in advice.swaps else None
        if times:
            before_s, after_s = before_s + times[0], after_s + times[1]
    scale = min(1.0, as_is_s / before_s) if before_s else 0.0
    return as_is_s - scale * (before_s - after_s)
