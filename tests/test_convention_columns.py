"""What others count stands beside MACs, in every table and format, and every table of it adds up.

Figures of resnet18, resnet50, mobilenet_v2 and vgg16 are those that the tools themselves gave.
"""

import csv
import json
import pickle
import subprocess
import sys
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from program import run

import dscost
from dscost.analysis.by_convention import counted_by
from dscost.analysis.swappable import SwappableModel
from dscost.analysis.targets import Request, count
from dscost.conventions import Convention, Rule
from dscost.errors import InputError
from dscost.rendering import View, render
from dscost.reports.records import Report
from dscost.traces.calls import Call

FVCORE, PTFLOPS = "fvcore-0.1.5", "ptflops-0.7.5"
EXPECTED = {
    ("resnet18", FVCORE): 1_819_065_856,
    ("resnet18", PTFLOPS): 1_825_313_768,
    ("resnet50", FVCORE): 4_111_512_576,
    ("resnet50", PTFLOPS): 4_132_436_968,
    ("vgg16", FVCORE): 15_470_289_408,
    ("vgg16", PTFLOPS): 15_523_225_576,
    ("mobilenet_v2", FVCORE): 314_193_216,
}


def counted(target: str = "resnet18", *conventions: str) -> Report:
    return dscost.analyze(target, convention=conventions or (FVCORE, PTFLOPS))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def table(text: str, first: str) -> list[str]:
    """Return the lines of the table whose header begins with a word, that included."""
    lines = text.splitlines()
    begin = next(at for at, line in enumerate(lines) if line.startswith(f"{first} "))
    return lines[begin : lines.index("", begin)]


# -- the figures


@pytest.mark.parametrize(("target", "name"), EXPECTED)
def test_a_model_counts_what_the_tool_itself_gave(target: str, name: str) -> None:
    report = counted(target, name)
    assert report.by_convention[name]["as_is"] == EXPECTED[target, name]
    assert report.totals.as_is.macs == dscost.analyze(target).totals.as_is.macs


@pytest.mark.parametrize("name", [FVCORE, PTFLOPS])
@pytest.mark.parametrize("target", ["resnet18", "mobilenet_v2"])
def test_layers_and_shares_add_up_to_the_whole(target: str, name: str) -> None:
    report = counted(target)
    total = report.by_convention[name]["as_is"]
    assert sum(layer.by_convention[name] for layer in report.layers) == total
    assert sum(report.conventions[name].shares.values()) == total


def test_one_convention_is_counted_once_however_it_is_called() -> None:
    report = counted("resnet18", "fvcore", FVCORE, "fvcore")
    assert list(report.by_convention) == [FVCORE]
    # as a process of its own sends it
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_layer_tells_its_variants_apart() -> None:
    report = dscost.layer(64, 64, 3, bias=True, variants="ghost", convention="ptflops")
    macs, outputs = 64 * 64 * 9 * 14 * 14, 64 * 14 * 14
    found = report.by_convention[PTFLOPS]
    assert found["as_is"] == found["standard"] == macs + outputs  # a bias each
    assert found["ghost"] == 32 * 64 * 9 * 196 + 32 * 196 + 32 * 9 * 196 + 32 * 196


# -- tables


def test_a_column_stands_behind_macs_and_rows_add_up() -> None:
    text = render([counted()], "table", View())
    header, _rule, *rows = table(text, "layer")
    assert "share   fvcore 0.1.5   ptflops 0.7.5" in header
    assert rows[-1].startswith("(48 layers without MACs)")
    # 4,967,424 of normalisation and 25,088 of pooling: 1,819,065,856 - 1,814,073,344
    assert "4.993M" in rows[-1]
    totals = table(text, "variant")
    assert "MACs   fvcore 0.1.5   ptflops 0.7.5" in totals[0]
    assert "1.814G         1.819G          1.825G" in totals[2]


def test_below_stands_what_a_figure_consists_of() -> None:
    text = render([counted("resnet50", "fvcore")], "table", View())
    assert (
        "fvcore 0.1.5 FLOPs: 4.112G = 4.089G MACs + 22.23M BatchNorm at 2 per element "
        "+ 100.4k average pool." in text
    )


