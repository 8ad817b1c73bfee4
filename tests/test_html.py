"""A result as one page for browsers: whole, inert, small, and the same each time."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from program import run

import dscost
from dscost.notation.units import Exact, format_bytes, format_count, format_seconds
from dscost.pages import View, said
from dscost.pages.page import Toned, in_tone_of
from dscost.rendering import render

VOID = {"meta", "link", "input", "br"}


class Parsed(HTMLParser):
    """A page, read by a parser that knows nothing of us."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in {*self._open}:
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(result: Any, **view: Any) -> Parsed:
    return Parsed(render(result, "html", View(**view)))


def rows_of(text: str) -> list[list[tuple[str, str | None]]]:
    """Return the rows of all tables: each cell as its text and its exact value."""
    found = []
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL):
        cells = re.findall(r"<t[hd]([^>]*)>(.*?)</t[hd]>", row, re.DOTALL)
        found.append(
            [(re.sub("<[^>]+>", "", cell), _value(attributes)) for attributes, cell in cells]
        )
    return found


def _value(attributes: str) -> str | None:
    found = re.search(r'data-v="([^"]*)"', attributes)
    return found and found[1]


def test_a_page_fetches_nothing_and_runs_nothing_but_its_own_script() -> None:
    text = render(dscost.analyze("resnet18"), "html")
    parsed = Parsed(text)
    assert not re.search(r"(?:https?:)?//[a-z]|@import|url\(", re.sub(r"\n\s*// .*", "", text))
    for _tag, attributes in parsed.elements:
        assert not {name for name in attributes if name.startswith("on")}
        assert not {"src", "style", "srcset", "action"} & attributes.keys()
        assert attributes.get("href", "data:,") == "data:,"
    (policy,) = (
        one["content"] or ""
        for one in parsed.all("meta")
        if one.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    script, style = parsed.texts["script"][-1], parsed.texts["style"][0]
    for name, own in (("script-src", script), ("style-src", style)):
        assert rules[name] == f"'sha256-{b64encode(sha256(own.encode()).digest()).decode()}'"


def test_a_page_says_what_was_asked_of_what_and_by_which_version() -> None:
    ran = run("model", "resnet18", "--no-time", "--sort", "macs", "--top", "3", "--format", "html")
    parsed = Parsed(ran.stdout)
    assert parsed.texts["title"][0] == "dscost model: resnet18, input 1×3×224×224 float32"
    assert parsed.texts["h1"] == ["resnet18, input 1×3×224×224 float32"]
    assert parsed.texts["header"][0].strip().startswith("dscost model: sorted by macs; the first 3")
    assert f"dscost {dscost.__version__}" in parsed.texts["footer"][0]
    assert parsed.texts["figure" if "figure" in parsed.texts else "svg"]


def test_the_same_result_gives_the_same_page(tmp_path: Path) -> None:
    dscost.analyze("resnet18").save(tmp_path / "a.html")
    dscost.analyze("resnet18").save(tmp_path / "b.htm")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.htm").read_bytes()


def test_cells_know_the_exact_values_that_they_are_sorted_by() -> None:
    text = render(dscost.analyze("resnet18"), "html")
    (conv1,) = (row for row in rows_of(text) if row[0][0] == "conv1")
    assert ("118.0M", str(112 * 112 * 64 * 3 * 7 * 7)) in conv1  # MACs
    assert ("9,408", None) in conv1  # params, of which the text says all: 64 · 3 · 7 · 7
    assert ("36.75 KiB", str(4 * 64 * 3 * 7 * 7)) in conv1


def test_a_figure_keeps_its_value_where_it_is_toned_and_is_a_text_otherwise() -> None:
    assert format_count(115_605_504).value == 115_605_504  # type: ignore[attr-defined]
    assert format_bytes(2_359_296).value == 2_359_296  # type: ignore[attr-defined]
    assert format_seconds(8.12e-4).value == 8.12e-4  # type: ignore[attr-defined]
    toned = Toned(Exact("3.6× faster", 3.6123), "good")
    assert (toned, toned.value, in_tone_of("3.6×", toned).value) == ("3.6× faster", 3.6123, 3.6123)  # type: ignore[attr-defined]
    assert Toned("words", "good").value is None
    assert json.dumps([format_count(12_345)]) == '["12.35k"]'


def test_the_page_has_every_column_of_the_wide_table_and_those_that_are_asked_for_only() -> None:
    report = dscost.analyze("mobilenet_v2")
    wide = [column.header for page in said(report).pages(View(wide=True)) for sheet in page.sheets for column in sheet.columns]  # fmt: skip
    heads = [row for row in rows_of(render(report, "html")) if row[0][0] in ("layer", "variant")]
    assert sorted(text for row in heads for text, _ in row) == sorted(wide)
    text = render(report, "html", View(columns=("macs",)))
    assert [("layer", None), ("MACs", None)] in rows_of(text)
    assert 'class="n further"' not in text


def test_the_rows_stand_in_the_page_exactly() -> None:
    report = dscost.analyze("resnet18")
    parsed = Parsed(render(report, "html"))
    data = json.loads(parsed.texts["script"][0])
    rows = list(said(report).rows())
    assert data["rows"] == len(rows)
    for at, row in enumerate(rows):
        for name, value in row.items():
            there = (
                data["columns"][name][at] if name in data["columns"] else data["alike"].get(name)
            )
            assert there == (None if there is None and value == "" else value), name


@pytest.mark.parametrize(("name", "most"), [("resnet50", 120_000), ("mobilenet_v2", 120_000)])
def test_the_page_of_a_model_is_small(name: str, most: int) -> None:
    assert len(render(dscost.analyze(name), "html").encode()) <= most
