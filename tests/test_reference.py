"""The pages of docs/reference are made of what the program is, and their examples hold."""

import re
import runpy
import statistics
from math import exp, log, sqrt
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, name_of
from program import run

import dscost
from dscost.cli.app import COMMANDS
from dscost.rendering import format_names, in_words
from dscost.reports.figures import FIGURES
from dscost.timing.statistics import noise_of, speedup_of, summarize

MADE = runpy.run_path(str(ROOT / "scripts" / "reference.py"))
PAGES: dict[Path, str] = MADE["generated"]()
TOLD: dict[str, dict[str, Any]] = MADE["told_by_hand"]()
HOW_TO = "python scripts/fill_documents.py --reference"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_page_is_what_the_script_makes_of_the_program(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == PAGES[page], HOW_TO


def test_every_page_of_the_reference_is_made() -> None:
    assert sorted((ROOT / "docs" / "reference").rglob("*.md")) == sorted(PAGES)


def test_every_command_option_name_and_metric_is_there() -> None:
    options, library, metrics = (
        (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("options", "library", "metrics")
    )
    for command in COMMANDS:
        assert f"\n## dscost {command}\n" in options
    for option in ("--cin", "--goal", "--runtime", "--against", "--emit", "--isolate"):
        assert f"{option} " in options or f"{option}`" in options
    for name in (*dscost.__all__[:-1], "DepthwiseSeparableConv2d", "Said"):
        if not name.startswith("__"):
            assert re.search(rf"^##+ {name}$", library, re.MULTILINE), name
    assert set(FIGURES) <= set(TOLD)
    assert {"reduction", "roofline_s", "noise_floor", "peak", "error"} <= set(TOLD)
    for name in TOLD:
        assert f"\n## {name}\n" in metrics


@pytest.mark.parametrize(("command", "judges"), [("check", True), ("model", False)])
def test_formats_are_named_as_help_names_them(command: str, judges: bool) -> None:
    page = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    section = " ".join(page.partition(f"\n## dscost {command}\n")[2].partition("\n## ")[0].split())
    names = in_words(format_names(judges=judges, draws=True))
    assert {"html", "svg", "png", "latex"} <= {*names.replace(" or", ",").split(", ")}
    assert f"- `--format <str>`: {names}." in section
    assert f"{names}." in " ".join(run("help", command).stdout.split())


@pytest.mark.parametrize("name", ["options", "library"])
def test_no_line_of_the_reference_is_wider_than_a_screen(name: str) -> None:
    text = (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert not re.search(r"^\|", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 120


@pytest.fixture(scope="module")
def scope() -> dict[str, Any]:
    """Return what the examples are of."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    small = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    conv = nn.Conv2d(2, 2, 3, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, :, 0, 0], conv.weight[1, :, 0, 1] = 4, 3
    return {
        "dscost": dscost,
        "layer": dscost.layer(256, 256, 3, on="t4"),
        "small": dscost.analyze(small, (1, 3, 32, 32)),
        "diagonal": dscost.conversion(nn.Sequential(conv), (1, 2, 8, 8), rank=1, min_channels=1),
        "log": log,
        "noise_of": noise_of,
        "speedup_of": speedup_of,
        "summarize": summarize,
    }


@pytest.mark.parametrize("name", TOLD)
def test_the_example_by_hand_is_what_dscost_computes(name: str, scope: dict[str, Any]) -> None:
    lines = TOLD[name]["by_hand"].strip().splitlines()
    for line, computed in zip(lines, TOLD[name]["computed"], strict=True):
        product, written = re.fullmatch(r"[\w ,]+: (.*) = ([\d.,]+)", line).groups()  # type: ignore[union-attr]
        value = float(written.replace(",", ""))
        within = 0.5 * 10.0 ** -len(written.partition(".")[2]) if "." in written else 0
        assert by_hand(product) == pytest.approx(value, rel=0, abs=within)
        assert eval(computed, dict(scope)) == pytest.approx(value, rel=1e-6, abs=within)


def by_hand(product: str) -> float:
    """Work out a product as it is written: digits in threes, a dot for times."""
    plain = re.sub(r"(?<=\d),(?=\d{3}\b)", "", product).replace("·", "*")
    names = {"max": max, "sqrt": sqrt, "exp": exp, "median": lambda *all_: statistics.median(all_)}
    return float(eval(plain, names))


@pytest.mark.parametrize(
    ("computed", "value"),
    [(one[1], one[2]) for told in TOLD.values() for one in told.get("published", ())],
)
def test_published_figures_of_the_page_are_what_dscost_computes(computed: str, value: int) -> None:
    assert eval(computed, {"dscost": dscost}) == value
