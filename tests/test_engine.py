"""The engine on made-up time: calls that take a known number of seconds of a clock that only they move."""

from collections.abc import Callable, Sequence
from math import log, sqrt
from random import Random
from statistics import fmean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.timing.engine import (
    BLOCK_S,
    ENOUGH_ROUNDS,
    QUARTETS_PER_ROUND,
    Call,
    Case,
    CpuTimer,
    compare,
    is_done,
)
from dscost.timing.samples import Block, Measurement, Quartet, Round
from dscost.timing.statistics import noise_of, t_half_width


class FakeTime:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now_s

    def taking(self, name: str, seconds: Callable[[], float]) -> Callable[[], None]:
        def call() -> None:
            self.calls.append(name)
            self.now_s += seconds()

        return call


def steady(time: FakeTime, name: str, seconds: float) -> Callable[[], None]:
    return time.taking(name, lambda: seconds)


def test_the_ratio_of_steady_calls_is_exact_and_stops_after_the_least_rounds() -> None:
    time = FakeTime()
    case = Case("x", steady(time, "a", 3e-3), steady(time, "b", 1e-3))
    (result,) = compare([case], budget_s=60, clock=time.clock)
    assert len(result.log_ratios) == ENOUGH_ROUNDS
    assert result.log_ratios == pytest.approx([log(3)] * ENOUGH_ROUNDS)
    assert result.first_s == pytest.approx([3e-3] * 2 * QUARTETS_PER_ROUND * ENOUGH_ROUNDS)
    assert result.second_s == pytest.approx([1e-3] * 2 * QUARTETS_PER_ROUND * ENOUGH_ROUNDS)


def test_a_linear_drift_cancels_within_each_quartet() -> None:
    time = FakeTime()
    drift = lambda base: lambda: base * (1 + 0.5 * time.now_s)  # noqa: E731 - half as slow again every second
    case = Case("x", time.taking("a", drift(2e-3)), time.taking("b", drift(2e-3)))
    (result,) = compare([case], budget_s=0.5, precision=1e-9, clock=time.clock)
    sequential = log(result.first_s[0] / result.second_s[-1])
    assert abs(sequential) > 0.1  # one block after the other would have seen the drift
    assert result.log_ratios == pytest.approx([0.0] * len(result.log_ratios), abs=2e-4)


def test_short_calls_are_repeated_until_a_block_can_be_timed() -> None:
    time = FakeTime()
    case = Case("x", steady(time, "a", 1e-5), steady(time, "b", 1e-4))
    compare([case], budget_s=60, clock=time.clock)
    blocks = "".join(time.calls).replace("b" * 15, "B")
    assert round(BLOCK_S / 1e-5) == 150
    assert "a" * 151 in blocks  # the untimed call and 150 timed ones


def test_an_untimed_call_goes_before_every_block() -> None:
    time = FakeTime()
    # after the other side's turn the first call is ten times slower: a cache filled by someone else
    cold = lambda name, s: lambda: 10 * s if time.calls[-2:-1] != [name] else s  # noqa: E731
    case = Case("x", time.taking("a", cold("a", 2e-3)), time.taking("b", cold("b", 2e-3)))
    (result,) = compare([case], budget_s=60, clock=time.clock)
    assert result.first_s == pytest.approx([2e-3] * len(result.first_s))


def test_either_side_begins_a_quartet() -> None:
    orders = set()
    for seed in range(8):
        time = FakeTime()
        case = Case("x", steady(time, "a", 2e-3), steady(time, "b", 2e-3))
        compare([case], budget_s=60, clock=time.clock, random=Random(seed))
        orders.add("".join(time.calls[6:14]))  # after three warm calls of each side
    assert orders == {"aabbbbaa", "bbaaaabb"}


def test_noise_keeps_it_going_until_the_time_is_spent() -> None:
    time, random = FakeTime(), Random(3)
    noisy = time.taking("a", lambda: 2e-3 * random.uniform(0.5, 2.0))
    (result,) = compare(
        [Case("x", noisy, steady(time, "b", 2e-3))], budget_s=1.5, precision=0.001, clock=time.clock
    )
    assert 1.5 <= time.now_s < 1.6
    assert len(result.log_ratios) > ENOUGH_ROUNDS


