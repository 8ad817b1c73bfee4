"""Counted models → their latencies, timed in turns in one run, so that ratios mean something."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from time import perf_counter
from typing import NamedTuple, TypeVar

from dscost.analysis.bench import MEMORY_SHARE, Bench
from dscost.analysis.counting import CountedModel
from dscost.analysis.running import Prepared, Work, bytes_to_run, inputs_ratio
from dscost.analysis.swappable import left_in_words
from dscost.analysis.timed import beside, with_runs
from dscost.notation.units import format_bytes
from dscost.reports.figures import Cost
from dscost.reports.records import Environment, Latency, Report, Speedup, Timing
from dscost.timing import MEMORY_FORMATS, Progress, Setting, TimingOptions
from dscost.timing.samples import Measurement
from dscost.timing.statistics import summarize

LEAST_BUDGET_S = 10.0
BUDGET_OF_EACH_S = 5.0


_Made = TypeVar("_Made")


class Entry(NamedTuple):
    """A model that takes part.

    Args:
        name: Unlike those of all others.
        model: With what it takes to build it.
        version: Which way of writing it: as it is, or one of `layers.variants.BOTH_WAYS`.
    """

    name: str
    model: CountedModel
    version: str = "as_is"

    @property
    def report(self) -> Report:
        """What was counted of it."""
        return self.model.report

    @property
    def cost(self) -> Cost:
        """What the version costs."""
        cost: Cost = getattr(self.report.totals, self.version)
        return cost

    @property
    def weight_bytes(self) -> int:
        """Memory that it takes as long as others are timed."""
        return self.cost.weight_bytes

    def needed_bytes(self, setting: Setting) -> int:
        """Return the memory that it takes to be made and run."""
        return bytes_to_run(self.report, self.weight_bytes, setting)

    def work(self, setting: Setting, bench: Bench) -> Work:
        """Return one pass of it; the bench is told of layers that had to be left as they are."""
        versions = self.model.runnable
        assert versions is not None
        swaps, seed = self.model.swaps, bench.options.program_seed

        def whole(made: tuple[_Made, Mapping[str, str]]) -> _Made:
            if made[1]:
                bench.warn(left_in_words(made[1]))
            return made[0]

        return Work(
            self.name,
            setting,
            lambda: whole(versions.build(self.version, swaps)),
            lambda: versions.arguments(setting),
            lambda: whole(versions.program(self.version, swaps, setting, seed=seed)),
            macs=int(self.cost.macs * inputs_ratio(self.report, setting)),
            needed_bytes=self.needed_bytes(setting),
        )


class SideBySide(NamedTuple):
    """What was measured of models that took turns.

    Args:
        latencies: By name of the model, then by setting.
        speedups: Latency of the first over that of another, by the name of that, then by setting.
        cpu_speedups: The same of their processor times, where these were read.
        environment: Where; `None` where nothing could be timed.
        warnings: What else must be known, and what could not be timed, and why.
        untimed: Those of the warnings that tell what is missing.
    """

    latencies: Mapping[str, Mapping[str, Timing]]
    speedups: Mapping[str, Mapping[str, Speedup]]
    cpu_speedups: Mapping[str, Mapping[str, Speedup]]
    environment: Environment | None
    warnings: tuple[str, ...]
    untimed: tuple[str, ...]


def time_side_by_side(
    entries: Sequence[Entry], options: TimingOptions, progress: Progress | None = None
) -> SideBySide:
    """Return latencies of one pass of each model, measured in turns.

    Each is timed against the first in pairs that alternate, and these comparisons take turns: what
    the machine does meanwhile falls on all of them alike.

    Args:
        entries: At least one, each with what it takes to build it.
        options: How to measure; every model in the data type and with the batch it was counted for.
        progress: Told the share of the time that is spent, and which model is timed.
    """
    first = entries[0]
    every = options.settings(
        dtype=first.model.own_dtype, batch=first.report.batch, memory_formats=MEMORY_FORMATS[:1]
    )
    settings = [
        setting
        for setting in every
        if not all(one.model.why_not_by(setting.runtime) for one in entries)
    ]
    places = len({setting.where for setting in settings})
    usual_s = places * max(LEAST_BUDGET_S, BUDGET_OF_EACH_S * len(entries))
    bench = Bench(options, settings, options.budget_s or usual_s, progress)
    for one in entries:
        for reason in filter(None, map(one.model.why_not_by, options.runtimes)):
            bench.lack(one.name, f"{one.name} is not timed: {reason}.")
    latencies: dict[str, dict[str, Timing]] = {one.name: {} for one in entries}
    speedups: dict[str, dict[str, Speedup]] = {one.name: {} for one in entries}
    cpu_speedups: dict[str, dict[str, Speedup]] = {one.name: {} for one in entries}
    with ExitStack() as stack:
        for one in entries:  # its forward may import what lies beside it
            stack.enter_context(getattr(one.model.versions, "importing", nullcontext)())
        stack.enter_context(bench.open())
        for setting in settings:
            began = perf_counter()
            share_s = bench.budget_s / len(settings)
            made = _made(bench, entries, setting)
            # making models is not measuring: it may not take all of the time
            left_s = max(share_s - (perf_counter() - began), share_s / 2)
            for name, timing, speedup, by_cpu in _timed(bench, made, setting, left_s):
                latencies[name][setting.key] = timing
                if speedup and first.name in made:
                    speedups[name][setting.key] = speedup
                    if by_cpu:
                        cpu_speedups[name][setting.key] = by_cpu
            made.clear()  # memory for those of the next setting
    environment = bench.environment() if any(latencies.values()) else None
    untimed = tuple(one.text for one in bench.untimed)
    return SideBySide(
        latencies, speedups, cpu_speedups, environment, tuple(bench.warnings), untimed
    )


def _made(bench: Bench, entries: Sequence[Entry], setting: Setting) -> dict[str, Prepared]:
    """Return the models that fit into memory together, ready to run, by name."""
    made: dict[str, Prepared] = {}
    free, held = bench.free_bytes(setting), 0
    for one in entries:
        if one.model.why_not_by(setting.runtime):
            continue
        needed_bytes = held + one.needed_bytes(setting)
        if made and free is not None and needed_bytes > MEMORY_SHARE * free:
            needed = format_bytes(needed_bytes)
            bench.lack(
                one.name,
                f"Not timed: {one.name} and the models before it need {needed} of memory at once, "
                f"{format_bytes(free)} are free; name fewer models.",
            )
            continue
        own = setting._replace(dtype=one.model.own_dtype)
        prepared = bench.prepared(one.work(own, bench))
        if prepared:
            made[one.name] = prepared
            held += one.weight_bytes
    return made


class _Timed(NamedTuple):
    """A model that the time sufficed for, and its ratios to the first by either clock."""

    name: str
    timing: Timing
    speedup: Speedup | None = None
    by_cpu: Speedup | None = None


def _timed(
    bench: Bench, made: Mapping[str, Prepared], setting: Setting, budget_s: float
) -> list[_Timed]:
    """Return what was measured of each model that the time sufficed for."""
    if not made:
        return []
    (first, reference), *others = made.items()
    # one that is alone is timed against itself
    pairs = others or [(first, reference)]
    cases = [bench.case(name, setting, reference, one) for name, one in pairs]
    compared = bench.compare(cases, budget_s)
    for case in cases:
        if bench.is_late(case.name, compared):
            under = f" under {setting.where}" if len(bench.settings) > 1 else ""
            bench.lack(case.name, f"{case.name} was not timed{under} within {bench.budget}.")
    found: list[_Timed] = []
    if compared:
        of_first = [seconds for one in compared.values() for seconds in one.first_s]
        usual = summarize(of_first)
        found.append(_Timed(first, _timing(usual, reference)))
    for name, one in others:
        if name in compared:
            result: Measurement = compared[name]
            speedup = bench.speedup(result, setting)
            # its ratio to the first as shown is that of their pairs
            latency = beside(usual, summarize(result.second_s), speedup)
            by_cpu = result.by_cpu
            ratio = bench.cpu_speedup(by_cpu, setting) if by_cpu else None
            found.append(_Timed(name, _timing(latency, one), speedup, ratio))
    return found


def _timing(latency: Latency, prepared: Prepared) -> Timing:
    timing = Timing(latencies={"as_is": latency._replace(compile_s=prepared.compile_s)})
    return with_runs(timing, {"as_is": prepared}, profile=False)
