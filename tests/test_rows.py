"""CSV adds up: a row a layer, the sum of a column is the total that is printed; and the same in pandas."""

import csv
import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from program import run
from torch import nn

import dscost
from dscost.errors import InputError, UnavailableError
from dscost.layers.variants import BOTH_WAYS, VERSIONS
from dscost.notation.units import format_count
from dscost.pages.rows import SHARED
from dscost.rendering import View, render
from dscost.reports.figures import SUMMED
from dscost.reports.records import Report


class Shared(nn.Module):
    """Two convolutions of one weight, one of which runs twice, and a pair that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.b.weight = self.a.weight
        self.wide = nn.Conv2d(8, 16, 3)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.BatchNorm2d(16)
        self.pointwise = nn.Conv2d(16, 16, 1)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.wide(self.a(self.b(self.b(x))))
        for _ in range(2):
            x = self.pointwise(self.norm(self.depthwise(x)))
        return x


MODELS = ["resnet18", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "shared"]


def report_of(name: str) -> Report:
    return dscost.analyze(Shared(), (1, 8, 16, 16)) if name == "shared" else dscost.analyze(name)


def rows_of(report: Report, **view: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render([report], "csv", View(**view)))))


@pytest.mark.parametrize("name", MODELS)
def test_every_column_adds_up_to_the_total(name: str) -> None:
    report = report_of(name)
    rows = rows_of(report)
    for version in VERSIONS:
        total = getattr(report.totals, version)
        for figure in SUMMED:
            column = figure if version == "as_is" else f"{figure}_{version}"
            assert sum(int(row[column]) for row in rows) == getattr(total, figure), column


def test_the_sum_is_what_is_printed() -> None:
    printed = run("model", "mobilenet_v2", "--no-time").stdout
    rows = csv.DictReader(io.StringIO(run("model", "mobilenet_v2", "--no-time", "-o", "/dev/stdout", "--format", "csv").stdout))  # fmt: skip
    rows = list(rows)
    for title, suffix in (("as it is", ""), ("standard", "_standard")):
        line = next(line for line in printed.splitlines() if line.startswith(f"{title} "))
        for figure in ("params", "macs"):
            assert format_count(sum(int(row[f"{figure}{suffix}"]) for row in rows)) in line


@pytest.mark.parametrize("name", MODELS)
def test_there_is_a_row_for_each_layer_and_none_for_its_parts(name: str) -> None:
    report = report_of(name)
    layers = [row["layer"] for row in rows_of(report) if row["layer"] != SHARED]
    assert layers == [layer.name for layer in report.layers]


def test_what_layers_share_stands_in_a_row_of_its_own() -> None:
    (shared,) = (row for row in rows_of(report_of("shared")) if row["layer"] == SHARED)
    # the separable one of either has its own 3×3 and 1×1 weights and bias, the whole has them once
    assert int(shared["params_depthwise_separable"]) == -(8 * 9 + 8 * 8 + 8)
    assert int(shared["params"]) == 0
    assert SHARED not in {row["layer"] for row in rows_of(report_of("resnet18"))}


def test_a_pair_stands_at_its_depthwise_layer() -> None:
    rows = {row["layer"]: row for row in rows_of(report_of("mobilenet_v1"))}
    first, last = rows["separable1.0.depthwise"], rows["separable1.0.pointwise"]
    assert int(first["macs_standard"]) == 32 * 64 * 9 * 112**2
    assert int(last["macs_standard"]) == 0
    pair = sum(int(row["macs_depthwise_separable"]) for row in (first, last))
    assert pair == sum(int(row["macs"]) for row in (first, last))


def test_stages_are_told_where_they_are_asked_for() -> None:
    report = report_of("resnet18")
    rows = rows_of(report, stages=True)
    of_stages = [row for row in rows if row["stage"]]
    assert [row for row in rows if not row["stage"]] == rows_of(report)
    (depthwise, pointwise) = (row for row in of_stages if row["layer"] == "layer1.0.conv1")
    assert (depthwise["stage"], pointwise["stage"]) == ("depthwise", "pointwise")
    assert int(depthwise["macs"]) == 64 * 9 * 56**2
    layer = dscost.layer(64, 64, 3)
    assert {row["stage"] for row in rows_of(layer)} == {""}
    assert [row["stage"] for row in rows_of(layer, stages=True)][-2:] == ["depthwise", "pointwise"]


def test_totals_are_apart() -> None:
    report = report_of("mobilenet_v2")
    (row,) = rows_of(report, totals=True)
    assert (row["target"], row["layer"]) == ("mobilenet_v2", "")
    assert (int(row["params"]), int(row["macs"])) == (3_504_872, 300_774_272)
    assert int(row["macs_standard"]) == report.totals.standard.macs
    assert int(row["peak_activation_bytes"]) == report.peak_activation_bytes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--stages", "--stages has no meaning for --format table"),
        ("--totals --json", "--totals has no meaning for --format json"),
        (
            "--totals --stages --format csv",
            "--stages tells of parts of layers, which --totals leaves out",
        ),
    ],
)
def test_options_of_rows_are_refused_without_rows(arguments: str, told: str) -> None:
    ran = run("model", "resnet18", "--no-time", *arguments.split())
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"dscost: {told}\n")


def test_options_of_rows_hold_for_exports(tmp_path: Path) -> None:
    ran = run("model", "resnet18", "--no-time", "--totals", "--export", "t.csv", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len((tmp_path / "t.csv").read_text().splitlines()) == 2
    ran = run("model", "resnet18", "--no-time", "--export", "csv=layers.csv", cwd=tmp_path)
    assert len((tmp_path / "layers.csv").read_text().splitlines()) > 60


# -- files by their ending


def test_an_export_is_of_the_format_that_its_ending_means(tmp_path: Path) -> None:
    arguments = ("--export", "a.md", "--export", "b.json", "--export", "markdown=c.txt", "-q")
    assert run("model", "resnet18", "--no-time", *arguments, cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.md").read_text() == (tmp_path / "c.txt").read_text()
    assert (tmp_path / "a.md").read_text().startswith("### ")
    assert (tmp_path / "b.json").read_text().startswith("{")


@pytest.mark.parametrize(
    ("export", "told"),
    [
        ("csv", "--export: expected FORMAT=PATH such as json=costs.json, found 'csv'"),
        ("=x.md", "unknown format ''"),
        ("md=", "--export: expected FORMAT=PATH such as json=costs.json, found 'md='"),
        ("x.odd", "--export: no format is written to .odd files (known: "),
        ("x.sarif", "format 'sarif' says findings, which dscost model has not; "),
    ],
)
def test_an_export_without_a_format_or_a_known_ending_is_refused(export: str, told: str) -> None:
    ran = run("model", "resnet18", "--no-time", "--export", export)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert ran.stderr.startswith(f"dscost: {told}")


# -- pandas


@pytest.mark.parametrize("name", ["resnet18", "shared"])
def test_a_frame_has_the_rows_of_the_csv(name: str) -> None:
    report = report_of(name)
    frame = report.to_pandas()
    rows = rows_of(report)
    assert list(frame.columns) == list(rows[0])
    assert list(frame["layer"]) == [row["layer"] for row in rows]
    for version in BOTH_WAYS:
        assert frame[f"macs_{version}"].sum() == getattr(report.totals, version).macs
    assert frame["macs"].sum() == report.totals.as_is.macs
    assert str(frame["macs"].dtype) == "int64"


def test_counts_stay_whole_numbers_where_some_are_missing() -> None:
    frame = dscost.compare("resnet18", "mobilenet_v2").to_pandas()
    assert list(frame["model"]) == ["resnet18", "mobilenet_v2"]
    assert str(frame["macs_change"].dtype) == "Int64"
    assert frame["macs_change"].iloc[1] == 300_774_272 - 1_814_073_344
    assert frame["macs_change"].isna().tolist() == [True, False]


def test_every_result_with_rows_is_a_frame() -> None:
    assert dscost.device("t4").to_pandas().shape[0] >= 1


def test_without_pandas_one_line_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    report = report_of("resnet18")
    with pytest.raises(UnavailableError) as refused:
        report.to_pandas()
    assert str(refused.value) == "pandas is not installed: pip install pandas"
    assert not isinstance(refused.value, InputError)
