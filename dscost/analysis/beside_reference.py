"""Layers timed beside one that is always the same, so that what the machine does meanwhile cancels.

Of a thousand layers that are timed one after the other, some meet a machine that is busy or slowed
down, and no interval of theirs tells. Each of them is compared with the reference layer instead, in
turns within the same second: their ratio knows nothing of how fast the machine was, and how long
the reference layer takes is known from all of them together.

torch is imported only where it takes part.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import zip_longest
from statistics import median
from typing import NamedTuple

from dscost.analysis.bench import Bench
from dscost.analysis.running import Prepared, Work, work_of
from dscost.errors import UnavailableError
from dscost.layers.convolution import conv2d
from dscost.networks.network import stage_costs
from dscost.notation.units import dtype_bytes, format_seconds
from dscost.reports.records import SAME_WITHIN, Speedup
from dscost.timing import Setting, TimingOptions
from dscost.timing.engine import Case
from dscost.timing.machine import default_threads
from dscost.timing.samples import Measurement

REFERENCE = conv2d(64, 64, 3, padding=1)
REFERENCE_SHAPE = (1, 64, 28, 28)
"""A convolution of 29 million MACs: a block of calls of it takes some milliseconds on one thread of
a slow processor, and it is neither all arithmetic nor all memory."""
REFERENCE_S = 1e-3
"""About what it takes, where only the order of magnitude counts."""
REFERENCE_LAYER = "the reference layer"

COMPARISON_S = 0.35
"""A comparison has that long, unless its rounds agree before."""
CPU_TIMES = 2
"""So many times as long by processor time, which is asked for where a machine is busy."""
SLOW_CALLS = 40
"""One of calls so slow that this would not do has as long as so many of both sides take: enough
rounds of one quartet each, with the calls that are not timed; up to `MOST_COMPARISON_S`."""
MOST_COMPARISON_S = 20.0
MOST_CASE_S = 60.0
"""What would take longer, were it as fast as anything is, is not begun."""
LATE_TIMES = 4
"""Comparisons that did not fit in the time, as where others computed, get so many times as much."""


class Beside(NamedTuple):
    """What was found of some works that were timed in turns.

    Args:
        beside: By work, how many times as fast as the reference layer it was.
        speedups: By work but the first, how many times as fast as that it was.
        reference_s: Latency of the reference layer meanwhile.
        moved: How far that changed from the first to the last third of its rounds.
        samples: By work, how many blocks of calls were timed beside the reference layer.
        untimed: Why works were not timed, by label.
    """

    beside: Mapping[str, Speedup]
    speedups: Mapping[str, Speedup]
    reference_s: float
    moved: float
    samples: Mapping[str, int]
    untimed: Mapping[str, str]


@dataclass(slots=True)
class Place:
    """A setting of this process under which works are timed, and the reference layer there.

    The layer is made, and the noise of the machine looked at, by whoever is timed first; as long as
    it is not quiet, by each.

    Args:
        options: How.
        setting: Under which; on the CPU.
    """

    options: TimingOptions
    setting: Setting
    noise_floors: dict[str, float] = field(default_factory=dict)
    cpu_floors: dict[str, float] = field(default_factory=dict)
    _reference: Prepared | None = None

    @property
    def threads(self) -> int:
        """How many are computed with."""
        by_cpu = self.options.clock == "cpu"
        return self.options.threads or (1 if by_cpu else default_threads())

    def timed(self, works: Mapping[str, Work], comparison_s: float | None = None) -> Beside:
        """Return what works come to beside the reference layer, and beside the first of them.

        Args:
            works: By label.
            comparison_s: Seconds that a comparison may take; by default as the works need.

        Raises:
            UnavailableError: The reference layer cannot be timed here.
        """
        for floors in (self.noise_floors, self.cpu_floors):
            if floors.get(self.setting.where, 0.0) > SAME_WITHIN:
                floors.clear()  # it was not quiet; it may be by now
        bench = Bench(
            self.options,
            [self.setting],
            MOST_CASE_S,
            noise_floors=self.noise_floors,
            cpu_floors=self.cpu_floors,
            budget_option="",
        )
        with bench.open():
            turns = _Turns(bench, self.setting, self._prepared(bench))
            for label, work in works.items():
                turns.prepare(label, work)
            return turns.timed(comparison_s or COMPARISON_S)

    def _prepared(self, bench: Bench) -> Prepared:
        if self._reference is None:
            stages = stage_costs(
                [("reference", REFERENCE)], REFERENCE_SHAPE, dtype_bytes(self.setting.dtype)
            )
            work = work_of(stages, self.setting, seed=self.options.program_seed)
            self._reference = bench.prepared(work._replace(name=REFERENCE_LAYER))
        if self._reference is None:
            raise UnavailableError(_reason(bench.untimed[-1].text))
        return self._reference


@lru_cache(maxsize=64)
def place_of(options: TimingOptions, setting: Setting) -> Place:
    """Return the place of this process for a setting, the same each time."""
    return Place(options, setting)


@dataclass(slots=True)
class _Turns:
    """Works that take turns with the reference layer and with the first of them."""

    bench: Bench
    setting: Setting
    reference: Prepared
    made: dict[str, Prepared] = field(default_factory=dict)
    call_s: dict[str, float] = field(default_factory=dict)
    first: str | None = None
    untimed: dict[str, str] = field(default_factory=dict)

    def prepare(self, label: str, work: Work) -> None:
        """Make a work, or keep why that cannot be."""
        self.first = self.first or label
        found = self.bench.prepared(work)
        seconds = found and self.bench.call_s(label, found, self.setting)
        if found is None or seconds is None:
            self.untimed[label] = _reason(self.bench.untimed[-1].text)
        else:
            self.made[label], self.call_s[label] = found, seconds

    def timed(self, comparison_s: float) -> Beside:
        """Compare them, each comparison in so many seconds if it is not slow."""
        cases, budget_s = list(self._cases()), self._budget_s(comparison_s)
        compared = dict(self.bench.compare(cases, budget_s))
        late = [case for case in cases if self.bench.is_late(case.name, compared)]
        if late:
            compared |= self.bench.compare(late, LATE_TIMES * budget_s, against_itself=False)
        beside = {label: one for label in self.made if (one := compared.get(label))}
        speedups = {
            label: one for label in self.made if (one := compared.get(self._against_first(label)))
        }
        for label in self.made:
            if label not in beside:
                self.untimed[label] = self._why_not(label, LATE_TIMES * budget_s)
        by = _by_cpu if self.bench.options.clock == "cpu" else _by_wall
        seconds = _reference_s([by(one) for one in beside.values()])
        return Beside(
            {label: self._judged(one) for label, one in beside.items()},
            {label: self._judged(one) for label, one in speedups.items()},
            median(s for one in beside.values() for s in by(one).first_s) if beside else 0.0,
            moved_of(seconds),
            {label: len(one.second_s) for label, one in beside.items()},
            self.untimed,
        )

    def _budget_s(self, comparison_s: float) -> float:
        """Return what all comparisons may take together, that of the machine's noise included."""
        least_s = comparison_s * (CPU_TIMES if self.bench.options.clock == "cpu" else 1)
        first_s = self.call_s.get(self.first or "", 0.0)
        every = [REFERENCE_S + seconds for seconds in self.call_s.values()]
        if self.first in self.made:
            every += [
                first_s + seconds for label, seconds in self.call_s.items() if label != self.first
            ]
        noise_s = 0.0 if self.setting.where in self.bench.noise_floors else least_s
        return noise_s + sum(
            max(least_s, min(MOST_COMPARISON_S, SLOW_CALLS * both_s)) for both_s in every
        )

    def _cases(self) -> Iterator[Case]:
        for label, one in self.made.items():
            yield self.bench.case(label, self.setting, self.reference, one)
        if self.first in self.made:
            for label, one in self.made.items():
                if label != self.first:
                    both = self.made[self.first], one
                    yield self.bench.case(self._against_first(label), self.setting, *both)

    def _against_first(self, label: str) -> str:
        return f"{label} beside {self.first}"

    def _judged(self, result: Measurement) -> Speedup:
        by_cpu = result.by_cpu
        if by_cpu is not None:
            return self.bench.cpu_speedup(by_cpu, self.setting)
        return self.bench.speedup(result, self.setting)

    def _why_not(self, label: str, budget_s: float) -> str:
        told = [one.text for one in self.bench.untimed if one.what == label]
        late = f"enough calls do not fit in {format_seconds(budget_s)}"
        return _reason(told[-1]) if told else late


