"""A counted model → the same with measured times: each distinct layer both ways, and the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from torch import nn

from dscost.analysis.bench import Bench, Prepared
from dscost.analysis.counting import CountedModel
from dscost.analysis.explaining import causes_of
from dscost.analysis.predicting import dtype_of, whole_bound
from dscost.analysis.timed import ceilings_for, judge, timing_of, with_compile_times, with_roofline
from dscost.layers.convolution import Shape
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.networks.network import stage_costs
from dscost.networks.swaps import Swap
from dscost.notation.units import dtype_bytes, format_seconds
from dscost.reports.records import Layer, Report, Stage, Timing
from dscost.timing import MEMORY_FORMATS, Progress, Setting, TimingOptions
from dscost.timing.engine import Case
from dscost.timing.statistics import summarize

if TYPE_CHECKING:
    from dscost.analysis.counting import Versions

BUDGET_S = 10.0
LAYERS_SHARE = 0.6
"""Of a model's time budget; the rest goes to the model as a whole."""
BUILDING_SHARE = 0.5
"""Of the layers' time; making weights for a huge model must not eat all of it."""
WHOLE_CALLS = 12
"""A comparison of whole models takes at least about that many calls of each."""
LEFT_SHOWN = 3
WORK_COPIES = 4
"""A running model holds about so many of its largest results at once, where its peak is not
known."""


def time_model(counted: CountedModel, options: TimingOptions, progress: Progress | None) -> Report:
    """Return the report of a model with measured times of the whole and of each distinct swap."""
    assert counted.versions is not None
    report, versions, swaps = counted.report, counted.versions, counted.swaps
    batch = next((one.shape[0] for one in report.inputs if one.shape), 1)
    settings = options.settings(
        dtype=dtype_of(report), batch=batch, memory_formats=MEMORY_FORMATS[:1]
    )
    bench = Bench(options, settings, options.budget_s or BUDGET_S)
    share_s = bench.budget_s / len(settings)
    timed: dict[str, _Layers] = {}
    wholes: dict[str, Timing] = {}
    with bench.open():
        for setting in settings:
            timed[setting.key] = _time_swaps(
                bench, swaps, versions, setting, share_s * LAYERS_SHARE, progress
            )
        report = report._replace(
            layers=tuple(_with_timings(layer, timed) for layer in report.layers)
        )
        if options.skip_losing:
            report, swaps = _without_losing(report, swaps, versions)
        for setting in settings:
            layers = timed[setting.key]
            whole = _Whole(bench, report, swaps, versions, layers, setting).timed(
                share_s - layers.took_s, progress
            )
            if whole:
                wholes[setting.key] = whole
        report = _explained(bench, report, settings, progress)
    for key, whole in wholes.items():
        judge(bench, f"{key}, the whole model", whole, {SEPARABLE: report.totals.reduction.macs})
    anything = wholes or any(layer.latency for layer in report.layers)
    return report._replace(
        latency=wholes,
        warnings=(*report.warnings, *bench.warnings),
        environment=bench.environment() if anything else None,
    )


# -- layers


@dataclass(slots=True)
class _Plan:
    """Swaps of equal convolutions on equal inputs, and what they consist of under a setting."""

    name: str
    swaps: Sequence[Swap]
    stages: Mapping[str, tuple[Stage, ...]]

    def macs(self, variant: str) -> int:
        """Return the multiply-accumulates of one swap written as a variant."""
        return sum(stage.cost.macs for stage in self.stages[variant])

    @property
    def fewer_macs(self) -> float:
        """How many times fewer the depthwise-separable variant has."""
        return self.macs(STANDARD) / max(1, self.macs(SEPARABLE))


