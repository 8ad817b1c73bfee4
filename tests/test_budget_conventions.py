"""Budgets whose limits are on what others count: `macs@fvcore-0.1.5: 4.2G`.

Figures of fvcore and ptflops are those that they return themselves; all others are by hand.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import dscost
from dscost.budgets.baseline import read_baseline
from dscost.budgets.findings import CheckResult
from dscost.cli import run
from dscost.errors import FileProblems
from dscost.pages.finding_words import finding_sentence

FVCORE, PTFLOPS = 4_111_512_576, 4_132_436_968  # of resnet50

NET = """
- {conv: 3, out_channels: 8, norm: batch, act: relu, name: one}
- {conv: 1, out_channels: 8, bias: false, name: two}
"""
AREA = 32 * 32
ONE, TWO, WRITTEN = AREA * 8 * 3 * 9, AREA * 8 * 8, AREA * 8
MINE = """
title: as we say it
counts: FLOPs
means: Two for each multiply-accumulate of a convolution, three per element of BatchNorm.
source: by hand
rules:
  - operators: aten::conv2d
    counts: {macs: 2}
  - operators: aten::batch_norm
    counts: {inputs: 3}
"""
BY_MINE = 2 * (ONE + TWO) + 3 * WRITTEN


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "conventions").mkdir()
    (tmp_path / "conventions" / "mine.yaml").write_text(MINE)
    yield tmp_path
    monkeypatch.undo()  # before a folder that is gone would be


def budget(*models: Mapping[str, Any], **top: Any) -> None:
    document = {"version": 1, **top, "models": list(models)}
    Path("dscost.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def checked(*models: Mapping[str, Any], **top: Any) -> CheckResult:
    budget(*models, **top)
    return dscost.check("dscost.yaml")


def net(**given: Any) -> dict[str, Any]:
    return {"name": "net", "target": "net.yaml", "input": [1, 3, 32, 32], **given}


def mistakes(limits: Any, **model: Any) -> list[str]:
    """Return what is wrong with a budget, its line and column cut off."""
    with pytest.raises(FileProblems) as caught:
        checked(net(limits=limits, **model))
    return [one.message for one in caught.value.problems]


# -- limits on the whole


@pytest.mark.parametrize(
    ("target", "name", "value"),
    [
        ("resnet50", "macs@fvcore-0.1.5", FVCORE),
        ("resnet50", "macs@fvcore", FVCORE),
        ("resnet50", "macs@ptflops", PTFLOPS),
        ("resnet18", "macs@ptflops-0.7.5", 1_825_313_768),
        ("vgg16", "macs@fvcore-0.1.5", 15_470_289_408),
        ("net.yaml", "macs@conventions/mine.yaml", BY_MINE),
        ("net.yaml", "macs@./conventions/../conventions/mine.yaml", BY_MINE),
    ],
)
def test_a_limit_by_a_convention_is_exact(target: str, name: str, value: int) -> None:
    shape = [1, 3, 224, 224] if target != "net.yaml" else [1, 3, 32, 32]
    model = {"target": target, "input": shape}
    within = checked({**model, "limits": {name: value}})
    assert (within.exit_code, [one.value for one in within.passed]) == (0, [value])
    over = checked({**model, "limits": {name: value - 1}})
    (finding,) = over.findings
    assert (over.exit_code, finding.kind, finding.value) == (1, "over_max", value)


def test_it_stands_beside_our_own_macs_and_never_replaces_them() -> None:
    result = checked(net(limits={"macs": ONE + TWO, "macs@conventions/mine.yaml": BY_MINE}))
    assert [(one.metric, one.value) for one in result.passed] == [
        ("macs", ONE + TWO),
        ("macs@mine", BY_MINE),
    ]
    (over,) = checked(net(limits={"macs": ONE, "macs@conventions/mine.yaml": BY_MINE})).findings
    assert over.metric == "macs"


@pytest.mark.parametrize(
    ("limit", "kind", "level"),
    [
        ({"min": BY_MINE + 1}, "under_min", "error"),
        ({"max": 1, "level": "warn"}, "over_max", "warn"),
        ({"max": 1, "message": "ask Ada first"}, "over_max", "error"),
    ],
)
def test_bounds_levels_and_messages_are_as_of_any_figure(
    limit: dict[str, Any], kind: str, level: str
) -> None:
    (finding,) = checked(net(limits={"macs@conventions/mine.yaml": limit})).findings
    assert (finding.kind, finding.level) == (kind, level)
    assert finding.detail == limit.get("message")


def test_a_limit_of_a_model_replaces_that_of_the_defaults_under_another_name() -> None:
    defaults = {"limits": {"macs@fvcore": {"max": 1, "level": "warn"}}}
    result = checked(net(limits={"macs@fvcore-0.1.5": "1G"}), defaults=defaults)
    assert [(one.metric, one.limit) for one in result.passed] == [("macs@fvcore-0.1.5", 10**9)]
    assert not result.findings


def test_a_file_is_seen_from_the_folder_of_the_budget(here: Path) -> None:
    (here / "sub").mkdir()
    text = yaml.safe_dump(
        {
            "version": 1,
            "models": [net(target="../net.yaml", limits={"macs@../conventions/mine.yaml": 1})],
        }
    )
    (here / "sub" / "dscost.yaml").write_text(text)
    (finding,) = dscost.check("sub/dscost.yaml").findings
    assert finding.value == BY_MINE


def test_a_finding_says_by_whose_rules() -> None:
    (finding,) = checked({"target": "resnet50", "limits": {"macs@fvcore": "4.1G"}}).findings
    assert finding_sentence(finding) == (
        "4,111,512,576 operations by fvcore 0.1.5, over the limit of 4,100,000,000 by 11,512,576."
    )


def test_models_are_counted_by_the_conventions_that_their_own_limits_name() -> None:
    result = checked(
        net(name="a", limits={"macs@fvcore": "1G"}),
        net(name="b", limits={"macs": "1G"}),
        net(name="c", layers=[{"match": "one", "each": {"macs@ptflops": "1G"}}]),
    )
    counted = [list(one.report.by_convention) for one in result.subjects if one.report]
    assert counted == [["fvcore-0.1.5"], [], ["ptflops-0.7.5"]]


# -- layers


def test_rules_on_layers_count_by_the_convention() -> None:
    name = "macs@conventions/mine.yaml"
    result = checked(
        net(
            layers=[
                {"match": "type:BatchNorm2d", "each": {name: 3 * WRITTEN - 1}},
                {"match": "op:convolution", "total": {name: 2 * (ONE + TWO)}},
                {"match": "*", "total": {name: {"min": BY_MINE + 1}}},
            ]
        )
    )
    assert [(one.kind, one.layer, one.value) for one in result.findings] == [
        ("over_max", "one_norm", 3 * WRITTEN),
        ("under_min", "*", BY_MINE),
    ]
    assert [(one.layer, one.value) for one in result.passed] == [
        ("op:convolution", 2 * (ONE + TWO))
    ]


def test_the_last_of_several_rules_holds_whatever_the_convention_is_called() -> None:
    rules = [
        {"match": "*", "each": {"macs@fvcore": 1}},
        {"match": "*", "each": {"macs@fvcore-0.1.5": "1T"}},
    ]
    assert not checked(net(layers=rules)).findings


def test_layers_that_do_not_count_are_taken_off_as_the_convention_counts_them() -> None:
    model = net(
        limits={"macs@conventions/mine.yaml": BY_MINE - 3 * WRITTEN, "macs": ONE + TWO},
        exclude=[{"match": "type:BatchNorm2d", "reason": "folded"}],
    )
    result = checked(model)
    assert not result.findings
    assert [one.value for one in result.passed] == [2 * (ONE + TWO), ONE + TWO]


# -- what is no such figure


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("macs@fvcor", "unknown convention 'fvcor' (did you mean 'fvcore'?), or a file .yaml"),
        ("macs@ptflop-0.7.5", "unknown convention 'ptflop-0.7.5' (did you mean 'ptflops'?), or"),
        ("macs@", "expected a convention after 'macs@', found 'macs@': write 'macs@fvcore-0.1.5'"),
        ("macs@ ", "expected a convention after 'macs@', found 'macs@ ': write"),
        ("params@fvcore", "conventions count macs alone, found 'params@fvcore': write 'macs@fvcore'"),
        ("flops@fvcore", "conventions count macs alone, found 'flops@fvcore': write 'macs@fvcore'"),
        ("@", "conventions count macs alone, found '@': write 'macs@fvcore-0.1.5'"),
        ("macs@mine.yaml", "cannot read mine.yaml: No such file or directory"),
        ("macs@net.yaml", "net.yaml:2:1: expected a mapping with title, counts, means"),
        ("macs@conventions", "unknown convention 'conventions' (known: fvcore-0.1.5, ptflops-0.7.5"),
    ],
)  # fmt: skip
def test_a_name_that_is_none_is_told_where_it_stands(key: str, message: str) -> None:
    assert [one[: len(message)] for one in mistakes({key: "4G"})] == [message]
    budget(net(layers=[{"match": "one", "total": {key: "4G"}}]))
    with pytest.raises(FileProblems) as caught:
        dscost.check("dscost.yaml")
    (problem,) = caught.value.problems
    line = Path("dscost.yaml").read_text().splitlines()[problem.line - 1]
    assert problem.message.startswith(message)
    assert line[problem.column - 1 :].lstrip("'\"").startswith(key.strip())


def test_mistakes_of_a_file_of_rules_are_one_line_of_the_budget(here: Path) -> None:
    wrong = MINE.replace("title", "titel").replace("macs: 2", "mcas: 2")
    (here / "wrong.yaml").write_text(wrong)
    (message,) = mistakes({"macs@wrong.yaml": 1})
    assert message == "wrong.yaml:2:1: missing key 'title' (and 2 more)"


def test_one_figure_is_not_limited_twice_in_one_place() -> None:
    assert mistakes({"macs@fvcore": "1G", "macs@fvcore-0.1.5": "2G"}) == [
        "'macs@fvcore-0.1.5' and 'macs@fvcore' on line 11 are both macs@fvcore-0.1.5"
    ]


def test_two_files_of_one_name_are_told_apart(here: Path) -> None:
    (here / "mine.yaml").write_text(MINE)
    layers = [{"match": "one", "each": {"macs@mine.yaml": 1}}]
    (message,) = mistakes({"macs@conventions/mine.yaml": 1}, layers=layers)
    assert message == (
        "mine.yaml and conventions/mine.yaml, on line 11, are both macs@mine: "
        "give one of the files another name"
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("5%", "a percentage is of the baseline, write max_increase: 5%"),
        ("4 GiB", "macs@fvcore-0.1.5 is a count, write 4G"),
        ({"max": "4G", "tolerance": "5%"}, "macs@fvcore-0.1.5 has no noise"),
        ({"max": 1, "min": 2}, "min is above max: nothing passes"),
        ({}, "a limit has one of max, min, max_increase, max_decrease"),
    ],
)
def test_a_wrong_limit_is_told_as_of_any_figure(limit: Any, message: str) -> None:
    (told,) = mistakes({"macs@fvcore": limit})
    assert message in told


# -- the baseline


GROWTH = {"macs@conventions/mine.yaml": {"max_increase": "0%"}}


def widened(here: Path) -> None:
    (here / "net.yaml").write_text(NET.replace("out_channels: 8, bias", "out_channels: 9, bias"))


def test_growth_by_a_convention_is_judged_by_the_baseline(here: Path) -> None:
    budget(net(limits=GROWTH), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    assert dscost.check("dscost.yaml").exit_code == 0
    widened(here)
    (finding,) = dscost.check("dscost.yaml").findings
    assert (finding.kind, finding.before) == ("grew", BY_MINE)
    assert finding.value == BY_MINE + 2 * AREA * 8
    assert [one.layer for one in finding.contributions] == ["two"]
    assert run(["baseline", "update", "-q"]) == 1
    assert run(["baseline", "update", "-q", "--accept", "net/*"]) == 0
    assert dscost.check("dscost.yaml").exit_code == 0


def test_growth_of_layers_by_a_convention_is_judged_too(here: Path) -> None:
    name = "macs@conventions/mine.yaml"
    rule = {"match": "t*", "each": {name: {"max_increase": "0%"}}}
    budget(net(layers=[rule]), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    assert dscost.check("dscost.yaml").exit_code == 0
    widened(here)
    (finding,) = dscost.check("dscost.yaml").findings
    assert (finding.kind, finding.layer, finding.before) == ("grew", "two", 2 * TWO)


def test_a_baseline_without_conventions_is_written_as_before() -> None:
    budget(net(limits={"macs": "1G"}), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    document = json.loads(Path("kept.json").read_text())
    assert document["version"] == 2
    assert document["models"]["net"].keys() == {"fingerprint", "layers", "totals"}


def test_what_a_baseline_keeps_by_conventions_comes_back_as_it_was() -> None:
    budget(net(limits={"macs@fvcore": "1G"}), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    known = read_baseline(Path("kept.json"))
    assert known is not None
    (model,) = known.models.values()
    by_fvcore = ONE + TWO + 2 * WRITTEN
    assert model.figures["macs@fvcore-0.1.5"] == by_fvcore
    assert model.layers["one_norm", "macs@fvcore-0.1.5"] == 2 * WRITTEN
    assert list(model.rules) == ["macs@fvcore-0.1.5"]
    assert json.loads(Path("kept.json").read_text())["version"] == 3
    assert f"macs@fvcore-0.1.5 {by_fvcore:,}" in str(dscost.baseline("dscost.yaml"))


@pytest.mark.parametrize(
    "where",
    [
        {"limits": GROWTH},
        {"layers": [{"match": "two", "each": GROWTH}]},
        {"layers": [{"match": "t*", "total": GROWTH}]},
    ],
    ids=["whole", "each", "total"],
)
def test_growth_that_an_older_baseline_does_not_know_is_told_and_no_new_cost(
    where: dict[str, Any],
) -> None:
    budget(net(limits={"macs": "1G"}), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    policy = {"on_missing_baseline": "error"}
    result = checked(net(**where), baseline="kept.json", policy=policy)
    (finding,) = result.findings
    assert (finding.kind, finding.metric, result.exit_code) == ("missing_baseline", "macs@mine", 1)
    assert "operations by mine are not in the baseline" in finding_sentence(finding)
    assert run(["baseline", "update", "-q"]) == 0
    assert dscost.check("dscost.yaml").exit_code == 0


@pytest.mark.parametrize(
    "where", [{"limits": GROWTH}, {"layers": [{"match": "two", "each": GROWTH}]}]
)
def test_other_rules_under_the_same_name_are_not_compared(
    where: dict[str, Any], here: Path
) -> None:
    budget(net(**where), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    # half of what it counted: a model of twice the size would pass
    (here / "conventions" / "mine.yaml").write_text(MINE.replace("macs: 2", "macs: 1"))
    (finding,) = dscost.check("dscost.yaml").findings
    assert (finding.kind, finding.level) == ("not_comparable", "warn")
    assert "operations by mine were counted by other rules" in finding_sentence(finding)
    assert run(["baseline", "update", "-q"]) == 1
    assert run(["baseline", "update", "-q", "--accept", "net"]) == 0
    assert not dscost.check("dscost.yaml").findings


def test_what_is_not_a_rule_of_a_file_may_change(here: Path) -> None:
    budget(net(limits=GROWTH), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    (here / "conventions" / "mine.yaml").write_text(MINE.replace("by hand", "by heart"))
    assert not dscost.check("dscost.yaml").findings


def test_less_by_a_convention_is_told(here: Path) -> None:
    budget(net(limits=GROWTH), baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    (here / "net.yaml").write_text(NET.replace("out_channels: 8, bias", "out_channels: 7, bias"))
    found = {one.metric: one.value for one in dscost.check("dscost.yaml").findings}
    assert found["macs@mine"] == BY_MINE - 2 * AREA * 8
    assert run(["baseline", "update", "-q"]) == 0


def test_a_limit_by_a_convention_is_raised_in_its_place() -> None:
    Path("dscost.yaml").write_text(
        "version: 1\nmodels:\n  - {name: net, target: net.yaml, input: [1, 3, 32, 32],\n"
        "     limits: {macs@conventions/mine.yaml: 500k}} # ours\n"
    )
    given = ["baseline", "update", "-q", "--accept", "net", "--raise-limits"]
    assert run(given) == 0
    assert "macs@conventions/mine.yaml: 599k}} # ours" in Path("dscost.yaml").read_text()
    assert dscost.check("dscost.yaml").exit_code == 0


# -- ways back


def test_swaps_are_offered_by_what_the_convention_counts_then() -> None:
    result = checked({"target": "resnet50", "limits": {"macs@fvcore": "4.1G"}})
    (finding,) = result.findings
    fix = finding.suggested_fix
    assert fix is not None
    assert fix.layers == ("conv1",)
    # 7x7 of each of 3 channels, then 1x1 from 3 to 64, instead of 7x7 from 3 to 64
    assert fix.value == FVCORE - 112 * 112 * (64 * 3 * 49 - 3 * 49 - 64 * 3)
    (way,) = result.ways_back
    assert (way.layers, way.figures) == (("conv1",), {"macs@fvcore-0.1.5": fix.value})


@pytest.mark.usefixtures("forked_workers")
def test_swaps_of_code_are_offered_too_wherever_it_is_counted(here: Path) -> None:
    (here / "nets.py").write_text(NETS)
    swapped = SEPARABLE_BY_FVCORE
    model = {"target": "nets.py:line", "input": [1, 3, 16, 16], "limits": {"macs@fvcore": swapped}}
    budget(model)
    for isolate in (False, True):
        (finding,) = dscost.check("dscost.yaml", isolate=isolate).findings
        assert finding.value == 256 * (8 * 3 * 9 + 8 * 8 * 9 + 2 * 8)
        assert finding.suggested_fix == (("3",), swapped)


# of 3x3 from 8 to 8 channels a depthwise one, and 1x1
SEPARABLE_BY_FVCORE = 256 * (8 * 3 * 9 + 8 * 9 + 8 * 8 + 2 * 8)
NETS = """
import torch
import torch.nn.functional as F
from torch import nn

