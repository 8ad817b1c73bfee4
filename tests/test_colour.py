"""What is said in a tone is in colour on a terminal, and the same words everywhere else."""

import json
import pickle
import re

import pytest

from dscost.pages import Said
from dscost.pages.page import Column, Page, Row, Sheet, Toned, View, words
from dscost.rendering import format_names, render
from dscost.rendering.terminal import render_pages

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
    _, line, *_, row, _ = render_pages([page], View(color=True)).splitlines()
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
        assert "…" in coloured or "\n" in coloured


def test_what_is_said_below_a_table_for_want_of_room_keeps_its_tone() -> None:
    column = Column("why", "why", 1, "left", goes_below=True)
    sheet = Sheet([words("layer"), column], [Row({"layer": "a", "why": Toned("x " * 30, "bad")})])
    text = render_pages([Page("a page", sheets=[sheet])], View(width=40, color=True))
    assert "why:\n\x1b[31m  a: x x" in text


def test_a_toned_text_is_a_string_like_any_other() -> None:
    toned = Toned("faster", "good")
    assert (toned, json.dumps(toned), f"{toned:>8}") == ("faster", '"faster"', "  faster")
    assert pickle.loads(pickle.dumps(toned)).tone == "good"
