"""A stream that lacks characters gets stand-ins, which tables make room for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from program import run

import dscost.cli
from dscost.encodable import STAND_INS, encodable
from dscost.pages.page import Column, Page, Row, Sheet, Toned, View, words
from dscost.rendering.terminal import elided, render_pages

PACKAGE = Path(dscost.cli.__file__).parents[1]
NARROW = ["ascii", "cp1252", "cp437", "latin-1", "cp850", "shift_jis"]
"""What a terminal may speak: the C locale, Windows here and in Japan, its old consoles, old Unix."""


def constants(path: Path) -> Iterator[str]:
    """Yield the texts of a module that may be written, its docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    unsaid = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in unsaid
        ):
            yield node.value


def test_every_character_of_ours_has_a_stand_in() -> None:
    written = {
        character
        for path in PACKAGE.rglob("*.py")
        for text in constants(path)
        for character in text
        if character.isprintable() and not character.isascii()
    }
    written |= {
        character
        for path in (PACKAGE.parent / "configs").rglob("*.yaml")
        for character in path.read_text(encoding="utf-8")
        if not character.isascii()
    }
    assert {*"×→µ–−…·²≥≤±─━│└┤┬■◆÷“”"} <= written  # it was looked for in the right place
    assert [one for one in written if re.search(r"\?|\\[xuU]", encodable(one, "ascii"))] == []


def test_a_stand_in_is_ascii() -> None:
    assert all(stand_in.isascii() and stand_in for stand_in in STAND_INS.values())


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("3×3 → 1/K², 5 µs", None, "3×3 → 1/K², 5 µs"),
        ("3×3 → 1/K², 5 µs", "cp1252", "3×3 -> 1/K², 5 µs"),
        ("3×3 → 1/K², 5 µs", "ascii", "3x3 -> 1/K^2, 5 us"),
        ("≥ 3 √ε ±1", "cp437", "≥ 3 √ε ±1"),
        ("Müller, ½ ﬁ, 10⁻⁹", "ascii", "Muller, 1/2 fi, 10^-9"),
        ("層", "latin-1", "\\u5c64"),
        ("⠋⣀⠒⢇⡰", "ascii", "'.-\\/"),
    ],
)
def test_a_text_is_shown_as_far_as_the_encoding_goes(
    text: str, encoding: str | None, shown: str
) -> None:
    assert encodable(text, encoding) == shown


def test_columns_stand_below_each_other_though_a_stand_in_is_longer() -> None:
    sheet = Sheet(
        [words("layer"), Column("time", "time, ≥ 1", 0), words("verdict")],
        [
            Row({"layer": "3→4", "time": "5 µs", "verdict": Toned("better", "good")}),
            Row({"layer": "stem", "time": "1,000 µs", "verdict": "≤"}),
        ],
    )
    assert render_pages([Page("3→4", sheets=[sheet])], View(encoding="ascii")).splitlines() == [
        "3->4",
        "",
        "layer   time, >= 1   verdict",
        "----------------------------",
        "3->4          5 us   better",
        "stem      1,000 us   <=",
    ]


def test_names_are_elided_to_the_width_that_the_mark_leaves() -> None:
    for encoding in (None, *NARROW):
        assert len(elided("layer1.0.depthwise1", 12, encoding)) == 12
    sheet = Sheet([words("layer"), words("of")], [Row({"layer": "a" * 30, "of": "b" * 30})])
    lines = render_pages([Page("a page", sheets=[sheet])], View(width=40, encoding="ascii"))
    assert lines.isascii()
    assert max(map(len, lines.splitlines())) == 40


COMMANDS = [
    "layer --cin 3 --cout 4 -k 3 --no-time",
    "layer --cin 256 --cout 256 -k 3 --no-time --variant ghost --on t4",
    "model mobilenet_v2 --no-time",
    "compare resnet18 resnet34",
    "device t4",
    "list variants",
    "list models",
    "list metrics",
    "list columns",
    "list targets",
    "list formats",
    "list devices",
    "layer --cin 3 --cout 4 -k 3x --no-time",
    "model nope→.yaml",
    "--help",
    "layer --help",
    "convert --help",
]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_writes_a_question_mark_for_what_it_cannot_say(
    command: str, encoding: str
) -> None:
    done = run(*command.split(), encoding=encoding)
    text = done.stdout + done.stderr
    assert text
    assert not re.search(r"(?<!meant it)\?|\\u|\\x", text)


TERMINAL_COMMANDS = [
    "check",
    "check -q",
    "baseline save",
    "baseline show",
    "compare net.yaml net.yaml",
    "model net.yaml --no-time --tree",
    "model net.yaml --no-time --train",
    "layer 3 4 3 --time-budget 0.1s --explain",
    "model net.yaml --time-budget 0.1s --explain",
    "convert net.yaml --goal macs=0.9x --all",
    "convert net.yaml --goal macs=0.01x",
    "verify net.yaml",
    "which net.yaml 1.0",
    "init net.yaml -o new.yaml",
    "schema nothing",
    "baseline update --accept nobody",
]
BUDGET = (
    "version: 1\nbaseline: b.json\nmodels: [{target: net.yaml, limits: {macs: 1, params: 1M}}]\n"
)


@pytest.mark.parametrize("command", TERMINAL_COMMANDS)
def test_nor_does_one_that_needs_a_folder(command: str, tmp_path: Path) -> None:
    layers = "[{conv: 3, out_channels: 48}, {conv: 3, out_channels: 64}]"
    (tmp_path / "net.yaml").write_text(f"input: [40, 8, 8]\nlayers: {layers}\n")
    (tmp_path / "dscost.yaml").write_text(BUDGET)
    if command == "baseline show":
        run("baseline", "save", cwd=tmp_path)
    done = run(*command.split(), cwd=tmp_path, encoding="cp1252")
    text = done.stdout + done.stderr
    assert text
    assert "internal error" not in text
    assert not re.search(r"(?<!meant it)\?|\\u|\\x", text)
