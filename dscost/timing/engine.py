"""Two callables timed against each other on a machine that is not quiet.

Blocks of calls alternate A B B A, so that whatever drifts slowly hits both sides alike. One such
quartet gives one ratio; the median of a few quartets is a round; cases take turns, a round each, so
that a slow change of the machine spreads over all of them and shows up between the rounds of each.
The interval of the ratio is a t-interval over rounds. It stops when that is narrow enough, or when
the time is spent.

The callables, the clock, the counters and the random numbers are given, so that every rule can be
tested on made-up time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log1p
from random import Random
from statistics import fmean
from time import perf_counter
from typing import Protocol, TypeVar

from dscost.reports.records import SAME_WITHIN
from dscost.timing import Progress
from dscost.timing.counters import Counters, no_counters
from dscost.timing.samples import LEAST_ROUNDS, Block, Measurement, Quartet, Round
from dscost.timing.statistics import t_half_width

Call = Callable[[], object]
Clock = Callable[[], float]
Result = TypeVar("Result")

QUARTETS_PER_ROUND = 4
ENOUGH_ROUNDS = 8
BLOCK_S = 1.5e-3
"""Calls are repeated until a block lasts about that long, well above the resolution of the
clock."""

WARM_AGREEMENT = 1.2
WARM_S = 1.0
ROUND_S = 0.2
"""A round of slow calls has fewer quartets, so that it does not take much longer than this."""


class Timer(Protocol):
    """How blocks of calls are timed on a device; `most_calls` of them at most, if any number."""

    most_calls: int | None

    def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
        """Run the blocks in order, each an untimed call and then so many timed ones."""
        ...


class CpuTimer:
    """Times calls that are over when they return.

    The untimed call matters: the other side has just had the caches to itself.
    """

    most_calls: int | None = None

    def __init__(self, clock: Clock = perf_counter, counters: Counters = no_counters) -> None:
        self._clock, self._counters = clock, counters

    def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
        """Run the blocks in order."""
        return [self._block(call, count) for call, count in blocks]

    def _block(self, call: Call, count: int) -> Block:
        call()
        switches, faults = self._counters()
        before = self._clock()
        for _ in range(count):
            call()
        seconds = max(self._clock() - before, 1e-9) / count
        switches_after, faults_after = self._counters()
        return Block(
            seconds,
            None if switches is None or switches_after is None else switches_after - switches,
            None if faults is None or faults_after is None else (faults_after - faults) / count,
        )


@dataclass(frozen=True, slots=True)
class Case:
    """Two callables to compare, under a name; timed by default as `compare` is told.

    The place is what cases have in common that are as noisy as each other: a device, a runtime.
    """

    name: str
    first: Call
    second: Call
    timer: Timer | None = None
    place: str = "cpu"


@dataclass(slots=True)
class _Running:
    case: Case
    result: Measurement
    timer: Timer
    calls_per_block: list[int]
    quartets_per_round: int
    round_s: float


@dataclass(slots=True)
class _Session:
    """The time that all cases of a comparison share, and who is told of it."""

    clock: Clock
    budget_s: float
    progress: Progress | None
    failed: Callable[[str, RuntimeError], None] | None
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def left_s(self) -> float:
        return self.began + self.budget_s - self.clock()

    def tell(self, case: Case) -> None:
        if self.progress:
            self.progress((self.clock() - self.began) / self.budget_s, case.name)

    def tried(self, case: Case, action: Callable[[], Result]) -> Result | None:
        """Return what an action returns, or `None` where it failed and somebody is told so."""
        try:
            return action()
        except RuntimeError as error:
            if self.failed is None:
                raise
            self.failed(case.name, error)
            return None


def compare(
    cases: Sequence[Case],
    *,
    budget_s: float,
    precision: float = 0.02,
    clock: Clock = perf_counter,
    counters: Counters = no_counters,
    random: Random | None = None,
    progress: Progress | None = None,
    failed: Callable[[str, RuntimeError], None] | None = None,
) -> list[Measurement]:
    """Return what was measured of each case; little or nothing where the time did not suffice.

    A case has at least two rounds or none at all.

    Args:
        cases: What to compare.
        budget_s: Seconds for all of them together.
        precision: Half-width of the interval of a ratio at which a case is done, 0.02 for 2 %.
        clock: Returns seconds.
        counters: Tells what disturbs this process.
        random: Decides which side begins a quartet.
        progress: Called with the share of the budget that is spent and the name of the case.
        failed: Called with the name of a case and what it raised, such as want of memory; by
            default that is raised.
    """
    session = _Session(clock, budget_s, progress, failed)
    results = [Measurement() for _ in cases]
    running = _all_warmed(session, cases, results, CpuTimer(clock, counters))
    random = random or Random(0)
    rounds = 0
    # A round of each case in turn, not one case after the other: a machine that slows down for a
    # while then widens the intervals of all cases instead of shifting the result of one.
    while running and (rounds < LEAST_ROUNDS or session.left_s > 0):
        rounds += 1
        for one in tuple(running):
            if rounds > LEAST_ROUNDS and session.left_s <= 0:
                return results
            session.tell(one.case)
            quartets = session.tried(one.case, partial(_quartets, one, random))
            if quartets is None:
                one.result.rounds.clear()  # half a comparison says nothing
                running.remove(one)
                continue
            one.result.rounds.append(Round.of(quartets))
            if is_done(one.result.log_ratios, precision):
                running.remove(one)
    return results


def _all_warmed(
    session: _Session, cases: Sequence[Case], results: Sequence[Measurement], usual: Timer
) -> list[_Running]:
    """Return the cases that fit in the time, warm, each with its share of what is left."""
    running: list[_Running] = []
    promised_s = 0.0  # what the least rounds of the cases that are warm will take
    for position, (case, result) in enumerate(zip(cases, results, strict=True)):
        session.tell(case)
        share_s = (session.left_s - promised_s) / (len(cases) - position)
        warm_up = partial(_warmed, case, result, case.timer or usual, share_s, session.clock)
        warmed = session.tried(case, warm_up)
        if warmed:
            running.append(warmed)
            promised_s += LEAST_ROUNDS * warmed.round_s
    return running


def is_done(
    log_ratios: Sequence[float], precision: float, same_within: float = SAME_WITHIN
) -> bool:
    """Whether the rounds are enough and agree well enough to stop.

    An interval that neither leaves 1 nor lies within what is called the same decides nothing: there
    it goes on, up to four times the precision.
    """
    if len(log_ratios) < ENOUGH_ROUNDS or (half := t_half_width(log_ratios)) > log1p(precision):
        return False
    reaches = abs(fmean(log_ratios)) + half
    decided = abs(fmean(log_ratios)) > half or reaches <= log1p(same_within)
    return decided or half <= log1p(precision) / FINER


FINER = 4.0


def _warmed(
    case: Case, result: Measurement, timer: Timer, share_s: float, clock: Clock
) -> _Running | None:
    """Warm both sides and choose their blocks; `None` if even two quartets take too long."""
    began = clock()
    counts, quartet_s = [], 0.0
    for call in (case.first, case.second):
        call_s = warm(call, clock, most_s=min(WARM_S, share_s / 4), timer=timer)
        count = max(1, round(BLOCK_S / call_s)) if call_s > 0 else 1
        counts.append(min(count, getattr(timer, "most_calls", None) or count))
        quartet_s += 2 * (counts[-1] + 1) * call_s  # two blocks and their untimed calls
    left_s = share_s - (clock() - began)
    if LEAST_ROUNDS * quartet_s > left_s:
        return None
    quartets = QUARTETS_PER_ROUND
    if quartet_s > 0:
        round_s = min(ROUND_S, left_s / LEAST_ROUNDS)
        quartets = max(1, min(quartets, int(round_s / quartet_s)))
    return _Running(case, result, timer, counts, quartets, quartets * quartet_s)


def warm(call: Call, clock: Clock, most_s: float, timer: Timer | None = None) -> float:
    """Call until three calls in a row agree or time is over; return the fastest of these three.

    Where a timer is given, the calls after the first are timed by it: on a device that works on its
    own, a call is not over when it returns.
    """
    began = clock()
    last: list[float] = []
    while True:
        before = clock()
        call()
        after = clock()
        last = [*last[-2:], after - before]
        agree = len(last) == 3 and max(last) <= WARM_AGREEMENT * min(last)
        if agree or after - began > most_s:
            break
    if timer is None or isinstance(timer, CpuTimer):
        return min(last)
    return min(block.seconds for block in timer([(call, 1)] * 3))


def _quartets(running: _Running, random: Random) -> list[Quartet]:
    """Return a round of quartets, each in a random order."""
    return [_quartet(running, random) for _ in range(running.quartets_per_round)]


def _quartet(running: _Running, random: Random) -> Quartet:
    """Time A B B A or B A A B."""
    calls = (running.case.first, running.case.second)
    first, second = zip(calls, running.calls_per_block, strict=True)
    is_first = random.random() < 0.5
    order = [first, second, second, first] if is_first else [second, first, first, second]
    one, two, three, four = running.timer(order)
    outer, inner = (one, four), (two, three)
    return Quartet(outer, inner) if is_first else Quartet(inner, outer)