@pytest.mark.parametrize("view", [{}, {"depth": 1}, {"top": 3}, {"sort": f"macs@{PTFLOPS}"}])
def test_rows_add_up_however_they_are_grouped(view: dict[str, Any]) -> None:
    report = counted("mobilenet_v2")
    column = f"macs@{PTFLOPS}"
    sheet = render([report], "markdown", View(columns=(column,), **view))
    lines = sheet[: sheet.index("| variant")].splitlines()
    cells = [line.split("|")[2].strip() for line in lines if line.startswith("|")][2:]
    scale = {"k": 1e3, "M": 1e6, "G": 1e9}
    amounts = [
        float(cell[:-1]) * scale[cell[-1]] if cell[-1] in scale else float(cell) for cell in cells
    ]
    assert sum(amounts) == pytest.approx(report.by_convention[PTFLOPS]["as_is"], rel=1e-3)
    if "sort" in view:  # the rest comes last
        assert amounts[:-1] == sorted(amounts[:-1], reverse=True)


def test_a_tree_sums_what_stands_below() -> None:
    lines = table(render([counted("resnet18", "fvcore")], "table", View(tree=True)), "module")
    assert "fvcore 0.1.5" in lines[0]
    assert "1.819G" in lines[2]
    # conv1 and bn1, each pair of a block: 2·(115,605,504 + 2·64·56·56)
    block = 2 * (64 * 64 * 9 * 56 * 56 + 2 * 64 * 56 * 56)
    (line,) = (one for one in lines if "─ layer1" in one)
    assert f"{2 * block / 1e6:.1f}M" in line


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_what_was_asked_for_outlasts_params_where_space_is_short(width: int) -> None:
    header = table(render([counted("resnet18", "fvcore")], "table", View(width=width)), "layer")[0]
    assert "fvcore 0.1.5" in header
    assert "MACs" in header


def test_nothing_changes_where_nothing_is_asked_for() -> None:
    report = dscost.analyze("resnet18")
    text = render([report], "table", View())
    assert "fvcore" not in text
    assert "macs@" not in render([report], "csv", View())


# -- formats


def test_json_says_what_each_figure_means_and_consists_of() -> None:
    document = json.loads(render([counted()], "json", View()))
    (subject,) = document["subjects"]
    assert subject["by_convention"][FVCORE]["as_is"] == EXPECTED["resnet18", FVCORE]
    meaning = document["conventions"][f"macs@{FVCORE}"]
    assert meaning.startswith("fvcore 0.1.5, FLOPs: One multiply-accumulate is one FLOP")
    shares = subject["conventions"][FVCORE]["shares"]
    assert shares == {
        "MACs": 1_814_073_344,
        "BatchNorm at 2 per element": 4_967_424,
        "average pool": 512 * 7 * 7,
    }
    assert subject["layers"][0]["by_convention"][FVCORE] == 64 * 3 * 49 * 112 * 112


def test_rows_have_a_column_each_that_adds_up() -> None:
    report = counted("mobilenet_v2")
    rows = rows_of(render([report], "csv", View()))
    for name in (FVCORE, PTFLOPS):
        amounts = [int(row[f"macs@{name}"] or 0) for row in rows]
        assert sum(amounts) == report.by_convention[name]["as_is"]
    (whole,) = rows_of(render([report], "csv", View(totals=True)))
    assert int(whole[f"macs@{FVCORE}"]) == EXPECTED["mobilenet_v2", FVCORE]
    versions = report.by_convention[FVCORE]
    assert int(whole[f"macs@{FVCORE}_standard"]) == versions["standard"]
    assert int(whole[f"macs@{FVCORE}_depthwise_separable"]) == versions["depthwise_separable"]


def test_the_library_shows_the_columns_as_the_command_does() -> None:
    report = counted("resnet18", "fvcore")
    assert "fvcore 0.1.5" in str(report)
    assert "fvcore 0.1.5" in report.to_markdown()


# -- the command


