"""One registry of formats: whoever adds one has it in every command that prints a result."""

import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from program import run

import dscost
from dscost.cli.app import COMMANDS
from dscost.errors import InputError, UnknownNameError
from dscost.pages import Said, View
from dscost.rendering import RENDERERS, format_names, render
from dscost.rendering.csv import csv_text
from dscost.rendering.json import json_text

NETWORK = """\
input: [8, 16, 16]
layers:
  - {conv: 3, out_channels: 64, name: first}
  - {conv: 3, out_channels: 64, name: second}
"""
BUDGET = """\
version: 1
models:
  - {name: small, target: net.yaml, limits: {params: 1, macs: 1T}}
baseline: kept.json
"""

RESULTS = {
    "layer": ("layer", "--cin", "64", "--cout", "64", "-k", "3", "--no-time"),
    "model": ("model", "net.yaml", "--no-time"),
    "compare": ("compare", "net.yaml", "resnet18"),
    "sweep": ("sweep", "--cin", "8,16", "--cout", "2 * cin", "-k", "3"),
    "convert": ("convert", "net.yaml", "--rank", "1"),
    "device": ("device", "--on", "t4"),
    "check": ("check", "dscost.yaml"),
    "baseline": ("baseline", "save", "dscost.yaml"),
    "verify": ("verify", "net.yaml"),
    "which": ("which", "resnet18", "1.81G"),
    "list": ("list", "devices"),
}
"""A command line for each command that prints a result."""
NO_RESULT = {"init", "schema", "help"}
"""They write files of their own, or print one."""

SAID = {
    "layer": "Conv2d 64 → 64",
    "model": "second",
    "compare": "resnet18 against net",
    "sweep": "2 convolutions",
    "convert": "1 of 2 convolutions made depthwise-separable",
    "device": "NVIDIA T4",
    "check": "over budget",
    "baseline": "wrote kept.json: 1 model",
    "verify": "FlopCounterMode",
    "which": "multiply-accumulates",
    "list": "NVIDIA T4",
}
"""What every page must have in it."""


def test_every_command_is_tried_that_prints_a_result() -> None:
    assert RESULTS.keys() | NO_RESULT == set(COMMANDS)
    assert not RESULTS.keys() & NO_RESULT


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NETWORK)
    (tmp_path / "dscost.yaml").write_text(BUDGET)
    return tmp_path


@pytest.fixture
def toy(own_formats: None) -> None:
    @dscost.register_renderer("toy", meaning="Everything thrice.", endings=(".toy",))
    def toy(said: Said, view: View) -> str:
        parts = []
        for page in said.pages(view):
            parts += [f"toy: {page.heading}", *page.lines, *page.closing]
            parts += [cell for sheet in page.sheets for row in sheet.rows for cell in row.cells.values()]  # fmt: skip
        rows = csv_text(said.row_columns, said.rows())
        return "\n".join([*parts, rows, json_text(said.data(view))])


@pytest.mark.parametrize("command", RESULTS)
def test_a_format_that_is_registered_is_one_of_every_command(
    command: str, here: Path, toy: None
) -> None:
    ran = run(*RESULTS[command], "--format", "toy", cwd=here)
    over = command == "check"
    assert ran.returncode == over, ran.stderr
    assert ran.stdout.startswith("toy: ")
    assert SAID[command] in ran.stdout
    ran = run(*RESULTS[command], "-o", "x.toy", "--export", "toy=y", cwd=here)
    assert ran.returncode == over, ran.stderr
    assert (here / "x.toy").read_text() == (here / "y").read_text()
    assert (here / "x.toy").read_text().startswith("toy: ")
    assert ", toy or " in run(command, "--help").stdout.replace("\n", " ") or (
        " or toy." in " ".join(run(command, "--help").stdout.split())
    )


def test_formats_are_listed_with_what_they_mean(toy: None) -> None:
    names = json.loads(run("list", "formats", "--json").stdout)["names"]
    found = {one["name"]: one["meaning"] for one in names}
    assert list(found)[:4] == ["table", "json", "csv", "markdown"]
    assert {"github", "gitlab", "junit", "sarif", "toy"} <= found.keys()
    assert found["toy"] == "[.toy] Everything thrice."
    assert found["sarif"].startswith("[.sarif] ")


