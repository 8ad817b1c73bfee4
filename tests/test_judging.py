"""What a budget says of figures: exact at every limit, and never silent about what it cannot judge."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law, timing_with

from dscost.analysis import Request, analyze, count
from dscost.analysis.counting import CountedModel
from dscost.budgets import checking
from dscost.budgets.baseline import Baseline, baseline_text, known_of, parse_baseline
from dscost.budgets.checking import check
from dscost.budgets.findings import CheckResult, Finding, Judgement, Subject
from dscost.budgets.judging import judge
from dscost.budgets.reading import read_budget
from dscost.budgets.records import Budget
from dscost.errors import InputError, UnavailableError, UnknownNameError
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.pages.finding_words import finding_sentence
from dscost.rendering import View, render
from dscost.reports.figures import Cost, summed
from dscost.reports.records import (
    Coverage,
    Doubt,
    Input,
    Latency,
    Layer,
    Operator,
    Report,
    Totals,
)
from dscost.timing import TimingOptions

RESNET18_MACS, RESNET18_PARAMS = 1_814_073_344, 11_689_512  # at 224, torchvision
MOBILENET_MACS, MOBILENET_PARAMS = 568_740_352, 4_231_976  # 1.0 at 224, with BatchNorm


def layer(
    name: str, params: int = 0, macs: int = 0, traffic: int = 0, conv: ConvSpec | None = None
) -> Layer:
    cost = Cost(params, macs, 4 * params, 7, 9, traffic)
    kind = ("Conv2d", "convolution") if conv else ("Linear", "linear")
    return Layer(name, *kind, 1, conv, (1, 3, 8, 8), (1, 3, 8, 8), cost)


def report(
    *layers: Layer,
    unknown: Sequence[str] = (),
    peak: int | None = None,
    median_s: float | None = None,
    size: int = 8,
) -> Report:
    total = summed(one.cost for one in layers)
    total = total._replace(input_bytes=4 * 3 * size * size, output_bytes=40)
    latency = (
        {}
        if median_s is None
        else {"cpu": timing_with(as_is=Latency(median_s, None, 0.0, 0.0, 0.0, 0.0, 9))}
    )
    return Report(
        target="m",
        source="yaml",
        inputs=(Input((1, 3, size, size), "float32"),),
        totals=Totals(total, total, total),
        layers=layers,
        coverage=Coverage(len(layers), 0, tuple(unknown)),
        peak_activation_bytes=peak,
        latency=latency,
        shared_weights=(),
    )


def budget_of(text: str, policy: str = "") -> Budget:
    """Return a budget of a model `m`; what is said of it begins on line 5."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "b.yaml"
        path.write_text(
            f"version: 1\nbaseline: kept.json\nmodels:\n  - target: m\n{text}\n{policy}\n"
        )
        return read_budget(path)


def judged(
    text: str, now: Report | None, before: Report | None = None, policy: str = ""
) -> Judgement:
    """Judge a report against a baseline, by way of its file."""
    budget = budget_of(text, policy)
    (entry,) = budget.entries
    known = {} if before is None else {entry.name: known_of(entry, before)}
    baseline = parse_baseline(baseline_text(known), "kept.json")
    return judge(budget, [Subject(entry, now, None if now else "it burns")], baseline)


EXACTLY = View(verbose=True)


def row_of(markdown: str) -> list[str]:
    """Return the figure, the limit and the margin of the only row of model m."""
    row = next(line for line in markdown.splitlines() if line.startswith("| ❌ | m "))
    return [cell.strip() for cell in row.strip("|").split("|")][-3:]


def kinds(judgement: Judgement) -> list[tuple[str, str]]:
    return [(finding.kind, finding.level) for finding in judgement.findings]


def texts_of(finding: Finding) -> list[str]:
    """Return the sentence, the table in full and at a glance, and the Markdown that a user sees."""
    result = CheckResult(Path("b.yaml"), (finding,), (), ())
    views = (("table", EXACTLY), ("table", View()), ("markdown", View()))
    return [finding_sentence(finding), *(render(result, name, view) for name, view in views)]


# -- at the limit


@pytest.mark.parametrize(
    ("target", "metric", "value", "printed"),
    [
        ("resnet18", "macs", RESNET18_MACS, "1,814,073,344"),
        ("resnet18", "params", RESNET18_PARAMS, "11,689,512"),
        ("resnet18", "flops", 2 * RESNET18_MACS, "3,628,146,688"),
        ("resnet18", "weight_bytes", 4 * RESNET18_PARAMS, "46,758,048"),
        ("resnet18", "input_bytes", 4 * 3 * 224 * 224, "602,112"),
        ("resnet18", "output_bytes", 4 * 1000, "4,000"),
        ("mobilenet_v1", "macs", MOBILENET_MACS, "568,740,352"),
        ("mobilenet_v1", "params", MOBILENET_PARAMS, "4,231,976"),
    ],
)
def test_at_the_limit_passes_and_one_over_it_fails_with_both_integers(
    target: str, metric: str, value: int, printed: str, tmp_path: Path
) -> None:
    unit = " B" if metric.endswith("_bytes") else ""

    def checked(bound: str, limit: int) -> CheckResult:
        path = tmp_path / "b.yaml"
        text = f"limits: {{{metric}: {{{bound}: {limit}{unit}}}}}"
        path.write_text(f"version: 1\nmodels:\n  - {{target: {target}, {text}}}\n")
        return check(path)

    for bound in ("max", "min"):
        at_limit = checked(bound, value)
        assert (at_limit.findings, at_limit.exit_code) == ((), 0)
        assert [(one.metric, one.bound, one.value, one.limit) for one in at_limit.passed] == [
            (metric, bound, value, value)
        ]
    for bound, limit, kind in (("max", value - 1, "over_max"), ("min", value + 1, "under_min")):
        beyond = checked(bound, limit)
        (finding,) = beyond.findings
        assert (finding.kind, finding.value, finding.limit, beyond.exit_code) == (
            kind,
            value,
            limit,
            1,
        )
        for text in texts_of(finding)[:2]:
            assert printed in text
            assert f"{limit:,}" in text


@pytest.mark.parametrize(
    ("limits", "before", "now", "kind", "most"),
    [
        ("{max_increase: 1%}", 300, 303, None, 303),
        ("{max_increase: 1%}", 300, 304, "grew", 303),
        ("{max_increase: 0%}", 300, 300, None, 300),
        ("{max_increase: 0%}", 300, 301, "grew", 300),
        ("{max_increase: 0.1%}", 1000, 1001, None, 1001),
        ("{max_increase: 0.1%}", 1000, 1002, "grew", 1001),
        ("{max_increase: 1%}", 399, 402, None, 402),  # of 402.99
        ("{max_increase: 1%}", 399, 403, "grew", 402),
        ("{max_increase: 5}", 300, 305, None, 305),
        ("{max_increase: 5}", 300, 306, "grew", 305),
        ("{max_increase: 1%}", 300, 1, None, 303),
        # floating point would call 0.07 * 1e17 another number
        ("{max_increase: 7%}", 10**17, 107 * 10**15, None, 107 * 10**15),
        ("{max_increase: 7%}", 10**17, 107 * 10**15 + 1, "grew", 107 * 10**15),
        # from nothing
        ("{max_increase: 50%}", 0, 0, None, 0),
        ("{max_increase: 50%}", 0, 1, "new_cost", 0),
        ("{max_increase: 5}", 0, 5, None, 5),
        ("{max_increase: 5}", 0, 6, "new_cost", 5),
        # what is too small to speak of
        ("{max_increase: 1%, ignore_below: 100}", 300, 399, None, 399),
        ("{max_increase: 1%, ignore_below: 100}", 300, 400, "grew", 399),
        ("{max_increase: 1%, ignore_below: 100}", 30_000, 30_300, None, 30_300),
        ("{max_increase: 1%, ignore_below: 100}", 30_000, 30_301, "grew", 30_300),
        ("{max_increase: 0%, ignore_below: 100}", 0, 99, None, 99),
        ("{max_increase: 0%, ignore_below: 100}", 0, 100, "new_cost", 99),
        ("{max_increase: 0%, ignore_below: 0.5}", 300, 301, "grew", 300),
        # downwards
        ("{max_decrease: 1%}", 300, 297, None, 297),
        ("{max_decrease: 1%}", 300, 296, "shrank", 297),
        ("{max_decrease: 5}", 300, 295, None, 295),
        ("{max_decrease: 5}", 300, 294, "shrank", 295),
        ("{max_decrease: 1%, ignore_below: 10}", 300, 291, None, 291),
        ("{max_decrease: 1%, ignore_below: 10}", 300, 290, "shrank", 291),
        ("{max_decrease: 1%}", 300, 900, None, 297),
        ("{max_decrease: 1%}", 399, 396, None, 396),  # of 395.01
        ("{max_decrease: 1%}", 399, 395, "shrank", 396),
    ],
)
def test_growth_is_compared_exactly(
    limits: str, before: int, now: int, kind: str | None, most: Fraction | int
) -> None:
    found = judged(
        f"    limits: {{macs: {limits}}}",
        report(layer("a", macs=now)),
        report(layer("a", macs=before)),
        "policy: {on_improvement: ignore}",
    )
    if kind is None:
        assert found.findings == ()
        assert [(one.value, one.limit) for one in found.passed] == [(now, most)]
    else:
        (finding,) = found.findings
        assert (finding.kind, finding.value, finding.before, finding.limit) == (
            kind,
            now,
            before,
            most,
        )
        assert found.passed == ()


