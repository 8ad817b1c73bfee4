"""What others have named reaches no terminal raw, makes no link on GitHub, and is no formula in a spreadsheet."""

import csv
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dscost
from dscost.cli import run
from dscost.pages.page import Page, Row, Sheet, name_column, words
from dscost.printable import printable, printable_line
from dscost.rendering import View, render
from dscost.rendering.csv import csv_cell
from dscost.rendering.formats.latex import escaped
from dscost.rendering.json import json_text, printable_json
from dscost.rendering.markdown import as_entities, inert, paragraph, write
from dscost.reports.records import Report

CONTROLS = [
    "\x00",
    "\x07",
    "\x1b",
    "\r",
    "\x7f",
    "\x85",
    "\x9b",
    "\u2028",
    "\u200e",
    "\u202e",
    "\u2066",
    "\ufeff",
    "\ud800",
]


@pytest.mark.parametrize("character", CONTROLS, ids=ascii)
def test_what_is_no_text_is_written_out(character: str) -> None:
    written = character.encode("unicode_escape").decode()
    assert printable(f"a{character}b\nc\t×") == f"a{written}b\nc\t×"
    assert printable_line(f"a{character}b\nc") == f"a{written}b\\nc"
    if character < "\ud800" or character > "\udfff":
        assert json.loads(printable_json(json.dumps(character, ensure_ascii=False))) == character


@pytest.mark.parametrize("text", ["é", "日本", "µ²→", "👩\u200d🔬", "a b"])
def test_text_of_every_script_stays(text: str) -> None:
    assert printable(text) == text


def odd_report(name: str) -> Report:
    report = dscost.layer(in_channels=3, out_channels=4, kernel_size=3)
    (layer,) = report.layers
    return report._replace(
        target=name, source="python", layers=(layer._replace(name=name),), warnings=(name,)
    )


@pytest.mark.parametrize("format_name", ["table", "markdown", "csv", "json"])
@pytest.mark.parametrize(
    "character", ["\x1b", "\x9b", "\x00", "\x07", "\u202e", "\u2066"], ids=ascii
)
def test_no_format_lets_a_control_character_through(format_name: str, character: str) -> None:
    text = render([odd_report(f"a{character}[2Jb")], format_name, View())
    assert character not in text
    assert "[2Jb" in text


def test_a_tab_does_not_tear_a_table() -> None:
    text = render([odd_report("a\tb")], "table", View())
    assert "\t" not in next(line for line in text.splitlines() if "conv 3×3" in line)


# -- Markdown

ACTS = {
    "a link": ("[x](http://evil)", r"\]\("),
    "an image": ("![i](http://evil)", r"!\["),
    "a reference": ("[x][y]", r"\]\["),
    "a definition": ("[x]: http://evil", r"\]:"),
    "a bare address": ("see http://evil", "http://"),
    "an address by its www": ("www.evil.org", r"www\."),
    "a mention": ("@everyone", "@(?=every)"),
    "a mail address": ("me@evil.org", "me@evil"),
    "an issue": ("#123", "#123"),
    "an issue by its letters": ("GH-123", "GH-123"),
    "an entity": ("&#64;you", "&#64;you"),
    "markup of HTML": ("<img src=x>", r"(?<!\\)<"),
    "a formula": ("$x$", r"\$"),
    "struck text": ("~~x~~", "~~"),
    "a heading after a carriage return": ("a\r## h", "\r"),
}


@pytest.mark.parametrize(("text", "acts"), ACTS.values(), ids=ACTS.keys())
def test_markdown_acts_upon_nothing_that_others_have_named(text: str, acts: str) -> None:
    assert re.search(acts, text)
    assert not re.search(acts, inert(text))
    page = render([odd_report(text)], "markdown", View())
    assert not re.search(acts, page.replace("### ", ""))


@pytest.mark.parametrize(
    "line",
    [
        "# h",
        "## h",
        "- item",
        "+ item",
        "1. item",
        "12) item",
        "---",
        "===",
        "    code",
        "> quote",
        "* item",
    ],
)
def test_a_line_is_a_paragraph_whatever_it_begins_with(line: str) -> None:
    assert re.match(r"&#\d+;|\\|[a-z]", paragraph(line))


