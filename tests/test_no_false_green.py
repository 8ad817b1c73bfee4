"""What a budget must not let pass: work inside modules that do more, namesakes of modules, doubts, several budgets."""

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dscost.budgets.checking import check, find_budget
from dscost.budgets.findings import CheckResult
from dscost.cli import run
from dscost.errors import InputError

NETS = """
import torch
from torch import nn
import torch.nn.functional as F

class Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(64, 3, 5, 5))
        self.second = nn.Parameter(torch.zeros(64, 64, 1, 1))
        self.small = nn.Parameter(torch.zeros(64, 3, 1, 1))
        self.large = nn.Parameter(torch.zeros(64, 64, 5, 5))
        self.rows = nn.Parameter(torch.zeros(10, 64 * 12 * 12))

class Mixed(Weights):
    def forward(self, x): return F.conv2d(F.relu(F.conv2d(x, self.first)), self.second)

class Order(Weights):
    def forward(self, x): return F.conv2d(F.conv2d(x, self.small), self.large)

class Net(Weights):
    def forward(self, x): return F.linear(F.relu(F.conv2d(x, self.first)).flatten(1), self.rows)

class Transposed(Weights):
    def forward(self, x): return F.conv_transpose2d(F.conv2d(x, self.small), self.large)

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.zeros(8, 3, 5)); self.other = nn.Parameter(torch.zeros(8, 8, 1))
    def forward(self, x): return F.conv1d(F.conv1d(x.flatten(2), self.own), self.other)

class Values(nn.Module):
    def __init__(self):
        super().__init__()
        self.dear, self.cheap = nn.Conv2d(3, 64, 5), nn.Conv2d(3, 8, 1)
    def forward(self, x): return self.dear(x) if float(x.abs().sum()) > 1e9 else self.cheap(x)
"""
AREA = 12 * 12  # of what a 5x5 convolution leaves of 16x16


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    yield tmp_path
    monkeypatch.undo()  # before a folder that is gone would be


def judged(more: str, target: str = "nets.py:Mixed", **options: bool) -> CheckResult:
    Path("b.yaml").write_text(
        f"version: 1\nmodels:\n  - {{target: '{target}', input: [1, 3, 16, 16], {more}}}\n"
    )
    return check("b.yaml", **options)  # type: ignore[arg-type]


def ban(match: str) -> str:
    return (
        f"policy: {{on_unused_weights: ignore}}, layers: [{{match: '{match}', total: {{macs: 0}}}}]"
    )


@pytest.mark.parametrize(
    ("cls", "match", "macs"),
    [
        ("Mixed", "op:convolution[kernel>3]", 64 * 3 * 25 * AREA),
        ("Mixed", "op:convolution", (64 * 3 * 25 + 64 * 64) * AREA),
        ("Mixed", "type:Mixed[kernel=1]", 64 * 64 * AREA),
        ("Order", "op:convolution[kernel>3]", 64 * 64 * 25 * AREA),
        ("Order", "*[groups=1,kernel>1]", 64 * 64 * 25 * AREA),
        ("Order", "*[in_channels=3]", 64 * 3 * 256),
        ("Net", "op:convolution", 64 * 3 * 25 * AREA),
        ("Net", "op:linear", 10 * 64 * AREA),
        ("Transposed", "op:transposed_convolution", 64 * 64 * 25 * 256),
        ("Transposed", "op:*convolution[kernel=1]", 64 * 3 * 256),
        ("Line", "op:convolution[kernel>3]", 8 * 3 * 5 * 252),
    ],
)
def test_a_ban_sees_what_a_module_runs_among_other_things(
    cls: str, match: str, macs: int, here: Path
) -> None:
    result = judged(ban(match), f"nets.py:{cls}")
    (finding,) = [one for one in result.findings if one.level == "error"]
    assert (finding.kind, finding.value, result.exit_code) == ("over_max", macs, 1)


def test_operators_stand_in_saved_reports_and_are_judged_there(here: Path) -> None:
    assert (
        run(
            [
                "model",
                "nets.py:Order",
                "--input",
                "1,3,16,16",
                "--no-time",
                "--json",
                "-o",
                "r.json",
                "-q",
            ]
        )
        == 0
    )
    (layer,) = [
        one
        for one in json.loads(Path("r.json").read_text())["subjects"][0]["layers"]
        if one["operators"]
    ]
    assert [(one["op"], one["conv"]["kernel_size"], one["calls"]) for one in layer["operators"]] == [
        ("convolution", [1, 1], 1), ("convolution", [5, 5], 1)]  # fmt: skip
    Path("b.yaml").write_text(
        f"version: 1\nmodels:\n  - {{target: r.json, {ban('op:convolution[kernel>3]')}}}\n"
    )
    assert check("b.yaml").exit_code == 1


def test_a_module_is_sought_from_the_budget_before_the_working_directory(here: Path) -> None:
    body = "from torch import nn\ndef make(): return nn.Conv2d(3, %d, 1, bias=False)\n"
    for folder, channels in ((here, 8), (here / "sub", 1)):
        folder.mkdir(exist_ok=True)
        (folder / "namesake.py").write_text(body % channels)
    limits = "limits: {macs: {min: 6144, max: 6144}}"  # 8 * 3 * 256
    assert judged(limits, "namesake:make").exit_code == 0
    budget = here / "b.yaml"
    for folder in (here / "sub", here.parent, here):
        os.chdir(folder)
        assert check(budget).exit_code == 0
    os.chdir(here)
    (here / "sub" / "b.yaml").write_text(budget.read_text())
    assert check("sub/b.yaml").exit_code == 1  # and the other folder's own is another