@pytest.mark.parametrize("command", RESULTS)
@pytest.mark.parametrize("format_name", format_names(judges=False))
def test_every_command_has_the_formats_of_the_house(
    command: str, format_name: str, here: Path
) -> None:
    ran = run(*RESULTS[command], "--format", format_name, cwd=here)
    assert ran.returncode == (command == "check"), ran.stderr
    if format_name == "json":
        json.loads(ran.stdout)
    elif format_name == "csv":
        header, *rows = ran.stdout.splitlines()
        assert rows
        assert "," in header
    else:  # of a format that is new here, something at least; what it is stands in its own test
        assert ran.stdout.startswith("### " if format_name == "markdown" else "")
        assert ran.stdout.strip()


# -- a package of somebody else


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param(
            {"endings": ".toy"},
            "format toy: endings are a tuple such as ('.md',), found '.toy'",
            id="one text, whose letters would be endings",
        ),
        pytest.param(
            {"endings": ("toy",)},
            "format toy: endings are a tuple such as ('.md',), found ('toy',)",
            id="no dot",
        ),
        pytest.param(
            {"says": "row"},
            "unknown kind of format 'row' (did you mean 'rows'?)",
            id="it says what there is not",
        ),
    ],
)
def test_a_format_that_could_never_be_found_is_refused(
    wrong: dict[str, Any], message: str, own_formats: None
) -> None:
    with pytest.raises(InputError) as refused:
        dscost.register_renderer("toy", **wrong)
    assert str(refused.value) == message


def test_the_example_is_short_and_a_format_of_every_command(
    here: Path, own_formats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).parent.parent / "examples" / "latex.py"
    assert len(path.read_text().splitlines()) <= 35
    ours = [name for name in RENDERERS if ".tex" in RENDERERS[name].endings or name == "latex"]
    for name in ours:  # should the house have such a format one day
        del RENDERERS._entries[name]
    point = SimpleNamespace(name="latex", load=lambda: runpy.run_path(str(path))["latex"])
    monkeypatch.setattr(RENDERERS, "_found", {"latex": point})
    for command, arguments in RESULTS.items():
        ran = run(*arguments, "-o", f"{command}.tex", cwd=here)
        assert ran.returncode == (command == "check"), ran.stderr
        text = (here / f"{command}.tex").read_text()
        assert text.startswith("\\paragraph{")
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}")
        assert " or latex." in " ".join(run(command, "--help").stdout.split())
    assert r"second & conv 3×3 & 64×16×16 &" in (here / "model.tex").read_text()
    assert "latex     [.tex] Tables for a paper." in run("list", "formats").stdout


def test_a_function_that_nobody_registered_is_a_format_by_its_entry_point_alone(
    own_formats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = SimpleNamespace(name="plain", load=lambda: lambda said, view: said.pages(view)[0].heading)  # fmt: skip
    monkeypatch.setattr(RENDERERS, "_found", {"plain": point})
    assert run("list", "metrics", "--format", "plain").stdout == "metrics"


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (lambda: 1 / 0, "cannot be loaded: ZeroDivisionError: division by zero"),
        (lambda: "a text", "is no function, see dscost.register_renderer"),
    ],
    ids=["broken", "no function"],
)
def test_a_broken_package_is_named_where_its_format_is_asked_for_only(
    load: Callable[[], object],
    told: str,
    here: Path,
    own_formats: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = SimpleNamespace(name="theirs", load=load)
    monkeypatch.setattr(RENDERERS, "_found", {"theirs": point})
    expected = f"dscost: the entry point 'theirs' of dscost.renderers {told}\n"
    for asked in (("list", "formats"), ("list", "--format", "theirs"), ("list", "-o", "x.odd")):
        ran = run(*asked, cwd=here)
        assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", expected)
    assert " or theirs." in " ".join(run("layer", "--help").stdout.split())
    assert run("list", "-o", "x.md", "--export", "csv=x.csv", "-q", cwd=here).returncode == 0


# -- what does not go together


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("list -o x.odd", "no format is written to .odd files (known: "),
        (
            "model net.yaml --no-time --format sarif",
            "format 'sarif' says findings, which dscost model has not; use table, json, csv",
        ),
        (
            "verify net.yaml --export junit=x.xml",
            "format 'junit' says findings, which dscost verify has not; ",
        ),
        ("list -o x.sarif", "format 'sarif' says findings, which dscost list has not; "),
        ("list --format tabel", "unknown format 'tabel' (did you mean 'table'?)"),
        ("verify net.yaml --json --format csv", "--json and --format csv contradict each other"),
        ("check --columns model", "No such option: --columns"),
    ],
)
def test_bad_output_options_get_one_line(arguments: str, told: str, here: Path) -> None:
    before = set(here.iterdir())
    ran = run(*arguments.split(), cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told}")
    assert len(ran.stderr.splitlines()) == 1
    assert set(here.iterdir()) == before


