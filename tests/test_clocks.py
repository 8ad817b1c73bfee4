"""Processor time beside that of the wall, on made-up clocks that only the calls move."""

from collections.abc import Callable, Iterator
from math import exp, log
from random import Random
from statistics import fmean

import pytest

from dscost.errors import InputError
from dscost.timing.clocks import processor_clock
from dscost.timing.engine import (
    CPU_BLOCK_S,
    ENOUGH_ROUNDS,
    QUARTETS_PER_ROUND,
    Call,
    Case,
    CpuTimer,
    compare,
)
from dscost.timing.samples import Block, Measurement, Quartet, Round


class Machine:
    """A machine that others use too: the wall goes on while they do, processor time does not."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 0.0
        self.calls: list[str] = []

    def taking(
        self, name: str, cpu_s: Callable[[], float], others_s: Callable[[], float] = lambda: 0.0
    ) -> Call:
        def call() -> None:
            self.calls.append(name)
            own = cpu_s()
            self.cpu_s += own
            self.wall_s += own + others_s()

        return call

    def wall(self) -> float:
        return self.wall_s

    def cpu(self) -> float:
        return self.cpu_s


def compared(machine: Machine, *sides: Call, budget_s: float = 60.0, seed: int = 0) -> Measurement:
    (result,) = compare(
        [Case("x", *sides)],
        budget_s=budget_s,
        clock=machine.wall,
        cpu_clock=machine.cpu,
        random=Random(seed),
    )
    return result


def noisy(random: Random) -> Callable[[], float]:
    """Others take up to ten times as long as a call of 2 ms."""
    return lambda: random.uniform(0.0, 20e-3)


def test_a_block_is_timed_by_both_clocks() -> None:
    machine = Machine()
    call = machine.taking("a", lambda: 1e-3, lambda: 3e-3)
    (block,) = CpuTimer(machine.wall, cpu_clock=machine.cpu)([(call, 5)])
    assert block.seconds == pytest.approx(4e-3)
    assert block.cpu_s == pytest.approx(1e-3)
    (block,) = CpuTimer(machine.wall)([(call, 5)])
    assert block.cpu_s is None


def test_the_same_pairs_have_a_ratio_by_either_clock() -> None:
    machine = Machine()
    # the first waits for others twice as long as it computes, the second not at all
    first = machine.taking("a", lambda: 6e-3, lambda: 12e-3)
    result = compared(machine, first, machine.taking("b", lambda: 2e-3))
    assert result.log_ratios == pytest.approx([log(18 / 2)] * ENOUGH_ROUNDS)
    by_cpu = result.by_cpu
    assert by_cpu is not None
    assert by_cpu.log_ratios == pytest.approx([log(6 / 2)] * ENOUGH_ROUNDS)
    assert by_cpu.first_s == pytest.approx([6e-3] * len(result.first_s))
    assert by_cpu.second_s == pytest.approx([2e-3] * len(result.second_s))


def test_by_the_wall_alone_there_is_no_processor_time() -> None:
    machine = Machine()
    call = machine.taking("a", lambda: 2e-3)
    (result,) = compare([Case("x", call, call)], budget_s=60, clock=machine.wall)
    assert result.by_cpu is None
    assert Measurement().by_cpu is None


def test_it_stops_by_the_clock_that_was_asked_for() -> None:
    sides, rounds = ("a", "b"), []
    for is_by_cpu in (True, False):
        machine, random = Machine(), Random(3)
        calls = [machine.taking(name, lambda: 2e-3, noisy(random)) for name in sides]
        (result,) = compare(
            [Case("x", *calls)],
            budget_s=20,
            clock=machine.wall,
            cpu_clock=machine.cpu if is_by_cpu else None,
        )
        rounds.append(len(result.rounds))
        assert is_by_cpu is (machine.wall_s < 20)
    assert rounds[0] == ENOUGH_ROUNDS < rounds[1]


def test_processor_time_counts_where_the_processor_was_taken_away() -> None:
    def block(seconds: float, cpu_s: float | None) -> Block:
        return Block(seconds, switches=3, faults=7.0, cpu_s=cpu_s)

    one = Quartet((block(9.0, 4.0), block(9.0, 4.0)), (block(9.0, 1.0), block(9.0, 1.0)))
    assert one.disturbed
    by_cpu = one.by_cpu
    assert by_cpu is not None
    assert not by_cpu.disturbed
    assert by_cpu.log_ratio == pytest.approx(log(4))
    assert [block.faults for side in by_cpu for block in side] == [7.0] * 4
    # a throttled clock slows the processor down, too
    slow = Quartet((one.first[0]._replace(disturbed=True), one.first[1]), one.second)
    assert slow.by_cpu is not None
    assert slow.by_cpu.disturbed


def test_a_quartet_with_a_block_that_lacks_it_has_no_processor_time() -> None:
    whole, lacking = Block(1.0, cpu_s=1.0), Block(1.0)
    one = Quartet((whole, lacking), (whole, whole))
    assert one.by_cpu is None
    assert Round.of([one, Quartet((whole, whole), (whole, whole))]).by_cpu is None


def test_blocks_last_longer_by_processor_time() -> None:
    machine = Machine()
    slow, fast = (machine.taking(name, lambda s=s: s) for name, s in (("a", 2e-4), ("b", 5e-5)))
    compared(machine, slow, fast)
    runs = [
        len(run) for run in "".join(machine.calls).replace("ab", "a b").replace("ba", "b a").split()
    ]
    assert CPU_BLOCK_S == 4e-3
    # 20 calls of 0.2 ms and 80 of 0.05 ms, an untimed one before each; twice where blocks meet
    assert set(runs[2:]) <= {21, 42, 81, 162}


def test_a_busy_machine_does_not_shorten_blocks() -> None:
    machine = Machine()
    call = machine.taking("a", lambda: 1e-3, lambda: 9e-3)  # a tenth of the processor
    result = compared(machine, call, machine.taking("b", lambda: 2e-3, lambda: 18e-3))
    calls = "".join(machine.calls)[6:]
    quartet = "aaaaabbbbbbaaaaa"  # (1 + 4) calls of 1 ms, (1 + 2) of 2 ms, …
    assert calls.count("a") / calls.count("b") == pytest.approx(
        quartet.count("a") / quartet.count("b")
    )
    assert result.by_cpu is not None
    assert result.by_cpu.log_ratios == pytest.approx([log(1 / 2)] * ENOUGH_ROUNDS)


# -- what the first call of a block costs on a busy machine


class ColdStarts:
    """A clock of processor time after whose reading the next call takes a fifth longer."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.is_cold = machine, False

    def __call__(self) -> float:
        self.is_cold = True
        return self.machine.cpu_s

    def taking(self, name: str, cpu_s: Iterator[float]) -> Call:
        def own_s() -> float:
            cold, self.is_cold = self.is_cold, False
            return next(cpu_s) * (1.2 if cold else 1.0)

        return self.machine.taking(name, own_s)