def test_the_command_takes_short_names_and_repeats() -> None:
    ran = run(
        *("model", "resnet18", "--no-time", "--convention", "fvcore", "--convention", "ptflops"),
        *("--columns", "macs,macs@fvcore", "--sort", "macs@ptflops"),
    )
    assert ran.returncode == 0, ran.stderr
    assert "MACs   fvcore 0.1.5\n" in ran.stdout
    assert "ptflops 0.7.5 MACs: 1.825G" in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["model", "resnet18", "--convention", "fvcor"],
            "dscost: unknown convention 'fvcor' (did you mean 'fvcore'?), or a file .yaml",
        ),
        (
            ["model", "resnet18", "--columns", "macs@fvcore"],
            "dscost: there is no column 'macs@fvcore-0.1.5': it needs --convention fvcore-0.1.5",
        ),
        (
            ["model", "resnet18", "--sort", "macs@fvcore"],
            "dscost: there is no sort key 'macs@fvcore-0.1.5': it needs --convention fvcore-0.1.5",
        ),
        (
            ["model", "resnet18", "--train", "--convention", "fvcore"],
            "dscost: conventions of others count the forward pass alone: "
            "--train and --convention contradict each other",
        ),
        (
            ["layer", "8", "8", "3", "--convention", "none.yaml"],
            "dscost: cannot read none.yaml: No such file or directory",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[str], expected: str) -> None:
    ran = run(*arguments, "--no-time")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"{expected}\n"


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder, title in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.yaml").write_text(
            f"title: {title}\ncounts: MACs\nmeans: Convolutions.\nsource: me\n"
            "rules:\n  - operators: aten::conv2d\n    counts: {macs: 1}\n"
        )
    paths = [str(tmp_path / folder / "own.yaml") for folder in ("a", "b")]
    with pytest.raises(InputError, match=r"two conventions are called own: rename the file .*own"):
        counted("resnet18", *paths)
    assert counted("resnet18", paths[0]).by_convention["own"]["as_is"] == 1_814_073_344 - 512_000


# -- saved reports


def test_a_saved_report_shows_what_it_was_saved_with(tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    counted("resnet18", "fvcore").save(path)
    again = dscost.analyze(path)
    assert again.by_convention == counted("resnet18", "fvcore").by_convention
    assert "1.819G" in str(again)
    assert not dscost.analyze(path, convention="fvcore").warnings
    lacking = dscost.analyze(path, convention=("fvcore", "ptflops"))
    assert lacking.warnings == (
        "Not counted by ptflops 0.7.5: a saved report has the conventions that it was saved with; "
        "save the model anew with --convention.",
    )


OF_OURS = "title: Mine\ncounts: FLOPs\nmeans: Two for each.\nsource: us\nrules:\n"
RULE = "  - {operators: [aten::conv2d, aten::linear], counts: {macs: %d}}\n"
RESNET18 = 1_814_073_344  # MACs


@pytest.fixture
def two_rules(tmp_path: Path) -> tuple[Path, Path]:
    """Return two files of one name: one counts a MAC at 2, the other at 4."""
    paths = tmp_path / "mine.yaml", tmp_path / "other" / "mine.yaml"
    paths[1].parent.mkdir()
    for path, each in zip(paths, (2, 4), strict=True):
        path.write_text(OF_OURS + RULE % each)
    return paths


def test_a_figure_that_other_rules_counted_is_not_shown_as_theirs(
    tmp_path: Path, two_rules: tuple[Path, Path]
) -> None:
    path = tmp_path / "saved.json"
    counted("resnet18", str(two_rules[0])).save(path)
    ours = dscost.analyze(path, convention=str(two_rules[0]))
    assert (ours.by_convention["mine"]["as_is"], ours.warnings) == (2 * RESNET18, ())
    theirs = dscost.analyze(path, convention=str(two_rules[1]))
    assert theirs.by_convention == {}
    assert not any(layer.by_convention for layer in theirs.layers)
    assert theirs.warnings == (
        "What was saved as counted by Mine was counted by other rules than those that are asked "
        "for now, or does not say by which: save the model anew with --convention.",
    )
    assert "MACs at 2" not in str(theirs)


def test_figures_of_two_rules_of_one_name_are_not_compared(
    tmp_path: Path, two_rules: tuple[Path, Path]
) -> None:
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, rules in zip(paths, two_rules, strict=True):
        counted("resnet18", str(rules)).save(path)
    found = dscost.compare(paths[0], paths[1])
    (one,) = (one for one in found.versus[0].totals if one.metric == "macs@mine")
    assert (one.reference, one.value, one.change) == (2 * RESNET18, None, None)
    assert "b.json: Its figure by Mine was counted by other rules than that of a.json" in str(found)


# -- what a figure consists of


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (RULE % 2, "Mine FLOPs: 3.628G = 1.814G MACs at 2."),
        (
            "  - {operators: aten::conv2d, counts: {macs: 2}}\n",
            # but for the 512,000 of the classifier
            "Mine FLOPs: 3.627G = 1.814G of 1.814G MACs at 2; "
            "512.0k of 1.814G MACs have no rule: aten::linear of fc.",
        ),
        (
            "  - {operators: [aten::conv2d, aten::linear], counts: {macs: 2, bias: 1}, "
            "called: MACs at 2 and bias}\n",
            "Mine FLOPs: 3.628G = 3.628G for 1.814G MACs at 2 and bias.",
        ),
        (
            "  - {operators: aten::conv2d, counts: {macs: 2, bias: 1}, called: with bias}\n",
            "Mine FLOPs: 3.627G = 3.627G for MACs at 2 with bias; "
            "512.0k of 1.814G MACs have no rule: aten::linear of fc.",
        ),
        (
            "  - {operators: [aten::conv2d, aten::linear], counts: {macs: 0.5}}\n",
            "Mine FLOPs: 907.0M = 1.814G MACs at 0.5.",
        ),
    ],
)
def test_a_sum_tells_macs_as_such_and_at_how_much_each(
    tmp_path: Path, rule: str, told: str
) -> None:
    (tmp_path / "mine.yaml").write_text(OF_OURS + rule)
    assert told in str(counted("resnet18", str(tmp_path / "mine.yaml"))).splitlines()


