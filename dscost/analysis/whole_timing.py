"""A model as a whole, timed as it is, of standard and of depthwise-separable convolutions."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from dscost.analysis.bench import Bench
from dscost.analysis.places import under_of
from dscost.analysis.predicting import dtype_of, whole_bound
from dscost.analysis.running import Prepared, Work, bytes_to_run, inputs_ratio
from dscost.analysis.swap_timing import Layers
from dscost.analysis.swappable import SwappableModel, left_in_words
from dscost.analysis.timed import agreeing, beside, timing_of, with_compile_times, with_runs
from dscost.devices.peaks import Peaks
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.networks.swaps import Swap
from dscost.notation.units import format_seconds
from dscost.reports.records import Latency, Speedup, Timing
from dscost.timing import Setting
from dscost.timing.samples import Measurement
from dscost.timing.statistics import summarize

if TYPE_CHECKING:
    from torch import nn

    from dscost.runtimes.programs import Program

WHOLE_CALLS = 12
"""A comparison of whole models takes at least about that many calls of each."""
SPARE = 1.5
"""So many times the least there is time for, where that is more than its share: calls are slower
while a machine is busy."""
WHOLE, AS_IS = "whole model", "as it is"
"""The cases of a model as a whole."""
ADVISED = "advised model"
"""The case of a model with the swaps that pay."""
THE_WHOLE = "the whole model"
"""What a report lacks where that was not timed."""


class _Version(NamedTuple):
    """A version of a model that can be called, and about what a call takes."""

    prepared: Prepared
    call_s: float


@dataclass(slots=True)
class Whole:
    """A whole model under one setting: measured at once, told once the noise floor is known."""

    bench: Bench
    model: SwappableModel
    setting: Setting
    built_s: float = 0.0
    compared_s: float = 0.0
    left: Mapping[str, str] = field(default_factory=dict)
    """Why layers could not be replaced, by name."""
    _versions: dict[str, _Version] = field(default_factory=dict)
    _compared: Mapping[str, Measurement] = field(default_factory=dict)

    @property
    def took_s(self) -> float:
        """Making the versions, and measuring them."""
        return self.built_s + self.compared_s

    @property
    def is_timed(self) -> bool:
        """Whether there was time for it."""
        return WHOLE in self._compared

    def measure(self, budget_s: float, most_s: float, *, against_itself: bool) -> None:
        """Compare the versions that differ; equal ones are timed once.

        Args:
            budget_s: The time for it.
            most_s: The time for it where it takes no less.
            against_itself: Whether the noise floor is to be found by it, if it is unknown.
        """
        began = perf_counter()
        self._versions = self._made(most_s)
        self.built_s = perf_counter() - began
        pairs = list(self._pairs())
        needed_s = WHOLE_CALLS * sum(one.call_s for _, *both in pairs for one in both)
        if not pairs or not self._fits(needed_s, most_s):
            return
        began = perf_counter()
        cases = [
            self.bench.case(name, self.setting, first.prepared, second.prepared)
            for name, first, second in pairs
        ]
        enough_s = min(most_s, max(budget_s, SPARE * needed_s))
        self._compared = self.bench.compare(cases, enough_s, against_itself=against_itself)
        self.compared_s = perf_counter() - began
        if self.bench.is_late(WHOLE, self._compared):
            under = under_of(self.setting, self.bench.settings)
            why = f"The whole model was not timed{under} within {self.bench.budget}."
            self.bench.lack(THE_WHOLE, why)

    def timing(self, layers: Layers) -> Timing | None:
        """Return the model as it is, standard and separable, beside the sums of its layers.

        The noise floor has to be known by now.
        """
        if not self.is_timed:
            return None
        _, standard, separable = self._versions.values()
        variant = STANDARD if standard is separable else SEPARABLE
        timing = timing_of(self.bench, {variant: self._compared[WHOLE]}, self.setting)
        aside, by_cpu = self._compared.get(AS_IS), timing.cpu_clock
        latencies = self._with_as_is(timing.latencies, variant, aside, self.bench.speedup)
        timing = timing._replace(latencies=latencies)
        if by_cpu:
            aside, judged = aside and aside.by_cpu, self.bench.cpu_speedup
            latencies = self._with_as_is(by_cpu.latencies, variant, aside, judged)
            timing = timing._replace(cpu_clock=by_cpu._replace(latencies=latencies))
        calls = {name: one.prepared for name, one in self._versions.items()}
        timing = with_compile_times(timing, calls)
        timing = with_runs(timing, calls, profile=self.bench.options.profile)
        timing = timing._replace(layers_s=layers.sums(self.model.report.skipped))
        return self._against_roofline(timing)

    def _with_as_is(
        self,
        latencies: Mapping[str, Latency],
        variant: str,
        beside_separable: Measurement | None,
        judged: Callable[[Measurement, Setting], Speedup],
    ) -> dict[str, Latency]:
        """Return times by one clock with that of the model as it is, where that is known.

        Where it is neither of the two it ran beside the separable one: its ratio is that of its
        pairs, to the separable time that all three are shown with.
        """
        found = dict(latencies)
        as_is, standard, separable = self._versions.values()
        if as_is is separable:
            found["as_is"] = found[variant]
        elif as_is is not standard:
            del found["as_is"]
            if beside_separable:
                speedup = judged(beside_separable, self.setting)
                low, high = speedup.ci95
                inverse = speedup._replace(median=1 / speedup.median, ci95=(1 / high, 1 / low))
                own = summarize(beside_separable.first_s)
                found["as_is"] = beside(found[SEPARABLE], own, inverse)
        return found

    def with_swaps(
        self, names: Collection[str], timing: Timing, budget_s: float
    ) -> tuple[Latency, Latency, Speedup] | None:
        """Return the model as it is beside one with only the convolutions of some layers swapped.

        What was measured, and is told by the timing, is not measured again; what does not fit in
        the time is not measured.
        """
        as_is, standard, _ = self._versions.values()
        swaps = [swap for swap in self.model.swaps if not swap.is_pair]
        if {self.model.layer_of(swap) for swap in swaps} - self.left.keys() == set(names):
            found = self._compared.get(WHOLE if as_is is standard else AS_IS)
            times = timing.as_is, timing.depthwise_separable
            if found is None or times[0] is None or times[1] is None:
                return None
            return times[0], times[1], self.bench.speedup(found, self.setting)
        chosen = [swap for swap in swaps if self.model.layer_of(swap) in names]
        advised = self._prepared(SEPARABLE, chosen)
        call_s = advised and self.bench.call_s(ADVISED, advised, self.setting)
        if not (advised and call_s) or WHOLE_CALLS * (as_is.call_s + call_s) > budget_s:
            return None
        case = self.bench.case(ADVISED, self.setting, as_is.prepared, advised)
        found = self.bench.compare([case], budget_s, against_itself=False).get(ADVISED)
        if found is None:
            return None
        speedup = self.bench.speedup(found, self.setting)
        first, second = summarize(found.first_s), summarize(found.second_s)
        return *agreeing(first, second, speedup), speedup

    def _pairs(self) -> Iterator[tuple[str, _Version, _Version]]:
        """Yield what is compared with what: of the three versions two or all three may be one."""
        if self._versions:
            as_is, standard, separable = self._versions.values()
            yield WHOLE, standard, separable
            if as_is is not standard and as_is is not separable:
                yield AS_IS, as_is, separable

    # -- making the versions

    def _made(self, most_s: float) -> dict[str, _Version]:
        """Return the versions, or none: one that does not fit in the time spares the others."""
        are_pairs = {swap.is_pair for swap in self.model.swaps}
        as_is = self._version("as_is", most_s)
        if as_is is None:
            return {}
        standard = self._version(STANDARD, most_s) if True in are_pairs else as_is
        if standard is None:
            return {}
        separable = self._version(SEPARABLE, most_s) if False in are_pairs else as_is
        return {"as_is": as_is, STANDARD: standard, SEPARABLE: separable} if separable else {}

    def _version(self, name: str, most_s: float) -> _Version | None:
        prepared = self._prepared(name, self.model.swaps)
        if prepared is None:
            return None
        call_s: float | None = prepared.first_s
        if prepared.first_s <= most_s:  # else not even another call fits
            call_s = self.bench.call_s(WHOLE, prepared, self.setting)
        if call_s is None or not self._fits(WHOLE_CALLS * call_s, most_s):
            return None
        return _Version(prepared, call_s)

    def _fits(self, needed_s: float, most_s: float) -> bool:
        """Whether enough calls fit in the time; if not, it is told."""
        if needed_s <= most_s:
            return True
        needed, left = format_seconds(needed_s), format_seconds(max(most_s, 0.0))
        under = under_of(self.setting, self.bench.settings)
        self.bench.lack(
            THE_WHOLE,
            f"The whole model was not timed{under}: that takes at least {needed}, "
            f"and of {self.bench.budget} {left} were left.",
        )
        return False

    def _prepared(self, version: str, swaps: Sequence[Swap]) -> Prepared | None:
        report, model = self.model.report, self.model
        cost = getattr(report.totals, version)
        return self.bench.prepared(
            Work(
                THE_WHOLE,
                self.setting,
                lambda: self._built(version, swaps),
                lambda: model.versions.arguments(self.setting),
                lambda: self._program(version, swaps),
                macs=int(cost.macs * inputs_ratio(report, self.setting)),
                needed_bytes=bytes_to_run(report, cost.weight_bytes, self.setting),
            )
        )

    def _built(self, version: str, swaps: Sequence[Swap]) -> "nn.Module":
        module, left = self.model.versions.build(version, swaps)
        self._keep_left(version, left)
        return module

    def _program(self, version: str, swaps: Sequence[Swap]) -> "Program":
        seed = self.bench.options.program_seed
        program, left = self.model.versions.program(version, swaps, self.setting, seed=seed)
        self._keep_left(version, left)
        return program

    def _keep_left(self, version: str, left: Mapping[str, str]) -> None:
        """Tell which layers could not be replaced."""
        if left:
            self.bench.warn(left_in_words(left))
        if version == SEPARABLE:
            self.left = {**self.left, **left}

    def _against_roofline(self, timing: Timing) -> Timing:
        """Return the timing with the sum of the layers' own rooflines beside each version."""
        if self.setting.batch is not None or self.setting.dtype != dtype_of(self.model.report):
            return timing  # the layers were counted for another input
        ceilings = self.bench.ceilings(self.setting)
        if ceilings is None:
            return timing
        bounded = {}
        for name, latency in timing.latencies.items():
            found = whole_bound(self.model.report, name, Peaks.of_one(ceilings))
            fraction = found.roofline_s / latency.median_s
            bounded[name] = latency._replace(
                roofline_s=found.roofline_s, bound=found.bound, roofline_fraction=fraction
            )
        return timing._replace(latencies=bounded)