def first_then(few: list[float], others: float) -> Iterator[float]:
    yield from few
    while True:
        yield others


def test_sides_that_take_about_as_long_are_timed_in_blocks_of_as_many_calls() -> None:
    machine = Machine()
    cold = ColdStarts(machine)
    # equal, but one seems slower while they are warmed, all of them cold:
    # 4 ms / (1.2 * 1.1 ms) are 3 calls, 4 ms / (1.2 * 0.9 ms) are 4
    first = cold.taking("a", first_then([1.1e-3] * 3, 0.9e-3))
    second = cold.taking("b", first_then([], 0.9e-3))
    (result,) = compare([Case("x", first, second)], budget_s=60, clock=machine.wall, cpu_clock=cold)
    assert result.by_cpu is not None
    assert result.by_cpu.log_ratios == pytest.approx([0.0] * ENOUGH_ROUNDS, abs=1e-9)


@pytest.mark.parametrize("cpu", [True, False], ids=["cpu", "wall"])
def test_every_other_quartet_begins_with_the_other_side(cpu: bool) -> None:
    machine = Machine()
    call = lambda name: machine.taking(name, lambda: 2e-3)  # noqa: E731
    (result,) = compare(
        [Case("x", call("a"), call("b"))],
        budget_s=60,
        clock=machine.wall,
        cpu_clock=machine.cpu if cpu else None,
        random=Random(1),
    )
    length = 4 * (1 + (2 if cpu else 1))  # 4 blocks of calls of 2 ms, an untimed one before each
    calls = machine.calls[6:]
    begins = [calls[at] for at in range(0, len(calls), length)]
    assert len(begins) == QUARTETS_PER_ROUND * ENOUGH_ROUNDS
    pairs = list(zip(begins[::2], begins[1::2], strict=True))
    assert set(pairs) == {("a", "b"), ("b", "a")}
    assert result.log_ratios == pytest.approx([0.0] * ENOUGH_ROUNDS)


# -- rounds in a short time


@pytest.mark.parametrize("cpu", [True, False], ids=["cpu", "wall"])
def test_rounds_are_shorter_where_too_few_would_fit(cpu: bool) -> None:
    machine = Machine()
    # once they are warm, others take the processor for nine tenths of the time
    busy = lambda: 0.0 if len(machine.calls) <= 6 else 18e-3  # noqa: E731
    calls = [machine.taking(name, lambda: 2e-3, busy) for name in ("a", "b")]
    quartet_s = 20e-3 * 4 * (1 + (2 if cpu else 1))
    (result,) = compare(
        [Case("x", *calls)],
        budget_s=(QUARTETS_PER_ROUND + ENOUGH_ROUNDS) * quartet_s,
        precision=1e-9,
        clock=machine.wall,
        cpu_clock=machine.cpu if cpu else None,
    )
    lengths = [len(one.quartets) for one in result.rounds]
    assert lengths[0] == QUARTETS_PER_ROUND  # before it is known how long one takes
    assert set(lengths[1:]) == {1}
    assert len(lengths) >= ENOUGH_ROUNDS


def test_how_long_a_round_takes_is_told_by_the_wall() -> None:
    machine = Machine()
    calls = [machine.taking(name, lambda: 1e-3, lambda: 49e-3) for name in ("a", "b")]
    result = compared(machine, *calls)
    # a quartet of 4 * (1 + 4) calls takes a second, more than a round has but for its first
    assert {len(one.quartets) for one in result.rounds} == {1}
    by_cpu = result.by_cpu
    assert by_cpu is not None
    assert exp(fmean(by_cpu.log_ratios)) == pytest.approx(1.0)


# -- whether the system has such a clock


def test_a_clock_that_goes_in_long_steps_is_refused() -> None:
    readings = iter(at // 1000 * 15.625e-3 for at in range(10**6))
    with pytest.raises(InputError) as refused:
        processor_clock(lambda: next(readings))
    assert str(refused.value) == (
        "--clock cpu: the processor time of this system is told in steps of 15.6 ms, "
        "at most 100 µs are in order: time with --clock wall"
    )


def test_one_interruption_does_not_make_a_clock_coarse() -> None:
    readings = iter([0.0, 0.01, 0.01, 0.010001, 0.010001, 0.010002])
    clock = lambda: next(readings)  # noqa: E731
    assert processor_clock(clock) is clock