@law
@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(0, 3000), st.integers(0, 10**6))
def test_growth_passes_exactly_when_the_integers_say_so(
    before: int, now: int, per_mille: int, small: int
) -> None:
    text = f"    limits: {{macs: {{max_increase: '{per_mille / 10}%', ignore_below: {small}}}}}"
    found = judged(text, report(layer("a", macs=now)), report(layer("a", macs=before)),
                   "policy: {on_improvement: ignore}")  # fmt: skip
    too_much = 1000 * (now - before) > per_mille * before and now - before >= small
    assert bool(found.findings) is too_much
    for one in (*found.findings, *found.passed):
        assert one.value is not None
        assert one.limit is not None
        assert (one.value > one.limit) is too_much  # and what is said to pass would have


@pytest.mark.parametrize("metric", ["flops", "weight_bytes", "traffic_bytes", "flops_per_byte",
                                    "peak_activation_bytes", "input_bytes", "output_bytes"])  # fmt: skip
def test_every_figure_can_be_compared_with_the_baseline(metric: str) -> None:
    text = f"    limits: {{{metric}: {{max_increase: 0%}}}}"
    same = report(layer("a", params=5, macs=70, traffic=30), peak=100)
    assert judged(text, same, same).findings == ()
    assert len(judged(text, same, same).passed) == 1
    grown = report(layer("a", params=6, macs=150, traffic=31), peak=101)
    total = grown.totals.as_is._replace(input_bytes=10**6, output_bytes=10**6)
    grown = grown._replace(totals=Totals(total, total, total))
    (finding,) = (one for one in judged(text, grown, same).findings if one.kind != "improvement")
    assert (finding.kind, finding.metric) == ("grew", metric)
    assert finding.value is not None
    assert finding.before is not None
    assert finding.value > finding.before > 0


def test_a_figure_that_the_baseline_does_not_have_is_told_and_no_growth() -> None:
    text = "    limits: {peak_activation_bytes: {max_increase: 0%}}"
    now, before = report(layer("a"), peak=10), report(layer("a"), peak=None)
    (finding,) = judged(text, now, before).findings
    assert (finding.kind, finding.level, finding.metric, finding.line) == (
        "missing_baseline", "warn", "peak_activation_bytes", 5,
    )  # fmt: skip


def test_a_figure_that_is_not_known_is_told_at_the_level_of_its_limit() -> None:
    for level in ("error", "warn"):
        found = judged(
            f"    limits: {{peak_activation_bytes: {{max: 1 kB, level: {level}}}, flops_per_byte: "
            f"{{max: 5, level: {level}}}}}",
            report(layer("a", macs=3)),
        )
        assert kinds(found) == [("unknown_figure", level)] * 2
        assert [finding.metric for finding in found.findings] == [
            "peak_activation_bytes",
            "flops_per_byte",
        ]


def test_why_nothing_was_timed_is_told_of_the_time_alone() -> None:
    budget = budget_of("    limits: {peak_activation_bytes: 1 kB, latency_s: 1 ms}")
    (entry,) = budget.entries
    found = judge(budget, [Subject(entry, report(layer("a")), "The clock stands.")], None)
    assert [finding_sentence(finding) for finding in found.findings] == [
        "bytes of peak activations could not be found out.",
        "latency could not be found out: The clock stands.",
    ]


def test_flops_per_byte_is_a_fraction() -> None:
    # 2 * 5 / 3 FLOP/byte is above 3.333 by a third of a thousandth
    found = judged(
        "    limits: {flops_per_byte: {max: 3.333}}", report(layer("a", macs=5, traffic=3))
    )
    (finding,) = found.findings
    assert (finding.value, finding.limit) == (Fraction(10, 3), Fraction(3333, 1000))
    exactly = judged(
        "    limits: {flops_per_byte: {max: 2.5}}", report(layer("a", macs=5, traffic=4))
    )
    assert exactly.findings == ()


# -- nothing that differs looks the same


@pytest.mark.parametrize(
    ("metric", "value", "limit"),
    [
        ("macs", Fraction(1_814_073_344), Fraction(1_814_073_343)),
        ("macs", Fraction(10**18 + 1), Fraction(10**18)),
        ("macs", Fraction(303), Fraction(30299, 100)),
        ("macs", Fraction(1_000_000_000), Fraction(999_999_999_999_999_999, 10**9)),
        ("macs", Fraction(2), Fraction(19_999_999, 10**7)),
        ("weight_bytes", Fraction(17 * 1024**2 + 1), Fraction(17 * 1024**2)),
        ("flops_per_byte", Fraction(10**10 + 1, 10**10), Fraction(1)),
        ("flops_per_byte", Fraction(25_000_001, 10**7), Fraction(5, 2)),
        ("flops_per_byte", Fraction(1, 3), Fraction(333_333_333, 10**9)),
        ("flops_per_byte", Fraction(10**20 + 1, 10**20), Fraction(1)),
        ("latency_s", Fraction(12_001, 10**6), Fraction(12, 1000)),
        ("latency_s", Fraction(13_200_001, 10**9), Fraction(132, 10**4)),
        ("latency_s", Fraction(2_000_001, 10**6), Fraction(2)),
        ("latency_s", Fraction(2), Fraction(199_999, 10**5)),
    ],
)  # fmt: skip
def test_a_broken_limit_never_looks_kept(metric: str, value: Fraction, limit: Fraction) -> None:
    for kind, found, bound in (("over_max", value, limit), ("under_min", limit, value)):
        finding = Finding(kind, "error", "m", 5, 15, metric, None, found, bound)
        sentence, table, glanced, markdown = texts_of(finding)
        told = re.fullmatch(
            r"(?:latency of )?([\d.,]+(?: [mnµ]?s)?).*, (?:over|under) the \w+ of (.+) by (.+)\.",
            sentence,
        )
        assert told
        assert told[1] != told[2]
        assert told[3] not in ("0", "0 s")
        now, most, _ = row_of(markdown)
        assert now != most.removeprefix("at least ")
        for page in (table, glanced):
            row = next(line for line in page.splitlines() if line.startswith("✗ m "))
            assert re.search(r" (over|short)  ", row)
        assert re.search(rf" {re.escape(now)} +{re.escape(most)} ", glanced)
        if metric == "latency_s":
            assert all(
                text.endswith("s") for text in (told[1], told[2], told[3])
            )  # a time has a unit


@law
@given(
    st.sampled_from(["macs", "weight_bytes", "flops_per_byte", "latency_s"]),
    st.fractions(min_value=0, max_value=10**12, max_denominator=10**9),
    st.fractions(min_value=Fraction(1, 10**15), max_value=10**6, max_denominator=10**15),
)
def test_no_two_figures_are_printed_alike_when_one_breaks_the_other(
    metric: str, limit: Fraction, over: Fraction
) -> None:
    finding = Finding("over_max", "error", "m", 5, 15, metric, None, limit + over, limit)
    now, most, _ = row_of(texts_of(finding)[-1])
    assert now != most


# -- layers


@pytest.mark.parametrize(
    ("bound", "macs", "kind"),
    [
        ("max_increase", 70, None),  # 2 * 70 FLOPs for 10 bytes, 14, after 10
        ("max_increase", 71, "grew"),
        ("max_decrease", 30, None),
        ("max_decrease", 29, "shrank"),
    ],
)
def test_a_change_of_intensity_that_is_ignored_is_not_shown_as_over_the_limit(
    bound: str, macs: int, kind: str | None
) -> None:
    found = judged(
        f"    limits: {{flops_per_byte: {{{bound}: 0%, ignore_below: 4}}}}",
        report(layer("a", macs=macs, traffic=10)),
        report(layer("a", macs=50, traffic=10)),
        "policy: {on_improvement: ignore}",
    )
    assert [one.kind for one in found.findings] == ([] if kind is None else [kind])
    limit = 14 if bound == "max_increase" else 6
    assert [one.limit for one in (*found.findings, *found.passed)] == [limit]


def test_a_layer_that_is_the_model_itself_is_not_taken_for_all_of_it() -> None:
    found = judged("    layers: [{match: '*', each: {macs: {max: 6, level: warn}, params: 1}}]",
                   report(layer("", macs=7), layer("a", macs=5)))  # fmt: skip
    assert [finding_sentence(one) for one in found.findings] == [
        "(root): 7 MACs, over the limit of 6 by 1."
    ]
    budget = budget_of("")
    result = CheckResult(
        budget.path, found.findings, found.passed, (Subject(budget.entries[0], report()),)
    )
    table = render(result, "markdown", View())
    assert "| MACs of (root) |" in table
    assert "| params of (root) |" in table
    assert 'name="macs max of (root)"' in render(result, "junit", View())


