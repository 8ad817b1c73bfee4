"""What layers and models have in common when they are timed: comparisons as timings, beside the roofline."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dscost.analysis.bench import Bench, Progress
from dscost.devices.roofline import Ceilings, predict
from dscost.reports.records import SAME_WITHIN, Latency, Noise, Stage, Timing
from dscost.timing import Setting
from dscost.timing.engine import Comparison
from dscost.timing.statistics import summarize


def timing_of(bench: Bench, result: Comparison, setting: Setting, *, has_variant: bool) -> Timing:
    """Return what a comparison of standard with depthwise-separable says.

    Args:
        bench: Where it was made.
        result: The comparison.
        setting: Under which it was made.
        has_variant: Whether both sides differ; a thing without a variant is compared with itself.
    """
    if not has_variant:
        itself = summarize([*result.first_s, *result.second_s])
        return Timing(as_is=itself, standard=itself)
    standard, separable = summarize(result.first_s), summarize(result.second_s)
    return Timing(
        as_is=standard,
        standard=standard,
        depthwise_separable=separable,
        speedup=bench.speedup(result, setting),
    )


def ceilings_for(bench: Bench, setting: Setting, progress: Progress | None) -> Ceilings | None:
    """Return what the device can do in the setting's dtype, in all layouts that are measured, once."""
    formats = tuple(dict.fromkeys(one.memory_format for one in bench.settings))
    return bench.ceilings(setting, formats, progress)


def against_roofline(
    latency: Latency | None, stages: Sequence[Stage], ceilings: Ceilings, setting: Setting
) -> Latency | None:
    """Return a latency with what the roofline says of the same stages, and the calibrated speeds, which are eager."""
    if latency is None:
        return None
    found = predict(stages, ceilings, memory_format=setting.memory_format)
    is_eager = setting.mode == "eager"
    return latency._replace(
        roofline_s=found.roofline_s,
        bound=found.bound,
        balanced=found.balanced,
        predicted_s=found.predicted_s if is_eager else None,
        usual_error=found.usual_error if is_eager else None,
        roofline_fraction=found.roofline_s / latency.median_s,
    )


def judge(
    bench: Bench,
    where: str,
    timing: Timing,
    fewer_macs: float | None,
    others: Mapping[str, float | None] = MappingProxyType({}),
) -> None:
    """Keep what cannot be: faster than arithmetic or the ceilings explain.

    Args:
        bench: Where it was measured.
        where: How it is called.
        timing: What was measured.
        fewer_macs: How many times fewer the depthwise-separable variant has.
        others: Likewise of further variants, by name.
    """
    found = [(where, timing.speedup, fewer_macs)]
    found += [
        (f"{where}, {name}", timing.speedup_of(name), fewer) for name, fewer in others.items()
    ]
    for place, speedup, fewer in found:
        if speedup and fewer and speedup.ci95[0] > max(1.0, fewer):
            bench.noise.append(Noise("more_than_macs", speedup.median, fewer, place))
    most = 1 + next((speedup.noise_floor for _, speedup, _ in found if speedup), SAME_WITHIN)
    for name, latency in (
        ("standard", timing.standard),
        ("depthwise_separable", timing.depthwise_separable),
        *timing.stages.items(),
        *((name, one.latency) for name, one in timing.others.items()),
    ):
        if latency and latency.roofline_fraction and latency.roofline_fraction > most:
            bench.noise.append(
                Noise("over_roofline", latency.roofline_fraction, most, f"{where}, {name}")
            )
