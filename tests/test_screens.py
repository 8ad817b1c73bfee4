"""Screens that were looked at, held against what a terminal shows today."""

import pytest
from screens import FOLDER, SCREENS, Screen, shown

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
