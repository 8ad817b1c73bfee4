"""What timing layers and models have in common: comparisons as timings, the roofline."""

from collections.abc import Callable, Collection, Mapping, Sequence
from math import sqrt

from dscost.analysis.bench import Bench
from dscost.analysis.running import Prepared
from dscost.devices.roofline import Ceilings, predict
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.reports.records import SAME_WITHIN, CpuClock, Latency, Noise, Speedup, Stage, Timing
from dscost.runtimes import TORCH
from dscost.timing import Setting
from dscost.timing.samples import Measurement
from dscost.timing.statistics import summarize

ROUNDING = 1e-9
"""Ratios that differ by less are equal."""


def timing_of(bench: Bench, compared: Mapping[str, Measurement], setting: Setting) -> Timing:
    """Return what comparisons of standard with its variants say; as it is, a thing is standard.

    A thing without a variant is compared with itself, which stands under `standard`. Where
    processor time was read, the same is said by that.
    """
    latencies, ratios = _told(compared, lambda result: bench.speedup(result, setting))
    timing = Timing(latencies=latencies, ratios=ratios)
    by_cpu = {name: one for name, result in compared.items() if (one := result.by_cpu)}
    if len(by_cpu) < len(compared):
        return timing
    cpu_clock = CpuClock(*_told(by_cpu, lambda one: bench.cpu_speedup(one, setting)))
    return timing._replace(cpu_clock=cpu_clock)


def _told(
    compared: Mapping[str, Measurement], judged: Callable[[Measurement], Speedup]
) -> tuple[dict[str, Latency], dict[str, Speedup]]:
    """Return times and ratios by the name of the version, by one clock."""
    # standard ran beside each variant: its own time is that beside depthwise-separable, if there
    usual = SEPARABLE if SEPARABLE in compared else next(iter(compared))
    if usual == STANDARD:
        itself = compared[usual]
        standard = summarize([*itself.first_s, *itself.second_s])
        return {"as_is": standard, STANDARD: standard}, {}
    latencies = {name: summarize(result.second_s) for name, result in compared.items()}
    ratios = {name: judged(result) for name, result in compared.items()}
    standard = summarize(compared[usual].first_s)
    standard, latencies[usual] = agreeing(standard, latencies[usual], ratios[usual])
    for name, latency in latencies.items():
        if name != usual:
            latencies[name] = beside(standard, latency, ratios[name])
    return {"as_is": standard, STANDARD: standard, **latencies}, ratios


def agreeing(first: Latency, second: Latency, speedup: Speedup) -> tuple[Latency, Latency]:
    """Return two latencies whose ratio is that of their pairs of blocks.

    A busy minute falls on both blocks of a pair, but on the median of one side only. Where the
    medians contradict the pairs, the pairs are right: both sides are moved, by the same factor,
    as far as it takes.
    """
    off = _off(first, second, speedup)
    return _times(first, sqrt(off)), _times(second, 1 / sqrt(off))


def beside(first: Latency, second: Latency, speedup: Speedup) -> Latency:
    """Return the second latency as `agreeing` has it where the first stands for others as well."""
    return _times(second, 1 / _off(first, second, speedup))


def _off(first: Latency, second: Latency, speedup: Speedup) -> float:
    """Return how far the ratio of medians is off that of the pairs; 1 within its interval."""
    ratio, (low, high) = first.median_s / second.median_s, speedup.ci95
    is_within = low * (1 - ROUNDING) <= ratio <= high * (1 + ROUNDING)
    return 1.0 if is_within else speedup.median / ratio


def _times(latency: Latency, factor: float) -> Latency:
    if factor == 1.0:
        return latency
    low_high = latency.ci95_s
    return latency._replace(
        median_s=latency.median_s * factor,
        ci95_s=low_high and (low_high[0] * factor, low_high[1] * factor),
        iqr_s=latency.iqr_s * factor,
        p95_s=latency.p95_s * factor,
        p99_s=latency.p99_s * factor,
        min_s=latency.min_s * factor,
    )


def with_compile_times(timing: Timing, calls: Mapping[str, Prepared]) -> Timing:
    """Return a timing with what `torch.compile` took for each version, by the calls timed."""
    latencies = {
        name: latency._replace(compile_s=calls[name].compile_s)
        for name, latency in timing.latencies.items()
    }
    return timing._replace(latencies=latencies)


def with_runs(timing: Timing, calls: Mapping[str, Prepared], *, profile: bool) -> Timing:
    """Return a timing with how a runtime ran each version, by the calls timed.

    Args:
        timing: Of them.
        calls: By version or variant.
        profile: Whether the runtime is asked for the times of its kernels.
    """
    # several versions may be one: it is asked once
    told = {id(one): one.ran_with_nodes() if profile else one.ran for one in calls.values()}
    found = {name: told[id(one)] for name, one in calls.items()}
    return timing._replace(ran={name: one for name, one in found.items() if one is not None})


def with_roofline(
    timing: Timing, stages: Mapping[str, Sequence[Stage]], ceilings: Ceilings, setting: Setting
) -> Timing:
    """Return a timing with the roofline beside every latency, from the stages of each variant."""
    latencies = {
        name: against_roofline(
            latency, stages[STANDARD if name == "as_is" else name], ceilings, setting
        )
        for name, latency in timing.latencies.items()
    }
    return timing._replace(latencies=latencies)


def against_roofline(
    latency: Latency, stages: Sequence[Stage], ceilings: Ceilings, setting: Setting
) -> Latency:
    """Return a latency with what the roofline says of the same stages, and the calibrated speeds.

    The calibrated speeds are those of torch's eager execution, so neither other modes nor other
    runtimes are held against them.
    """
    found = predict(stages, ceilings, memory_format=setting.memory_format)
    is_eager = setting.mode == "eager" and setting.runtime == TORCH
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
    fewer_macs: Mapping[str, float | None],
    explained: Collection[str] = (),
) -> None:
    """Keep what cannot be: faster than arithmetic or the ceilings explain.

    Args:
        bench: What is told of it.
        where: Of what the timing is.
        timing: That is judged.
        fewer_macs: How many times fewer MACs a variant has than standard, by its name; of one that
            is missing nothing is said, as where the dense kernel is slow or nobody knows.
        explained: The kinds of causes that are known: they tell of a fast transform.
    """
    for name, speedup in timing.ratios.items():
        fewer = fewer_macs.get(name)
        if fewer and speedup.verdict == "faster" and speedup.ci95[0] > fewer:
            place = where if name == SEPARABLE else f"{where}, {name}"
            bench.noise.append(Noise("more_than_macs", speedup.median, fewer, place))
    floors = [speedup.noise_floor for speedup in timing.ratios.values()]
    most = 1 + (floors[0] if floors else SAME_WITHIN)
    further = [name for name in timing.latencies if name not in ("as_is", *BOTH_WAYS)]
    for name, latency in (
        *((name, timing.of(name)) for name in BOTH_WAYS),
        *timing.stages.items(),
        *((name, timing.of(name)) for name in further),
    ):
        if name == STANDARD and "fast_transform" in explained:
            continue
        fraction = latency and latency.roofline_fraction
        if fraction and fraction > most:
            bench.noise.append(Noise("over_roofline", fraction, most, f"{where}, {name}"))
