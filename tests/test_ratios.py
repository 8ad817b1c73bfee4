"""Budgets on ratios of latencies: judged by whole intervals, measured twice before they alarm, against what git has."""

from collections.abc import Callable
from fractions import Fraction
from math import exp
from pathlib import Path
from random import Random

import pytest

from dscost.analysis import count
from dscost.budgets.findings import CheckResult, Finding, NoRatio, Passed, Ratio, Subject
from dscost.budgets.judging import judge
from dscost.budgets.ratio_judging import is_broken, together, verdict_on
from dscost.budgets.ratios import confirmed
from dscost.budgets.reading import parse_budget
from dscost.budgets.records import Budget, Limit, Pairing
from dscost.errors import FileProblems
from dscost.pages.finding_words import finding_sentence
from dscost.rendering import View, render
from dscost.timing.engine import Case, compare
from dscost.timing.statistics import noise_of, speedup_of

HEAD = "version: 1\nmodels:\n  - target: resnet18\n    limits: "


def budget_of(limits: str, head: str = HEAD) -> Budget:
    return parse_budget(f"{head}{limits}\n", Path("b.yaml"))


def limit_of(limits: str) -> Limit:
    (limit,) = budget_of(limits).entries[0].limits
    return limit


def ratio(value: float, low: float, high: float, floor: float = 0.03, **more: object) -> Ratio:
    figures = (Fraction(str(one)) for one in (value, low, high, floor))
    return Ratio(*figures, "a over b", "torch 2.13.0", 1)._replace(**more)


# -- the language


@pytest.mark.parametrize(
    ("written", "metric", "bound", "value", "pairing"),
    [
        ("{speedup: 3x}", "speedup", "min", 3, Pairing()),
        ("{speedup: {min: 2.5, runtime: onnxruntime}}", "speedup", "min", Fraction(5, 2),
         Pairing(runtime="onnxruntime")),
        ("{latency_ratio: {max: 0.5×, against: resnet34}}", "latency_ratio", "max", Fraction(1, 2),
         Pairing(against="resnet34")),
        ("{latency_ratio: {max_increase: 5%, against: main, clock: cpu, threads: 1, time_budget: 2 min}}",
         "latency_ratio", "max_increase", Fraction(1, 20), Pairing("main", "torch", "cpu", 1, Fraction(120))),
    ],
)  # fmt: skip
def test_a_ratio_has_a_bound_and_what_it_is_taken_between(
    written: str, metric: str, bound: str, value: Fraction, pairing: Pairing
) -> None:
    limit = limit_of(written)
    found = (limit.metric, limit.bound, limit.value, limit.pairing)
    assert found == (metric, bound, value, pairing)
    assert limit.level == "warn"  # unless it is said otherwise