def _by_wall(result: Measurement) -> Measurement:
    return result


def _by_cpu(result: Measurement) -> Measurement:
    return result.by_cpu or result


def _reason(text: str) -> str:
    """Return why something was not timed, as the end of a sentence.

    >>> _reason("Not timed: the layer needs 8 GiB of memory, 2 GiB are free.")
    'the layer needs 8 GiB of memory, 2 GiB are free'
    """
    return text.removeprefix("Not timed: ").removesuffix(".")


def _reference_s(compared: Sequence[Measurement]) -> list[float]:
    """Return what the first side took in every round, in the order in which they were timed."""
    turns = zip_longest(*(one.rounds for one in compared))
    return [
        median(block.seconds for quartet in one.quartets for block in quartet.first)
        for turn in turns
        for one in turn
        if one is not None
    ]


def moved_of(seconds: Sequence[float]) -> float:
    """Return how far the last third of some times is from the first: 0.03 for 3 %.

    >>> moved_of([1.0, 1.0, 1.0, 1.5, 1.25, 1.25]), moved_of([1.0, 2.0])
    (0.25, 0.0)
    """
    third = len(seconds) // 3
    if not third:
        return 0.0
    first, last = median(seconds[:third]), median(seconds[-third:])
    return max(first, last) / min(first, last) - 1