# -- comparisons


def test_a_comparison_has_the_figure_of_each_and_their_difference() -> None:
    found = dscost.compare("resnet18", "resnet50", convention="fvcore")
    by_name = {one.metric: one for one in found.versus[0].totals}
    one = by_name[f"macs@{FVCORE}"]
    expected = EXPECTED["resnet18", FVCORE], EXPECTED["resnet50", FVCORE]
    assert (one.reference, one.value, one.change) == (*expected, expected[1] - expected[0])
    (row,) = (line for line in str(found).splitlines() if line.startswith("operations by fvcore"))
    assert row.split()[4:] == ["1.819G", "4.112G", "+2.292G", "+126.0", "%"]
    assert "resnet50: fvcore 0.1.5 FLOPs: 4.112G = 4.089G MACs + 22.23M BatchNorm" in str(found)


def test_models_that_are_not_related_stand_with_their_figures() -> None:
    ran = run("compare", "resnet18", "vgg16", "--convention", "fvcore", "--convention", "ptflops")
    assert ran.returncode == 0, ran.stderr
    header, _rule, *rows = table(ran.stdout, "model")
    assert "fvcore 0.1.5   ptflops 0.7.5" in header
    assert "15.47G          15.52G" in rows[1]


@pytest.mark.parametrize("view", [{}, {"depth": 1}, {"top": 2}, {"sort": f"macs@{PTFLOPS}"}])
def test_changes_of_layers_add_up_to_that_of_the_whole(view: dict[str, Any]) -> None:
    found = dscost.compare("resnet18", "resnet34", convention=("fvcore", "ptflops"))
    column = f"macs@{PTFLOPS}_change"
    (_, page) = render(found, "markdown", View(columns=(column,), **view)).split("Layers of ")
    cells = [line.split("|")[2].strip() for line in page.splitlines() if line.startswith("|")][2:]
    scale = {"k": 1e3, "M": 1e6, "G": 1e9}
    amounts = [float(cell[:-1]) * scale[cell[-1]] for cell in cells]
    (whole,) = (one for one in found.versus[0].totals if one.metric == f"macs@{PTFLOPS}")
    assert whole.change is not None
    assert sum(amounts) == pytest.approx(whole.change, rel=2e-3)