@pytest.mark.parametrize(
    "text", ["812 µs [806, 819]", "-3.2 %", "snake_case_name", "1.5 GiB", "32 → 64", "a-b"]
)
def test_what_is_no_markup_stays_readable(text: str) -> None:
    assert inert(text) == text
    assert paragraph(text) == text


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("mobilenet_v2", "`mobilenet_v2`"),
        ("_blocks.0._conv", "`_blocks.0._conv`"),
        ("timm:vit_tiny.augreg-in21k", "`timm:vit_tiny.augreg-in21k`"),
        ("net.py:Net (2)", "`net.py:Net (2)`"),
        ("a → b_c", "`a` → `b_c`"),
        ("(3 more)", "(3 more)"),
        ("a`b", r"a\`b"),
        ("a|b", r"a\|b"),
        ("a\\", r"a\\"),
        ("a\\|b", r"a\\\|b"),
        ("$x$", "&#36;x&#36;"),
        ("@you", "&#64;&#8288;you"),
        ("GH-1", "GH&#45;&#8288;1"),
        ("http://evil", "http&#58;&#8288;//evil"),
        ("<b>", r"\<b\>"),
        ("", ""),
    ],
)
def test_a_name_stands_between_backticks_unless_it_could_end_them(name: str, written: str) -> None:
    sheet = Sheet([name_column("layer"), words("kind")], [Row({"layer": name, "kind": "conv"})])
    said = SimpleNamespace(pages=lambda view: [Page("a page", sheets=[sheet])])
    last = write(said, View()).splitlines()[-1]  # type: ignore[arg-type]
    assert last == f"| {written} | conv |"


def test_a_summary_has_no_entities_for_what_needs_none() -> None:
    assert as_entities("Layers of mobilenet_v2 against resnet18") == (
        "Layers of mobilenet_v2 against resnet18"
    )
    assert as_entities("_x_ <b> @you") == "&#95;x&#95; &#60;b&#62; &#64;&#8288;you"


# -- LaTeX

_COMMAND = re.compile(
    r"\\[A-Za-z]+\{\}|\\[%&#$_{}]|\$\\[a-z]+\$|\{[\[\]*]\}|\{\\char34\}|-\{\}|~?\$-\$"
)


@pytest.mark.parametrize("text", [*(text for text, _ in ACTS.values()), r"\input{/etc/passwd}", "50 % & #1", "a_b^c", "{x", "x}", "\\", "$x$", "~", "a -- b", "[1]", "*", "\x1b[2J"])  # fmt: skip
def test_latex_acts_upon_nothing_that_others_have_named(text: str) -> None:
    written = escaped(text)
    assert not re.search(r"[\\%&#$_^~{}\[\]*]|--", _COMMAND.sub("", written))
    page = render([odd_report(text)], "latex", View())
    grouping = re.sub(r"\\[{}]", "", page)
    assert grouping.count("{") == grouping.count("}")
    assert page.count(r"\begin{") == page.count(r"\end{")
    assert "\x1b" not in page
    assert r"\input" not in page


# -- CSV


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\tx", "\r=1"])
def test_no_cell_of_text_is_a_formula(text: str) -> None:
    (row, *_) = csv.DictReader(io.StringIO(render([odd_report(text)], "csv", View())))
    assert row["layer"] == f"'{printable(text)}"
    assert int(row["params"]) == 4 * 3 * 9


def test_figures_stay_figures() -> None:
    assert [csv_cell(value) for value in (-5, -0.5, None, "conv-1", "a=b")] == [
        -5,
        -0.5,
        None,
        "conv-1",
        "a=b",
    ]


# -- errors

HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e"


@pytest.mark.parametrize(
    "arguments",
    [
        ["model", f"{HOSTILE}.yaml"],
        ["model", HOSTILE],
        ["list", HOSTILE],
        ["layer", "--cin", "3", "--cout", "4", "-k", HOSTILE],
        [HOSTILE],
        ["check", "odd.yaml"],
        ["check", "message.yaml"],
        ["check", "message.yaml", "--format", "markdown"],
        ["model", "raises.py:make", "--input", "1,3,8,8"],
    ],
    ids=lambda arguments: ascii(" ".join(arguments))[:40],
)
def test_no_error_and_no_verdict_obeys_what_others_have_written(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text(
        'version: 1\n"\\e[2J\\e]0;title\\a\\x9b\\u202e": 1\n', encoding="utf-8"
    )
    (tmp_path / "message.yaml").write_text(
        'version: 1\nmodels: [{target: resnet18, limits: {macs: {max: 1, message: "\\e[2J\\x9b\\u202e"}}}]\n',
        encoding="utf-8",
    )
    (tmp_path / "raises.py").write_text(
        f"def make(): raise RuntimeError({HOSTILE!r} + 'x' * 1_000_000)\n"
    )
    assert run(arguments) in (1, 2)
    said = "".join(capsys.readouterr())
    assert said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said)
    assert max(map(len, said.splitlines())) < 2_000


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aé"\\/\n'),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text('ab"'), inner) | st.tuples(inner, inner)
    ),
)


@given(JSON)
@example([1, True, 1.0, 0.0, -0.0, [], {}, (), ""])
@settings(deadline=None)
def test_json_is_indented_as_the_standard_library_does_it(value: object) -> None:
    assert json_text(value) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_word_for_what_is_no_number(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"figure": [number]})