def test_cases_take_turns_so_that_a_slow_second_spreads_over_all() -> None:
    time = FakeTime()
    cases = [Case(n, steady(time, n, 2e-3), steady(time, n.upper(), 2e-3)) for n in ("x", "y")]
    compare(cases, budget_s=60, clock=time.clock)
    turns = "".join(time.calls[12:]).lower()
    assert turns.replace("x" * 32, "1").replace("y" * 32, "2") == "12" * ENOUGH_ROUNDS


def test_a_case_that_does_not_fit_has_no_rounds_and_takes_no_more_than_its_first_calls() -> None:
    time = FakeTime()
    cases = [
        Case("slow", steady(time, "s", 5.0), steady(time, "t", 5.0)),
        Case("fast", steady(time, "a", 1e-3), steady(time, "b", 1e-3)),
    ]
    slow, fast = compare(cases, budget_s=30, clock=time.clock)
    assert slow.log_ratios == []
    assert time.calls.count("s") == time.calls.count("t") == 1
    assert len(fast.log_ratios) == ENOUGH_ROUNDS


def test_a_measured_case_has_at_least_two_rounds_however_short_the_time() -> None:
    time = FakeTime()
    (result,) = compare(
        [Case("x", steady(time, "a", 1e-3), steady(time, "b", 1e-3))],
        budget_s=0.05,
        clock=time.clock,
    )
    assert len(result.log_ratios) >= 2


def test_slow_calls_have_fewer_quartets_per_round() -> None:
    time = FakeTime()
    (result,) = compare(
        [Case("x", steady(time, "a", 0.1), steady(time, "b", 0.1))], budget_s=60, clock=time.clock
    )
    assert len(result.first_s) == 2 * len(result.log_ratios)


def test_it_warms_until_three_calls_agree() -> None:
    time = FakeTime()
    durations = iter([1.0, 0.5, 0.2, 0.1, 0.1, 0.1])
    settling = time.taking("a", lambda: next(durations, 0.1))
    (result,) = compare(
        [Case("x", settling, steady(time, "b", 0.1))], budget_s=100, clock=time.clock
    )
    assert result.first_s == pytest.approx([0.1] * len(result.first_s))


def test_a_clock_too_coarse_to_see_a_call_does_not_divide_by_zero() -> None:
    time = FakeTime()
    (result,) = compare(
        [Case("x", steady(time, "a", 0.0), steady(time, "b", 0.0))], budget_s=1, clock=time.clock
    )
    assert result.log_ratios == [0.0] * ENOUGH_ROUNDS


@pytest.mark.parametrize(
    ("rounds", "precise"),
    [([0.0] * (ENOUGH_ROUNDS - 1), False), ([0.0] * ENOUGH_ROUNDS, True), ([-0.2, 0.2] * 4, False)],
    ids=["too few", "enough", "too far apart"],
)
def test_it_stops_when_rounds_are_enough_and_agree(rounds: list[float], precise: bool) -> None:
    assert is_done(rounds, 0.02) is precise


def test_progress_is_told_by_the_name_of_the_case() -> None:
    time = FakeTime()
    told: list[tuple[float, str]] = []
    compare(
        [Case("conv1", steady(time, "a", 1e-3), steady(time, "b", 1e-3))],
        budget_s=10,
        clock=time.clock,
        progress=lambda fraction, doing: told.append((fraction, doing)),
    )
    assert {doing for _, doing in told} == {"conv1"}
    assert all(0 <= fraction <= 1 for fraction, _ in told)


# -- what is made again


def test_what_is_made_again_is_made_once_and_takes_no_time_of_the_budget() -> None:
    time, made = FakeTime(), []

    def again() -> None:
        made.append(time.now_s)
        time.now_s += 100

    sides = steady(time, "a", 2e-3), steady(time, "b", 1e-3)
    cases = [Case(name, *sides, again=(again, again)) for name in "xy"]
    results = compare(cases, budget_s=10, clock=time.clock)
    assert made == [0]
    assert [len(one.rounds) for one in results] == [ENOUGH_ROUNDS] * 2


