"""A counted layer → the same layer with measured times, what a roofline says of them, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dscost.analysis.bench import Bench, Prepared, Progress
from dscost.analysis.explaining import causes_of
from dscost.analysis.timed import against_roofline, ceilings_for, judge, timing_of
from dscost.operations import stage_costs
from dscost.results import Cause, Layer, Report, Stage, Timing
from dscost.timing import MEMORY_FORMATS, Setting, TimingOptions
from dscost.timing.engine import Case, Comparison
from dscost.timing.statistics import summarize
from dscost.units import dtype_bytes

LEAST_BUDGET_S = 2.0
CASE_BUDGET_S = 0.7
"""A layer under many settings has that long for each comparison."""
SLOW_MACS_PER_S = 1e9
"""A layer so large that this would not do has as long as it takes at this rate, up to `MOST_BUDGET_S`."""
MOST_BUDGET_S = 20.0


@dataclass(slots=True)
class _Trial:
    """A layer under one setting: its variants as they will run, and the calls that run them."""

    setting: Setting
    stages: Mapping[str, tuple[Stage, ...]]
    calls: dict[str, Prepared] = field(default_factory=dict)
    parts: dict[str, Prepared] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.setting.key

    @property
    def stages_case(self) -> str:
        return f"{self.key}, stages"


def time_layer(report: Report, options: TimingOptions, progress: Progress | None) -> Report:
    """Return the report of one layer with measured times of both variants and of the separable stages."""
    (layer,) = report.layers
    own = report.inputs[0]
    settings = options.settings(dtype=own.dtype, batch=own.shape[0], memory_formats=MEMORY_FORMATS)
    bench = Bench(options, settings, options.budget_s or _budget_s(layer, len(settings)))
    timings: dict[str, Timing] = {}
    causes: tuple[Cause, ...] = ()
    with bench.open():
        trials = [_prepared(bench, layer, setting) for setting in settings]
        compared = bench.compare([case for trial in trials for case in _cases(bench, trial)], bench.budget_s, progress)
        for trial in trials:
            timing = _timing(bench, trial, compared)
            if timing:
                timings[trial.key] = _with_roofline(bench, timing, trial, progress)
            elif _is_complete(trial) and trial.key not in bench.failed:
                bench.warn(f"Not timed: {trial.key}: enough calls do not fit in {bench.budget}.")
        if timings:
            causes = _causes(bench, layer, next(trial for trial in trials if trial.key in timings), timings, progress)
    for key, timing in timings.items():
        judge(bench, key, timing, report.totals.reduction.macs)
    first = next(iter(timings.values()), None)
    return report._replace(
        layers=(
            layer._replace(
                latency=timings, verdict=first.speedup.verdict if first and first.speedup else None, causes=causes
            ),
        ),
        latency=timings,
        warnings=(*report.warnings, *bench.warnings),
        environment=bench.environment() if timings else None,
    )


def _budget_s(layer: Layer, settings: int) -> float:
    slow_s = layer.cost.macs / SLOW_MACS_PER_S
    return min(MOST_BUDGET_S, max(LEAST_BUDGET_S, CASE_BUDGET_S * (2 * settings + 1), slow_s))


def _prepared(bench: Bench, layer: Layer, setting: Setting) -> _Trial:
    shape = (setting.batch or layer.input_shape[0], *layer.input_shape[1:])
    stages = {
        name: stage_costs(tuple((s.name, s.conv) for s in parts), shape, dtype_bytes(setting.dtype))
        for name, parts in layer.stages.items()
    }
    trial = _Trial(setting, stages)
    for name, parts in stages.items():
        call = bench.stages(parts, setting)
        if call:
            trial.calls[name] = call
    for stage in stages.get("depthwise_separable", ()):
        part = bench.stages([stage], setting) if "depthwise_separable" in trial.calls else None
        if part:
            trial.parts[stage.name] = part
    return trial


def _is_complete(trial: _Trial) -> bool:
    return set(trial.calls) == set(trial.stages)


def _cases(bench: Bench, trial: _Trial) -> Iterator[Case]:
    """Yield the comparison of the variants, and that of the stages of the separable one."""
    if not _is_complete(trial):
        return
    timer = bench.timer(trial.setting)
    standard = trial.calls["standard"]
    # a layer without a variant is timed against itself
    yield Case(trial.key, standard.call, trial.calls.get("depthwise_separable", standard).call, timer)
    if len(trial.parts) == 2:
        depthwise, pointwise = trial.parts.values()
        yield Case(trial.stages_case, depthwise.call, pointwise.call, timer)


def _timing(bench: Bench, trial: _Trial, compared: Mapping[str, Comparison]) -> Timing | None:
    result = compared.get(trial.key)
    if result is None:
        return None
    timing = timing_of(bench, result, trial.setting, has_variant="depthwise_separable" in trial.calls)
    parts = {"standard": trial.calls["standard"], **trial.parts}
    timing = timing._replace(backends={name: one.backends[""] for name, one in parts.items() if "" in one.backends})
    for name, prepared in trial.calls.items():
        latency = timing.of(name)
        if latency:
            timing = timing.with_latency(name, latency._replace(compile_s=prepared.compile_s))
    timing = timing._replace(as_is=timing.standard)
    apart = compared.get(trial.stages_case)
    if apart is None or timing.depthwise_separable is None:
        return timing
    depthwise, pointwise = trial.parts
    stages = {depthwise: summarize(apart.first_s), pointwise: summarize(apart.second_s)}
    gap_s = timing.depthwise_separable.median_s - sum(latency.median_s for latency in stages.values())
    return timing._replace(stages=stages, gap_s=gap_s)


def _with_roofline(bench: Bench, timing: Timing, trial: _Trial, progress: Progress | None) -> Timing:
    ceilings = ceilings_for(bench, trial.setting, progress)
    if ceilings is None:
        return timing
    setting = trial.setting
    for name, stages in trial.stages.items():
        timing = timing.with_latency(name, against_roofline(timing.of(name), stages, ceilings, setting))
    parts = {stage.name: (stage,) for stage in trial.stages.get("depthwise_separable", ())}
    bounded = {
        name: against_roofline(one, parts[name], ceilings, setting) or one for name, one in timing.stages.items()
    }
    return timing._replace(as_is=timing.standard, stages=bounded)


def _causes(
    bench: Bench, layer: Layer, trial: _Trial, timings: Mapping[str, Timing], progress: Progress | None
) -> tuple[Cause, ...]:
    faults = [noise.figure for noise in bench.noise if noise.kind == "page_faults" and noise.where == trial.key]
    ceilings = ceilings_for(bench, trial.setting, progress)
    return tuple(causes_of(layer._replace(stages=trial.stages), timings, ceilings, max(faults, default=None)))