def test_each_is_about_every_layer_and_the_last_rule_that_matches_holds() -> None:
    found = judged(
        "    layers:\n"
        "      - {match: '*', each: {macs: 10, params: 3}}\n"  # line 6
        "      - {match: 'a.*', each: {macs: 20}}\n"
        "      - {match: 'a.2', each: {macs: {max: 5, level: ignore}}}\n"
        "      - {match: 'b', each: {macs: {min: 1}}}\n",
        report(
            layer("a.1", macs=21),
            layer("a.2", macs=999),
            layer("b", macs=11, params=4),
            layer("a.3", macs=20),
        ),
    )
    assert [(one.layer, one.metric, one.value, one.limit, one.line) for one in found.findings] == [
        ("b", "macs", 11, 10, 6),
        ("b", "params", 4, 3, 6),
        ("a.1", "macs", 21, 20, 7),
    ]
    assert {(one.layer, one.metric, one.bound, int(one.limit)) for one in found.passed} == {
        ("a.1", "params", "max", 3),
        ("a.2", "params", "max", 3),
        ("a.3", "params", "max", 3),
        ("a.3", "macs", "max", 20),
        ("b", "macs", "min", 1),
    }


def test_the_limits_of_a_layer_are_told_together_in_the_order_of_the_layers() -> None:
    found = judged(
        "    layers: [{match: 'a.*', each: {params: 1, macs: {max: 1, max_increase: 0%}}}]",
        report(layer("a.2", params=3, macs=4), layer("a.1", params=5, macs=6)),
        report(layer("a.2", params=3, macs=2), layer("a.1", params=5, macs=2)),
    )
    assert [(one.layer, one.metric) for one in found.findings] == [
        (name, metric) for name in ("a.2", "a.1") for metric in ("params", "macs", "macs")
    ]


def test_a_rule_that_is_there_twice_by_an_alias_holds_once() -> None:
    found = judged(
        "    layers:\n      - &rule {match: a, each: {macs: 10}}\n      - *rule\n",
        report(layer("a", macs=11)),
    )
    assert kinds(found) == [("over_max", "error")]


def test_a_total_is_the_sum_of_the_layers_that_match() -> None:
    rule = "    layers:\n      - {{match: 'a.*', total: {{macs: {0}, params: {{min: {1}}}, flops: 66}}}}\n"
    layers = [
        layer("a.1", macs=11, params=2),
        layer("a.2", macs=22, params=3),
        layer("b", macs=44, params=7),
    ]
    assert judged(rule.format(11 + 22, 2 + 3), report(*layers)).findings == ()
    found = judged(rule.format(11 + 22 - 1, 2 + 3 + 1), report(*layers))
    assert [(one.kind, one.layer, one.value, one.limit) for one in found.findings] == [
        ("over_max", "a.*", 33, 32),
        ("under_min", "a.*", 5, 6),
    ]
    assert [one.layer for one in found.findings[0].contributions] == ["a.2", "a.1"]


def test_a_total_may_be_an_intensity() -> None:
    rule = "    layers:\n      - {match: 'a.*', total: {flops_per_byte: {min: 4}}}\n"
    # 2 * (10 + 20) / (5 + 10) = 4
    assert (
        judged(
            rule, report(layer("a.1", macs=10, traffic=5), layer("a.2", macs=20, traffic=10))
        ).findings
        == ()
    )
    assert judged(
        rule, report(layer("a.1", macs=10, traffic=5), layer("a.2", macs=20, traffic=11))
    ).findings


def test_growth_of_one_layer_and_of_a_group() -> None:
    rules = (
        "    layers:\n"
        "      - {match: 'a.*', each: {macs: {max_increase: 10%}, flops: {max_increase: 10%}}}\n"
        "      - {match: 'a.*', total: {macs: {max_increase: 10%}}}\n"
    )
    before = report(layer("a.1", macs=100), layer("a.2", macs=200), layer("b", macs=5))
    found = judged(
        rules, report(layer("a.1", macs=111), layer("a.2", macs=200), layer("b", macs=5000)), before
    )
    assert [(one.kind, one.layer, one.metric, one.value, one.before) for one in found.findings] == [
        ("grew", "a.1", "macs", 111, 100),
        ("grew", "a.1", "flops", 222, 200),
    ]
    assert (found.passed[-1].layer, found.passed[-1].value, found.passed[-1].limit) == (
        "a.*",
        311,
        330,
    )
    grown = judged(rules, report(layer("a.1", macs=110), layer("a.2", macs=221)), before)
    total = grown.findings[-1]
    assert (total.kind, total.layer, total.value, total.before, total.limit) == (
        "grew",
        "a.*",
        331,
        300,
        330,
    )
    assert [(one.layer, one.before, one.value) for one in total.contributions] == [
        ("a.2", 200, 221),
        ("a.1", 100, 110),
    ]


def dense(name: str, macs: int, params: int = 0, channels: int = 8) -> Layer:
    return layer(name, params=params, macs=macs, conv=conv2d(channels, channels, 3))


def depthwise(name: str, macs: int, params: int = 0) -> Layer:
    return layer(name, params=params, macs=macs, conv=conv2d(8, 8, 3, groups=8))


DENSE = "type:Conv2d[groups=1,kernel>1]"


@pytest.mark.parametrize(
    ("now", "value", "kind", "told"),
    [
        # one of two made depthwise, the other as before: 300 became 200, though that one was 200 all along
        ([depthwise("a", 10), dense("b", 200)], 200, "shrank", [("a", 100, 10)]),
        # and the other way round: what was depthwise is dense now, which is growth of the group by all of it
        ([dense("a", 100), dense("b", 200), dense("c", 90)], 390, "grew", [("c", 30, 90)]),
        # gone altogether
        ([dense("b", 200), depthwise("c", 30)], 200, "shrank", [("a", 100, 0)]),
        # both renamed, one widened
        (
            [dense("x", 100), dense("y", 250, channels=9), depthwise("c", 30)],
            350,
            "grew",
            [("y", 0, 250)],
        ),
        # renamed only
        ([dense("x", 100), dense("y", 200), depthwise("c", 30)], 300, None, []),
        # split in two
        ([dense("a", 60), dense("a2", 40), dense("b", 200)], 300, None, []),
    ],
)
def test_a_group_by_what_layers_are_is_compared_with_what_they_were(
    now: Sequence[Layer], value: int, kind: str | None, told: list[tuple[str, int, int]]
) -> None:
    rule = f"    layers: [{{match: '{DENSE}', total: {{macs: {{max_increase: 0%, max_decrease: 0%}}}}}}]"
    before = report(dense("a", 100), dense("b", 200), depthwise("c", 30))
    found = judged(rule, report(*now), before, "policy: {on_improvement: ignore}")
    assert kinds(found) == ([(kind, "error")] if kind else [])
    assert {(one.layer, one.value) for one in (*found.findings, *found.passed)} == {(DENSE, value)}
    for finding in found.findings:
        assert (finding.value, finding.before) == (value, 300)
        assert [(one.layer, one.before, one.value) for one in finding.contributions] == told


def test_a_group_that_is_gone_altogether_shrank_to_nothing_beside_being_told() -> None:
    rule = f"    layers: [{{match: '{DENSE}', total: {{macs: {{max_decrease: 10%, max_increase: 10%}}}}}}]"
    found = judged(rule, report(depthwise("c", 30)), report(dense("a", 100), depthwise("c", 30)),
                   "policy: {on_improvement: ignore}")  # fmt: skip
    assert [(one.kind, one.layer, one.value, one.before) for one in found.findings] == [
        ("unmatched_rule", DENSE, None, None),
        ("shrank", DENSE, 0, 100),
    ]


def test_a_layer_that_is_gone_is_judged_by_each_unless_a_later_rule_lets_it() -> None:
    before = report(dense("a", 100), dense("b", 200), layer("fc", macs=5))
    rule = (
        f"      - {{match: '{DENSE}', each: {{macs: {{max_decrease: 50%, max_increase: 0%}}}}}}\n"
    )
    later = "      - {match: 'b', each: {macs: {max_decrease: 100%}}}\n"
    ignore = "policy: {on_improvement: ignore, on_unmatched_rule: ignore}"
    now = report(dense("a", 60), layer("other", macs=1))
    (finding,) = judged(f"    layers:\n{rule}", now, before, ignore).findings
    assert (finding.kind, finding.layer, finding.value, finding.before, finding.limit) == (
        "shrank",
        "b",
        0,
        200,
        100,
    )
    found = judged(f"    layers:\n{rule}{later}", now, before, ignore)
    assert found.findings == ()
    assert ("b", 0, 0) in [(one.layer, one.value, one.limit) for one in found.passed]
    renamed = report(dense("a", 60), dense("z", 200))
    assert judged(f"    layers:\n{rule}", renamed, before, ignore).findings == ()