def test_a_case_that_cannot_be_made_again_is_not_called_and_the_others_are() -> None:
    time, failed = FakeTime(), []

    def gone() -> None:
        raise RuntimeError("gone")

    cases = [
        Case("x", steady(time, "a", 1e-3), steady(time, "b", 1e-3), again=(gone,)),
        Case("y", steady(time, "c", 1e-3), steady(time, "d", 1e-3)),
    ]
    lost, other = compare(
        cases,
        budget_s=10,
        clock=time.clock,
        failed=lambda name, error: failed.append((name, str(error))),
    )
    assert failed == [("x", "gone")]
    assert not lost.rounds
    assert len(other.rounds) == ENOUGH_ROUNDS
    assert set(time.calls) == {"c", "d"}


# -- when it stops


def test_eight_rounds_are_the_least() -> None:
    assert not is_done([0.5] * 7, precision=0.02)
    assert is_done([0.5] * 8, precision=0.02)


def rounds_with(mean: float, half_width: float) -> list[float]:
    """Eight rounds whose 95 % t-interval is known: d off the mean by turns, so t(7) * d * sqrt(8 / 7) / sqrt(8)."""
    d = half_width * sqrt(7) / 2.3646
    return [mean - d, mean + d] * 4


@pytest.mark.parametrize(
    ("mean", "half_width", "options", "done"),
    [
        (0.0, 0.0190, {}, True),
        (0.0, 0.0205, {}, False),  # log1p(0.02) = 0.0198
        (0.0, 0.0205, {"precision": 0.03}, True),
        (0.045, 0.0190, {}, True),  # with what copies differ by it is 0.0214 wide
        (-0.045, 0.0190, {}, True),
        (0.025, 0.0190, {}, False),
        (-0.025, 0.0190, {}, False),
        (0.015, 0.0190, {}, False),  # reaches 0.036 > log1p(0.03) = 0.0296 and holds 0
        (-0.015, 0.0190, {}, False),
        (0.015, 0.0190, {"same_within": 0.04}, True),  # log1p(0.04) = 0.0392
        (0.007, 0.0190, {}, True),  # reaches 0.028
        (0.004, 0.0055, {"same_within": 0.005}, False),  # finer than 2 %, yet it decides nothing
        (
            0.004,
            0.0048,
            {"same_within": 0.005},
            True,
        ),  # four times finer than asked for: 0.0198 / 4 = 0.00495
    ],
    ids=[
        "narrow",
        "too wide",
        "wide enough for a lower precision",
        "leaves 1 above",
        "leaves 1 below",
        "leaves 1 by a hair above",
        "leaves 1 by a hair below",
        "undecided above",
        "undecided below",
        "the same by a wider measure",
        "the same",
        "undecided though narrow",
        "gives up",
    ],
)
def test_it_goes_on_while_the_interval_decides_nothing(
    mean: float, half_width: float, options: dict[str, float], done: bool
) -> None:
    assert is_done(rounds_with(mean, half_width), **{"precision": 0.02, **options}) is done


@pytest.mark.parametrize("spread", [0.03, 0.04])
def test_looking_after_each_round_leaves_19_of_20_intervals_right(spread: float) -> None:
    random, held = Random(1), 0
    for _ in range(400):
        rounds = [random.gauss(0.0, spread) for _ in range(ENOUGH_ROUNDS)]
        while not is_done(rounds, 0.02) and len(rounds) < 60:  # the time is spent
            rounds.append(random.gauss(0.0, spread))
        held += abs(fmean(rounds)) <= t_half_width(rounds)
    assert held >= 0.94 * 400  # 0.95, and what 400 may be off