def test_the_json_and_rows_of_a_comparison_are_exact() -> None:
    found = dscost.compare("resnet18", "resnet34", convention="fvcore")
    document = json.loads(render(found, "json", View()))
    name = f"macs@{FVCORE}"
    assert name in document["conventions"]
    (versus,) = document["differences"]
    whole = versus["totals"][name]
    assert whole["reference"] == EXPECTED["resnet18", FVCORE]
    assert sum(layer[name]["change"] for layer in versus["layers"]) == whole["change"]
    first, second = rows_of(render(found, "csv", View()))
    assert int(first[name]) == int(second[f"{name}_reference"]) == whole["reference"]
    assert int(second[f"{name}_change"]) == whole["change"]


def test_a_report_without_a_convention_has_no_figure_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    dscost.analyze("resnet18").save(path)
    ran = run("compare", str(path), "resnet34", "--convention", "fvcore")
    assert ran.returncode == 0, ran.stderr
    (row,) = (line for line in ran.stdout.splitlines() if line.startswith("operations by fvcore"))
    assert row.split()[4:] == ["–", "3.671G", "–", "–"]
    assert (
        "saved.json: Not counted by fvcore 0.1.5: a saved report has the conventions that it was "
        "saved with; save the model anew with --convention.\n" in ran.stdout
    )


# -- with other options, and of odd models


def test_where_losing_swaps_are_left_the_figure_of_the_version_is_that_without_them() -> None:
    counted_model = count("resnet18", Request(conventions=("fvcore",)))
    report, versions = counted_model.report, counted_model.runnable
    assert versions is not None
    slower = tuple(
        layer._replace(verdict="slower") if layer.name.startswith("layer1.") else layer
        for layer in report.layers
    )
    model = SwappableModel(
        report._replace(layers=slower), counted_model.swaps, versions, counted_model.conventions
    )
    left = model.without_losing().report
    assert left.skipped
    # of a convolution fvcore counts the MACs alone
    more = left.totals.depthwise_separable.macs - report.totals.depthwise_separable.macs
    version = "depthwise_separable"
    by_fvcore = [one.by_convention[FVCORE][version] for one in (left, report)]
    assert by_fvcore[0] - by_fvcore[1] == more > 0
    assert left.by_convention[FVCORE]["as_is"] == EXPECTED["resnet18", FVCORE]


ODD = """
import torch
from torch import nn
from torch.nn import functional


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding="same")
        self.norm = nn.LayerNorm(32)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = functional.relu(self.norm(self.conv(x)))
        scale = functional.relu(x.sum())  # of no dimensions
        x = torch.fft.fft(functional.adaptive_avg_pool2d(x, 1).flatten(-3)).real
        return self.fc(x) * torch.sigmoid(scale)
"""


@pytest.mark.parametrize(
    ("shape", "options"),
    [("2,3,32,32", ["--on", "t4"]), ("3,32,32", ["--dtype", "float16", "--tree"])],
)
def test_odd_models_are_counted_and_their_layers_add_up(
    tmp_path: Path, shape: str, options: list[str]
) -> None:
    pytest.importorskip("torch")
    (tmp_path / "odd.py").write_text(ODD)
    ran = run(
        *("model", f"{tmp_path / 'odd.py'}:Odd", "--input", shape, "--no-time", *options),
        *(f"--convention={name}" for name in (FVCORE, PTFLOPS)),
        *("--export", f"json={tmp_path / 'costs.json'}"),
    )
    assert ran.returncode == 0, ran.stderr
    (subject,) = json.loads((tmp_path / "costs.json").read_text())["subjects"]
    for name in (FVCORE, PTFLOPS):
        total = subject["by_convention"][name]["as_is"]
        assert sum(layer["by_convention"][name] for layer in subject["layers"]) == total
    assert subject["by_convention"][FVCORE]["as_is"] > 0


def test_what_a_rule_cannot_divide_is_still_whole_and_adds_up() -> None:
    report = dscost.analyze("resnet18", batch=3)
    rule = Rule("operators", ("aten::conv2d",), {"outputs": Fraction("0.3")}, "a third")
    one = Convention("third", "third", "MACs", "Odd.", ("me",), (rule,))
    calls = [
        Call("operators", "aten::conv2d", layer.name, (layer.input_shape,), (1, 1, at))
        for at, layer in enumerate(report.layers, 1)
    ]
    found = counted_by(report, [one], {"as_is": calls})
    exact = sum(Fraction(3 * at, 10) for at in range(1, len(calls) + 1))
    assert found.by_convention["third"]["as_is"] == int(exact)
    assert sum(layer.by_convention["third"] for layer in found.layers) == int(exact)
    assert found.conventions["third"].shares == {"a third": int(exact)}


