"""Screens that were looked at, held against what a terminal shows today."""

from collections import Counter

import pytest
from screens import FOLDER, SCREENS, Screen, shown

from dscost.pages import said
from dscost.reports.report_file import parse_reports

WIDTHS, ENCODINGS = (60, 100, 140, 200), ("utf-8", "cp1252", "ascii")


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.name)
def test_a_terminal_shows_what_was_looked_at(screen: Screen) -> None:
    """Where the change is wanted: `python scripts/fill_screens.py`, and look at each."""
    text = shown(screen)
    assert text == screen.path.read_text(encoding="utf-8")
    assert "?" not in text.replace("meant it?", "")  # nothing stands for what cannot be written
    assert all(len(line) <= screen.columns for line in text.splitlines())


def test_every_width_is_seen_in_every_encoding() -> None:
    assert {(one.columns, one.encoding) for one in SCREENS} == {
        (width, encoding) for width in WIDTHS for encoding in ENCODINGS
    }
    assert sorted(one.color for one in SCREENS) == [False] * 6 + [True] * 6
    assert {one.stem for one in FOLDER.glob("*.txt")} == {one.name for one in SCREENS}


def test_layers_that_are_not_shown_keep_their_row_where_their_figures_do_not_fit() -> None:
    screen = Screen("cut", "model plants.json --top 3", 100, "utf-8", color=False)
    text = shown(screen)
    assert "(15 more)" in text
    assert "(29 layers" in text


def test_a_csv_has_the_times_of_every_setting_and_costs_of_the_counted_one() -> None:
    report = parse_reports((FOLDER / "layer.json").read_text(encoding="utf-8"), "layer.json")[0]
    rows = list(said([report]).rows())
    by_setting = Counter(row["setting"] for row in rows)
    assert by_setting == {"cpu": 3, "cpu:channels_last": 2}
    for row in rows:
        timing = report.layers[0].latency[row["setting"]]
        assert ("macs" in row) == (row["setting"] == "cpu")
        latency = timing.of(row["variant"])
        assert row.get("latency_median_s") == (latency.median_s if latency else None)
    assert sum(row.get("macs", 0) for row in rows) == 2 * 256 * 256 * 9 * 196 + 256 * 265 * 196