@dataclass(slots=True)
class _Layers:
    """What was measured under one setting.

    Args:
        timings: Measurements by layer.
        swaps: Layer and timing of every swap, also of those that run in one layer.
        is_complete: Whether every swap was timed.
        was_cut_short: Whether something was not timed for want of time.
        took_s: All of it.
    """

    timings: dict[str, Timing] = field(default_factory=dict)
    swaps: list[tuple[str, Timing]] = field(default_factory=list)
    is_complete: bool = True
    was_cut_short: bool = False
    took_s: float = 0.0

    def keep(self, plan: _Plan, timing: Timing, versions: "Versions") -> None:
        """Keep what was measured of a plan's swaps; a pair is no layer and has no time as it is."""
        variants = {name: timing.latencies[name] for name in BOTH_WAYS}
        for swap in plan.swaps:
            layer, _ = versions.layer_of(swap)
            self.swaps.append((layer, timing))
            own = timing._replace(latencies=variants) if swap.is_pair else timing
            self.timings.setdefault(layer, own)

    def sums(self, skipped: Sequence[str]) -> dict[str, float]:
        """Return what all swaps take by variant, skipped ones standard; nothing if one lacks."""
        if not self.is_complete or not self.swaps:
            return {}
        found = dict.fromkeys(BOTH_WAYS, 0.0)
        for name, timing in self.swaps:
            for variant in BOTH_WAYS:
                latency = timing.of(STANDARD if name in skipped else variant)
                found[variant] += latency.median_s if latency else 0.0
        return found


def _time_swaps(
    bench: Bench,
    swaps: Sequence[Swap],
    versions: "Versions",
    setting: Setting,
    budget_s: float,
    progress: Progress | None,
) -> _Layers:
    """Return measurements of every swap; equal convolutions on equal inputs are measured once."""
    timed, began = _Layers(), perf_counter()
    plans = _plans(swaps, versions, setting)
    backends: dict[str, dict[str, str]] = {}
    cases: list[Case] = []
    tried = 0
    # All are built before any is timed: the engine lets cases take turns, so that a busy minute
    # falls on all of them. The heaviest come first, should the time not suffice.
    for plan in plans:
        if perf_counter() - began > BUILDING_SHARE * budget_s:
            break
        tried += 1
        standard, separable = (bench.stages(plan.stages[name], setting) for name in BOTH_WAYS)
        if standard and separable:
            backends[plan.name] = {STANDARD: standard.backends.get("", ""), **separable.backends}
            cases.append(Case(plan.name, standard.call, separable.call, bench.timer(setting)))
    compared = bench.compare(cases, budget_s - (perf_counter() - began), progress)
    ceilings = ceilings_for(bench, setting, progress) if compared else None
    for plan in plans:
        if plan.name not in compared:
            timed.is_complete = False
            continue
        timing = timing_of(bench, {SEPARABLE: compared[plan.name]}, setting)
        known = {name: backend for name, backend in backends[plan.name].items() if backend}
        timing = timing._replace(backends=known)
        if ceilings:
            timing = with_roofline(timing, plan.stages, ceilings, setting)
        judge(bench, plan.name, timing, {SEPARABLE: plan.fewer_macs})
        timed.keep(plan, timing, versions)
    missing = [case.name for case in cases if case.name not in compared]
    late = len(plans) - tried + sum(name not in bench.failed for name in missing)
    if late:
        timed.was_cut_short = True
        bench.warn(f"{late} of {len(plans)} distinct layers were not timed within {bench.budget}.")
    timed.took_s = perf_counter() - began
    return timed


def _plans(swaps: Sequence[Swap], versions: "Versions", setting: Setting) -> list[_Plan]:
    """Return distinct swaps, the largest first, should the time not suffice for all."""
    alike: dict[tuple[object, Shape], list[Swap]] = {}
    for swap in swaps:
        _, shape = versions.layer_of(swap)
        alike.setdefault((swap._replace(positions=(), is_pair=False), shape), []).append(swap)
    names: dict[str, int] = {}
    plans = []
    for (_, shape), group in alike.items():
        layer, _ = versions.layer_of(group[0])
        names[layer] = names.get(layer, 0) + 1  # a layer may run on inputs of several sizes
        name = layer if names[layer] == 1 else f"{layer} on {'×'.join(map(str, shape))}"
        whole = (setting.batch or shape[0], *shape[1:])
        size = dtype_bytes(setting.dtype)
        stages = {one: stage_costs(group[0].convs(one), whole, size) for one in BOTH_WAYS}
        plans.append(_Plan(name, group, stages))
    return sorted(plans, key=lambda plan: -len(plan.swaps) * plan.macs(STANDARD))


