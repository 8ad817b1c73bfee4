"""The one table of figures: what it says holds everywhere, and no sum leaves a figure out."""

import csv
import io
import json
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from program import run
from properties import law
from torch import Tensor, nn

import dscost
from dscost.budgets.metrics import STATIC, cost_figure
from dscost.comparing.differences import LAYER_METRICS
from dscost.comparing.differences import METRICS as COMPARED
from dscost.notation.quantities import QUANTITIES
from dscost.reports.figures import (
    CONVENTIONS,
    COST_FIGURES,
    FIGURES,
    MEANINGS,
    NOTHING,
    SUMMED,
    Cost,
    chain_cost,
    cost_of_calls,
    made_of,
    summed,
    weights_cost,
)
from dscost.traces.rules import FORMULAS

LEAST = len(Cost._fields) - len(Cost._field_defaults)
COUNTS = st.integers(0, 10**15)
KNOWN_COSTS = st.tuples(*[COUNTS] * len(Cost._fields)).map(Cost._make)
COSTS = st.tuples(*[COUNTS] * LEAST, *[st.none() | COUNTS] * (len(Cost._fields) - LEAST)).map(
    Cost._make
)


# -- costs add up by themselves


@law
@given(KNOWN_COSTS, KNOWN_COSTS, KNOWN_COSTS)
def test_costs_are_added_and_taken_off_figure_by_figure(a: Cost, b: Cost, c: Cost) -> None:
    assert a + b - b == a
    assert (a + b) + c == a + (b + c) == summed([a, b, c]) == summed(iter([c, a, b]))
    assert a + NOTHING == a - NOTHING == summed([a]) == a
    assert summed([]) == NOTHING
    for name in Cost._fields:
        assert getattr(a + b, name) == getattr(a, name) + getattr(b, name)


@law
@given(st.lists(COSTS, min_size=1, max_size=4))
def test_a_sum_is_unknown_where_a_part_of_it_is(costs: list[Cost]) -> None:
    for at, figure in enumerate(summed(costs)):
        parts = [cost[at] for cost in costs]
        assert figure == (None if None in parts else sum(parts))
    assert [figure is None for figure in costs[0] - costs[-1]] == [
        None in pair for pair in zip(costs[0], costs[-1], strict=True)
    ]


@law
@given(st.lists(COSTS, min_size=1, max_size=4))
def test_a_chain_has_the_ends_of_its_ends_and_the_sum_of_everything_else(costs: list[Cost]) -> None:
    chain, total = chain_cost(costs), summed(costs)
    assert (chain.input_bytes, chain.output_bytes) == (costs[0].input_bytes, costs[-1].output_bytes)
    ends = {"input_bytes": 0, "output_bytes": 0}
    assert chain._replace(**ends) == total._replace(**ends)


@law
@given(st.lists(st.tuples(KNOWN_COSTS, st.integers(0, 1)), min_size=1, max_size=4))
def test_calls_that_share_their_weights_have_them_once_and_their_work_every_time(
    calls: list[tuple[Cost, int]],
) -> None:
    # calls with the same weights have as many of them
    costs = [cost._replace(params=10 * key + 3, weight_bytes=50 * key + 7) for cost, key in calls]
    keys = [key for _, key in calls]
    found = cost_of_calls(costs, keys)
    assert found.params == sum(10 * key + 3 for key in set(keys))
    assert found.weight_bytes == sum(50 * key + 7 for key in set(keys))
    assert (found.input_bytes, found.output_bytes) == (costs[0].input_bytes, costs[0].output_bytes)
    for name in Cost._fields:
        if FIGURES[name].summed_over == "calls":
            assert getattr(found, name) == sum(getattr(cost, name) for cost in costs)


def test_a_cost_is_made_of_its_calls_its_weights_and_its_ends() -> None:
    calls, weights, ends = (Cost._make([value] * len(Cost._fields)) for value in (1, 2, 3))
    found = made_of(calls=calls, weights=weights, ends=ends)
    value_of = {"calls": 1, "weights": 2, "ends": 3}
    assert found._asdict() == {name: value_of[FIGURES[name].summed_over] for name in Cost._fields}
    assert weights_cost(5, 20) == NOTHING._replace(params=5, weight_bytes=20)


