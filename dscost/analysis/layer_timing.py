"""A counted layer → the same layer with measured times, what a roofline says of them, and why."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dscost.analysis.bench import Bench
from dscost.analysis.equal_macs import NAME, Beside, pointwise_of
from dscost.analysis.explaining import causes_of
from dscost.analysis.running import Prepared, Work, work_of
from dscost.analysis.timed import (
    against_roofline,
    judge,
    timing_of,
    with_compile_times,
    with_roofline,
    with_runs,
)
from dscost.analysis.varying import parts_of, with_norms
from dscost.errors import InputError
from dscost.layers.others import Part
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.networks.network import stage_costs
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Cause, Layer, Report, Stage, Timing
from dscost.runtimes import TORCH
from dscost.timing import MEMORY_FORMATS, Progress, Setting, TimingOptions
from dscost.timing.engine import Case
from dscost.timing.samples import Measurement
from dscost.timing.statistics import summarize

OF_IMAGES = 4
"""Dimensions of a tensor that torch has another layout for: batch, channels, height and width."""
LEAST_BUDGET_S = 2.0
CASE_BUDGET_S = 0.7
"""A layer under many settings has that long for each comparison."""
SLOW_MACS_PER_S = 1e9
"""A layer so large that this would not do has as long as it takes at this rate, up to
`MOST_BUDGET_S`."""
MOST_BUDGET_S = 20.0
CPU_TIMES = 2
"""So many times as long by processor time, which is asked for where a machine is busy."""


def time_layer(report: Report, options: TimingOptions, progress: Progress | None) -> Report:
    """Return the report of one layer with measured times of its variants and separable stages."""
    (layer,) = report.layers
    own = report.inputs[0]
    is_of_torch = options.runtimes == (TORCH,)
    layouts = MEMORY_FORMATS if is_of_torch and len(own.shape) == OF_IMAGES else MEMORY_FORMATS[:1]
    for layout in options.memory_formats:
        if layout != MEMORY_FORMATS[0] and len(own.shape) != OF_IMAGES:
            raise InputError(
                f"--memory-format {layout} is a layout of images: leave it out for {layer.type}"
            )
    settings = options.settings(dtype=own.dtype, batch=own.shape[0], memory_formats=layouts)
    usual_s = _budget_s(layer, settings) * (CPU_TIMES if options.clock == "cpu" else 1)
    budget_s = options.budget_s or usual_s
    bench = Bench(options, settings, budget_s, progress)
    timings: dict[str, Timing] = {}
    causes: list[Cause] = []
    with bench.open():
        trials = [_Trial.prepared(bench, report, setting) for setting in settings]
        for trial in trials:
            trial.prepare_parts()
        cases = [case for trial in trials for case in trial.cases()]
        compared = bench.compare(cases, budget_s)
        for trial in trials:
            for case in trial.compared.values():
                if bench.is_late(case, compared):
                    why = f"Not timed: {case}: enough calls do not fit in {bench.budget}."
                    bench.lack(case, why)
            timing = trial.timing(compared)
            if timing:
                timings[trial.key] = trial.bounded(timing)
        first = next((trial for trial in trials if trial.key in timings), None)
        for trial in _one_of_each_place(trials, timings):
            causes += trial.causes(layer, timings, compared)
    for trial in trials:
        if trial.key in timings:
            timing = timings[trial.key]
            found = {cause.kind for cause in causes if cause.setting == trial.key}
            fewer = {name: layer.reduction_of(name).macs for name in timing.ratios}
            judge(bench, trial.key, timing, fewer if trial.is_known(compared) else {}, found)
    speedup = timings[first.key].speedup if first else None
    verdict = speedup.verdict if speedup else None
    return report._replace(
        layers=(layer._replace(latency=timings, verdict=verdict, causes=tuple(causes)),),
        latency=timings,
        warnings=(*report.warnings, *bench.warnings),
        untimed=tuple(bench.untimed),
        environment=bench.environment() if timings else None,
    )


def _one_of_each_place(
    trials: "Iterable[_Trial]", timings: Mapping[str, Timing]
) -> "Iterator[_Trial]":
    """Yield the first trial of each device and runtime that was timed: these are explained."""
    seen = set()
    for trial in trials:
        if trial.key in timings and trial.setting.where not in seen:
            seen.add(trial.setting.where)
            yield trial


def _budget_s(layer: Layer, settings: Sequence[Setting]) -> float:
    slow_s = layer.cost.macs / SLOW_MACS_PER_S
    cases = max(1, len(layer.variants) - 1) + 1  # and one for the stages of the separable one
    others = sum(setting.runtime != TORCH for setting in settings)
    places = len({setting.where for setting in settings})  # each against itself
    every = cases * len(settings) + max(1, others + places - 1)
    return min(MOST_BUDGET_S, max(LEAST_BUDGET_S, CASE_BUDGET_S * every, slow_s))


@dataclass(slots=True)
class _Trial:
    """A layer under one setting: its variants as they will run, and the calls that run them."""

    bench: Bench
    setting: Setting
    stages: dict[str, tuple[Stage, ...]] = field(default_factory=dict)
    calls: dict[str, Prepared] = field(default_factory=dict)
    parts: dict[str, Prepared] = field(default_factory=dict)
    pointwise: Prepared | None = None

    @classmethod
    def prepared(cls, bench: Bench, report: Report, setting: Setting) -> "_Trial":
        """Return a trial with every variant that can be called."""
        (layer,) = report.layers
        shape = (setting.batch or layer.input_shape[0], *layer.input_shape[1:])
        trial = cls(bench, setting)
        for name in layer.stages:
            parts = parts_of(report, name)
            trial.stages[name] = stage_costs(parts, shape, dtype_bytes(setting.dtype))
            call = bench.prepared(trial._work(trial.stages[name], parts))
            if call:
                trial.calls[name] = call
        return trial

    def prepare_parts(self) -> None:
        """Make what explains the times: the separable stages, and a 1×1 beside the dense one.

        No more of them is made once making took its share of the time.
        """
        bench = self.bench
        if SEPARABLE in self.calls:
            for stage in self.stages[SEPARABLE]:
                if not self._may_explain():
                    break
                part = bench.prepared(self._work([stage]))
                if part:
                    self.parts[stage.name] = part
        if self.setting.runtime == TORCH or STANDARD not in self.calls:
            return  # what torch computes at which speed is known beforehand
        (dense,) = self.stages[STANDARD]
        pointwise = pointwise_of(dense, dtype_bytes(self.setting.dtype))
        if pointwise and self._may_explain():
            self.pointwise = bench.prepared(self._work(pointwise))

    def _work(self, stages: Sequence[Stage], parts: Sequence[Part] = ()) -> Work:
        """Return stages as one work, with what stands behind each convolution if that is wanted."""
        options = self.bench.options
        if options.with_norm:
            named = parts or [(stage.name, stage.conv) for stage in stages if stage.conv]
            parts = tuple(with_norms(named))
        return work_of(stages, self.setting, parts, seed=options.program_seed)

    def _may_explain(self) -> bool:
        """Whether making has left time for what only explains."""
        return self.bench.making.leaves_time(self.setting.runtime, self.bench.budget_s)

    @property
    def key(self) -> str:
        return self.setting.key

    @property
    def variants(self) -> list[str]:
        """Those that the standard one is compared with."""
        return [name for name in self.stages if name != STANDARD]

    @property
    def compared(self) -> dict[str, str]:
        """The case of each variant that can run beside standard; of standard if there are none."""
        if STANDARD not in self.calls:
            return {}
        return {
            name: self.key if name in BOTH_WAYS else f"{self.key}, {name}"
            for name in self.variants or [STANDARD]
            if name in self.calls
        }

    @property
    def stages_case(self) -> str:
        return f"{self.key}, stages"

    @property
    def dense_case(self) -> str:
        return f"{self.key}, {NAME}"

    def cases(self) -> Iterator[Case]:
        """Yield the comparisons of the variants with standard, and that of the separable stages."""
        for name, case in self.compared.items():
            calls = self.calls[STANDARD], self.calls[name]
            yield self.bench.case(case, self.setting, *calls)
        if len(self.parts) == 2:
            yield self.bench.case(self.stages_case, self.setting, *self.parts.values())
        if self.pointwise is not None:
            both = self.calls[STANDARD], self.pointwise
            yield self.bench.case(self.dense_case, self.setting, *both)

    def timing(self, compared: Mapping[str, Measurement]) -> Timing | None:
        """Return what was measured; `None` where nothing fitted in the time."""
        results = {name: compared[case] for name, case in self.compared.items() if case in compared}
        if not results:
            return None
        timing = timing_of(self.bench, results, self.setting)._replace(backends=self._backends())
        timing = with_compile_times(timing, {"as_is": self.calls[STANDARD], **self.calls})
        timing = with_runs(timing, self.calls, profile=self.bench.options.profile)
        apart, separable = compared.get(self.stages_case), timing.depthwise_separable
        if apart is None or separable is None:
            return timing
        depthwise, pointwise = self.parts
        stages = {depthwise: summarize(apart.first_s), pointwise: summarize(apart.second_s)}
        gap_s = separable.median_s - sum(latency.median_s for latency in stages.values())
        return timing._replace(stages=stages, gap_s=gap_s)

    def _backends(self) -> dict[str, str]:
        """Return the backends of convolutions: by stage, of further variants with their name."""
        parts = {STANDARD: self.calls[STANDARD], **self.parts}
        found = {name: one.backends[""] for name, one in parts.items() if "" in one.backends}
        for name in self.variants:
            if name != SEPARABLE and name in self.calls:
                for stage, backend in self.calls[name].backends.items():
                    found[f"{name}.{stage}" if stage else name] = backend
        return found

    def bounded(self, timing: Timing) -> Timing:
        """Return a timing with the roofline beside its latencies, those of the stages too."""
        ceilings = self.bench.ceilings(self.setting)
        if ceilings is None:
            return timing
        parts = {stage.name: [stage] for stage in self.stages.get(SEPARABLE, ())}
        stages = {
            name: against_roofline(latency, parts[name], ceilings, self.setting)
            for name, latency in timing.stages.items()
        }
        return with_roofline(timing, self.stages, ceilings, self.setting)._replace(stages=stages)

    def _beside(self, compared: Mapping[str, Measurement]) -> Beside | None:
        """Return the dense convolution beside a 1×1 of equal MACs, where that was timed."""
        found = compared.get(self.dense_case)
        if found is None:
            return None
        return Beside.of(found, self.bench.speedup(found, self.setting), self.stages[STANDARD][0])

    def is_known(self, compared: Mapping[str, Measurement]) -> bool:
        """Whether the dense kernel is known to be no slower than its MACs say.

        torch's speeds are known beforehand; of another runtime a 1×1 beside it tells.
        """
        beside = self._beside(compared)
        return self.setting.runtime == TORCH or (beside is not None and not beside.is_slow)

    def causes(
        self, layer: Layer, timings: Mapping[str, Timing], compared: Mapping[str, Measurement]
    ) -> list[Cause]:
        """Return why the layer is as fast as it is under this setting."""
        faults = [
            noise.figure
            for noise in self.bench.noise
            if noise.kind == "page_faults" and noise.where == self.key
        ]
        ceilings = self.bench.ceilings(self.setting)
        layer = layer._replace(stages=self.stages)
        return causes_of(
            layer,
            timings,
            ceilings,
            max(faults, default=None),
            setting=self.key,
            beside=self._beside(compared),
        )