def line():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(8, 3, 5, 5))
        self.rows = nn.Parameter(torch.zeros(10, 8 * 12 * 12))
    def forward(self, x): return F.linear(F.conv2d(x, self.first).flatten(1), self.rows)
"""


# -- never green without a look


def errors(result: CheckResult) -> list[tuple[str, str]]:
    return [(one.kind, finding_sentence(one)) for one in result.findings if one.level == "error"]


def saved(name: str, *options: str) -> None:
    given = ["net.yaml", "--input", "1,3,32,32", "--no-time", "-q", *options]
    assert run(["model", *given, "-o", name]) == 0


def test_a_saved_report_that_has_the_figure_is_judged_by_it() -> None:
    saved("with.json", "--convention", "fvcore")
    by_fvcore = ONE + TWO + 2 * WRITTEN
    result = checked({"target": "with.json", "limits": {"macs@fvcore": by_fvcore - 1}})
    assert [(one.kind, one.value) for one in result.findings] == [("over_max", by_fvcore)]


@pytest.mark.parametrize(
    "where",
    [
        {"limits": {"macs@fvcore": "1T"}},
        {"limits": {"macs@fvcore": {"min": 0}}},
        {"layers": [{"match": "one", "each": {"macs@fvcore": "1T"}}]},
        {"layers": [{"match": "*", "total": {"macs@fvcore": "1T"}}]},
    ],
    ids=["max", "min", "each", "total"],
)
def test_a_saved_report_without_the_figure_keeps_no_limit_on_it(where: dict[str, Any]) -> None:
    saved("without.json", "--convention", "ptflops")
    result = checked({"target": "without.json", **where})
    ((kind, text),) = errors(result)
    assert (kind, result.exit_code, result.passed) == ("unknown_figure", 1, ())
    assert (
        "operations by fvcore 0.1.5 could not be found out: without.json was saved without" in text
    )
    assert "dscost model --convention fvcore-0.1.5 --json" in text


def test_of_growth_too_an_unknown_figure_is_told() -> None:
    saved("report.json", "--convention", "fvcore")
    limits = {"macs@fvcore": {"max_increase": "0%"}}
    budget({"target": "report.json", "limits": limits}, baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    assert dscost.check("dscost.yaml").exit_code == 0
    saved("report.json")
    ((kind, _),) = errors(dscost.check("dscost.yaml"))
    assert kind == "unknown_figure"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"as_is": 5, "standard": 9, "depthwise_separable": 9},
            "by_convention.fvcore-0.1.5.as_is: found 5, but its layers have 303,104",
        ),
        ({"as_is": -5}, "as_is: expected a whole number of at least 0, found -5"),
        ({"as_is": None}, "as_is: expected a whole number, found null"),
        ({"standard": 5}, "by_convention.fvcore-0.1.5: missing key 'as_is'"),
    ],
)
def test_a_report_that_contradicts_itself_is_not_judged(
    change: dict[str, Any], message: str
) -> None:
    assert ONE + TWO + 2 * WRITTEN == 303_104
    saved("report.json", "--convention", "fvcore")
    document = json.loads(Path("report.json").read_text())
    document["subjects"][0]["by_convention"]["fvcore-0.1.5"] = change
    Path("report.json").write_text(json.dumps(document))
    result = checked({"target": "report.json", "limits": {"macs@fvcore": "1T"}})
    (finding,) = result.findings
    assert (finding.kind, result.exit_code) == ("unloadable_model", 2)
    assert message in (finding.detail or "")


def test_part_of_a_module_is_not_taken_for_nothing(here: Path) -> None:
    (here / "nets.py").write_text(NETS)
    rule = {"match": "op:linear", "total": {"macs@fvcore": "1T"}}
    result = checked({"target": "nets.py:Mixed", "input": [1, 3, 16, 16], "layers": [rule]})
    ((kind, text),) = errors(result)
    assert kind == "unknown_figure"
    assert "how much of the whole a part of a module counts is not known" in text


def test_what_is_ignored_or_warned_of_is_so_by_convention_too() -> None:
    saved("without.json")
    limit = {"max": "1T", "level": "warn"}
    (finding,) = checked({"target": "without.json", "limits": {"macs@fvcore": limit}}).findings
    assert (finding.kind, finding.level) == ("unknown_figure", "warn")


# -- as it is said


@pytest.mark.parametrize(
    "format", ["table", "json", "junit", "sarif", "github", "gitlab", "markdown"]
)
def test_every_format_says_by_whose_rules(format: str, capfd: pytest.CaptureFixture[str]) -> None:
    budget({"target": "resnet18", "limits": {"macs@fvcore": "1.8G"}})
    assert run(["check", "--format", format]) == 1
    said = capfd.readouterr().out
    assert "macs@fvcore-0.1.5" in said if format == "json" else "by fvcore 0.1.5" in said
    if format in ("junit", "sarif"):
        assert "1,819,065,856 operations by fvcore 0.1.5, over the limit of 1,800,000,000" in said


def test_the_example_of_the_docs_holds_what_it_says(here: Path) -> None:
    docs = Path(dscost.__file__).parents[1] / "configs" / "budgets" / "README.md"
    blocks = docs.read_text().split("```yaml\n")[1:]
    blocks = [one.partition("```")[0] for one in blocks]
    (example,) = [one for one in blocks if "macs@" in one]
    (here / "conventions" / "ours.yaml").write_text(MINE)
    model = {"target": "resnet50", **yaml.safe_load(example)}
    budget(model, baseline="kept.json")
    assert run(["baseline", "save", "-q"]) == 0
    result = dscost.check("dscost.yaml")
    assert [(one.metric, one.bound) for one in result.passed] == [
        ("macs@fvcore-0.1.5", "max"),
        ("macs@ours", "max_increase"),
    ]
    assert [one.metric for one in result.findings] == ["macs@ours"]  # two for each of 4.1 G


# -- the rules behind what was saved


OTHER_RULES = MINE.replace("macs: 2", "macs: 4")


@pytest.fixture
def saved_by_mine(here: Path) -> Path:
    """Return a report whose figure `mine` other rules of that name would count otherwise."""
    (here / "other").mkdir()
    (here / "other" / "mine.yaml").write_text(OTHER_RULES)
    saved("report.json", "--convention", "conventions/mine.yaml")
    return here / "report.json"


WHERE = [
    {"limits": {"macs@other/mine.yaml": "1T"}},
    {"limits": {"macs@other/mine.yaml": {"max_increase": "0%"}}},
    {"layers": [{"match": "one", "each": {"macs@other/mine.yaml": "1T"}}]},
    {"layers": [{"match": "*", "total": {"macs@other/mine.yaml": "1T"}}]},
]


@pytest.mark.parametrize("where", WHERE, ids=["max", "max_increase", "each", "total"])
def test_what_other_rules_counted_keeps_no_limit(
    saved_by_mine: Path, where: dict[str, Any]
) -> None:
    result = checked({"target": "report.json", **where})
    ((kind, text),) = errors(result)
    assert (kind, result.exit_code, result.passed) == ("unknown_figure", 1, ())
    assert "what report.json was saved with was counted by other rules, or does not say" in text


def test_by_the_rules_that_it_was_saved_with_it_is_judged(saved_by_mine: Path) -> None:
    limits = {"macs@conventions/mine.yaml": BY_MINE}
    assert checked({"target": "report.json", "limits": limits}).exit_code == 0


def test_a_report_that_does_not_say_by_which_rules_keeps_no_limit_either(
    saved_by_mine: Path,
) -> None:
    document = json.loads(saved_by_mine.read_text())
    assert len(document["subjects"][0]["conventions"]["mine"].pop("rules")) == 12
    saved_by_mine.write_text(json.dumps(document))
    limits = {"macs@conventions/mine.yaml": BY_MINE}
    ((kind, _),) = errors(checked({"target": "report.json", "limits": limits}))
    assert kind == "unknown_figure"


def test_a_baseline_keeps_no_figure_beside_rules_that_did_not_count_it(saved_by_mine: Path) -> None:
    limits = {"macs@other/mine.yaml": {"max": "1T", "level": "warn"}}
    budget({"target": "report.json", "limits": limits}, baseline="kept.json")
    run(["baseline", "save", "-q"])
    assert "macs@mine" not in Path("kept.json").read_text()


def test_who_names_no_convention_in_a_budget_does_not_load_them(here: Path) -> None:
    budget(net(limits={"macs": ONE + TWO}))
    program = (
        "import sys, dscost\n"
        "assert dscost.check('dscost.yaml').exit_code == 0\n"
        "print([name for name in sys.modules if name.startswith('dscost.conventions')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