def _with_timings(layer: Layer, timed: Mapping[str, _Layers]) -> Layer:
    timings = {
        key: layers.timings[layer.name]
        for key, layers in timed.items()
        if layer.name in layers.timings and layer.variants
    }
    if not timings:
        return layer
    speedup = next(iter(timings.values())).speedup
    return layer._replace(latency=timings, verdict=speedup.verdict if speedup else None)


def _without_losing(
    report: Report, swaps: Sequence[Swap], versions: "Versions"
) -> tuple[Report, tuple[Swap, ...]]:
    """Return the report and the swaps without those that make a layer slower; pairs stay."""
    losing = [
        layer.name for layer in report.layers if layer.verdict == "slower" and layer.pair is None
    ]
    kept = tuple(swap for swap in swaps if versions.layer_of(swap)[0] not in losing)
    return report._replace(totals=versions.totals(kept), skipped=tuple(losing)), kept


def _explained(
    bench: Bench, report: Report, settings: Sequence[Setting], progress: Progress | None
) -> Report:
    """Return the report with the reasons of the layers that were timed."""
    measured = {key for layer in report.layers for key in layer.latency}
    setting = next((one for one in settings if one.key in measured), None)
    if setting is None:
        return report
    ceilings = ceilings_for(bench, setting, progress)
    layers = list(report.layers)
    for at, layer in enumerate(layers):
        if setting.key in layer.latency:
            causes = tuple(causes_of(layer, layer.latency, ceilings))
            layers[at] = layer._replace(causes=causes)
    return report._replace(layers=tuple(layers))


# -- the whole