def test_what_shrank_names_the_layers_that_shrank_or_are_gone() -> None:
    before = report(
        layer("a", macs=100), layer("b", macs=300), layer("c", macs=50), layer("old", macs=7)
    )
    now = report(layer("a", macs=90), layer("c", macs=60), layer("new", macs=7))
    for limit in ("{max_decrease: 0%}", "{min: 200}"):
        (finding,) = judged(
            f"    limits: {{macs: {limit}}}", now, before, "policy: {on_improvement: ignore}"
        ).findings
        # "old" is "new" by another name
        assert [(one.layer, one.before, one.value) for one in finding.contributions] == [
            ("b", 300, 0),
            ("a", 100, 90),
        ]
        assert "shrank most: b (gone, 300 before), a (100 → 90, −10.00 %)" in texts_of(finding)[1]


def test_a_layer_with_another_name_is_not_what_grew_most() -> None:
    before = report(layer("a", macs=1000), layer("b", macs=10))
    (finding,) = judged("    limits: {macs: {max_increase: 0%}}", report(layer("one", macs=1000), layer("b", macs=15)),
                        before).findings  # fmt: skip
    assert [(one.layer, one.before, one.value) for one in finding.contributions] == [("b", 10, 15)]


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
def test_a_baseline_without_kinds_judges_what_it_can_and_says_what_it_cannot(level: str) -> None:
    budget = budget_of(
        "    limits: {macs: {max_increase: 0%}}\n"
        "    layers:\n"
        "      - {match: 'a*', total: {macs: {max_increase: 0%}}}\n"
        f"      - {{match: '{DENSE}', total: {{macs: {{max_increase: 0%, max: 900}}}}}}\n"  # line 8
        "      - {match: 'type:Linear', each: {macs: {max_decrease: 5%}}}\n"
        "      - {match: 'op:linear', total: {macs: 500}}\n",
        f"policy: {{on_missing_baseline: {level}}}",
    )
    (entry,) = budget.entries
    model = report(dense("a", 100), layer("fc", macs=200))
    known = known_of(entry, model)
    text = baseline_text({"m": known._replace(kinds={})}).replace('"version": 2', '"version": 1')
    found = judge(budget, [Subject(entry, model)], parse_baseline(text, "kept.json"))
    told = (
        []
        if level == "ignore"
        else [("not_comparable", level, DENSE, 8), ("not_comparable", level, "type:Linear", 9)]
    )
    assert [(one.kind, one.level, one.layer, one.line) for one in found.findings] == told
    assert [(one.bound, one.layer, one.value) for one in found.passed] == [
        ("max_increase", None, 300), ("max_increase", "a*", 100), ("max", DENSE, 100), ("max", "op:linear", 200),
    ]  # fmt: skip
    for one in found.findings:
        assert texts_of(one)[0].endswith(
            "not comparable with the baseline: it does not say of what type its layers were; "
            "dscost baseline update adds that."
        )


def test_a_new_layer_is_new_cost_and_a_group_remembers_layers_that_are_gone() -> None:
    each = "    layers:\n      - {match: 'a.*', each: {macs: {max_increase: 10%}}}\n"
    total = "    layers:\n      - {match: 'a.*', total: {macs: {max_increase: 10%, max_decrease: 10%}}}\n"
    before = report(layer("a.1", macs=100), layer("a.2", macs=200))
    renamed = report(layer("a.one", macs=100), layer("a.2", macs=200))
    assert judged(each, renamed, before).findings == ()  # the same under another name
    assert [(one.layer, one.value, one.limit) for one in judged(each, renamed, before).passed] == [
        ("a.one", 100, 110), ("a.2", 200, 220),
    ]  # fmt: skip
    for other in (
        layer("a.one", macs=101),
        layer("a.one", macs=100, params=1),
        dense("a.one", 100),
    ):
        (finding,) = judged(each, report(other, layer("a.2", macs=200)), before).findings
        assert (finding.kind, finding.layer, finding.before) == ("new_cost", "a.one", 0)
    assert judged(total, renamed, before).findings == ()
    (shrunk,) = (one for one in judged(total, report(layer("a.2", macs=200)), before).findings
                 if one.kind != "improvement")  # fmt: skip
    assert (shrunk.kind, shrunk.value, shrunk.before) == ("shrank", 200, 300)


# -- what does not count


def test_excluded_layers_are_taken_off_the_sums_and_off_the_rules() -> None:
    text = (
        "    limits: {macs: 30, params: 3, weight_bytes: 12 B, traffic_bytes: 50 B, flops: 60}\n"
        "    layers: [{match: '*', each: {macs: 20}}]\n"
        "    exclude: [{match: 'aux.*', reason: training only}]\n"
    )
    layers = [
        layer("a", 1, 10, 20),
        layer("aux.0", 100, 1000, 200),
        layer("b", 2, 20, 30),
        layer("aux.1", 5, 5, 5),
    ]
    found = judged(text, report(*layers))
    assert found.findings == ()
    assert {one.metric: one.value for one in found.passed if one.layer is None} == {
        "macs": 30, "params": 3, "weight_bytes": 12, "traffic_bytes": 50, "flops": 60,
    }  # fmt: skip
    assert {one.layer for one in found.passed} == {None, "a", "b"}


def test_what_is_excluded_is_part_of_what_a_baseline_is_of() -> None:
    limits = "    limits: {macs: {max_increase: 0%}}\n"
    budget = budget_of(limits)
    (entry,) = budget.entries
    before = report(layer("a", macs=10), layer("aux", macs=5))
    baseline = parse_baseline(baseline_text({"m": known_of(entry, before)}), "kept.json")
    budget = budget_of(limits + "    exclude: [{match: aux, reason: training only}]")
    (finding,) = judge(budget, [Subject(budget.entries[0], before)], baseline).findings
    assert (finding.kind, finding.detail) == ("not_comparable", "without was none, is aux")


# -- what cannot be judged


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
@pytest.mark.parametrize(
    "rule",
    [
        "    layers: [{match: 'b.*', each: {macs: 1}}]",
        "    layers: [{match: 'b.*', total: {macs: 1}}]",
        "    layers: [{match: 'b.*', total: {macs: {min: 0}}}]",
        "    layers: [{match: 'b.*', each: {macs: 1}, total: {macs: 0}}]",
        "    exclude: [{match: 'b.*', reason: training only}]",
    ],
)
def test_a_rule_that_matches_nothing_is_told(rule: str, level: str) -> None:
    found = judged(rule, report(layer("a")), policy=f"policy: {{on_unmatched_rule: {level}}}")
    expected = [] if level == "ignore" else [("unmatched_rule", level)]
    assert kinds(found) == expected
    assert [(one.layer, one.line, one.column) for one in found.findings] == [
        ("b.*", 5, 15 if "exclude" in rule else 14) for _ in expected
    ]


def test_a_ban_holds_where_nothing_matches_if_that_is_meant() -> None:
    ban = "    layers: [{match: 'type:Conv2d[groups=1,kernel>1]', total: {params: 0, macs: {max: 0, level: warn}}%s}]"
    rule, clean = (
        ban % ", allow_empty: true",
        report(layer("a", 5, 5, conv=conv2d(8, 8, 1)), layer("b", 5, 5)),
    )
    found = judged(rule, clean)
    assert found.findings == ()
    assert [(one.metric, one.value, one.limit) for one in found.passed] == [
        ("params", 0, 0),
        ("macs", 0, 0),
    ]
    there = judged(rule, report(layer("a", 5, 7, conv=conv2d(8, 8, 3))))
    assert [(one.kind, one.level, one.value) for one in there.findings] == [("over_max", "error", 5),
                                                                          ("over_max", "warn", 7)]  # fmt: skip
    assert kinds(judged(ban % "", clean)) == [("unmatched_rule", "error")]
    assert kinds(judged(ban % ", allow_empty: false", clean)) == [("unmatched_rule", "error")]


@pytest.mark.parametrize(
    ("match", "detail"),
    [
        ("type:Conv2D", "unknown type 'Conv2D' (did you mean 'Conv2d'?)"),
        ("type:conv2d[groups=1,kernel>1]", "unknown type 'conv2d' (did you mean 'Conv2d'?)"),
        # nothing of the kind is here, as it should be, if one says so
        ("type:Conv3d", None),
        ("type:LSTM", None),
        ("type:Hourglass", None),
        ("op:recurrent", None),
        ("aux.*", None),
        ("layr1*", None),
    ],
)
@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
@pytest.mark.parametrize("is_meant", [True, False], ids=["allow_empty", "nothing said"])
def test_a_ban_that_matches_nothing_is_told_unless_that_is_meant_or_let_off(
    match: str, detail: str | None, level: str, is_meant: bool
) -> None:
    said = ", allow_empty: true" if is_meant else ""
    rule = f"    layers: [{{match: '{match}', total: {{params: 0}}{said}}}]"
    found = judged(
        rule,
        report(layer("a", 5, 5, conv=conv2d(8, 8, 1))),
        policy=f"policy: {{on_unmatched_rule: {level}}}",
    )
    if level != "ignore" and (detail or not is_meant):
        (finding,) = found.findings
        assert (finding.kind, finding.level, finding.layer, finding.detail) == (
            "unmatched_rule",
            level,
            match,
            detail,
        )
        assert (
            texts_of(finding)[0]
            == f"{match}: no layer matches this rule{f': {detail}' if detail else ''}."
        )
        return
    assert found.findings == ()
    assert [(one.value, one.limit, one.note) for one in found.passed] == [
        (0, 0, "no layer matches")
    ]
    page = render(CheckResult(Path("b.yaml"), *found, ()), "table", EXACTLY)
    assert f"\nok: m: {match}: no layer matches.\n" in page