@law
@given(COSTS, COSTS)
def test_costs_agree_where_both_are_known(a: Cost, b: Cost) -> None:
    assert a.agrees_with(a)
    known = [pair for pair in zip(a, b, strict=True) if None not in pair]
    assert a.agrees_with(b) is all(one == other for one, other in known)


@law
@given(KNOWN_COSTS, st.sampled_from([name for name in Cost._fields if name != "activations"]))
def test_what_one_of_two_costs_does_not_know_is_no_difference(cost: Cost, name: str) -> None:
    unknown = cost._replace(activations=None)
    assert cost.agrees_with(unknown)
    assert unknown.agrees_with(cost)
    assert unknown.agrees_with(unknown)
    other = unknown._replace(**{name: getattr(cost, name) + 1})
    assert not cost.agrees_with(other)
    assert not other.agrees_with(cost)
    assert not cost.agrees_with(cost._replace(activations=cost.activations + 1))


# -- the table says it, and everything has it


def test_every_field_of_a_cost_has_a_row_and_every_row_is_whole() -> None:
    assert set(Cost._fields) <= FIGURES.keys()
    assert set(COST_FIGURES) == {name for name in FIGURES if FIGURES[name].is_of_layers}
    for name, figure in FIGURES.items():
        assert figure.kind in QUANTITIES
        assert figure.title
        assert figure.meaning
        assert (name in Cost._fields) is (figure.summed_over in ("calls", "weights", "ends"))
        assert name.endswith("_bytes") is (figure.kind == "bytes")
    titles = [figure.title for figure in FIGURES.values()]
    assert len(set(titles)) == len(titles)
    assert NOTHING.to_dict().keys() == set(COST_FIGURES)


OP_IN_CONVENTIONS = {
    "convolution": "convolutions",
    "transposed_convolution": "transposed",
    "linear": "linear layers",
    "matmul": "matrix products",
    "attention": "attention",
    "recurrent": "recurrent layers",
}


def test_the_conventions_name_whatever_has_a_formula() -> None:
    counted = {rule.op for rule in FORMULAS.values()} - {"", "other"}
    assert counted == OP_IN_CONVENTIONS.keys()
    for words in OP_IN_CONVENTIONS.values():
        assert words in CONVENTIONS["macs"]
    for name in ("deform_conv2d", "cdist"):
        assert any(operator.endswith(f"::{name}") for operator in FORMULAS)
    assert "deformable" in CONVENTIONS["macs"]
    assert "Euclidean distances" in CONVENTIONS["macs"]


def test_every_figure_is_listed_with_its_unit_and_meaning() -> None:
    lines = told("list", "metrics").splitlines()
    for name, (unit, meaning) in MEANINGS.items():
        (line,) = (line for line in lines if line.split()[0] == name)
        assert line.endswith(f"[{unit}] {meaning}")
    assert {name.removesuffix("_s") for name in FIGURES} <= {
        name.removesuffix("_s") for name in MEANINGS
    }


@cache
def told(*arguments: str) -> str:
    """Return what a command line prints; it is the same every time."""
    return run(*arguments).stdout


def only_row(text: str, **wanted: str) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(text))
    (row,) = (row for row in rows if all(row[key] == value for key, value in wanted.items()))
    return row


@pytest.mark.parametrize("name", COST_FIGURES)
def test_a_figure_of_layers_is_in_json_and_csv_and_the_same_there(name: str) -> None:
    report = json.loads(told("model", "resnet18", "--no-time", "--json"))
    (subject,) = report["subjects"]
    layer = next(one for one in subject["layers"] if one["name"] == "layer1.0.conv1")
    row = only_row(
        told("model", "resnet18", "--no-time", "--format", "csv"),
        layer="layer1.0.conv1",
        variant="as_is",
    )
    assert float(row[name]) == pytest.approx(layer["cost"][name])
    assert layer["cost"][name] > 0
    if name in SUMMED:
        assert subject["totals"]["as_is"][name] == sum(
            one["cost"][name] for one in subject["layers"]
        )


