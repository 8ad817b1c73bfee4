"""A counted model → the same with measured times: each distinct layer both ways, and the whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from dscost.analysis.bench import Bench
from dscost.analysis.counting import CountedModel
from dscost.analysis.explaining import causes_of
from dscost.analysis.predicting import dtype_of, whole_bound
from dscost.analysis.running import Prepared, Work, work_of
from dscost.analysis.timed import judge, timing_of, with_compile_times, with_roofline
from dscost.errors import first_of
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.networks.network import stage_costs
from dscost.networks.swaps import Swap
from dscost.notation.units import dtype_bytes, format_seconds, format_shape
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
WHOLE, AS_IS = "whole model", "as it is"
"""The cases of a model as a whole."""


class _Model(NamedTuple):
    """A counted model that can be written anew, and its inputs at once."""

    report: Report
    swaps: Sequence[Swap]
    versions: "Versions"

    @property
    def batch(self) -> int:
        return next((one.shape[0] for one in self.report.inputs if one.shape), 1)

    def layer_of(self, swap: Swap) -> str:
        return self.versions.layer_of(swap)[0]

    def without_losing(self) -> "_Model":
        """Return it without the swaps that make a layer slower; pairs stay."""
        layers = (layer for layer in self.report.layers if layer.pair is None)
        losing = tuple(layer.name for layer in layers if layer.verdict == "slower")
        kept = [swap for swap in self.swaps if self.layer_of(swap) not in losing]
        report = self.report._replace(totals=self.versions.totals(kept), skipped=losing)
        return self._replace(report=report, swaps=kept)


def time_model(counted: CountedModel, options: TimingOptions, progress: Progress | None) -> Report:
    """Return the report of a model with measured times of the whole and of each distinct swap."""
    assert counted.versions is not None
    report = counted.report
    model = _Model(report, counted.swaps, counted.versions)
    settings = options.settings(
        dtype=dtype_of(report), batch=model.batch, memory_formats=MEMORY_FORMATS[:1]
    )
    bench = Bench(options, settings, options.budget_s or BUDGET_S, progress)
    share_s = bench.budget_s / len(settings)
    timed: dict[str, _Layers] = {}
    wholes: dict[str, Timing] = {}
    with bench.open():
        for setting in settings:
            timed[setting.key] = _time_swaps(bench, model, setting, share_s * LAYERS_SHARE)
        layers = tuple(_with_timings(layer, timed) for layer in report.layers)
        model = model._replace(report=report._replace(layers=layers))
        if options.skip_losing:
            model = model.without_losing()
        for setting in settings:
            of_layers = timed[setting.key]
            whole = _Whole(bench, model, of_layers, setting).timed(share_s - of_layers.took_s)
            if whole:
                wholes[setting.key] = whole
        report = _explained(bench, model.report)
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


def _time_swaps(bench: Bench, model: _Model, setting: Setting, budget_s: float) -> _Layers:
    """Return measurements of every swap; equal convolutions on equal inputs are measured once."""
    timed, began = _Layers(), perf_counter()
    plans = _plans(model, setting)
    backends: dict[str, dict[str, str]] = {}
    cases: list[Case] = []
    tried = 0
    # All are built before any is timed: the engine lets cases take turns, so that a busy minute
    # falls on all of them. The heaviest come first, should the time not suffice.
    for plan in plans:
        if perf_counter() - began > BUILDING_SHARE * budget_s:
            break
        tried += 1
        works = (work_of(plan.stages[name], setting) for name in BOTH_WAYS)
        standard, separable = map(bench.prepared, works)
        if standard and separable:
            own = {STANDARD: standard.backends.get("", ""), **separable.backends}
            backends[plan.name] = {name: backend for name, backend in own.items() if backend}
            cases.append(bench.case(plan.name, setting, standard, separable))
    compared = bench.compare(cases, budget_s - (perf_counter() - began))
    ceilings = bench.ceilings(setting) if compared else None
    for plan in plans:
        if plan.name not in compared:
            timed.is_complete = False
            continue
        timing = timing_of(bench, {SEPARABLE: compared[plan.name]}, setting)
        timing = timing._replace(backends=backends[plan.name])
        if ceilings:
            timing = with_roofline(timing, plan.stages, ceilings, setting)
        judge(bench, plan.name, timing, {SEPARABLE: plan.fewer_macs})
        # a pair is no layer, and has no time as it is
        of_pair = timing._replace(latencies={name: timing.latencies[name] for name in BOTH_WAYS})
        for swap in plan.swaps:
            layer = model.layer_of(swap)
            timed.swaps.append((layer, timing))
            timed.timings.setdefault(layer, of_pair if swap.is_pair else timing)
    late = len(plans) - tried + sum(bench.is_late(case.name, compared) for case in cases)
    if late:
        timed.was_cut_short = True
        bench.warn(f"{late} of {len(plans)} distinct layers were not timed within {bench.budget}.")
    timed.took_s = perf_counter() - began
    return timed


def _plans(model: _Model, setting: Setting) -> list[_Plan]:
    """Return distinct swaps, the largest first, should the time not suffice for all."""
    alike: dict[object, list[Swap]] = {}
    for swap in model.swaps:
        _, shape = model.versions.layer_of(swap)
        alike.setdefault((swap._replace(positions=(), is_pair=False), shape), []).append(swap)
    names: dict[str, int] = {}
    plans = []
    for group in alike.values():
        layer, shape = model.versions.layer_of(group[0])
        names[layer] = names.get(layer, 0) + 1  # a layer may run on inputs of several sizes
        name = layer if names[layer] == 1 else f"{layer} on {format_shape(shape)}"
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


def _explained(bench: Bench, report: Report) -> Report:
    """Return the report with the reasons of the layers that were timed."""
    measured = {key for layer in report.layers for key in layer.latency}
    setting = next((one for one in bench.settings if one.key in measured), None)
    if setting is None:
        return report
    ceilings = bench.ceilings(setting)
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
    model: _Model
    layers: _Layers
    setting: Setting

    def timed(self, budget_s: float) -> Timing | None:
        """Return the model as it is, standard and separable; equal versions are timed once."""
        if not self._fits(budget_s):
            return None
        are_pairs = {swap.is_pair for swap in self.model.swaps}
        began = perf_counter()
        as_is = standard = separable = self._prepared("as_is")
        if True in are_pairs:
            standard = self._prepared(STANDARD)
        if False in are_pairs:
            separable = self._prepared(SEPARABLE)
        if not (as_is and standard and separable):
            return None
        built_s = perf_counter() - began
        calls = {"as_is": as_is, STANDARD: standard, SEPARABLE: separable}
        # making the models is not measuring: it may take what the layers have left over, not all
        timing = self._compared(calls, max(budget_s - built_s, budget_s / 2))
        if timing is None:
            return None
        timing = with_compile_times(timing, calls)
        timing = timing._replace(layers_s=self.layers.sums(self.model.report.skipped))
        return self._against_roofline(timing)

    def _compared(self, calls: Mapping[str, Prepared], budget_s: float) -> Timing | None:
        """Return the latencies of three versions, of which two or all three may be one."""
        bench, (as_is, standard, separable) = self.bench, calls.values()
        cases = [bench.case(WHOLE, self.setting, standard, separable)]
        if as_is not in (standard, separable):
            cases.append(bench.case(AS_IS, self.setting, as_is, separable))
        compared = bench.compare(cases, budget_s)
        if WHOLE not in compared:
            if bench.is_late(WHOLE, compared):
                bench.warn(f"The whole model was not timed within {bench.budget}.")
            return None
        variant = STANDARD if standard is separable else SEPARABLE
        timing = timing_of(bench, {variant: compared[WHOLE]}, self.setting)
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
                why = f"its layers did not fit in {self.bench.budget}"
                self.bench.warn(f"The whole model was not timed: {why}.")
            return not self.layers.was_cut_short
        if WHOLE_CALLS * expected_s <= budget_s:
            return True
        needed, left = format_seconds(WHOLE_CALLS * expected_s), format_seconds(max(budget_s, 0.0))
        self.bench.warn(
            f"The whole model was not timed: that takes at least {needed}, "
            f"and of {self.bench.budget} {left} were left."
        )
        return False

    def _expected_s(self) -> float | None:
        """Return the time of one pass of both pure versions, from the layers that were timed."""
        seconds, macs, report = 0.0, 0, self.model.report
        for layer in report.layers:
            timing = self.layers.timings.get(layer.name)
            if timing and timing.standard and timing.depthwise_separable and layer.variants:
                seconds += timing.standard.median_s + timing.depthwise_separable.median_s
                macs += sum(stage.cost.macs for name in BOTH_WAYS for stage in layer.stages[name])
        total = report.totals.standard.macs + report.totals.depthwise_separable.macs
        return seconds * total / macs if macs else None

    def _prepared(self, version: str) -> Prepared | None:
        report, model = self.model.report, self.model
        cost = getattr(report.totals, version)
        # how many times the inputs of the report the setting has
        scale = self.setting.batch / max(1, model.batch) if self.setting.batch else 1.0
        largest = max((layer.cost.output_bytes for layer in report.layers), default=0)
        activations = report.peak_activation_bytes or WORK_COPIES * largest
        return self.bench.prepared(
            Work(
                "the whole model",
                self.setting,
                lambda: self._built(version),
                lambda: model.versions.arguments(self.setting),
                macs=int(cost.macs * scale),
                needed_bytes=int(2 * cost.weight_bytes + activations * scale),
            )
        )

    def _built(self, version: str) -> nn.Module:
        module, left = self.model.versions.build(version, self.model.swaps)
        if left:
            self.bench.warn(
                f"Timed with {len(left)} layers left as they are, "
                f"though counted as swapped: {first_of(left, LEFT_SHOWN, '; ')}."
            )
        return module

    def _against_roofline(self, timing: Timing) -> Timing:
        """Return the timing with the sum of the layers' own rooflines beside each version."""
        if self.setting.batch is not None or self.setting.dtype != dtype_of(self.model.report):
            return timing  # the layers were counted for another input
        ceilings = self.bench.ceilings(self.setting)
        if ceilings is None:
            return timing
        bounded = {}
        for name, latency in timing.latencies.items():
            found = whole_bound(self.model.report, name, ceilings)
            fraction = found.roofline_s / latency.median_s
            bounded[name] = latency._replace(**found._asdict(), roofline_fraction=fraction)
        return timing._replace(latencies=bounded)
