"""Two callables timed against each other on a machine that is not quiet.

Blocks of calls alternate A B B A, so that whatever drifts slowly hits both sides alike. One such
quad gives one ratio; the median of a few quads is an epoch; cases take turns, an epoch each, so
that a slow change of the machine spreads over all of them and shows up between the epochs of each.
The interval of the ratio is a t-interval over epochs. It stops when that is narrow enough, or when
the time is spent.

The callables, the clock, the counters and the random numbers are given, so that every rule can be
tested on made-up time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log, log1p
from random import Random
from statistics import fmean, median
from time import perf_counter
from typing import NamedTuple, Protocol

from dscost.reports.records import SAME_WITHIN
from dscost.timing.counters import Counters, no_counters
from dscost.timing.statistics import t_half_width

Call = Callable[[], object]
Clock = Callable[[], float]

QUADS_PER_EPOCH = 4
LEAST_EPOCHS = 8
LEAST_ROUNDS = 2
"""A case that is begun has that many epochs, since one has no interval."""
LEAST_QUADS = 6
"""Disturbed quads are left out as long as that many remain."""

BLOCK_S = 1.5e-3
"""Calls are repeated until a block lasts about that long, well above the resolution of the
clock."""

WARM_AGREEMENT = 1.2
WARM_S = 1.0
EPOCH_S = 0.2
"""An epoch of slow calls has fewer quads, so that it does not take much longer than this."""


class Block(NamedTuple):
    """A block of calls as it was timed.

    Args:
        seconds: Per call.
        switches: Times the system took the processor away; `None` where it does not tell.
        faults: Pages per call that the system had to find; `None` where it does not tell.
        disturbed: Whether the block says little about the calls, for any other reason.
    """

    seconds: float
    switches: int | None = None
    faults: float | None = None
    disturbed: bool = False


class Timer(Protocol):
    """How blocks of calls are timed on one device; a block has at most `most_calls`, if that is a number."""

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
    """Two callables to compare, under a name that progress is reported by.

    Args:
        name: Of the case.
        first: One side.
        second: The other.
        timer: How they are timed; by default as `compare` is told.
    """

    name: str
    first: Call
    second: Call
    timer: Timer | None = None


class Quad(NamedTuple):
    """Two blocks of each side: A B B A or B A A B."""

    first: tuple[Block, Block]
    second: tuple[Block, Block]

    @property
    def log_ratio(self) -> float:
        """The logarithm of first over second."""
        return (
            sum(log(b.seconds) for b in self.first) - sum(log(b.seconds) for b in self.second)
        ) / 2

    @property
    def disturbed(self) -> bool:
        """Whether something took the processor away during one of its blocks."""
        return any(block.switches or block.disturbed for block in (*self.first, *self.second))


class Epoch(NamedTuple):
    """A few quads in a row.

    Args:
        quads: All of them.
        quiet: Those that were not disturbed.
        log_ratio: The median of all.
        quiet_log_ratio: The median of the quiet ones, if there are any.
    """

    quads: Sequence[Quad]
    quiet: Sequence[Quad]
    log_ratio: float
    quiet_log_ratio: float | None

    @classmethod
    def of(cls, quads: Sequence[Quad]) -> "Epoch":
        """Return the epoch that at least one quad makes."""
        quiet = [quad for quad in quads if not quad.disturbed]
        value = median(quad.log_ratio for quad in quads)
        return cls(quads, quiet, value, median(quad.log_ratio for quad in quiet) if quiet else None)


@dataclass(slots=True)
class Comparison:
    """What was measured of a case, epoch by epoch, and what follows from the quads that were not disturbed."""

    rounds: list[Epoch] = field(default_factory=list)

    @property
    def _leaves_out(self) -> bool:
        """Whether enough remains without the disturbed quads."""
        quiet = [len(epoch.quiet) for epoch in self.rounds if epoch.quiet]
        return sum(quiet) >= LEAST_QUADS and len(quiet) >= LEAST_ROUNDS

    @property
    def epochs(self) -> list[float]:
        """Logarithm of first over second, one value per epoch: the median of its quads."""
        if self._leaves_out:
            return [
                epoch.quiet_log_ratio for epoch in self.rounds if epoch.quiet_log_ratio is not None
            ]
        return [epoch.log_ratio for epoch in self.rounds]

    @property
    def kept(self) -> list[Sequence[Quad]]:
        """The quads by epoch, the disturbed ones left out where enough remain."""
        if self._leaves_out:
            return [epoch.quiet for epoch in self.rounds if epoch.quiet]
        return [epoch.quads for epoch in self.rounds]

    @property
    def first_s(self) -> list[float]:
        """Seconds per call of the first callable, one value per block."""
        return [block.seconds for quads in self.kept for quad in quads for block in quad.first]

    @property
    def second_s(self) -> list[float]:
        """Likewise of the second."""
        return [block.seconds for quads in self.kept for quad in quads for block in quad.second]

    @property
    def switched_share(self) -> float | None:
        """Share of all blocks during which the system took the processor away; `None` where it does not tell."""
        blocks = [
            b for epoch in self.rounds for quad in epoch.quads for b in (*quad.first, *quad.second)
        ]
        known = [block.switches for block in blocks if block.switches is not None]
        return sum(count > 0 for count in known) / len(known) if known else None

    @property
    def faults_per_call(self) -> tuple[float | None, float | None]:
        """Median of the page faults per call of the first and of the second; `None` where they are unknown."""
        sides = (
            [b for epoch in self.rounds for q in epoch.quads for b in side(q)]
            for side in (_first, _second)
        )
        known = ([block.faults for block in blocks if block.faults is not None] for blocks in sides)
        first, second = (median(faults) if faults else None for faults in known)
        return first, second


def _first(quad: Quad) -> tuple[Block, Block]:
    return quad.first


def _second(quad: Quad) -> tuple[Block, Block]:
    return quad.second


@dataclass(slots=True)
class _Running:
    case: Case
    result: Comparison
    timer: Timer
    calls_per_block: tuple[int, int]
    quads_per_epoch: int
    epoch_s: float


def compare(
    cases: Sequence[Case],
    *,
    budget_s: float,
    precision: float = 0.02,
    same_within: float = SAME_WITHIN,
    clock: Clock = perf_counter,
    counters: Counters = no_counters,
    random: Random | None = None,
    progress: Callable[[float, str], None] | None = None,
    failed: Callable[[str, RuntimeError], None] | None = None,
) -> list[Comparison]:
    """Return what was measured of each case; of one that did not fit in the time, nothing or little.

    A case has at least two epochs or none at all.

    Args:
        cases: What to compare.
        budget_s: Seconds for all of them together.
        precision: Half-width of the interval of a ratio at which a case is done, 0.02 for 2 %.
        same_within: Of 1; a ratio so near to it is called the same.
        clock: Returns seconds.
        counters: Tells what disturbs this process.
        random: Decides which side begins a quad.
        progress: Called with the share of the budget that is spent and the name of the case.
        failed: Called with the name of a case and what it raised, such as want of memory; by
            default that is raised.
    """
    random = random or Random(0)
    timer = CpuTimer(clock, counters)
    start = clock()
    deadline = start + budget_s
    results = [Comparison() for _ in cases]
    running: list[_Running] = []
    promised_s = 0.0  # what the least rounds of the cases that are warm will take
    for position, (case, result) in enumerate(zip(cases, results, strict=True)):
        if progress:
            progress((clock() - start) / budget_s, case.name)
        share = (deadline - clock() - promised_s) / (len(cases) - position)
        try:
            warmed = _warmed(case, result, case.timer or timer, share, clock)
        except RuntimeError as error:
            if failed is None:
                raise
            failed(case.name, error)
            continue
        if warmed:
            running.append(warmed)
            promised_s += LEAST_ROUNDS * warmed.epoch_s
    rounds = 0
    while running and (rounds < LEAST_ROUNDS or clock() < deadline):
        rounds += 1
        for one in tuple(running):
            if rounds > LEAST_ROUNDS and clock() >= deadline:
                return results
            if progress:
                progress((clock() - start) / budget_s, one.case.name)
            try:
                quads = [_quad(one, random) for _ in range(one.quads_per_epoch)]
            except RuntimeError as error:
                if failed is None:
                    raise
                failed(one.case.name, error)
                one.result.rounds.clear()
                running.remove(one)
                continue
            one.result.rounds.append(Epoch.of(quads))
            if is_done(one.result.epochs, precision, same_within):
                running.remove(one)
    return results


def is_done(epochs: Sequence[float], precision: float, same_within: float = SAME_WITHIN) -> bool:
    """Whether the epochs are enough and agree well enough to stop.

    An interval that neither leaves 1 nor lies within what is called the same decides nothing: there
    it goes on, up to four times the precision.
    """
    if len(epochs) < LEAST_EPOCHS or (half := t_half_width(epochs)) > log1p(precision):
        return False
    reaches = abs(fmean(epochs)) + half
    decided = abs(fmean(epochs)) > half or reaches <= log1p(same_within)
    return decided or half <= log1p(precision) / FINER


FINER = 4.0


def _warmed(
    case: Case, result: Comparison, timer: Timer, share_s: float, clock: Clock
) -> _Running | None:
    """Warm both sides and choose their blocks; `None` where two epochs of one quad would take more than is left."""
    began = clock()
    counts, quad_s = [], 0.0
    for call in (case.first, case.second):
        call_s = warm(call, clock, most_s=min(WARM_S, share_s / 4), timer=timer)
        count = max(1, round(BLOCK_S / call_s)) if call_s > 0 else 1
        counts.append(min(count, getattr(timer, "most_calls", None) or count))
        quad_s += 2 * (counts[-1] + 1) * call_s  # two blocks and their untimed calls
    left_s = share_s - (clock() - began)
    if LEAST_ROUNDS * quad_s > left_s:
        return None
    epoch_s = min(EPOCH_S, left_s / LEAST_ROUNDS)
    quads = QUADS_PER_EPOCH if quad_s <= 0 else max(1, min(QUADS_PER_EPOCH, int(epoch_s / quad_s)))
    return _Running(case, result, timer, (counts[0], counts[1]), quads, quads * quad_s)


def warm(call: Call, clock: Clock, most_s: float, timer: Timer | None = None) -> float:
    """Call until three calls in a row agree or the time is over; return the fastest of the last three.

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
        if len(last) == 3 and max(last) <= WARM_AGREEMENT * min(last):
            break
        if after - began > most_s:
            break
    if timer is None or isinstance(timer, CpuTimer):
        return min(last)
    return min(block.seconds for block in timer([(call, 1)] * 3))


def _quad(running: _Running, random: Random) -> Quad:
    """Time A B B A or B A A B."""
    order = (0, 1, 1, 0) if random.random() < 0.5 else (1, 0, 0, 1)
    sides = (running.case.first, running.case.second)
    blocks = running.timer([(sides[which], running.calls_per_block[which]) for which in order])
    first, second = (
        [block for block, which in zip(blocks, order, strict=True) if which == side]
        for side in (0, 1)
    )
    return Quad((first[0], first[1]), (second[0], second[1]))