@pytest.mark.parametrize(
    "name", [name for name, figure in FIGURES.items() if figure.columns[1] is not None]
)
def test_a_figure_with_a_column_is_shown_and_sorted_by(name: str) -> None:
    ran = run("model", "resnet18", "--no-time", "--columns", name, "--sort", name, "--top", "3")
    assert ran.returncode == 0, ran.stderr
    report = dscost.analyze("resnet18")
    figures = [getattr(layer.cost, name) for layer in report.layers if layer.cost.macs]
    lines = ran.stdout.splitlines()
    head = next(at for at, line in enumerate(lines) if line.split()[:1] == ["layer"])
    shown = [FIGURES[name].text(value) for value in sorted(figures, reverse=True)[:3]]
    assert FIGURES[name].title in lines[head]
    for line, text in zip(lines[head + 2 :], shown, strict=False):
        assert line.rstrip().endswith(text)


@pytest.mark.parametrize("name", STATIC)
def test_every_figure_may_be_limited_by_a_budget(name: str, tmp_path: Path) -> None:
    unit = " B" if FIGURES[name].kind == "bytes" else ""
    (tmp_path / "dscost.yaml").write_text(
        f"version: 1\nmodels:\n  - {{target: resnet18, limits: {{{name}: 1{unit}}}}}\n"
    )
    ran = run("check", "--json", cwd=tmp_path)
    (finding,) = json.loads(ran.stdout)["findings"]
    assert (ran.returncode, finding["kind"], finding["metric"]) == (1, "over_max", name)
    if name in COST_FIGURES:
        exact = cost_figure(dscost.analyze("resnet18").totals.as_is, name)
        assert exact is not None
        assert finding["value"] == pytest.approx(float(exact))


@pytest.mark.parametrize("name", COMPARED)
def test_a_figure_that_is_compared_has_its_change_in_every_format(name: str) -> None:
    def figure(report: dscost.Report) -> Any:
        if name == "peak_activation_bytes":
            return report.peak_activation_bytes
        return getattr(report.totals.as_is, name)

    before, now = (figure(dscost.analyze(model)) for model in ("resnet18", "resnet34"))
    found = json.loads(told("compare", "resnet18", "resnet34", "--json"))
    difference = found["differences"][0]["totals"][name]
    assert (difference["reference"], difference["value"]) == (before, now)
    assert difference["change"] == now - before
    row = only_row(told("compare", "resnet18", "resnet34", "--format", "csv"), what="total")
    assert row[f"{name}_change"] == str(now - before)
    table = told("compare", "resnet18", "resnet34", "--wide")
    (line,) = (one for one in table.splitlines() if one.startswith(f"{FIGURES[name].title}  "))
    assert FIGURES[name].text(before) in line
    assert FIGURES[name].text(now) in line


@pytest.mark.parametrize("name", LAYER_METRICS)
def test_layers_that_are_compared_are_sorted_by_any_figure(name: str) -> None:
    ran = run("compare", "resnet18", "resnet34", "--sort", name, "--top", "1")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", [name for name in FIGURES if FIGURES[name].is_kept])
def test_a_baseline_keeps_a_figure_and_growth_is_judged_by_it(name: str, tmp_path: Path) -> None:
    limits = f"limits: {{{name}: {{max_increase: 0%}}}}"
    (tmp_path / "dscost.yaml").write_text(
        f"version: 1\nbaseline: kept.json\nmodels:\n  - {{target: resnet18, {limits}}}\n"
    )
    assert run("baseline", "save", cwd=tmp_path).returncode == 0
    assert run("check", cwd=tmp_path).returncode == 0
    kept = json.loads((tmp_path / "kept.json").read_text())
    totals = kept["models"]["resnet18"]["totals"]
    totals[name] -= 1
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    ran = run("check", "--json", cwd=tmp_path)
    (finding,) = json.loads(ran.stdout)["findings"]
    assert (ran.returncode, finding["kind"], finding["metric"]) == (1, "grew", name)
    # a baseline of before the figure was kept has none to hold it against: that is no growth
    del totals[name]
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    ran = run("check", "--json", cwd=tmp_path)
    (finding,) = json.loads(ran.stdout)["findings"]
    assert (ran.returncode, finding["kind"]) == (0, "missing_baseline")
    assert run("baseline", "update", cwd=tmp_path).returncode == 0
    assert name in json.loads((tmp_path / "kept.json").read_text())["models"]["resnet18"]["totals"]


