"""What is said in a tone is in colour on a terminal, and the same words everywhere else."""

import json
import pickle
import re
from pathlib import Path

import pytest
from program import run

import dscost
from dscost.cli.colours import understands_codes
from dscost.pages import Said
from dscost.pages.page import Column, Page, Row, Sheet, Toned, View, words
from dscost.pages.wording import format_speedup
from dscost.rendering import format_names, render
from dscost.rendering.terminal import render_pages
from dscost.reports.records import Speedup

ANSI = re.compile(r"\x1b\[[0-9;]*m")
TONES = {"good": "32", "bad": "31", "unclear": "33", "verdict": "1", "method": "2"}
"""What a terminal is told for each, by ECMA-48: green, red, yellow, bold, faint."""

VERDICTS = Page(
    "a model",
    lines=[Toned("Swap 1 of 2 layers.", "verdict")],
    sheets=[
        Sheet(
            [words("layer"), words("verdict"), Column("why", "why", 1, "left", goes_below=True)],
            [
                Row({"layer": "layer1.0.conv1", "verdict": Toned("faster", "good")}),
                Row({"layer": "stem", "verdict": Toned("slower", "bad"), "why": "3 channels"}),
                Row({"layer": "all", "verdict": Toned("unclear", "unclear")}, "strong"),
            ],
        )
    ],
    closing=[Toned("Measured on a CPU.", "method")],
)


class _Verdicts(Said):
    what = "verdicts"
    row_columns = ("verdict",)

    def pages(self, view: View) -> list[Page]:
        return [VERDICTS]

    def data(self, view: View) -> object:
        return {"verdict": Toned("faster", "good")}

    def rows(self) -> list[dict[str, object]]:
        return [{"verdict": Toned("faster", "good")}]


@pytest.mark.parametrize("tone", TONES)
def test_a_line_and_a_cell_are_in_the_colour_of_their_tone(tone: str) -> None:
    sheet = Sheet(
        [words("layer"), words("verdict")], [Row({"layer": "a", "verdict": Toned("so", tone)})]
    )
    page = Page("heading", [Toned("a line", tone)], [sheet])
    _, line, *_, row = render_pages([page], View(color=True)).splitlines()
    assert line == f"\x1b[{TONES[tone]}ma line\x1b[0m"
    assert row == f"a    \x1b[{TONES[tone]}m   so\x1b[0m"


def test_a_toned_cell_of_a_strong_row_is_both() -> None:
    assert "\x1b[1;33m   unclear\x1b[0m" in render_pages([VERDICTS], View(color=True))


@pytest.mark.parametrize("width", [None, 10, 24, 80])
def test_colour_changes_neither_a_word_nor_its_place(width: int | None) -> None:
    coloured = render_pages([VERDICTS], View(width=width, color=True))
    assert ANSI.sub("", coloured) == render_pages([VERDICTS], View(width=width))
    assert "\x1b" in coloured


@pytest.mark.parametrize("format_name", format_names(judges=False))
def test_a_tone_is_plain_text_in_every_format_without_colour(format_name: str) -> None:
    text = render(_Verdicts(), format_name)
    assert "faster" in text
    assert "\x1b" not in text


def test_a_tone_is_seen_where_a_cell_is_elided_or_folded() -> None:
    columns = [words("rule"), words("of"), Column("value", "value", 0)]
    rows = [Row({"rule": Toned("MACs of layer1.conv", "bad"), "of": "net", "value": "1" * 20})]
    sheet = Sheet(columns, rows, yielding=("rule", "of"))
    for width in (30, 45):
        coloured = render_pages([Page("a page", sheets=[sheet])], View(width=width, color=True))
        assert ("\x1b[31m" in coloured) == (width == 45)  # at 30 both names share one cell
        assert ("…" in coloured) == (width == 45)


def test_what_is_said_below_a_table_for_want_of_room_keeps_its_tone() -> None:
    column = Column("why", "why", 1, "left", goes_below=True)
    sheet = Sheet([words("layer"), column], [Row({"layer": "a", "why": Toned("x " * 30, "bad")})])
    text = render_pages([Page("a page", sheets=[sheet])], View(width=40, color=True))
    assert "why:\n\x1b[31m  a: x x" in text


def test_a_toned_text_is_a_string_like_any_other() -> None:
    toned = Toned("faster", "good")
    assert (toned, json.dumps(toned), f"{toned:>8}") == ("faster", '"faster"', "  faster")
    assert pickle.loads(pickle.dumps(toned)).tone == "good"