@pytest.mark.parametrize(
    ("match", "hint"), [("stme", " (did you mean 'stem'?)"), ("aux", ""), ("op:pooling", "")]
)
def test_a_ban_by_name_tells_what_it_may_mean(match: str, hint: str) -> None:
    ban = f"    layers: [{{match: '{match}', total: {{macs: 0, params: 0}}, allow_empty: true}}]"
    found = judged(ban, report(layer("stem")))
    assert [one.note for one in found.passed] == [f"no layer matches{hint}"] * 2
    page = render(CheckResult(Path("b.yaml"), *found, ()), "table", EXACTLY)
    assert page.count(f"ok: m: {match}: no layer matches{hint}.\n") == 1
    (finding,) = judged(ban.replace(", allow_empty: true", ""), report(layer("stem"))).findings
    assert texts_of(finding)[0] == f"{match}: no layer matches this rule{hint}."


def test_a_ban_that_another_choice_of_the_matrix_breaks_is_no_slip() -> None:
    ban = "    matrix: {width: [1, 2]}\n    layers: [{match: 'a', total: {params: 0}}]"
    one, two = budget_of(ban).entries
    found = judge(
        budget_of(ban),
        [Subject(one, report(layer("a", 5))), Subject(two, report(layer("b", 5)))],
        None,
    )
    assert [(finding.kind, finding.entry) for finding in found.findings] == [
        ("over_max", "m[width=1]")
    ]
    assert [(passed.entry, passed.note) for passed in found.passed] == [
        ("m[width=2]", "no layer matches")
    ]


def test_other_rules_may_be_meant_to_match_nothing_too() -> None:
    rule = "    layers: [{match: 'b.*', each: {macs: 1}, total: {macs: {max: 9, min: %d}}, allow_empty: true}]"
    found = judged(rule % 0, report(layer("a", 5)))
    assert found.findings == ()
    assert [(one.bound, one.value, one.note) for one in found.passed] == [("max", 0, "no layer matches"),
                                                                         ("min", 0, "no layer matches")]  # fmt: skip
    assert kinds(judged(rule % 1, report(layer("a", 5)))) == [("under_min", "error")]


def test_a_type_that_another_model_of_the_file_has_is_no_slip() -> None:
    budget = budget_of(
        "    layers: [{match: 'type:Conv2D', total: {params: 0}, allow_empty: true}]"
    )
    (entry,) = budget.entries
    other = report(layer("a", conv=conv2d(8, 8, 3))._replace(type="Conv2D"))
    found = judge(
        budget, [Subject(entry, report(layer("b"))), Subject(replace(entry, name="n"), other)], None
    )
    assert found.findings == ()


def test_a_rule_on_a_type_names_the_convolutions_of_other_classes_that_it_leaves_out() -> None:
    own = layer("a", 5, 7, conv=conv2d(8, 8, 3))._replace(type="MyConv")
    left_out = "1 convolution of type MyConv left out: op:convolution means all"
    ban = f"    layers: [{{match: '{DENSE}', total: {{params: 0}}, allow_empty: true}}]"
    (finding,) = judged(ban, report(own)).findings
    assert (finding.kind, finding.detail) == ("unmatched_rule", left_out)
    assert judged(ban.replace("type:Conv2d", "op:convolution"), report(own)).findings[0].value == 5
    (passed,) = judged(
        "    layers: [{match: 'type:Conv2d', total: {params: 9}}]", report(own, dense("b", 1))
    ).passed
    assert passed.note == left_out
    (finding,) = judged(
        f"    layers: [{{match: '{DENSE}', each: {{params: 9}}}}]", report(own)
    ).findings
    assert (finding.kind, finding.detail) == ("unmatched_rule", left_out)


# -- layers that compute several things

MIXED = layer("own", 553, 10**9 + 544 * 64)._replace(
    type="Own",
    operators=(
        Operator("convolution", conv2d(8, 8, 1), 1, Cost(64, 64 * 64, 0, 0, 0, 0)),
        Operator("convolution", conv2d(8, 8, 5), 2, Cost(480, 480 * 64, 0, 0, 0, 0)),
        Operator("linear", None, 1, Cost(9, 10**9, 0, 0, 0, 0)),
    ),
)


@pytest.mark.parametrize(
    ("match", "macs"),
    [
        ("op:convolution", 544 * 64),
        ("op:convolution[kernel>3]", 480 * 64),
        ("*[kernel=1]", 64 * 64),
        ("type:Own[kernel>3]", 480 * 64),
        ("op:linear", 10**9),
        ("type:Own", 10**9 + 544 * 64),
        ("op:*", 10**9 + 544 * 64),
    ],
)
def test_a_rule_is_about_what_it_means_of_a_layer_that_runs_several_operators(
    match: str, macs: int
) -> None:
    for bound in ("each", "total"):
        rule = f"    layers: [{{match: '{match}', {bound}: {{macs: {macs - 1}}}}}]"
        (finding,) = judged(rule, report(MIXED)).findings
        assert (finding.kind, finding.value) == ("over_max", macs)
        assert judged(rule.replace(str(macs - 1), str(macs)), report(MIXED)).findings == ()


def test_growth_of_one_operator_among_several_is_seen() -> None:
    rule = "    layers: [{match: 'op:convolution[kernel>3]', %s: {macs: {max_increase: 0%%}}}]"
    small, large, linear = MIXED.operators
    grown = large._replace(cost=large.cost._replace(macs=large.cost.macs + 1))
    now = MIXED._replace(
        operators=(small, grown, linear._replace(cost=linear.cost._replace(macs=5)))
    )
    for bound in ("each", "total"):
        assert judged(rule % bound, report(MIXED), report(MIXED)).findings == ()
        (finding,) = judged(rule % bound, report(now), report(MIXED)).findings
        assert (finding.kind, finding.value, finding.before) == ("grew", 480 * 64 + 1, 480 * 64)


def test_a_baseline_from_before_operators_were_kept_has_those_of_a_layer_that_is_the_same() -> None:
    rule = "    layers: [{match: 'op:convolution[kernel>3]', total: {macs: {max_increase: 0%}}}]"
    older = MIXED._replace(operators=())
    assert judged(rule, report(MIXED), report(older)).findings == ()


def test_a_layer_of_which_only_a_part_is_excluded_counts() -> None:
    exclude = "    limits: {macs: 5}\n    exclude: [{match: 'op:convolution', reason: why}]"
    found = judged(exclude, report(MIXED))
    assert kinds(found) == [("unmatched_rule", "error"), ("over_max", "error")]
    assert judged(exclude.replace("op:convolution", "op:*"), report(MIXED)).findings == ()


# -- doubts

DOUBTS = (Doubt("unseen", "Not seen: 4 parameters of c."), Doubt("value_dependent", "It looks at values."),
          Doubt("unused", "Never used: 5 parameters of d."), Doubt("of_a_later_version", "Something."))  # fmt: skip


def test_doubts_of_a_report_are_findings() -> None:
    found = judged("    limits: {macs: 5}", report(layer("a"))._replace(doubts=DOUBTS))
    assert kinds(found) == [("unseen_work", "error"), ("value_dependent", "warn"), ("unused_weights", "warn"),
                            ("other_doubt", "warn")]  # fmt: skip
    assert [texts_of(one)[0] for one in found.findings] == [doubt.text for doubt in DOUBTS]


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
@pytest.mark.parametrize(
    ("policy", "doubt"),
    [
        ("on_unseen_work", DOUBTS[0]),
        ("on_value_dependent", DOUBTS[1]),
        ("on_unused_weights", DOUBTS[2]),
    ],
)
@pytest.mark.parametrize("of_model", [True, False], ids=["of the model", "of the budget"])
def test_what_doubts_are_is_a_policy(policy: str, doubt: Doubt, level: str, of_model: bool) -> None:
    said, otherwise = (
        f"policy: {{{policy}: {one}}}" for one in (level, "warn" if level == "error" else "error")
    )
    now = report(layer("a"))._replace(doubts=(doubt,))
    found = (
        judged(f"    {said}", now, policy=otherwise)
        if of_model
        else judged("    limits: {}", now, policy=said)
    )
    assert [one.level for one in found.findings] == ([] if level == "ignore" else [level])


