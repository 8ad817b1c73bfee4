"""A counted layer → the same layer with measured times, what a roofline says of them, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dscost.analysis.bench import Bench, Prepared
from dscost.analysis.explaining import causes_of
from dscost.analysis.timed import (
    against_roofline,
    ceilings_for,
    judge,
    timing_of,
    with_compile_times,
    with_roofline,
)
from dscost.analysis.varying import parts_of
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.networks.network import stage_costs
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Cause, Layer, Report, Stage, Timing
from dscost.timing import MEMORY_FORMATS, Progress, Setting, TimingOptions
from dscost.timing.engine import Case
from dscost.timing.samples import Measurement
from dscost.timing.statistics import summarize

LEAST_BUDGET_S = 2.0
CASE_BUDGET_S = 0.7
"""A layer under many settings has that long for each comparison."""
SLOW_MACS_PER_S = 1e9
"""A layer so large that this would not do has as long as it takes at this rate, up to
`MOST_BUDGET_S`."""
MOST_BUDGET_S = 20.0


@dataclass(slots=True)
class _Trial:
    """A layer under one setting: its variants as they will run, and the calls that run them."""

    setting: Setting
    stages: dict[str, tuple[Stage, ...]] = field(default_factory=dict)
    calls: dict[str, Prepared] = field(default_factory=dict)
    parts: dict[str, Prepared] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.setting.key

    @property
    def stages_case(self) -> str:
        return f"{self.key}, stages"

    @property
    def variants(self) -> list[str]:
        """Those that the standard one is compared with."""
        return [name for name in self.stages if name != STANDARD]

    def case_of(self, variant: str) -> str:
        return self.key if variant in BOTH_WAYS else f"{self.key}, {variant}"


def time_layer(report: Report, options: TimingOptions, progress: Progress | None) -> Report:
    """Return the report of one layer with measured times of its variants and separable stages."""
    (layer,) = report.layers
    own = report.inputs[0]
    settings = options.settings(dtype=own.dtype, batch=own.shape[0], memory_formats=MEMORY_FORMATS)
    bench = Bench(options, settings, options.budget_s or _budget_s(layer, len(settings)))
    timings: dict[str, Timing] = {}
    causes: tuple[Cause, ...] = ()
    with bench.open():
        trials = [_prepared(bench, report, setting) for setting in settings]
        compared = bench.compare(
            [case for trial in trials for case in _cases(bench, trial)], bench.budget_s, progress
        )
        for trial in trials:
            for case in _late(bench, trial, compared):
                bench.warn(f"Not timed: {case}: enough calls do not fit in {bench.budget}.")
            timing = _timing(bench, trial, compared)
            if timing:
                timings[trial.key] = _bounded(bench, timing, trial, progress)
        if timings:
            causes = _causes(
                bench,
                layer,
                next(trial for trial in trials if trial.key in timings),
                timings,
                progress,
            )
    for key, timing in timings.items():
        judge(bench, key, timing, {name: layer.reduction_of(name).macs for name in timing.ratios})
    first = next(iter(timings.values()), None)
    return report._replace(
        layers=(
            layer._replace(
                latency=timings,
                verdict=first.speedup.verdict if first and first.speedup else None,
                causes=causes,
            ),
        ),
        latency=timings,
        warnings=(*report.warnings, *bench.warnings),
        environment=bench.environment() if timings else None,
    )


def _budget_s(layer: Layer, settings: int) -> float:
    slow_s = layer.cost.macs / SLOW_MACS_PER_S
    cases = max(1, len(layer.variants) - 1) + 1  # and one for the stages of the separable one
    return min(MOST_BUDGET_S, max(LEAST_BUDGET_S, CASE_BUDGET_S * (cases * settings + 1), slow_s))


def _prepared(bench: Bench, report: Report, setting: Setting) -> _Trial:
    (layer,) = report.layers
    shape = (setting.batch or layer.input_shape[0], *layer.input_shape[1:])
    trial = _Trial(setting)
    for name in layer.stages:
        parts = parts_of(report, name)
        trial.stages[name] = stage_costs(parts, shape, dtype_bytes(setting.dtype))
        call = bench.stages(trial.stages[name], setting, parts)
        if call:
            trial.calls[name] = call
    for stage in trial.stages.get(SEPARABLE, ()):
        part = bench.stages([stage], setting) if SEPARABLE in trial.calls else None
        if part:
            trial.parts[stage.name] = part
    return trial


def _compared(trial: _Trial) -> list[str]:
    """Return the variants that can run beside the standard one; that itself if there are none."""
    if STANDARD not in trial.calls:
        return []
    return [name for name in trial.variants or [STANDARD] if name in trial.calls]


def _cases(bench: Bench, trial: _Trial) -> Iterator[Case]:
    """Yield the comparisons of the variants with standard, and that of the separable stages."""
    if not trial.calls:  # there may be no such device
        return
    timer = bench.timer(trial.setting)
    for name in _compared(trial):
        yield Case(trial.case_of(name), trial.calls[STANDARD].call, trial.calls[name].call, timer)
    if len(trial.parts) == 2:
        depthwise, pointwise = trial.parts.values()
        yield Case(trial.stages_case, depthwise.call, pointwise.call, timer)


def _late(bench: Bench, trial: _Trial, compared: Mapping[str, Measurement]) -> list[str]:
    """Return the comparisons that did not fit in the time."""
    cases = [trial.case_of(name) for name in _compared(trial)]
    return [case for case in cases if case not in compared and case not in bench.failed]


def _timing(bench: Bench, trial: _Trial, compared: Mapping[str, Measurement]) -> Timing | None:
    cases = {name: trial.case_of(name) for name in _compared(trial)}
    results = {name: compared[case] for name, case in cases.items() if case in compared}
    if not results:
        return None
    timing = timing_of(bench, results, trial.setting)._replace(backends=_backends(trial))
    timing = with_compile_times(timing, {"as_is": trial.calls[STANDARD], **trial.calls})
    apart, separable = compared.get(trial.stages_case), timing.depthwise_separable
    if apart is None or separable is None:
        return timing
    depthwise, pointwise = trial.parts
    stages = {depthwise: summarize(apart.first_s), pointwise: summarize(apart.second_s)}
    gap_s = separable.median_s - sum(latency.median_s for latency in stages.values())
    return timing._replace(stages=stages, gap_s=gap_s)


def _backends(trial: _Trial) -> dict[str, str]:
    """Return the backends of the convolutions: by stage, of further variants with their name."""
    parts = {STANDARD: trial.calls[STANDARD], **trial.parts}
    found = {name: one.backends[""] for name, one in parts.items() if "" in one.backends}
    for name in trial.variants:
        if name != SEPARABLE and name in trial.calls:
            backends = trial.calls[name].backends
            found |= {
                f"{name}.{stage}" if stage else name: backend for stage, backend in backends.items()
            }
    return found


def _bounded(bench: Bench, timing: Timing, trial: _Trial, progress: Progress | None) -> Timing:
    ceilings = ceilings_for(bench, trial.setting, progress)
    if ceilings is None:
        return timing
    setting = trial.setting
    parts = {stage.name: [stage] for stage in trial.stages.get(SEPARABLE, ())}
    stages = {
        name: against_roofline(latency, parts[name], ceilings, setting)
        for name, latency in timing.stages.items()
    }
    return with_roofline(timing, trial.stages, ceilings, setting)._replace(stages=stages)


def _causes(
    bench: Bench,
    layer: Layer,
    trial: _Trial,
    timings: Mapping[str, Timing],
    progress: Progress | None,
) -> tuple[Cause, ...]:
    faults = [
        noise.figure
        for noise in bench.noise
        if noise.kind == "page_faults" and noise.where == trial.key
    ]
    ceilings = ceilings_for(bench, trial.setting, progress)
    return tuple(
        causes_of(layer._replace(stages=trial.stages), timings, ceilings, max(faults, default=None))
    )