def test_a_model_that_looks_at_values_is_warned_of(here: Path) -> None:
    result = judged("limits: {macs: 10k}", "nets.py:Values")
    assert [(one.kind, one.level) for one in result.findings] == [("value_dependent", "warn"),
                                                                  ("unused_weights", "warn")]  # fmt: skip
    assert (
        result.exit_code,
        judged("limits: {macs: 10k}", "nets.py:Values", strict=True).exit_code,
    ) == (0, 1)


def test_what_fails_under_strict_is_no_warning(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b.yaml").write_text(
        "version: 1\nmodels: [{target: resnet18, limits: {macs: {max: 1G, level: warn}}}]\n"
    )
    for options, mark in (([], "warning"), (["--strict"], "over budget")):
        assert run(["check", "b.yaml", *options]) == len(options)
        out = capsys.readouterr().out
        assert f"\n{'✗' if options else '!'} resnet18   MACs   " in out
        assert out.endswith(f"1 {mark}.\n")


def test_a_folder_that_is_gone_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "gone").mkdir()
    os.chdir(here / "gone")
    (here / "gone").rmdir()
    with pytest.raises(
        InputError, match="the working directory is gone: name the budget by its whole path"
    ):
        find_budget()
    (here / "b.yaml").write_text("version: 1\nmodels: [{target: resnet18, limits: {macs: 2G}}]\n")
    for name in ("table", "github", "sarif"):
        assert run(["check", str(here / "b.yaml"), "--format", name]) == 0
    os.chdir(here)


# -- several budgets


@pytest.fixture
def two(here: Path) -> Sequence[str]:
    """Two budgets, of which the first is broken."""
    for name, limit in (("a", "1G"), ("b", "2G")):
        (here / name).mkdir()
        (here / name / "dscost.yaml").write_text(
            f"version: 1\nmodels: [{{target: resnet18, limits: {{macs: {limit}}}}}]\n"
        )
    return ["a/dscost.yaml", "b/dscost.yaml"]


def test_several_budgets_exit_with_the_worst_code(
    two: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = two
    assert [run(["check", *paths, "-q"]) for paths in ((b, b), (a, b), (b, a), (a, b, "c.yaml"), ("c.yaml", b))] == [
        0, 1, 1, 2, 2]  # fmt: skip
    capsys.readouterr()
    assert run(["check", a, b]) == 1
    out = capsys.readouterr().out
    assert (out.count("\n✗ resnet18"), out.count("\n✓ resnet18")) == (1, 1)
    assert out.endswith("1 model, 1 limit holds.\n")
    assert run(["check", a, "c.yaml", b]) == 2
    said = capsys.readouterr()
    assert (said.out.count("\n✗ resnet18"), said.out.count("\n✓ resnet18")) == (1, 1)
    assert said.err == "dscost: cannot read c.yaml: No such file or directory\n"
    assert run(["check", a, b, "--config", b]) == 2


def test_several_budgets_are_one_document_in_every_format(
    two: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def said(name: str) -> str:
        assert run(["check", *two, "c.yaml", "--format", name]) == 2
        return capsys.readouterr().out

    budgets = json.loads(said("json"))["budgets"]
    assert [one.get("exit_code", one.get("error")) for one in budgets] == [
        1, 0, "cannot read c.yaml: No such file or directory"]  # fmt: skip
    assert [one["location"]["path"] for one in json.loads(said("gitlab"))] == ["a/dscost.yaml"]
    assert [len(one["results"]) for one in json.loads(said("sarif"))["runs"]] == [1, 0]
    suites = ElementTree.fromstring(said("junit").encode())
    assert [(one.get("name"), one.get("failures")) for one in suites] == [("a/dscost.yaml", "1"),
                                                                         ("b/dscost.yaml", "0")]  # fmt: skip
    lines = said("github").splitlines()
    assert lines[0].startswith("::error file=a/dscost.yaml,line=2,")
    assert (
        lines[-1]
        == "::error title=dscost check could not judge::cannot read c.yaml: No such file or directory"
    )
    assert said("markdown").count("| resnet18 |") == 2


# -- one baseline, many who save


def save(name: str) -> None:
    os._exit(run(["baseline", "save", "many.yaml", "--model", name, "-q"]))


def test_parallel_saves_of_a_baseline_lose_nothing(here: Path) -> None:
    names = [f"m{at}" for at in range(12)]
    models = "".join(
        f"  - {{name: {name}, target: net.yaml, batch: {at + 1}}}\n"
        for at, name in enumerate(names)
    )
    (here / "net.yaml").write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 8}]\n")
    (here / "many.yaml").write_text(f"version: 1\nbaseline: kept.json\nmodels:\n{models}")
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=save, args=(name,)) for name in names]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
    assert [one.exitcode for one in processes] == [0] * len(names)
    assert sorted(json.loads((here / "kept.json").read_text())["models"]) == sorted(names)


def test_from_python_several_budgets_are_judged_as_by_the_command(
    two: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    shares: list[float | None] = []
    found = check(*two, "c.yaml", progress=lambda share, doing: shares.append(share))
    over, within, unread = found.results
    assert isinstance(over, CheckResult)
    assert isinstance(within, CheckResult)
    assert (over.exit_code, within.exit_code, found.exit_code) == (1, 0, 2)
    assert str(unread) == "cannot read c.yaml: No such file or directory"
    assert shares == sorted(shares, key=lambda share: share or 0.0)
    assert max(share or 0.0 for share in shares) < 1
    assert run(["check", *two]) == check(*two).exit_code == 1
    assert capsys.readouterr().out == f"{check(*two)}\n"
    with pytest.raises(InputError):
        check("c.yaml")