@pytest.mark.parametrize("name", COST_FIGURES)
def test_what_a_budget_excludes_is_taken_off_every_figure_of_which_it_can_be(
    name: str, tmp_path: Path
) -> None:
    unit = " B" if FIGURES[name].kind == "bytes" else ""
    (tmp_path / "dscost.yaml").write_text(
        "version: 1\nmodels:\n  - target: resnet18\n"
        f"    limits: {{{name}: 1{unit}}}\n    exclude: [{{match: layer4.*, reason: it stays}}]\n"
    )
    findings = json.loads(run("check", "--json", cwd=tmp_path).stdout)["findings"]
    report = dscost.analyze("resnet18")
    if FIGURES[name].is_excludable:
        counts = [layer for layer in report.layers if not layer.name.startswith("layer4.")]
        exact = cost_figure(summed(layer.cost for layer in counts), name)
        (finding,) = findings
    else:  # it stays that of the whole, which is told
        exact = cost_figure(report.totals.as_is, name)
        finding, note = sorted(findings, key=lambda one: one["kind"] != "over_max")
        assert note["kind"] == "inexact_exclusion"
    assert exact is not None
    assert finding["value"] == pytest.approx(float(exact))


# -- what a module costs that runs more often than once


class Twice(nn.Module):
    """Runs the same convolution twice, and another one once."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.shared(self.shared(x)))
        return y


def test_a_module_that_runs_twice_has_its_weights_once_and_its_work_twice() -> None:
    report = dscost.analyze(Twice(), input=(1, 8, 6, 6))
    shared, last = report.layers
    assert (shared.calls, last.calls) == (2, 1)
    kernel, positions = 8 * 8 * 9, 6 * 6
    separable = 8 * 9 + 8 * 8
    bias, map_bytes = 8, 4 * 8 * 36
    assert (shared.cost.params, shared.cost.weight_bytes) == (kernel + bias, 4 * (kernel + bias))
    assert shared.cost.macs == 2 * positions * kernel
    standard, written = shared.variants["standard"], shared.variants["depthwise_separable"]
    assert (standard.params, standard.macs) == (kernel + bias, 2 * positions * kernel)
    assert (written.params, written.macs) == (separable + bias, 2 * positions * separable)
    assert (standard.weight_bytes, written.weight_bytes) == (
        4 * standard.params,
        4 * written.params,
    )
    assert standard.traffic_bytes == 2 * (2 * map_bytes + standard.weight_bytes)
    assert (standard.input_bytes, standard.output_bytes) == (map_bytes, map_bytes)
    totals = report.totals
    assert totals.standard - totals.as_is == NOTHING
    assert totals.as_is.params - totals.depthwise_separable.params == kernel - separable
    assert totals.as_is.macs - totals.depthwise_separable.macs == 2 * positions * (
        kernel - separable
    )
    (stage,) = shared.stages["standard"]
    assert stage.cost.macs == positions * kernel  # of one call


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_layers_add_up_to_the_totals_however_often_they_run(calls: int) -> None:
    class Often(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(calls):
                x = self.conv(x)
            return x

    report = dscost.analyze(Often(), input=(1, 4, 5, 5))
    total = summed(layer.cost for layer in report.layers)
    for name in SUMMED:
        assert getattr(total, name) == getattr(report.totals.as_is, name)
    (layer,) = report.layers
    assert layer.variants["standard"].params == 4 * 4 * 9 + 4


@law
@given(COSTS)
def test_the_exact_figure_of_a_budget_is_that_of_the_cost(cost: Cost) -> None:
    assume(cost.traffic_bytes)
    for name in COST_FIGURES:
        value, exact = getattr(cost, name), cost_figure(cost, name)
        assert (value is None) is (exact is None)
        if exact is not None:
            assert float(exact) == pytest.approx(value)
    assert cost_figure(cost, "flops_per_byte") == Fraction(2 * cost.macs, cost.traffic_bytes)