def test_a_rule_that_nearly_matches_is_told_what_it_may_mean() -> None:
    for rule in (
        "layers: [{match: 'layr1.*', each: {macs: 1}}]",
        "exclude: [{match: 'layr1.*', reason: why}]",
    ):
        (finding,) = judged(f"    {rule}", report(layer("layer1.0"))).findings
        assert (
            texts_of(finding)[0] == "layr1.*: no layer matches this rule (did you mean 'layer1'?)."
        )


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
def test_a_model_that_is_not_in_the_baseline_is_told_where_growth_is_limited(level: str) -> None:
    policy = f"policy: {{on_missing_baseline: {level}}}"
    for text in (
        "    limits: {macs: {max_increase: 1%}}",
        "    layers: [{match: a, each: {macs: {max_decrease: 1%}}}]",
        "    layers: [{match: a, total: {macs: {max_increase: 1%}}}]",
    ):
        found = judged(text, report(layer("a", macs=5)), policy=policy)
        assert kinds(found) == ([] if level == "ignore" else [("missing_baseline", level)])
        assert found.passed == ()
    assert judged("    limits: {macs: 5}", report(layer("a", macs=5)), policy=policy).findings == ()


def test_a_baseline_without_models_is_there_all_the_same() -> None:
    text, now = "    limits: {macs: {max_increase: 1%}}", report(layer("a", macs=5))
    budget = budget_of(text)
    said = []
    for baseline in (
        parse_baseline(baseline_text({}), "kept.json"),
        Baseline({}, "kept.json", is_there=False),
        None,
    ):
        (finding,) = judge(budget, [Subject(budget.entries[0], now)], baseline).findings
        said.append(finding_sentence(finding))
    assert said == [
        "not in the baseline, so growth cannot be judged: dscost baseline update adds it.",
        "no baseline yet, so growth cannot be judged: dscost baseline save writes kept.json.",
        "the budget names no baseline, so growth cannot be judged.",
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("net.py:Net: there is no 'Net'", "there is no 'Net'"),
        ("net.py:Net cannot be made: ValueError: no", "cannot be made: ValueError: no"),
        ("net.py:Network: there is no 'Network'", "net.py:Network: there is no 'Network'"),
        ("Net cannot be run on (1, 3)", "Net cannot be run on (1, 3)"),
        (None, ""),
    ],
)
def test_the_name_of_a_model_that_cannot_be_made_is_told_once(error: str | None, told: str) -> None:
    entry = budget_of("    limits: {macs: 5}").entries[0]
    assert Subject(replace(entry, name="net.py:Net"), None, error).why_unloadable == told


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
def test_what_nobody_names_any_more_is_stale(level: str) -> None:
    budget = budget_of("    limits: {macs: 5}", f"policy: {{on_stale_baseline: {level}}}")
    (entry,) = budget.entries
    known = known_of(entry, report())
    found = judge(
        budget,
        [Subject(entry, report())],
        parse_baseline(baseline_text({"old": known, "m": known}), "k"),
    )
    assert [(one.kind, one.level, one.entry) for one in found.findings] == (
        [] if level == "ignore" else [("stale_baseline", level, "old")]
    )


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
def test_figures_of_something_else_are_not_compared(level: str) -> None:
    text = "    limits: {macs: {max_increase: 0%, max: 100}}"
    found = judged(text, report(layer("a", macs=50), size=16), report(layer("a", macs=5), size=8),
                   f"policy: {{on_missing_baseline: {level}}}")  # fmt: skip
    assert kinds(found) == ([] if level == "ignore" else [("not_comparable", level)])
    if found.findings:
        assert found.findings[0].detail == "input was 1x3x8x8 float32, is 1x3x16x16 float32"
        assert "not comparable" in texts_of(found.findings[0])[1]
    assert [one.bound for one in found.passed] == ["max"]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"counting": "0"}, "counting was 0, is 1"),
        ({"input": "8x3x8x8 float32"}, "input was 8x3x8x8 float32, is 1x3x8x8 float32"),
        ({"input": "1x3x8x8 int8"}, "input was 1x3x8x8 int8, is 1x3x8x8 float32"),
        ({"target": "n"}, "target was n, is m"),
        ({"settings": "width=0.5"}, "settings was width=0.5, is none"),
        ({"without": "aux.*"}, "without was aux.*, is none"),
        ({"target": "n", "counting": "7"}, "counting was 7, is 1; target was n, is m"),
    ],
)
def test_every_part_of_the_fingerprint_makes_figures_incomparable(
    change: Mapping[str, str], detail: str
) -> None:
    budget = budget_of("    limits: {macs: {max_increase: 0%}}")
    (entry,) = budget.entries
    known = known_of(entry, report(layer("a", macs=5)))
    known = known._replace(fingerprint={**known.fingerprint, **change})
    found = judge(
        budget,
        [Subject(entry, report(layer("a", macs=6)))],
        parse_baseline(baseline_text({"m": known}), "k"),
    )
    assert [(one.kind, one.detail) for one in found.findings] == [("not_comparable", detail)]


@pytest.mark.parametrize(
    ("said", "given", "kept"),
    [
        ("", "int64", None),
        ("    dtype: float32", "int64", None),  # which is what it is anyway
        ("    dtype: float16", "float16", None),  # which the input says
        ("    dtype: float16", "int64", "float16"),
        ("    matrix: {dtype: [bfloat16]}", "float32", "bfloat16"),
    ],
)
def test_a_dtype_that_the_input_does_not_tell_is_part_of_the_fingerprint(
    said: str, given: str, kept: str | None
) -> None:
    (entry,) = budget_of(said).entries
    words = report()._replace(inputs=(Input((1, 16), given),))
    assert known_of(entry, words).fingerprint.get("dtype") == kept


def test_a_setting_of_the_budget_is_part_of_the_fingerprint() -> None:
    found = []
    for text in (
        "    set: {width: 0.5}",
        "    kwargs: {depth: 2}",
        "    matrix: {width: [0.5]}",
        "",
    ):
        (entry,) = budget_of(text).entries
        found.append(known_of(entry, report()).fingerprint.get("settings"))
    assert found == ["width=0.5", "depth=2", "width=0.5", None]


@pytest.mark.parametrize("level", ["error", "warn", "ignore"])
def test_an_operator_of_unknown_cost_is_named(level: str) -> None:
    found = judged("    limits: {macs: 9}", report(layer("a", macs=5), unknown=["aten::cumsum", "my::op"]),
                   policy=f"policy: {{on_unknown_cost: {level}}}")  # fmt: skip
    assert [(one.kind, one.level, one.detail) for one in found.findings] == (
        [] if level == "ignore" else [("unknown_cost", level, "aten::cumsum, my::op")]
    )
    assert len(found.passed) == 1


@pytest.mark.parametrize(("level", "code"), [("fail", 2), ("error", 1), ("warn", 0), ("ignore", 0)])
def test_a_model_that_cannot_be_loaded_is_told(level: str, code: int) -> None:
    found = judged(
        "    limits: {macs: 9}", None, policy=f"policy: {{on_unloadable_model: {level}}}"
    )
    assert [(one.kind, one.level, one.detail) for one in found.findings] == (
        [] if level == "ignore" else [("unloadable_model", level, "it burns")]
    )
    for exit_zero in (False, True):
        result = CheckResult(Path("b.yaml"), *found, (), exit_zero=exit_zero)
        assert result.exit_code == (0 if exit_zero and code == 1 else code)


def test_an_improvement_is_a_note_and_costs_nothing() -> None:
    limits = "    limits: {macs: {max_increase: 0%}}"
    before, now = report(layer("a", 5, 100), peak=50), report(layer("a", 6, 99), peak=50)
    found = judged(limits, now, before)
    assert [(one.kind, one.level, one.metric, one.value, one.before) for one in found.findings] == [
        ("improvement", "note", "macs", 99, 100)
    ]
    assert CheckResult(Path("b.yaml"), *found, (), strict=True).exit_code == 0
    assert (
        ": m: MACs 100 → 99 (−1.0 %): dscost baseline update keeps it."
        in (texts_of(found.findings[0])[1])
    )
    assert judged(limits, now, before, "policy: {on_improvement: ignore}").findings == ()


def test_less_of_what_must_not_shrink_is_no_improvement() -> None:
    before, now = report(layer("a", 6, 100)), report(layer("a", 5, 90))
    shrunk = judged("    limits: {macs: {max_decrease: 5%}}", now, before)
    assert [(one.kind, one.metric) for one in shrunk.findings] == [
        ("shrank", "macs"),
        ("improvement", "params"),
        ("improvement", "weight_bytes"),
    ]
    too_few = judged("    limits: {params: {min: 6}}", now, before)
    assert [(one.kind, one.metric) for one in too_few.findings] == [
        ("under_min", "params"),
        ("improvement", "macs"),
        ("improvement", "weight_bytes"),
    ]


