"""Two callables timed against each other on a machine that is not quiet.

Blocks of calls alternate A B B A, so that whatever drifts slowly hits both sides alike. One such
quartet gives one ratio; the median of a few quartets is a round; cases take turns, a round each, so
that a slow change of the machine spreads over all of them and shows up between the rounds of each.
The interval of the ratio is a t-interval over rounds, and has what copies of one thing differ by.
It stops when the rounds agree well enough, or when the time is spent.

The callables, the clock, the counters and the random numbers are given, so that every rule can be
tested on made-up time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from dscost.timing.statistics import t_half_width, with_copies

Call = Callable[[], object]
Clock = Callable[[], float]
Result = TypeVar("Result")

QUARTETS_PER_ROUND = 4
ENOUGH_ROUNDS = 8
BLOCK_S = 1.5e-3
"""Calls are repeated until a block lasts about that long, well above the resolution of the
clock."""

CPU_BLOCK_S = 4e-3
"""By processor time they last longer: most of what a busy machine costs falls on their first
call."""
ALIKE = 1.25
"""Calls of which the longer one takes at most so many times the shorter one take about as long."""
LEAST_S = 1e-9
"""What a clock that is too coarse to see a block is taken to have seen."""

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

    Args:
        clock: Returns seconds.
        counters: Tells what disturbs this process.
        cpu_clock: Returns seconds of processor time, where blocks are to be timed by that as well.
    """

    most_calls: int | None = None

    def __init__(
        self,
        clock: Clock = perf_counter,
        counters: Counters = no_counters,
        cpu_clock: Clock | None = None,
    ) -> None:
        self._clock, self._counters = clock, counters
        self.cpu_clock = cpu_clock

    def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
        """Run the blocks in order."""
        return [self._block(call, count) for call, count in blocks]

    def _block(self, call: Call, count: int) -> Block:
        call()
        switches, faults = self._counters()
        cpu_before = self.cpu_clock() if self.cpu_clock else 0.0
        before = self._clock()
        for _ in range(count):
            call()
        seconds = max(self._clock() - before, LEAST_S) / count
        cpu_s = max(self.cpu_clock() - cpu_before, LEAST_S) / count if self.cpu_clock else None
        switches_after, faults_after = self._counters()
        return Block(
            seconds,
            None if switches is None or switches_after is None else switches_after - switches,
            None if faults is None or faults_after is None else (faults_after - faults) / count,
            cpu_s=cpu_s,
        )


@dataclass(frozen=True, slots=True)
class Case:
    """Two callables to compare, under a name; timed by default as `compare` is told.

    The place is what cases have in common that are as noisy as each other: a device, a runtime.
    What is to be called once `again` before they are, on no time, may raise as they may.
    """

    name: str
    first: Call
    second: Call
    timer: Timer | None = None
    place: str = "cpu"
    again: Sequence[Call] = ()


@dataclass(slots=True)
class _Running:
    case: Case
    result: Measurement
    timer: Timer
    calls_per_block: list[int]
    orders: Iterator[bool]
    quartets_per_round: int
    round_s: float
    taken_s: float = 0.0
    quartets: int = 0

    def next_quartets(self, share_s: float) -> int:
        """Return how many the next round has.

        Two rounds of many have hardly an interval: where as many rounds as are enough do not fit in
        the time, as they took so far, each is shorter.
        """
        rounds = max(1, ENOUGH_ROUNDS - len(self.result.rounds))
        if not self.taken_s:
            return self.quartets_per_round
        fitting = int(share_s / rounds * self.quartets / self.taken_s)
        return max(1, min(self.quartets_per_round, fitting))