def test_what_the_defaults_say_of_a_ratio_holds_where_a_model_does_not_say_it() -> None:
    head = (
        "version: 1\ndefaults: {limits: {speedup: {min: 2x, runtime: onnxruntime, level: error}}}\n"
        "models:\n  - target: resnet18\n    limits: "
    )
    (own,) = budget_of("{speedup: {min: 3x, threads: 2}}", head).entries[0].limits
    assert (own.value, own.level) == (3, "error")
    assert own.pairing == Pairing(runtime="onnxruntime", threads=2)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{speedup: {max: 3x}}", "of a speedup more is better, so it has min"),
        ("{latency_ratio: {min: 3x, against: a}}", "of a latency ratio less is better, so it has max or max_increase"),
        ("{speedup: {runtime: torch}}", "a limit on speedup has min"),
        ("{speedup: {min: 5%}}", "expected a quantity such as 2.5, found '5%': unknown unit '%'"),
        ("{latency_ratio: {max_increase: 2, against: a}}",
         "expected a quantity such as 5%, found '2': it lacks a unit"),
        ("{speedup: {min: 3x, tolerance: 3%}}", "a ratio is judged by its whole interval, so it has no tolerance"),
        ("{speedup: {min: 3x, clock: cpu, threads: 2}}", "the clock cpu is of one thread"),
        ("{speedup: {min: 3x, runtime: onnx}}",
         "unknown runtime 'onnx' (known: torch, torch-compile, onnxruntime, openvino, executorch, ncnn)"),
        ("{speedup: {min: 3x, time_budget: 3}}", "expected a quantity such as 12 ms, found '3': it lacks a unit"),
        ("{latency_ratio: {max_increase: 5%}}",
         "latency_ratio is against nothing: name a target or a commit, such as against: main, "
         "or a baseline of the budget"),
        ("{macs: {max: 3, runtime: torch}}", "unknown key 'runtime'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_of_a_ratio_is_told_in_a_line(written: str, said: str) -> None:
    with pytest.raises(FileProblems) as caught:
        budget_of(written)
    assert said in caught.value.problems[0].message


def test_layers_have_no_ratios() -> None:
    with pytest.raises(FileProblems, match="unknown metric 'speedup'"):
        parse_budget(
            "version: 1\nmodels: [{target: a, layers: [{match: b, each: {speedup: 2x}}]}]\n",
            Path("b.yaml"),
        )


# -- judging


@pytest.mark.parametrize(
    ("limit", "measured", "kind"),
    [
        ("{speedup: 3x}", ratio(2.5, 2.2, 2.99), "under_min"),
        ("{speedup: 3x}", ratio(2.5, 2.2, 3.0), "undecided"),
        ("{speedup: 3x}", ratio(3.4, 2.9, 3.9), "undecided"),
        ("{speedup: 3x}", ratio(3.4, 3.0, 3.9), None),
        # hardly any speedup at all is under the least, however small its own difference from 1
        ("{speedup: 3x}", ratio(1.01, 0.99, 1.02), "under_min"),
        ("{latency_ratio: {max_increase: 5%, against: a}}", ratio(1.08, 1.051, 1.11), "grew"),
        ("{latency_ratio: {max_increase: 5%, against: a}}", ratio(1.08, 1.05, 1.11), "undecided"),
        ("{latency_ratio: {max_increase: 5%, against: a}}", ratio(1.0, 0.95, 1.05), None),
        ("{latency_ratio: {max: 0.5x, against: a}}", ratio(0.6, 0.51, 0.7), "over_max"),
        # equal models would keep these, so that the difference has to be above the noise floor
        ("{latency_ratio: {max_increase: 0%, against: a}}", ratio(1.02, 1.01, 1.03), "undecided"),
        ("{latency_ratio: {max_increase: 0%, against: a}}", ratio(1.04, 1.01, 1.06), "grew"),
        ("{latency_ratio: {max_increase: 5%, against: a}}", ratio(1.08, 1.06, 1.1, 0.2), "undecided"),
        ("{speedup: 0.95x}", ratio(0.9, 0.89, 0.94, 0.2), "undecided"),
        ("{speedup: 0.95x}", ratio(0.9, 0.89, 0.94, 0.05), "under_min"),
    ],
)  # fmt: skip
def test_a_limit_is_broken_or_kept_by_the_whole_interval_only(
    limit: str, measured: Ratio, kind: str | None
) -> None:
    assert verdict_on(limit_of(limit), measured) == kind


def judged(limits: str, found: Ratio | NoRatio | None, **more: object) -> list[Finding | Passed]:
    budget = budget_of(limits)
    (entry,) = budget.entries
    report = count("resnet18").report
    by_pairing = {} if found is None else {(x.metric, x.pairing): found for x in entry.ratios}
    subject = Subject(entry, report, ratios=by_pairing)  # type: ignore[arg-type]
    judgement = judge(budget, [subject], None)
    return [*judgement.findings, *judgement.passed]


def test_a_broken_ratio_is_a_warning_with_its_interval_unless_it_is_to_be_an_error() -> None:
    slow = ratio(2.413, 2.304, 2.527, runs=2)
    (found,) = judged("{speedup: 3x}", slow)
    assert isinstance(found, Finding)
    assert (found.kind, found.level, found.is_violation) == ("under_min", "warn", True)
    assert finding_sentence(found) == (
        "speedup of 2.41× [2.30, 2.53], all of it under the least of 3× "
        "(a over b, torch 2.13.0, 1 thread, measured twice)."
    )
    (found,) = judged("{speedup: {min: 3x, level: error, message: ask Ada}}", slow)
    assert isinstance(found, Finding)
    assert found.level == "error"
    assert finding_sentence(found).endswith("measured twice). ask Ada")
    assert judged("{speedup: {min: 3x, level: ignore}}", slow) == []


def test_growth_of_a_ratio_is_told_from_1() -> None:
    (found,) = judged(
        "{latency_ratio: {max_increase: 5%, against: a}}", ratio(1.125, 1.0625, 1.25, clock="cpu")
    )
    assert isinstance(found, Finding)
    assert (found.kind, found.before, found.limit) == ("grew", 1, Fraction(21, 20))
    assert finding_sentence(found) == (
        "latency ratio of 1.12× [1.06, 1.25], all of it over 1.05×, the growth of 5 % that passes "
        "(a over b, torch 2.13.0, 1 thread, processor time)."
    )


def test_what_is_not_decided_is_a_note_and_passes() -> None:
    (found,) = judged("{speedup: {min: 3x, level: error}}", ratio(3.01, 2.9996, 3.1))
    assert isinstance(found, Finding)
    assert (found.kind, found.level, found.is_violation) == ("undecided", "note", False)
    assert finding_sentence(found) == (
        "speedup of 3.0100× [2.9996, 3.1000]: neither kept nor broken for sure is 3× "
        "(a over b, torch 2.13.0, 1 thread); a longer time_budget or a quieter machine decides."
    )


def test_a_ratio_that_could_not_be_measured_is_told_at_the_level_of_its_limit() -> None:
    (found,) = judged("{speedup: {min: 3x, level: error}}", NoRatio("it burns."))
    assert isinstance(found, Finding)
    assert (found.kind, found.level) == ("unknown_figure", "error")
    assert finding_sentence(found) == "speedup could not be found out: it burns."


def test_a_model_that_a_commit_does_not_have_is_no_growth() -> None:
    limits = "{latency_ratio: {max_increase: 5%, against: main, level: error}}"
    (found,) = judged(limits, NoRatio("main has no net.yaml", is_missing=True))
    assert isinstance(found, Finding)
    assert (found.kind, found.level) == ("missing_baseline", "warn")


def test_tables_show_the_interval_what_it_is_between_and_where_to_look() -> None:
    said = judged("{speedup: {min: 3x, runtime: onnxruntime}}", ratio(2.4, 2.3, 2.5))
    (entry,) = budget_of("{speedup: {min: 3x, runtime: onnxruntime}}").entries
    findings = tuple(one for one in said if isinstance(one, Finding))
    result = CheckResult(Path("b.yaml"), findings, (), (Subject(entry, count("resnet18").report),))
    text = render(result, "table", View(width=100))
    row = next(line for line in text.splitlines() if line.startswith("! resnet18"))
    assert row.split() == "! resnet18 speedup 2.40× [2.30, 2.50] at least 3× 20.0 % short 4".split()
    assert "measured   a over b, torch 2.13.0, 1 thread\n" in text
    assert "dscost model resnet18 --explain --runtime onnxruntime   (shows where the time" in text
    assert "edit line 4 of b.yaml: time is not raised" in text
    assert "--accept" not in text


# -- measuring twice


def measures(*found: Ratio) -> Callable[[], Ratio]:
    left = iter(found)
    return lambda: next(left)


def test_what_seems_broken_is_measured_again_and_has_the_interval_of_both() -> None:
    limit = limit_of("{speedup: 3x}")
    quick = confirmed(measures(ratio(3.5, 3.3, 3.7)), [limit])
    assert quick.runs == 1
    unsure = confirmed(measures(ratio(3.0, 2.8, 3.3)), [limit])
    assert unsure.runs == 1
    again = confirmed(measures(ratio(2, 1.8, 2.2), ratio(2.42, 2.3, 2.6, 0.05)), [limit])
    assert (again.runs, again.low, again.high) == (2, Fraction("1.8"), Fraction("2.6"))
    assert float(again.value) == pytest.approx((2 * 2.42) ** 0.5)
    assert float(again.noise_floor) == 0.05
    assert is_broken(limit, again)
    refuted = confirmed(measures(ratio(2, 1.8, 2.2), ratio(3.2, 3.1, 3.3)), [limit])
    assert verdict_on(limit, refuted) == "undecided"


class LoadedMachine:
    """Made-up time of a machine with other work: calls take longer for a while, and some much longer."""

    def __init__(self, seed: int) -> None:
        self.now_s, self._random, self._slow, self._until_s = 0.0, Random(seed), 1.0, 0.0

    def clock(self) -> float:
        return self.now_s

    def call(self, seconds: float) -> Callable[[], None]:
        def run_it() -> None:
            if self.now_s >= self._until_s:  # another phase, of a tenth of a second or a few
                self._slow = exp(self._random.gauss(0, 0.4))
                self._until_s = self.now_s + self._random.expovariate(5)
            spike = 1 + 4 * self._random.random() if self._random.random() < 0.1 else 1.0
            self.now_s += seconds * self._slow * spike * exp(self._random.gauss(0, 0.15))

        return run_it

    def ratio(self, slower: float) -> Ratio:
        """Return what one run says of a thing and another that is so many times slower."""
        bias = exp(
            self._random.gauss(0, 0.005)
        )  # where the buffers of a model lie, once it is made
        first, second = self.call(1e-3), self.call(1e-3 * slower * bias)
        pair, itself = compare(
            [Case("pair", first, second), Case("itself", first, first)],
            budget_s=1.0,
            clock=self.clock,
            random=self._random,
        )
        speedup = speedup_of(pair.log_ratios)
        low, high = speedup.ci95
        floor = max(0.03, noise_of(itself.log_ratios))
        return ratio(1 / speedup.median, 1 / high, 1 / low, floor)


GATES = 200


@pytest.mark.parametrize("growth", ["0%", "2%"])
def test_two_hundred_gates_on_equal_models_under_load_raise_at_most_one_false_alarm(
    growth: str,
) -> None:
    limit = limit_of(f"{{latency_ratio: {{max_increase: {growth}, against: a}}}}")
    alarms = 0
    for seed in range(GATES):
        machine = LoadedMachine(seed)
        alarms += is_broken(limit, confirmed(lambda: machine.ratio(1.0), [limit]))  # noqa: B023
    assert alarms <= 1


def test_a_model_that_is_half_as_slow_again_is_found_under_load() -> None:
    limit = limit_of("{latency_ratio: {max_increase: 5%, against: a}}")
    machines = [LoadedMachine(seed) for seed in range(20)]
    found = [confirmed(lambda: one.ratio(1.5), [limit]) for one in machines]  # noqa: B023
    assert sum(is_broken(limit, one) for one in found) >= 18
    assert together(found[0], found[1]).runs == found[0].runs + found[1].runs