# -- levels and exit codes


@pytest.mark.parametrize(
    ("level", "strict", "exit_zero", "code"),
    [
        ("error", False, False, 1),
        ("error", True, False, 1),
        ("error", False, True, 0),
        ("warn", False, False, 0),
        ("warn", True, False, 1),
        ("warn", True, True, 0),
        ("ignore", True, False, 0),
    ],
)
def test_levels_decide_the_exit_code(level: str, strict: bool, exit_zero: bool, code: int) -> None:
    found = judged(f"    limits: {{macs: {{max: 4, level: {level}}}}}", report(layer("a", macs=5)))
    assert CheckResult(Path("b.yaml"), *found, (), strict, exit_zero).exit_code == code
    assert kinds(found) == ([] if level == "ignore" else [("over_max", level)])


def test_the_users_message_is_told_where_a_limit_is_broken() -> None:
    found = judged("    limits: {macs: {max: 4, message: ask Ada}}", report(layer("a", macs=5)))
    assert all(
        "ask Ada" in text
        for text in (texts_of(found.findings[0])[0], texts_of(found.findings[0])[1])
    )


# -- measured figures


@pytest.mark.parametrize(
    ("limit", "median_s", "kind", "level"),
    [
        ("12 ms", 0.0132, None, None),  # 10 % over is the usual tolerance
        ("12 ms", 0.0132000001, "over_max", "warn"),
        ("{max: 12 ms, tolerance: 0%}", 0.012, None, None),
        ("{max: 12 ms, tolerance: 0%}", 0.0120001, "over_max", "warn"),
        ("{max: 12 ms, tolerance: 25%, level: error}", 0.015, None, None),
        ("{max: 12 ms, tolerance: 25%, level: error}", 0.0151, "over_max", "error"),
        ("{min: 11 ms}", 0.01, None, None),
        ("{min: 11 ms}", 0.00999, "under_min", "warn"),
        ("12 ms", None, "unknown_figure", "warn"),
    ],
)
def test_latency_is_compared_with_tolerance_and_warns(
    limit: str, median_s: float | None, kind: str | None, level: str | None
) -> None:
    found = judged(f"    limits: {{latency_s: {limit}}}", report(layer("a"), median_s=median_s))
    assert kinds(found) == ([(kind, level)] if kind else [])


@pytest.mark.parametrize(
    ("limit", "median_s", "shown", "said"),
    [
        ("1 ms", 0.00105, "1 ms + 10 %", None),
        ("{max: 12 ms, tolerance: 2.5%}", 0.0121, "12 ms + 2.5 %", None),
        ("{max: 1.5 s, tolerance: 0%}", 1.4, "1.50 s", None),
        ("{min: 1 ms}", 0.00095, "1 ms ÷ 1.1", None),
        (
            "1 ms",
            0.0013,
            "1 ms + 10 %",
            "latency of 1.30 ms, over the limit of 1 ms + 10 % by 200 µs.",
        ),
        (
            "{min: 1.1 ms}",
            0.0005,
            "1.1 ms ÷ 1.1",
            "latency of 500 µs, under the least of 1.1 ms ÷ 1.1 by 500 µs.",
        ),
    ],
)
def test_a_limit_is_shown_as_the_budget_has_it_with_the_tolerance_apart(
    limit: str, median_s: float, shown: str, said: str | None
) -> None:
    found = judged(f"    limits: {{latency_s: {limit}}}", report(layer("a"), median_s=median_s))
    assert [finding_sentence(one) for one in found.findings] == ([said] if said else [])
    page = render(CheckResult(Path("b.yaml"), *found, ()), "table", EXACTLY)
    least = "at least " if "min" in limit else ""
    assert re.search(rf"   {re.escape(least + shown)}(   |\n)", page)


def test_only_a_budget_that_limits_latency_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def fake(model: CountedModel, options: TimingOptions, progress: object = None) -> Report:
        measured.append(model.report.target)
        return model.report._replace(latency=report(median_s=0.02).latency)

    monkeypatch.setattr(checking, "measure_model", fake)
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n"
        "  - {target: resnet18, limits: {macs: 2G}}\n"
        "  - {target: mobilenet_v1, limits: {macs: 600M, latency_s: 10 ms}}\n"
        "  - {target: vgg16, limits: {latency_s: {max: 1 ms, level: ignore}}}\n"
    )
    result = check(path)
    assert measured == ["mobilenet_v1"]
    assert [(one.kind, one.level, one.entry) for one in result.findings] == [
        ("over_max", "warn", "mobilenet_v1")
    ]
    assert (result.exit_code, check(path, strict=True).exit_code) == (0, 1)


def test_a_machine_that_cannot_measure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(model: CountedModel, options: TimingOptions, progress: object = None) -> Report:
        raise UnavailableError("no clock here")

    monkeypatch.setattr(checking, "measure_model", fake)
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n  - {target: resnet18, limits: {latency_s: 10 ms, macs: 1G}}\n"
    )
    result = check(path)
    # what was counted is judged all the same
    assert {one.kind: (one.level, one.detail) for one in result.findings} == {
        "unknown_figure": ("warn", "no clock here"),
        "over_max": ("error", None),
    }
    assert result.exit_code == 1


# -- why


def test_contributions_name_the_layers_that_grew_and_by_how_much() -> None:
    before = report(
        layer("a", macs=100), layer("b", macs=100), layer("c", macs=10), layer("e", macs=1)
    )
    now = report(layer("a", macs=90), layer("b", macs=300), layer("c", macs=50), layer("d", macs=120),
                 layer("e", macs=2))  # fmt: skip
    (finding,) = judged("    limits: {macs: {max_increase: 0%}}", now, before).findings
    assert [(one.layer, one.before, one.value) for one in finding.contributions] == [
        ("b", 100, 300),
        ("d", 0, 120),
        ("c", 10, 50),
    ]
    text = texts_of(finding)[1]
    assert "grew most: b (100 → 300, +200.00 %), d (new, 120), c (10 → 50, +400.00 %)" in text


def test_without_growth_contributions_are_the_heaviest_layers() -> None:
    layers = [layer(name, params=at) for at, name in enumerate("abcd", start=1)]
    for metric, unit in (("params", ""), ("weight_bytes", " B")):
        for before in (None, report(*layers)):
            finding = judged(
                f"    limits: {{{metric}: 1{unit}}}", report(*layers), before
            ).findings[0]
            assert [one.layer for one in finding.contributions] == ["d", "c", "b"]
            assert "largest: d (" in texts_of(finding)[1]


def separable(one: Layer) -> tuple[int, int]:
    """Return the params and MACs of a dense convolution without bias made separable, by the papers' formula."""
    assert one.conv is not None
    m, n, taps = one.conv.in_channels, one.conv.out_channels, prod(one.conv.kernel_size)
    positions = prod(one.output_shape[2:])
    return m * taps + m * n, positions * (m * taps + m * n)


@pytest.mark.parametrize(
    ("target", "metric", "limit"),
    [("resnet18", "macs", "1.8G"), ("resnet18", "macs", "1G"), ("resnet18", "params", "3M"),
     ("resnet18", "flops", "1.2G"), ("resnet34", "macs", "700M"), ("mobilenet_v1", "macs", "568_740_351")],
)  # fmt: skip
def test_the_swaps_that_are_named_bring_the_model_under_its_limit(
    target: str, metric: str, limit: str, tmp_path: Path
) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        f"version: 1\nmodels:\n  - {{target: {target}, limits: {{{metric}: {limit}}}}}\n"
    )
    result = check(path)
    (finding,) = result.findings
    assert finding.suggested_fix is not None
    assert finding.value is not None
    layers = {one.name: one for one in analyze(target).layers}
    place, times = {"params": (0, 1), "macs": (1, 1), "flops": (1, 2)}[metric]
    savings = []
    for name in finding.suggested_fix.layers:
        cost = layers[name].cost
        savings.append(times * ((cost.params, cost.macs)[place] - separable(layers[name])[place]))
    assert finding.value - sum(savings) == finding.suggested_fix.value <= finding.limit
    assert savings == sorted(savings, reverse=True)
    assert finding.value - sum(savings[:-1]) > finding.limit  # one fewer is not enough
    assert f"{int(finding.suggested_fix.value):,}" in texts_of(finding)[1]
    assert finding.suggested_fix.layers[0] in texts_of(finding)[1]