@dataclass(slots=True)
class _Session:
    """The time that all cases of a comparison share, and who is told of it."""

    clock: Clock
    budget_s: float
    progress: Progress | None
    failed: Callable[[str, RuntimeError], None] | None
    began: float = 0.0
    made_again: set[Call] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def is_ready(self, case: Case) -> bool:
        """Whether a case is ready, its callables made again where others have not."""

        def make() -> bool:
            for again in case.again:
                if again not in self.made_again:
                    self.tell(case)
                    again()
                    self.made_again.add(again)
            return True

        return self.tried(case, make) is not None

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
    cpu_clock: Clock | None = None,
    random: Random | None = None,
    progress: Progress | None = None,
    failed: Callable[[str, RuntimeError], None] | None = None,
) -> list[Measurement]:
    """Return what was measured of each case; little or nothing where the time did not suffice.

    A case has at least two rounds or none at all.

    Args:
        cases: What to compare.
        budget_s: Seconds for all of them together.
        precision: Half-width of the interval of a ratio at which a case is done, 0.02 for 2 %, by
            the rounds alone.
        clock: Returns seconds.
        counters: Tells what disturbs this process.
        cpu_clock: Returns seconds of processor time. Where it is given, blocks are timed by it as
            well, and the interval that ends a case is that of its ratio.
        random: Decides which side begins a quartet.
        progress: Called with the share of the budget that is spent and the name of the case.
        failed: Called with the name of a case and what it raised, such as want of memory; by
            default that is raised.
    """
    session = _Session(clock, budget_s, progress, failed)
    results = [Measurement() for _ in cases]
    ready = [pair for pair in zip(cases, results, strict=True) if session.is_ready(pair[0])]
    session.began = clock()
    usual = CpuTimer(clock, counters, cpu_clock)
    running = _all_warmed(session, ready, usual, random or Random(0))
    rounds = 0
    # A round of each case in turn, not one case after the other: a machine that slows down for a
    # while then widens the intervals of all cases instead of shifting the result of one.
    while running and (rounds < LEAST_ROUNDS or session.left_s > 0):
        rounds += 1
        for one in tuple(running):
            if rounds > LEAST_ROUNDS and session.left_s <= 0:
                return results
            session.tell(one.case)
            began = session.clock()
            number = one.next_quartets(session.left_s / len(running))
            quartets = session.tried(one.case, partial(_quartets, one, number))
            if quartets is None:
                one.result.rounds.clear()  # half a comparison says nothing
                running.remove(one)
                continue
            one.taken_s += session.clock() - began
            one.quartets += number
            one.result.rounds.append(Round.of(quartets))
            if is_done((one.result.by_cpu or one.result).log_ratios, precision):
                running.remove(one)
    return results


def _all_warmed(
    session: _Session,
    cases: Sequence[tuple[Case, Measurement]],
    usual: Timer,
    random: Random,
) -> list[_Running]:
    """Return the cases that fit in the time, warm, each with its share of what is left."""
    running: list[_Running] = []
    promised_s = 0.0  # what the least rounds of the cases that are warm will take
    for position, (case, result) in enumerate(cases):
        session.tell(case)
        share_s = (session.left_s - promised_s) / (len(cases) - position)
        timer, orders = case.timer or usual, _orders(random)
        warm_up = partial(_warmed, case, result, timer, orders, share_s, session.clock)
        warmed = session.tried(case, warm_up)
        if warmed:
            running.append(warmed)
            promised_s += LEAST_ROUNDS * warmed.round_s
    return running


def is_done(
    log_ratios: Sequence[float], precision: float, same_within: float = SAME_WITHIN
) -> bool:
    """Whether the rounds are enough and agree well enough to stop.

    An interval that neither leaves 1 surely nor lies within what is called the same decides
    nothing: there it goes on, up to four times the precision.
    """
    if len(log_ratios) < ENOUGH_ROUNDS or (half := t_half_width(log_ratios)) > log1p(precision):
        return False
    whole = with_copies(half)
    reaches = abs(fmean(log_ratios)) + whole
    decided = abs(fmean(log_ratios)) > SURELY * whole or reaches <= log1p(same_within)
    return decided or half <= log1p(precision) / FINER