def test_what_counts_in_no_layer_has_a_line_of_its_own() -> None:
    report = dscost.analyze("resnet18")
    rule = Rule("functions", ("torch.nn.functional.relu",), {"inputs": Fraction(1)}, "relu")
    one = Convention("own", "Own", "MACs", "ReLU.", ("me",), (rule,))
    calls = [Call("functions", "torch.nn.functional.relu", "", ((1, 500),), (1, 500))]
    found = counted_by(report, [one], {"as_is": calls})
    view = View(top=2, columns=("macs@own",))
    rows = table(render([found], "table", view), "layer")
    assert [row.split()[-1] for row in rows if row.startswith("(in no layer)")] == ["500"]
    cells = rows_of(render([found], "csv", View()))
    assert sum(int(row["macs@own"] or 0) for row in cells) == 500
    assert "500" in table(render([found], "table", View(tree=True)), "module")[2]
    both = dscost.compare(found, found._replace(target="b", by_convention={"own": {"as_is": 0}}))
    (row,) = (line for line in str(both).splitlines() if line.startswith("(in no layer)"))
    assert "500 → 0" in row


OF_VERSIONS = {"as_is": 1_819_065_856, "standard": 9, "depthwise_separable": 9}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"by_convention": {FVCORE: {"as_is": 1_819_065_856}}}, "missing key 'standard'"),
        (
            {"by_convention": {FVCORE: OF_VERSIONS | {"ghost": 9}}},
            "by_convention.fvcore-0.1.5: expected as_is or standard or depthwise_separable, "
            'found "ghost"',
        ),
        ({"by_convention": {}}, 'layers[0].by_convention: expected none, found "fvcore-0.1.5"'),
        (
            {"by_convention": {FVCORE: OF_VERSIONS | {"as_is": 5}}},
            "but its layers have 1,819,065,856",
        ),
        ({"by_convention": {FVCORE: {}}}, "missing key 'as_is'"),
        ({"conventions": {}}, f"missing key '{FVCORE}', which is in 'by_convention'"),
        ({"by_convention": {FVCORE: 3}}, "expected an object, found 3"),
    ],
)
def test_a_saved_report_that_does_not_add_up_is_refused(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    document = json.loads(render([counted("resnet18", "fvcore")], "json", View()))
    document["subjects"][0] |= change
    (tmp_path / "saved.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as raised:
        dscost.analyze(tmp_path / "saved.json")
    assert expected in str(raised.value)


@pytest.mark.parametrize(
    ("of_layer", "expected"),
    [
        ({}, "layers[1].by_convention: missing key 'fvcore-0.1.5'"),
        ({FVCORE: 0, "mine": 3}, 'expected fvcore-0.1.5, found "mine"'),
    ],
)
def test_a_saved_layer_has_the_conventions_of_its_report(
    tmp_path: Path, of_layer: dict[str, int], expected: str
) -> None:
    document = json.loads(render([counted("resnet18", "fvcore")], "json", View()))
    document["subjects"][0]["layers"][1]["by_convention"] = of_layer
    (tmp_path / "saved.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as raised:
        dscost.analyze(tmp_path / "saved.json")
    assert expected in str(raised.value)


def test_what_a_saved_report_says_of_its_conventions_is_text(tmp_path: Path) -> None:
    document = json.loads(render([counted("resnet18", "fvcore")], "json", View()))
    document["conventions"][f"macs@{FVCORE}"] = 3
    (tmp_path / "saved.json").write_text(json.dumps(document))
    with pytest.raises(
        InputError, match=r"conventions\.macs@fvcore-0\.1\.5: expected text, found 3"
    ):
        dscost.analyze(tmp_path / "saved.json")


def test_who_asks_for_no_convention_does_not_pay_for_them() -> None:
    program = (
        "import sys, dscost\n"
        "dscost.analyze('resnet18').to_markdown(), str(dscost.compare('resnet18', 'resnet34'))\n"
        "print([name for name in sys.modules if name.startswith('dscost.conventions')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