@pytest.mark.parametrize(
    ("target", "limits"),
    [
        ("resnet18", "{macs: 100M}"),
        ("mobilenet_v1", "{macs: 500M}"),
        ("resnet18", "{traffic_bytes: 1 MB}"),
        ("resnet18", "{macs: {min: 2G}}"),
    ],
)
def test_no_swap_is_named_where_none_helps(target: str, limits: str, tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(f"version: 1\nmodels:\n  - {{target: {target}, limits: {limits}}}\n")
    (finding,) = check(path).findings
    assert finding.suggested_fix is None


def test_a_swap_of_a_layer_that_does_not_count_is_no_help(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    heavy = "layer4.*"
    path.write_text(
        f"version: 1\nmodels:\n  - target: resnet18\n    limits: {{params: 2M}}\n"
        f"    exclude: [{{match: '{heavy}', reason: a test}}]\n"
    )
    (finding,) = check(path).findings
    layers = {one.name: one for one in analyze("resnet18").layers}
    kept = sum(one.cost.params for name, one in layers.items() if not name.startswith("layer4."))
    assert finding.value == kept
    assert finding.suggested_fix is not None
    assert not [name for name in finding.suggested_fix.layers if name.startswith("layer4.")]
    saved = sum(
        layers[name].cost.params - separable(layers[name])[0]
        for name in finding.suggested_fix.layers
    )
    assert finding.suggested_fix.value == kept - saved


@pytest.mark.torch
def test_a_traced_model_is_fixable_as_well(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Sequential(torch.nn.Conv2d(64, 64, 3, bias=False))\n"
    )
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n  - {target: net.py:make, input: [1, 64, 10, 10], limits: {macs: 1M, params: 5k}}\n"
    )
    macs, params = check(path).findings
    # 8 * 8 positions of the 10 * 10 without padding
    assert (macs.value, params.value) == (8 * 8 * 64 * 64 * 9, 64 * 64 * 9)
    assert macs.suggested_fix is not None
    assert macs.suggested_fix.value == 8 * 8 * (64 * 9 + 64 * 64)
    assert macs.suggested_fix.layers == ("0",)
    assert params.suggested_fix is not None
    assert params.suggested_fix.value == 64 * 9 + 64 * 64


@pytest.mark.torch
def test_swaps_that_just_reach_the_limit_are_enough(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make(): return nn.Sequential(*(nn.Conv2d(64, 64, 3, bias=False) for _ in range(2)))\n"
    )
    path = tmp_path / "b.yaml"
    one_swapped = 64 * 64 * 9 + (64 * 9 + 64 * 64)
    model = "{target: net.py:make, input: [1, 64, 10, 10], limits: {params: %d}}"
    path.write_text(f"version: 1\nmodels:\n  - {model % one_swapped}\n")
    (finding,) = check(path).findings
    assert finding.suggested_fix is not None
    assert len(finding.suggested_fix.layers) == 1
    assert finding.suggested_fix.value == one_swapped
    path.write_text(f"version: 1\nmodels:\n  - {model % (one_swapped - 1)}\n")
    (finding,) = check(path).findings
    assert finding.suggested_fix is not None
    assert finding.suggested_fix.layers == ("0", "1")


@pytest.mark.torch
def test_what_the_layers_promise_is_counted_once_more_as_a_whole(tmp_path: Path) -> None:
    # two convolutions with one weight: swapping one of them saves nothing, it adds its own to what the other needs
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Tied(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(*(nn.Conv2d(16, 16, 3, bias=False) for _ in range(2)))\n"
        "        self[1].weight = self[0].weight\n"
    )
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n  - {target: net.py:Tied, input: [1, 16, 8, 8], limits: {params: 800}}\n"
    )
    (finding,) = check(path).findings
    assert finding.value == 16 * 16 * 9
    assert finding.suggested_fix is not None
    assert (finding.suggested_fix.layers, finding.suggested_fix.value) == (
        ("0", "1"),
        16 * 9 + 16 * 16,
    )


@pytest.mark.parametrize("bound", ["max", "min"])
@pytest.mark.parametrize(
    ("metric", "unit"),
    [("macs", "T"), ("weight_bytes", "TiB"), ("latency_s", "min"), ("flops_per_byte", "")],
)
def test_an_absurd_limit_can_still_be_printed(metric: str, unit: str, bound: str) -> None:
    found = judged(
        f"    limits: {{{metric}: {{{bound}: '{'9' * 50}e99{unit}'}}}}",
        report(layer("a", 1, 1, 1), median_s=1.0),
        policy="policy: {on_improvement: ignore}",
    )
    result = CheckResult(Path("b.yaml"), *found, ())
    assert len(found.findings) == (bound == "min")
    assert ("6e+150 s" if unit == "min" else "9") in render(result, "table", EXACTLY)


# -- from the file to the models


def test_a_matrix_counts_every_choice(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\n"
        "defaults: {input: [1, 3, 224, 224]}\n"
        "models:\n"
        "  - name: m\n"
        "    target: mobilenet_v1\n"
        "    matrix: {width: [0.5, 1.0], resolution: [160, 224]}\n"
        "    limits: {macs: 600M, params: 4.3M}\n"
    )
    figures = {(one.entry, one.metric): int(one.value) for one in check(path).passed}
    assert figures["m[width=1.0,resolution=224]", "macs"] == MOBILENET_MACS
    assert figures["m[width=1.0,resolution=224]", "params"] == MOBILENET_PARAMS
    assert (
        figures["m[width=0.5,resolution=224]", "params"]
        == figures["m[width=0.5,resolution=160]", "params"]
    )
    # Howard et al. 2017, tables 6 and 7: in millions, 149 at width 0.5, 290 at resolution 160; 1.3 M parameters
    assert round(figures["m[width=0.5,resolution=224]", "macs"] / 1e6, -1) == 150
    assert round(figures["m[width=1.0,resolution=160]", "macs"] / 1e6, -1) == 290
    assert round(figures["m[width=0.5,resolution=224]", "params"] / 1e6, 1) == 1.3


def test_the_batch_of_the_defaults_stays_where_a_setting_sizes_the_input(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\ndefaults: {input: [8, 3, 224, 224]}\n"
        "models: [{target: mobilenet_v1, set: {resolution: 224}, limits: {macs: 5G}}]\n"
    )
    assert [one.value for one in check(path).passed] == [8 * MOBILENET_MACS]


def test_an_input_of_the_models_own_and_a_setting_that_sizes_it_contradict_each_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n"
        "  - {target: mobilenet_v1, input: [1, 3, 96, 96], set: {resolution: 224}, limits: {macs: 1}}\n"
    )
    result = check(path)
    assert [one.kind for one in result.findings] == ["unloadable_model"]
    assert result.exit_code == 2


@pytest.mark.torch
def test_a_matrix_over_a_factory_is_its_keyword_arguments(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\ndef make(n, bias=True):\n    return torch.nn.Linear(7, n, bias)\n"
    )
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n"
        "  - {target: net.py:make, input: [1, 7], kwargs: {bias: false}, matrix: {n: [3, 5]}, limits: {params: 100}}\n"
    )
    assert {one.entry: one.value for one in check(path).passed} == {
        "net.py:make[n=3]": 7 * 3,
        "net.py:make[n=5]": 7 * 5,
    }


def test_batch_and_dtype_are_what_the_budget_says(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nmodels:\n"
        "  - {target: resnet18, batch: 2, dtype: float16, limits: {macs: 9G, weight_bytes: 1 GB}}\n"
    )
    assert [one.value for one in check(path).passed] == [2 * RESNET18_MACS, 2 * RESNET18_PARAMS]


def test_one_model_can_be_checked_alone_without_the_others_looking_stale(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        "version: 1\nbaseline: kept.json\nmodels:\n"
        "  - {target: resnet18, limits: {macs: {max_increase: 0%}}}\n"
        "  - {target: mobilenet_v1, name: m, matrix: {width: [0.5, 1.0]}, limits: {macs: 600M}}\n"
    )
    known = {
        entry.name: known_of(entry, model)
        for entry in read_budget(path).entries
        for model in [count(entry.target, Request(settings=dict(entry.settings))).report]
    }
    (tmp_path / "kept.json").write_text(baseline_text(known))
    for only, models in (("resnet18", 1), ("m", 2), ("m[width=0.5]", 1)):
        result = check(path, only=[only])
        assert (result.findings, len(result.subjects)) == ((), models)
    with pytest.raises(
        UnknownNameError,
        match=r"unknown model of the budget 'resnet81' \(did you mean 'resnet18'\?\)",
    ):
        check(path, only=["resnet18", "resnet81"])


def test_a_reference_needs_a_baseline_to_look_for(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_text("version: 1\nmodels: [{target: resnet18}]\n")
    with pytest.raises(InputError, match=r"^--against main: .*b.yaml names no baseline$"):
        check(path, against="main")


@pytest.mark.parametrize(
    ("value", "hint"),
    [("0.05", "; did you mean '5%'?"), ("'0.5'", "; did you mean '50%'?"), ("1.5", "")],
)
def test_growth_by_a_part_of_a_mac_is_a_missing_percent_sign(
    tmp_path: Path, value: str, hint: str
) -> None:
    path = tmp_path / "b.yaml"
    path.write_text(
        f"version: 1\nmodels:\n  - {{target: resnet18, limits: {{macs: {{max_increase: {value}}}}}}}\n"
    )
    with pytest.raises(InputError, match="macs are whole numbers") as caught:
        check(path)
    assert str(caught.value).endswith(f"found {value}{hint}")