FINER = 4.0
SURELY = 2.0
"""So many half-widths from 1 ends a case: the interval is looked at after each round, and that of
equal things, which leaves 1 by a hair after some round in one case of nine, would end there."""


def _warmed(
    case: Case,
    result: Measurement,
    timer: Timer,
    orders: Iterator[bool],
    share_s: float,
    clock: Clock,
) -> _Running | None:
    """Warm both sides and choose their blocks; `None` if even two quartets take too long."""
    began = clock()
    by = timer.cpu_clock if isinstance(timer, CpuTimer) and timer.cpu_clock else clock
    began_by = by()
    each_s = [
        warm(call, clock, most_s=min(WARM_S, share_s / 4), timer=timer, by=by)
        for call in (case.first, case.second)
    ]
    block_s = BLOCK_S if by is clock else CPU_BLOCK_S
    counts = _calls_per_block(each_s, block_s, timer.most_calls)
    # two blocks of each side and their untimed calls
    quartet_s = sum(2 * (count + 1) * s for count, s in zip(counts, each_s, strict=True))
    spent_s = clock() - began
    if by is not clock:  # on the wall it takes longer by what others get
        quartet_s *= max(1.0, spent_s / max(by() - began_by, LEAST_S))
    left_s = share_s - spent_s
    if LEAST_ROUNDS * quartet_s > left_s:
        return None
    quartets = QUARTETS_PER_ROUND
    if quartet_s > 0:
        round_s = min(ROUND_S, left_s / LEAST_ROUNDS)
        quartets = max(1, min(quartets, int(round_s / quartet_s)))
    return _Running(case, result, timer, counts, orders, quartets, quartets * quartet_s)


def _calls_per_block(each_s: Sequence[float], block_s: float, most_calls: int | None) -> list[int]:
    """Return how many calls of each side last a block.

    Sides that take about as long have as many: where others compute meanwhile, the first call of a
    block takes longer than the next ones, by a sixth, and has to weigh as much on both.
    """
    if max(each_s) <= ALIKE * min(each_s):
        each_s = [fmean(each_s)] * 2
    counts = [max(1, round(block_s / s)) if s > 0 else 1 for s in each_s]
    return [min(count, most_calls or count) for count in counts]


def _orders(random: Random) -> Iterator[bool]:
    """Yield whether the first side begins a quartet: at random, and every other time the reverse.

    What the outer places of a quartet cost then falls on both sides alike.
    """
    while True:
        is_first = random.random() < 0.5
        yield from (is_first, not is_first)


def warm(
    call: Call,
    clock: Clock,
    most_s: float,
    timer: Timer | None = None,
    by: Clock | None = None,
) -> float:
    """Call until three calls in a row agree or time is over; return the fastest of these three.

    Where a timer is given, the calls after the first are timed by it: on a device that works on its
    own, a call is not over when it returns. They may be timed `by` another clock than that of the
    time that is over.
    """
    by = by or clock
    began = clock()
    last: list[float] = []
    while True:
        before = by()
        call()
        last = [*last[-2:], by() - before]
        agree = len(last) == 3 and max(last) <= WARM_AGREEMENT * min(last)
        if agree or clock() - began > most_s:
            break
    if timer is None or isinstance(timer, CpuTimer):
        return min(last)
    return min(block.seconds for block in timer([(call, 1)] * 3))


def _quartets(running: _Running, number: int) -> list[Quartet]:
    """Return a round of so many quartets."""
    return [_quartet(running) for _ in range(number)]


def _quartet(running: _Running) -> Quartet:
    """Time A B B A or B A A B."""
    calls = (running.case.first, running.case.second)
    first, second = zip(calls, running.calls_per_block, strict=True)
    is_first = next(running.orders)
    order = [first, second, second, first] if is_first else [second, first, first, second]
    one, two, three, four = running.timer(order)
    outer, inner = (one, four), (two, three)
    return Quartet(outer, inner) if is_first else Quartet(inner, outer)
