"""The swaps of a model, timed both ways as layers of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NamedTuple

from dscost.analysis.bench import Bench
from dscost.analysis.equal_macs import NAME, Beside, pointwise_of
from dscost.analysis.explaining import AGREES_FROM
from dscost.analysis.places import under_of
from dscost.analysis.running import Prepared, work_of
from dscost.analysis.swappable import SwappableModel
from dscost.analysis.timed import judge, timing_of, with_roofline, with_runs
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.networks.network import stage_costs
from dscost.networks.swaps import Swap
from dscost.notation.units import dtype_bytes, format_shape
from dscost.reports.records import Layer, Stage, Timing
from dscost.runtimes import TORCH
from dscost.timing import Setting
from dscost.timing.engine import Case
from dscost.timing.samples import Measurement

BUILDING_SHARE = 0.5
"""Of the time; making weights for a huge model must not eat all of it."""
BESIDE_SHARE, MOST_BESIDE = 0.15, 4
"""Of the time, to learn why swaps gain more or less than their MACs promise, and of how many of
them."""
LAYERS = "layers"
"""What a report lacks where some were not timed."""


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


class _Timed(NamedTuple):
    """A swap that was timed, and the layer that it stands with."""

    layer: str
    timing: Timing
    is_pair: bool


@dataclass(slots=True)
class Layers:
    """What was measured under one setting.

    Args:
        timings: Measurements by layer.
        swaps: Every swap, also those that run in one layer.
        is_complete: Whether every swap was timed.
        took_s: All of it.
        beside: Dense convolutions beside 1×1 ones of equal MACs, by layer, where their swap gained
            more or less than its MACs promise.
    """

    timings: dict[str, Timing] = field(default_factory=dict)
    swaps: list[_Timed] = field(default_factory=list)
    is_complete: bool = True
    took_s: float = 0.0
    beside: dict[str, Beside] = field(default_factory=dict)

    def sums(self, skipped: Sequence[str]) -> dict[str, float]:
        """Return what all swaps take by variant, skipped ones standard; nothing if one lacks."""
        if not self.is_complete or not self.swaps:
            return {}
        return _summed(self.swaps, skipped)

    def of_layer(self, name: str) -> dict[str, float]:
        """Return what the calls of a layer that could be swapped take by variant, as timed.

        Where pairs begin in it and nothing could be swapped, it is those that are meant.
        """
        own = [one for one in self.swaps if one.layer == name]
        swappable = [one for one in own if not one.is_pair]
        return _summed(swappable or own) if own else {}


def _summed(swaps: Sequence[_Timed], skipped: Sequence[str] = ()) -> dict[str, float]:
    found = dict.fromkeys(BOTH_WAYS, 0.0)
    for layer, timing, _ in swaps:
        for variant in BOTH_WAYS:
            latency = timing.of(STANDARD if layer in skipped else variant)
            found[variant] += latency.median_s if latency else 0.0
    return found


def time_swaps(bench: Bench, model: SwappableModel, setting: Setting, budget_s: float) -> Layers:
    """Return measurements of every swap; equal convolutions on equal inputs are measured once."""
    timed, began = Layers(), perf_counter()
    plans = _plans(model, setting)
    made: dict[str, dict[str, Prepared]] = {}
    cases: list[Case] = []
    tried = 0
    # All are built before any is timed: the engine lets cases take turns, so that a busy minute
    # falls on all of them. The heaviest come first, should the time not suffice.
    for plan in plans:
        if perf_counter() - began > BUILDING_SHARE * budget_s:
            break
        tried += 1
        seed = bench.options.program_seed
        works = (work_of(plan.stages[name], setting, seed=seed) for name in BOTH_WAYS)
        standard, separable = map(bench.prepared, works)
        if standard and separable:
            made[plan.name] = {STANDARD: standard, SEPARABLE: separable}
            cases.append(bench.case(plan.name, setting, standard, separable))
    share = 1.0 if setting.runtime == TORCH else 1 - BESIDE_SHARE
    compared = bench.compare(cases, share * budget_s - (perf_counter() - began))
    beside = _beside(bench, setting, plans, cases, compared, budget_s - (perf_counter() - began))
    ceilings = bench.ceilings(setting) if compared else None
    for plan in plans:
        if plan.name not in compared:
            timed.is_complete = False
            continue
        timing = timing_of(bench, {SEPARABLE: compared[plan.name]}, setting)
        timing = timing._replace(backends=_backends(**made[plan.name]))
        timing = with_runs(timing, made[plan.name], profile=False)
        if ceilings:
            timing = with_roofline(timing, plan.stages, ceilings, setting)
        dense = beside.get(plan.name)
        is_known = setting.runtime == TORCH or (dense is not None and not dense.is_slow)
        judge(bench, plan.name, timing, {SEPARABLE: plan.fewer_macs} if is_known else {})
        # a pair is no layer, and has no time as it is
        of_pair = timing._replace(latencies={name: timing.latencies[name] for name in BOTH_WAYS})
        for swap in plan.swaps:
            layer = model.layer_of(swap)
            timed.swaps.append(_Timed(layer, timing, swap.is_pair))
            if dense:
                timed.beside.setdefault(layer, dense)
            timed.timings.setdefault(layer, of_pair if swap.is_pair else timing)
    late = len(plans) - tried + sum(bench.is_late(case.name, compared) for case in cases)
    if late:
        under = under_of(setting, bench.settings)
        what = f"{late} of {len(plans)} distinct layers were not timed{under}"
        bench.lack(LAYERS, f"{what} within {bench.budget}.")
    timed.took_s = perf_counter() - began
    return timed


def _backends(standard: Prepared, depthwise_separable: Prepared) -> dict[str, str]:
    """Return what torch computes both with, by stage."""
    own = {STANDARD: standard.backends.get("", ""), **depthwise_separable.backends}
    return {name: backend for name, backend in own.items() if backend}


def _beside(
    bench: Bench,
    setting: Setting,
    plans: Sequence[_Plan],
    cases: Sequence[Case],
    compared: Mapping[str, Measurement],
    budget_s: float,
) -> dict[str, Beside]:
    """Return dense convolutions beside 1×1 ones of equal MACs, by plan.

    These are the heaviest few whose swap gained more or clearly less than its MACs promise, under
    another runtime than torch: of that the speeds are known.
    """
    if setting.runtime == TORCH:
        return {}
    began, of_plan = perf_counter(), {plan.name: plan for plan in plans}
    further: dict[str, Case] = {}
    for case in cases:
        if len(further) == MOST_BESIDE or perf_counter() - began > BUILDING_SHARE * budget_s:
            break
        plan, found = of_plan[case.name], compared.get(case.name)
        if found is None:
            continue
        low, high = bench.speedup(found, setting).ci95
        stages = pointwise_of(plan.stages[STANDARD][0], dtype_bytes(setting.dtype))
        agrees = low <= plan.fewer_macs and high >= AGREES_FROM * plan.fewer_macs
        if agrees or not stages:
            continue
        pointwise = bench.prepared(work_of(stages, setting, seed=bench.options.program_seed))
        if pointwise:
            name = f"{case.name}, {NAME}"
            again = case.again[0], pointwise.again
            further[case.name] = replace(case, name=name, second=pointwise.call, again=again)
    left_s = budget_s - (perf_counter() - began)
    results = bench.compare(list(further.values()), left_s, against_itself=False)
    return {
        name: Beside.of(found, bench.speedup(found, setting), of_plan[name].stages[STANDARD][0])
        for name, case in further.items()
        if (found := results.get(case.name))
    }


def _plans(model: SwappableModel, setting: Setting) -> list[_Plan]:
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


def with_timings(layer: Layer, timed: Mapping[str, Layers]) -> Layer:
    """Return a layer with what was measured of it by setting, and the verdict of the first."""
    timings = {
        key: layers.timings[layer.name]._replace(layers_s=layers.of_layer(layer.name))
        for key, layers in timed.items()
        if layer.name in layers.timings and layer.variants
    }
    if not timings:
        return layer
    speedup = next(iter(timings.values())).speedup
    return layer._replace(latency=timings, verdict=speedup.verdict if speedup else None)