# -- in commands

NET = "input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n"
BUDGET = "version: 1\nmodels: [{name: net, target: net.yaml, limits: {macs: 1, params: 1M}}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "dscost.yaml").write_text(BUDGET)
    return tmp_path


def coloured(folder: Path, command: str) -> str:
    return run(*command.split(), "--color", "always", cwd=folder).stdout


def test_a_speedup_is_in_the_colour_of_what_the_clock_says() -> None:
    tones = {
        format_speedup(Speedup(*found)): getattr(format_speedup(Speedup(*found)), "tone", None)
        for found in [(3.6, (3.5, 3.7)), (0.1, (0.09, 0.11)), (1.0, (0.99, 1.01)), (9, (0.1, 99))]
    }
    assert list(tones.values()) == ["good", "bad", None, "unclear"]


def test_a_broken_limit_is_red_and_one_that_holds_is_green(folder: Path) -> None:
    text = coloured(folder, "check")
    assert re.search(r"\n\x1b\[31m✗ net\x1b\[0m", text)
    assert re.search(r"\x1b\[31m +[\d.,kM]+ over\x1b\[0m", text)
    assert re.search(r"\n\x1b\[32m✓ net: ", text)
    assert re.search(r"\n\x1b\[31m✗ net\x1b\[0m", coloured(folder, "check -q"))


def test_growth_is_red_and_a_saving_is_green(folder: Path) -> None:
    text = coloured(folder, "compare resnet18 resnet34")
    assert re.search(r"\x1b\[31m +\+\d", text)
    text = coloured(folder, "compare resnet34 resnet18")
    assert re.search(r"\x1b\[32m +−\d", text)


def test_how_a_device_is_known_is_faint(folder: Path) -> None:
    assert "\x1b[2mBy its data sheet, not measured" in coloured(folder, "device t4")


@pytest.mark.parametrize(
    ("system", "environment", "understands"),
    [
        ("posix", {}, True),
        ("posix", {"TERM": "dumb"}, False),
        ("nt", {}, False),  # the old console shows the codes themselves
        ("nt", {"WT_SESSION": "x"}, True),
        ("nt", {"TERM": "xterm"}, True),
    ],
)
def test_only_a_terminal_that_understands_codes_is_sent_them(
    system: str, environment: dict[str, str], understands: bool
) -> None:
    assert understands_codes(system, environment) is understands


def test_an_error_is_red_where_stderr_is_coloured(folder: Path) -> None:
    told = run("device", "nope", "--color", "always", cwd=folder).stderr
    assert told.startswith("\x1b[31mdscost:\x1b[0m unknown device 'nope'")
    (folder / "net.yaml").write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out: 4}]\n")
    told = run("model", "net.yaml", "--no-time", env={"FORCE_COLOR": "1"}, cwd=folder).stderr
    assert "\x1b[31mnet.yaml:2:20:\x1b[0m unknown key 'out'" in told
    for env in ({}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}):
        assert "\x1b" not in run("device", "nope", cwd=folder, env=env).stderr
    assert "\x1b" not in run("device", "nope", "--color=never", env={"FORCE_COLOR": "1"}).stderr


@pytest.mark.parametrize(
    "command",
    [
        "layer --cin 3 --cout 4 -k 3 --no-time",
        "model net.yaml --no-time",
        "compare net.yaml resnet18",
        "check",
        "device t4",
        "list variants",
    ],
)
def test_colour_says_nothing_that_the_words_do_not(command: str, folder: Path) -> None:
    plain = run(*command.split(), cwd=folder).stdout
    assert ANSI.sub("", coloured(folder, command)) == plain
    assert "\x1b" not in plain


def test_the_last_word_is_bold_the_method_faint_and_a_warning_yellow() -> None:
    layer = dscost.layer(256, 256, 3)
    warned = layer._replace(warnings=("Not timed: too large.",))
    text = render([warned], "table", View(color=True))
    assert re.search(r"\x1b\[1mOn paper the depthwise-separable layer needs 8.69× fewer", text)
    assert "\x1b[2massumed: " in text
    assert "\x1b[33mNot timed: too large.\x1b[0m" in text
    assert re.search(
        r"\x1b\[1m\d+ convolutions could be", coloured(Path(), "model resnet18 --no-time")
    )