def test_a_ratio_near_the_edge_takes_more_rounds_than_the_least() -> None:
    # Rounds alternate 0.0133 - d, 0.0133 + d with d = 0.0190 * sqrt(7) / 2.3646 = 0.02126. By hand, with t(n - 1):
    # n = 8 and 10 reach above 0.0296 and hold 0; n = 9 has mean 0.0109 and half-width 0.0172, with the 0.00995 by which
    # copies differ 0.0199, which does too; n = 11 has mean 0.0114 and half-width 0.0149, with them 0.0179: it reaches
    # 0.0293, which is the same.
    d = 0.0190 * sqrt(7) / 2.3646
    time, rounds = FakeTime(), [0.0133 - d, 0.0133 + d]
    first = time.taking(
        "a",
        lambda: 2e-3 * pow(2.718281828459045, rounds[max(0, time.calls.count("a") - 4) // 16 % 2]),
    )
    (result,) = compare([Case("x", first, steady(time, "b", 2e-3))], budget_s=60, clock=time.clock)
    assert result.log_ratios[:2] == pytest.approx(rounds)
    assert len(result.log_ratios) == 11


@law
@given(first_s=st.floats(1e-6, 1.0), second_s=st.floats(1e-6, 1.0), seed=st.integers(0, 99))
def test_the_ratio_of_steady_calls_is_exact_whatever_they_take(
    first_s: float, second_s: float, seed: int
) -> None:
    time = FakeTime()
    case = Case("x", steady(time, "a", first_s), steady(time, "b", second_s))
    (result,) = compare([case], budget_s=1e4, clock=time.clock, random=Random(seed))
    assert result.log_ratios == pytest.approx([log(first_s / second_s)] * ENOUGH_ROUNDS, abs=1e-6)
    assert result.first_s == pytest.approx([first_s] * len(result.first_s), rel=1e-6)
    assert result.second_s == pytest.approx([second_s] * len(result.second_s), rel=1e-6)


@law
@given(
    slowest_s=st.floats(1e-4, 1e-2),
    factor=st.floats(1.0, 50.0),
    budget_s=st.floats(1.0, 5.0),
    cases=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_the_budget_is_kept_but_for_the_round_that_was_begun(
    slowest_s: float, factor: float, budget_s: float, cases: int, seed: int
) -> None:
    time, random = FakeTime(), Random(seed)
    noisy = lambda: slowest_s / factor * random.uniform(0.8, 1.25)  # noqa: E731
    every = [
        Case(f"{n}", steady(time, "a", slowest_s), time.taking("b", noisy)) for n in range(cases)
    ]
    results = compare(every, budget_s=budget_s, precision=1e-6, clock=time.clock, random=random)
    assert time.now_s <= budget_s + 0.25  # a round is cut to 0.2 s where it can be
    assert all(len(result.log_ratios) >= 2 for result in results)


def test_nothing_to_compare_takes_no_time() -> None:
    time = FakeTime()
    assert compare([], budget_s=1, clock=time.clock) == []
    assert time.now_s == 0.0


def test_fast_and_slow_cases_take_turns_until_each_is_done() -> None:
    time, random, told = FakeTime(), Random(5), []
    cases = [
        Case("slow", steady(time, "s", 20e-3), steady(time, "t", 10e-3)),
        Case(
            "noisy",
            time.taking("n", lambda: 1e-3 * random.uniform(0.5, 2)),
            steady(time, "o", 1e-3),
        ),
        Case("fast", steady(time, "f", 1e-4), steady(time, "g", 1e-5)),
    ]
    slow, noisy, fast = compare(
        cases,
        budget_s=20,
        clock=time.clock,
        precision=0.005,
        progress=lambda _, doing: told.append(doing),
    )
    turns = told[3:]  # after warming
    assert turns[: 3 * ENOUGH_ROUNDS] == ["slow", "noisy", "fast"] * ENOUGH_ROUNDS
    assert set(turns[3 * ENOUGH_ROUNDS :]) == {"noisy"}
    assert len(slow.log_ratios) == len(fast.log_ratios) == ENOUGH_ROUNDS < len(noisy.log_ratios)
    assert slow.log_ratios == pytest.approx([log(2)] * ENOUGH_ROUNDS)
    assert fast.log_ratios == pytest.approx([log(10)] * ENOUGH_ROUNDS)


def test_a_thing_against_itself_has_no_noise_on_a_steady_machine() -> None:
    time = FakeTime()
    call = steady(time, "a", 1e-3)
    (result,) = compare([Case("itself", call, call)], budget_s=60, clock=time.clock)
    assert noise_of(result.log_ratios) == pytest.approx(0.0, abs=1e-9)


# -- how blocks are timed


class OwnTimer:
    """A timer that tells made-up seconds by the name of the call, and what else there is to a block."""

    def __init__(
        self,
        seconds: dict[str, float],
        disturbed: Sequence[bool] = (),
        most_calls: int | None = None,
    ) -> None:
        self.seconds, self.disturbed, self.most_calls = seconds, iter(disturbed), most_calls
        self.runs: list[list[tuple[str, int]]] = []

    def call(self, name: str) -> Call:
        def call() -> str:
            return name

        return call

    def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
        self.runs.append([(str(call()), count) for call, count in blocks])
        throttled = next(self.disturbed, False)
        return [Block(self.seconds[str(call())], disturbed=throttled) for call, _ in blocks]


def test_a_case_can_bring_its_own_timer() -> None:
    # its calls return at once on the clock of the host, as on a device that works on its own
    time, timer = FakeTime(), OwnTimer({"a": 1e-4, "b": 5e-4})
    case = Case("x", timer.call("a"), timer.call("b"), timer)
    (result,) = compare([case], budget_s=60, clock=time.clock)
    assert result.log_ratios == pytest.approx([log(1 / 5)] * ENOUGH_ROUNDS)
    quartets = timer.runs[2:]  # each side was warmed by one run
    assert len(quartets) == ENOUGH_ROUNDS * QUARTETS_PER_ROUND
    assert {tuple(quartet) for quartet in quartets} == {
        (("a", 15), ("b", 3), ("b", 3), ("a", 15)),  # 1.5 ms / 0.1 ms and 1.5 ms / 0.5 ms
        (("b", 3), ("a", 15), ("a", 15), ("b", 3)),
    }


def test_a_block_has_no_more_calls_than_its_timer_takes() -> None:
    # 15 calls of 0.1 ms would make a block, 3 of 0.5 ms
    timer = OwnTimer({"a": 1e-4, "b": 5e-4}, most_calls=8)
    (result,) = compare(
        [Case("x", timer.call("a"), timer.call("b"), timer)], budget_s=60, clock=FakeTime().clock
    )
    assert {tuple(sorted(quartet)) for quartet in timer.runs[2:]} == {
        (("a", 8), ("a", 8), ("b", 3), ("b", 3))
    }
    assert result.log_ratios == pytest.approx([log(1 / 5)] * ENOUGH_ROUNDS)


def test_blocks_that_a_timer_calls_disturbed_are_left_out() -> None:
    # the first two runs warm; then every other quartet is disturbed
    timer = OwnTimer({"a": 2e-3, "b": 1e-3}, [False, False] + [True, False] * 100)
    (result,) = compare(
        [Case("x", timer.call("a"), timer.call("b"), timer)], budget_s=60, clock=FakeTime().clock
    )
    assert [len(quartets) for quartets in result.kept] == [QUARTETS_PER_ROUND // 2] * ENOUGH_ROUNDS
    assert result.switched_share is None
    assert result.faults_per_call == (None, None)


def test_a_block_counts_what_happened_during_its_timed_calls() -> None:
    time, counts = FakeTime(), {"switches": 7, "faults": 1000}

    def call() -> None:
        time.now_s += 1e-3
        counts["switches"] += 1
        counts["faults"] += 3

    timer = CpuTimer(time.clock, lambda: (counts["switches"], counts["faults"]))
    (block,) = timer([(call, 10)])
    assert block.seconds == pytest.approx(1e-3)
    assert block.switches == 10  # not the untimed call's
    assert block.faults == pytest.approx(3.0)


def test_counters_that_the_system_does_not_have_stay_unknown() -> None:
    time = FakeTime()
    case = Case("x", steady(time, "a", 1e-3), steady(time, "b", 1e-3))
    for counters in (lambda: (None, None), lambda: (None, 5), lambda: (5, None)):
        (result,) = compare([case], budget_s=60, clock=time.clock, counters=counters)
        switches, faults = counters()
        assert result.switched_share == (None if switches is None else 0.0)
        assert result.faults_per_call == ((None, None) if faults is None else (0.0, 0.0))
        assert len(result.log_ratios) == ENOUGH_ROUNDS


# -- what fails


def failing(time: FakeTime, name: str, after: int, error: Exception) -> Call:
    """A call of a millisecond that raises once it was made so many times."""
    made = 0

    def call() -> None:
        nonlocal made
        made += 1
        if made > after:
            raise error
        time.now_s += 1e-3

    return call


# three warm calls of each side, then quartets of 2 · 2 blocks of 1 + 2 calls of each: 24 a round
@pytest.mark.parametrize("after", [0, 2, 3, 20, 30, 100], ids=lambda after: f"after {after} calls")
@pytest.mark.parametrize("side", ["first", "second"])
def test_a_case_that_fails_is_dropped_and_told_and_the_others_go_on(after: int, side: str) -> None:
    time, told = FakeTime(), []
    error = RuntimeError("out of memory")
    bad, good = failing(time, "bad", after, error), steady(time, "good", 1e-3)
    cases = [
        Case("before", steady(time, "a", 2e-3), steady(time, "b", 1e-3)),
        Case("fails", bad, good) if side == "first" else Case("fails", good, bad),
        Case("after", steady(time, "c", 3e-3), steady(time, "d", 1e-3)),
    ]
    before, fails, last = compare(
        cases,
        budget_s=60,
        clock=time.clock,
        failed=lambda name, raised: told.append((name, raised)),
    )
    assert told == [("fails", error)]
    assert (fails.rounds, fails.log_ratios) == ([], [])
    assert before.log_ratios == pytest.approx([log(2)] * ENOUGH_ROUNDS)
    assert last.log_ratios == pytest.approx([log(3)] * ENOUGH_ROUNDS)


def test_where_every_case_fails_nothing_is_left_to_measure() -> None:
    time, told = FakeTime(), []
    cases = [
        Case(f"{after}", failing(time, "a", after, RuntimeError("stop")), steady(time, "b", 1e-3))
        for after in (0, 50)
    ]
    results = compare(
        cases, budget_s=60, clock=time.clock, failed=lambda name, _: told.append(name)
    )
    assert [result.log_ratios for result in results] == [[], []]
    assert told == ["0", "50"]
    assert time.now_s < 1


@pytest.mark.parametrize("after", [0, 20], ids=["warming", "timing"])
def test_a_failure_that_nobody_listens_to_is_raised(after: int) -> None:
    time = FakeTime()
    case = Case(
        "x", failing(time, "a", after, RuntimeError("out of memory")), steady(time, "b", 1e-3)
    )
    with pytest.raises(RuntimeError, match="out of memory"):
        compare([case], budget_s=60, clock=time.clock)


@pytest.mark.parametrize("after", [0, 20], ids=["warming", "timing"])
@pytest.mark.parametrize(
    "error", [ValueError("a bug"), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
def test_what_is_no_failure_of_the_machine_is_raised_whoever_listens(
    after: int, error: Exception
) -> None:
    time = FakeTime()
    case = Case("x", failing(time, "a", after, error), steady(time, "b", 1e-3))
    with pytest.raises(type(error)):
        compare([case], budget_s=60, clock=time.clock, failed=lambda name, raised: None)


# -- what disturbed blocks are worth


def quartet(
    ratio: float, *, switches: int | None = 0, faults: tuple[float, float] = (0.0, 0.0)
) -> Quartet:
    """A quartet whose first side takes `ratio` times as long as the second."""
    first, second = Block(ratio * 1e-3, 0, faults[0]), Block(1e-3, 0, faults[1])
    return Quartet((first, first._replace(switches=switches)), (second, second))


def comparison(*rounds: Sequence[Quartet]) -> Measurement:
    return Measurement([Round.of(quartets) for quartets in rounds])


def test_disturbed_quartets_are_left_out_while_six_remain() -> None:
    quiet, disturbed = quartet(2.0), quartet(9.0, switches=3)
    result = comparison([quiet, disturbed, quiet, quiet], [disturbed, quiet, quiet, quiet])
    assert result.log_ratios == pytest.approx([log(2.0)] * 2)
    assert result.first_s == pytest.approx([2e-3] * 12)
    assert result.second_s == pytest.approx([1e-3] * 12)


def test_with_fewer_than_six_quiet_quartets_all_are_kept() -> None:
    quiet, disturbed = quartet(2.0), quartet(9.0, switches=1)
    result = comparison([quiet, disturbed, disturbed, quiet], [disturbed, quiet, quiet, quiet])
    assert result.log_ratios == pytest.approx([(log(2.0) + log(9.0)) / 2, log(2.0)])
    assert sorted(result.first_s) == pytest.approx([2e-3] * 10 + [9e-3] * 6)


def test_one_quiet_round_is_not_enough_since_it_has_no_interval() -> None:
    quiet, disturbed = quartet(2.0), quartet(9.0, switches=1)
    result = comparison([quiet] * 6, [disturbed] * 6)
    assert result.log_ratios == pytest.approx([log(2.0), log(9.0)])
    assert len(result.first_s) == 24


def test_an_round_that_was_disturbed_throughout_is_left_out_whole() -> None:
    quiet, disturbed = quartet(2.0), quartet(9.0, switches=1)
    result = comparison([quiet] * 3, [disturbed] * 3, [quiet] * 3)
    assert result.log_ratios == pytest.approx([log(2.0)] * 2)
    assert len(result.first_s) == 12


def test_what_is_not_known_to_be_disturbed_is_quiet() -> None:
    assert not quartet(2.0, switches=None).disturbed
    assert not quartet(2.0, switches=0).disturbed
    assert quartet(2.0, switches=1).disturbed


@law
@given(
    st.lists(
        st.lists(st.tuples(st.floats(0.1, 10.0), st.booleans()), min_size=1, max_size=5),
        min_size=2,
        max_size=8,
    )
)
def test_latencies_and_rounds_always_speak_of_the_same_quartets(
    pattern: list[list[tuple[float, bool]]],
) -> None:
    result = comparison(
        *[[quartet(ratio, switches=int(hit)) for ratio, hit in round] for round in pattern]
    )
    quiet = [[log(ratio) for ratio, hit in round if not hit] for round in pattern]
    enough = sum(map(len, quiet)) >= 6 and sum(map(bool, quiet)) >= 2
    expected = (
        [logs for logs in quiet if logs]
        if enough
        else [[log(r) for r, _ in round] for round in pattern]
    )
    assert result.log_ratios == pytest.approx([median(logs) for logs in expected])
    assert [len(quartets) for quartets in result.kept] == [len(logs) for logs in expected]
    assert len(result.first_s) == len(result.second_s) == 2 * sum(map(len, expected))


def test_the_switched_share_is_one_of_all_blocks_left_out_or_not() -> None:
    result = comparison(
        [quartet(2.0), quartet(2.0, switches=4), quartet(2.0)],
        [quartet(2.0, switches=1), quartet(2.0), quartet(2.0)],
    )
    assert result.switched_share == pytest.approx(2 / 24)


def test_page_faults_are_medians_of_each_side() -> None:
    faults = [(3104.0, 1.0), (3104.0, 2.0), (0.0, 30.0)]
    result = comparison(*[[quartet(2.0, faults=one)] for one in faults])
    assert result.faults_per_call == (3104.0, 2.0)


def test_it_measures_until_enough_rounds_are_quiet() -> None:
    time = FakeTime()
    case = Case("x", steady(time, "a", 2e-3), steady(time, "b", 2e-3))
    busy_until = (
        6 + 3 * 32
    )  # three warm calls of each side, then three rounds of 4 * 4 blocks of 1 + 1 calls
    counters = lambda: (min(len(time.calls), busy_until), None)  # noqa: E731
    (result,) = compare([case], budget_s=60, clock=time.clock, counters=counters)
    assert len(result.rounds) == 3 + ENOUGH_ROUNDS
    assert len(result.log_ratios) == ENOUGH_ROUNDS
    assert result.switched_share == pytest.approx(3 / (3 + ENOUGH_ROUNDS))


def test_where_every_block_is_disturbed_the_figures_still_come() -> None:
    time = FakeTime()
    case = Case("x", steady(time, "a", 3e-3), steady(time, "b", 1e-3))
    (result,) = compare(
        [case], budget_s=60, clock=time.clock, counters=lambda: (len(time.calls), None)
    )
    assert result.log_ratios == pytest.approx([log(3)] * ENOUGH_ROUNDS)
    assert result.switched_share == 1.0