def test_an_ending_that_no_format_has_is_answered_with_those_that_one_has(here: Path) -> None:
    ran = run("model", "net.yaml", "--no-time", "-o", "x.odd", cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    told = re.fullmatch(
        r"dscost: no format is written to \.odd files \(known: (.+)\): "
        r"name one by --format, or another file than 'x\.odd'\n",
        ran.stderr,
    )
    assert told is not None
    endings = told[1].split(", ")
    assert endings[:4] == [".txt", ".json", ".csv", ".md"]
    assert {".xml", ".sarif"} <= set(endings)


def test_what_has_no_findings_is_offered_every_format_that_says_none(here: Path) -> None:
    ran = run("model", "net.yaml", "--no-time", "--format", "sarif", cwd=here)
    names = re.split(", | or ", ran.stderr.rstrip("\n").partition("; use ")[2])
    assert names[:4] == ["table", "json", "csv", "markdown"]
    assert not {"github", "gitlab", "junit", "sarif"} & set(names)


@pytest.mark.parametrize("name", ["x", "x.txt", "x.TXT"])
def test_a_file_without_an_ending_is_a_table_as_is_a_text(name: str, here: Path) -> None:
    assert run("list", "devices", "-o", name, "-q", cwd=here).stderr == ""
    assert (here / name).read_text() == run("list", "devices").stdout


def test_an_ending_of_ci_means_its_format(here: Path) -> None:
    assert run("check", "-o", "x.sarif", "--export", "junit=x.xml", "-q", cwd=here).returncode == 1
    assert json.loads((here / "x.sarif").read_text())["version"] == "2.1.0"
    assert (here / "x.xml").read_text().startswith("<?xml")


def test_from_python_the_same_is_said() -> None:
    report = dscost.layer(in_channels=8, out_channels=8, kernel_size=3)
    assert render(report) == render([report])
    with pytest.raises(InputError, match=r"^format 'github' says findings, which a report has not"):
        render(report, "github")
    with pytest.raises(UnknownNameError, match="unknown format 'odd'"):
        render(report, "odd")
    with pytest.raises(TypeError, match=r"^int is no result of dscost$"):
        render(3)


# -- what is new: rows of a check, of a verification, of a list


def test_the_rows_of_a_check_are_its_findings_and_what_holds(here: Path) -> None:
    text = run("check", "--format", "csv", "-q", cwd=here).stdout
    header, broken, held = (line.split(",") for line in text.splitlines())
    params = 64 * (8 * 9 + 1) + 64 * (64 * 9 + 1)
    macs = (64 * 8 * 9 + 64 * 64 * 9) * 16 * 16
    column = BUDGET.splitlines()[2].index("params") + 1
    assert dict(zip(header, broken, strict=False)) | {"text": ""} == {
        "budget": "dscost.yaml", "line": "3", "column": str(column), "model": "small", "metric": "params",
        "bound": "max", "layer": "", "value": str(params), "limit": "1", "before": "",
        "ci95_low": "", "ci95_high": "",
        "outcome": "error", "finding": "over_max", "text": "",
    }  # fmt: skip
    cells = dict(zip(header, held, strict=True))
    assert (cells["metric"], cells["value"], cells["outcome"]) == ("macs", str(macs), "ok")
    assert cells["limit"] == str(10**12)


def test_the_rows_of_a_verification_are_both_counts(here: Path) -> None:
    macs = (64 * 8 * 9 + 64 * 64 * 9) * 16 * 16
    text = run("verify", "net.yaml", "--format", "csv", cwd=here).stdout
    assert text == f"target,module,type,ours,theirs,reason\nnet.yaml,,,{macs},{macs},\n"


def test_a_list_is_names_and_meanings() -> None:
    text = run("list", "devices", "--format", "csv").stdout
    assert text.startswith("name,meaning,")
    names = [line.split(",")[0] for line in text.splitlines()[1:]]
    shown = run("list", "devices").stdout.splitlines()
    assert [line.split()[0] for line in shown[4 : 4 + len(names)]] == names


def test_a_verification_can_be_quiet(here: Path) -> None:
    assert run("verify", "net.yaml", "-q", cwd=here).stderr == ""


def test_names_of_formats_are_known_without_looking_for_those_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def looked(group: str) -> None:
        raise AssertionError(f"looked for {group}")

    monkeypatch.setattr("importlib.metadata.entry_points", looked)
    monkeypatch.setattr(RENDERERS, "_found", None)
    assert "markdown" in format_names(judges=False, of_others=False)
    assert run("list", "devices", "-q").returncode == 0