@dataclass(slots=True)
class _Whole:
    """A whole model under one setting."""

    bench: Bench
    report: Report
    swaps: Sequence[Swap]
    versions: "Versions"
    layers: _Layers
    setting: Setting

    def timed(self, budget_s: float, progress: Progress | None) -> Timing | None:
        """Return the model as it is, standard and separable; equal versions are timed once."""
        if not self._fits(budget_s):
            return None
        names = ["as_is"]
        if any(swap.is_pair for swap in self.swaps):
            names.append(STANDARD)
        if any(not swap.is_pair for swap in self.swaps):
            names.append(SEPARABLE)
        began = perf_counter()
        calls = {name: self._prepared(name) for name in names}
        as_is = calls["as_is"]
        standard, separable = calls.get(STANDARD, as_is), calls.get(SEPARABLE, as_is)
        if not (as_is and standard and separable):
            return None
        built_s = perf_counter() - began
        # making the models is not measuring: it may take what the layers have left over, not all
        timing = self._compared(
            as_is, standard, separable, max(budget_s - built_s, budget_s / 2), progress
        )
        if timing is None:
            return None
        timing = with_compile_times(
            timing, {"as_is": as_is, STANDARD: standard, SEPARABLE: separable}
        )
        timing = timing._replace(layers_s=self.layers.sums(self.report.skipped))
        return self._against_roofline(timing, progress)

    def _compared(
        self,
        as_is: Prepared,
        standard: Prepared,
        separable: Prepared,
        budget_s: float,
        progress: Progress | None,
    ) -> Timing | None:
        """Return the latencies of three versions, of which two or all three may be one."""
        timer = self.bench.timer(self.setting)
        cases = [Case(WHOLE, standard.call, separable.call, timer)]
        if as_is not in (standard, separable):
            cases.append(Case(AS_IS, as_is.call, separable.call, timer))
        compared = self.bench.compare(cases, budget_s, progress)
        if WHOLE not in compared:
            if WHOLE not in self.bench.failed:
                self.bench.warn(f"The whole model was not timed within {self.bench.budget}.")
            return None
        variant = STANDARD if standard is separable else SEPARABLE
        timing = timing_of(self.bench, {variant: compared[WHOLE]}, self.setting)
        latencies = dict(timing.latencies)
        if as_is is separable:
            latencies["as_is"] = latencies[variant]
        elif as_is is not standard:
            del latencies["as_is"]
            if AS_IS in compared:
                latencies["as_is"] = summarize(compared[AS_IS].first_s)
        return timing._replace(latencies=latencies)

    def _fits(self, budget_s: float) -> bool:
        """Whether enough calls fit in the time, as far as the layers that were timed tell."""
        expected_s = self._expected_s()
        if expected_s is None:
            if self.layers.was_cut_short:
                self.bench.warn(
                    f"The whole model was not timed: its layers did not fit in {self.bench.budget}."
                )
            return not self.layers.was_cut_short
        if WHOLE_CALLS * expected_s <= budget_s:
            return True
        needed = format_seconds(WHOLE_CALLS * expected_s)
        self.bench.warn(
            f"The whole model was not timed: that takes at least {needed}, "
            f"and of {self.bench.budget} {format_seconds(max(budget_s, 0.0))} were left."
        )
        return False

    def _expected_s(self) -> float | None:
        """Return the time of one pass of both pure versions, from the layers that were timed."""
        seconds, macs = 0.0, 0
        for layer in self.report.layers:
            timing = self.layers.timings.get(layer.name)
            if timing and timing.standard and timing.depthwise_separable and layer.variants:
                seconds += timing.standard.median_s + timing.depthwise_separable.median_s
                macs += sum(stage.cost.macs for name in BOTH_WAYS for stage in layer.stages[name])
        total = self.report.totals.standard.macs + self.report.totals.depthwise_separable.macs
        return seconds * total / macs if macs else None

    def _prepared(self, name: str) -> Prepared | None:
        cost, scale = getattr(self.report.totals, name), self._scale()
        largest = max((layer.cost.output_bytes for layer in self.report.layers), default=0)
        activations = self.report.peak_activation_bytes or WORK_COPIES * largest

        def build() -> nn.Module:
            module, left = self.versions.build(name, self.swaps)
            if left:
                more = f" and {len(left) - LEFT_SHOWN} more" if len(left) > LEFT_SHOWN else ""
                few = "; ".join(left[:LEFT_SHOWN])
                self.bench.warn(
                    f"Timed with {len(left)} layers left as they are, "
                    f"though counted as swapped: {few}{more}."
                )
            return module

        return self.bench.prepared(
            "the whole model",
            build,
            lambda: self.versions.arguments(self.setting),
            self.setting,
            macs=int(cost.macs * scale),
            needed_bytes=int(2 * cost.weight_bytes + activations * scale),
        )

    def _scale(self) -> float:
        """Return how many times the inputs of the report a setting has."""
        own = next((one.shape[0] for one in self.report.inputs if one.shape), 1)
        return self.setting.batch / max(1, own) if self.setting.batch else 1.0

    def _against_roofline(self, timing: Timing, progress: Progress | None) -> Timing:
        """Return the timing with the sum of the layers' own rooflines beside each version."""
        if self.setting.batch is not None or self.setting.dtype != dtype_of(self.report):
            return timing  # the layers were counted for another input
        ceilings = ceilings_for(self.bench, self.setting, progress)
        if ceilings is None:
            return timing
        bounded = {}
        for name, latency in timing.latencies.items():
            found = whole_bound(self.report, name, ceilings)
            fraction = found.roofline_s / latency.median_s
            bounded[name] = latency._replace(
                roofline_s=found.roofline_s, bound=found.bound, roofline_fraction=fraction
            )
        return timing._replace(latencies=bounded)


WHOLE, AS_IS = "whole model", "as it is"
