"""A result as one page for browsers: whole, inert, small, and the same each time."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from program import run
from test_pictures_of_reports import timed_model, timing

import dscost
from dscost.notation.units import Exact, arrow, format_bytes, format_count, format_seconds
from dscost.pages import View, said
from dscost.pages.page import Toned, in_tone_of
from dscost.rendering import render
from dscost.rendering.html import notebook
from dscost.rendering.html.data import _column

VOID = {"meta", "link", "input", "br"}


class Parsed(HTMLParser):
    """A page, read by a parser that knows nothing of us."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.text = ""
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
        self.text += data
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
    assert arrow([format_count(36_864), format_count(4_672)]).value == 36_864  # type: ignore[attr-defined]
    assert not hasattr(arrow(["3", "words"]), "value")
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
    for name in said(report).row_columns:
        cells = column_of(data, name)
        for there, row in zip(cells, rows, strict=True):
            known = row.get(name)
            assert (there, type(there)) == (known, type(known)) or {there, known} <= {None, ""}


def column_of(data: Any, name: str) -> list[Any]:
    """Return the cells of a column of the rows that stand in a page."""
    column = data["columns"].get(name, {"value": None})
    if "like" in column:
        return column_of(data, column["like"])
    if "value" in column:
        return [column["value"]] * data["rows"]
    values, places = column["values"], column.get("at")
    if isinstance(places, str):
        places = data["columns"][places]["at"]
    return [values[at] for at in places] if places else values


def test_what_is_equal_and_not_the_same_is_told_apart() -> None:
    cells = [1, 1.0, True, 1, 1, 1.0, True, 1]
    column = json.loads(json.dumps(_column(cells)))
    assert [str(column["values"][at]) for at in column["at"]] == [str(one) for one in cells]
    assert _column([7, 7]) == {"value": 7}
    assert _column([None, None]) == _column([]) == {}
    assert _column([1, 2]) == {"values": [1, 2]}


@pytest.mark.parametrize(("name", "most"), [("resnet50", 120_000), ("mobilenet_v2", 120_000)])
def test_the_page_of_a_model_is_small(name: str, most: int) -> None:
    assert len(render(dscost.analyze(name), "html").encode()) <= most


def test_numbers_that_a_page_gives_out_are_given_once() -> None:
    parsed = page(dscost.compare("resnet18", "mobilenet_v2", "resnet34"))
    labels = [one["aria-label"] for one in parsed.all("div") if "aria-label" in one]
    assert len(labels) == len({*labels}) > 0
    ids = [attributes["id"] for _, attributes in parsed.elements if "id" in attributes]
    assert len(ids) == len({*ids})
    assert {one["scope"] for one in parsed.all("th")} == {"col", "row"}


def timed(report: dscost.Report) -> dscost.Report:
    """Return a report of a model each of whose layers with variants was timed, no two alike."""
    names = [one.name for one in report.layers if one.variants]
    seconds = {name: (1e-3 * (at + 1) / 7, 1e-4 * (at + 1) / 3) for at, name in enumerate(names)}
    whole = timing(0.5 / 7, 0.3 / 7)
    return timed_model(report, seconds)._replace(latency={"cpu": whole})


def many_layers(number: int) -> dscost.Report:
    """Return a report of so many layers, in blocks of ten."""
    report = dscost.layer(in_channels=64, out_channels=64, kernel_size=3)
    (layer,) = report.layers
    layers = tuple(
        layer._replace(name=f"stage{at // 100}.block{at // 10 % 10}.conv{at % 10}")
        for at in range(number)
    )
    return report._replace(target="many", source="builtin", layers=layers)


def test_a_thousand_layers_are_less_than_a_megabyte_and_all_stand_there() -> None:
    assert len(render(timed(many_layers(1_000)), "html").encode()) < 1_000_000
    text = render(many_layers(1_000), "html")
    assert len(text.encode()) < 1_000_000
    assert text.count(">stage") >= 1_000
    assert "<details" not in text


def test_more_than_a_thousand_layers_are_added_up_by_block_at_first() -> None:
    text = render(many_layers(1_500), "html")
    first, _, folded = text.partition('<details class="rows">')
    sums = [row[0][0] for row in rows_of(first) if row[0][0].startswith("stage")]
    assert sums == [f"stage{stage}.block{block}" for stage in range(15) for block in range(10)]
    assert "1,500 rows, added up; every one stands below." in first
    every = [row[0][0] for row in rows_of(folded) if row[0][0].startswith("stage")]
    assert len(every) == len({*every}) == 1_500
    # of a block of ten layers, each 64 · 64 · 9 weights
    assert {row[0][0]: row for row in rows_of(first)}["stage0.block0"][3] == (
        "368.6k",
        str(10 * 64 * 64 * 9),
    )


def test_rows_that_were_asked_for_are_not_added_up_otherwise() -> None:
    text = render(many_layers(1_500), "html", View(top=3))
    assert "added up" not in text
    assert "(1497 more)" in text


@pytest.mark.parametrize("number", [0, 1, 41, 5_000])
def test_what_a_notebook_shows_is_small(number: int) -> None:
    shown = many_layers(number)._repr_html_()
    assert len(shown.encode()) < 50_000
    parsed = Parsed(shown)
    assert parsed.elements[0] == ("div", {"class": "dscost-result"})
    assert not parsed.all("script")
    assert not [
        one
        for _, one in parsed.elements
        if "id" in one or {name for name in one if name.startswith("on")}
    ]
    if number > 40:
        assert 'The 20 largest. All of it: .save("all.html").' in parsed.text


def test_what_would_be_large_in_a_notebook_is_shown_without_its_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = many_layers(40)
    whole = report._repr_html_()
    assert "<svg" in whole
    monkeypatch.setattr(notebook, "MOST_BYTES", len(whole.encode()))
    shown = report._repr_html_()
    assert len(shown.encode()) < len(whole.encode())
    assert "<svg" not in shown
    assert shown.count("<tr") == whole.count("<tr")


def test_an_answer_stands_apart_from_what_else_is_said() -> None:
    text = render(dscost.layer(256, 256, 3, input_size=14), "html")
    answers = text.partition('<div class="answers">')[2].partition("</div>")[0]
    assert "needs 8.69× fewer MACs" in answers
    assert "FLOPs = 2 × MACs" not in answers


@pytest.mark.parametrize("letter", ['"', "&", "卷", "\u202e"], ids=ascii)
def test_what_a_notebook_shows_is_small_whatever_names_are_made_of(letter: str) -> None:
    name, one = 2_000 * letter, many_layers(40)
    layers = tuple(layer._replace(name=f"{at}{name}") for at, layer in enumerate(one.layers))
    every = one._replace(layers=layers, target=name, warnings=(name,) * 60)
    several = dscost.compare(*[every._replace(target=f"{name}{at}") for at in range(4)])
    assert len(every._repr_html_().encode()) < 50_000
    assert len(several._repr_html_().encode()) < 50_000


def test_the_style_of_a_notebook_reaches_nothing_else() -> None:
    parsed = Parsed(dscost.analyze("resnet18")._repr_html_())
    (style,) = parsed.texts["style"]
    for selectors in re.findall(r"([^{}]+)\{", style):
        assert all(one.strip().startswith(".dscost-result") for one in selectors.split(",")), (
            selectors
        )


def test_a_notebook_shows_tables_and_the_most_telling_picture() -> None:
    report = dscost.analyze("resnet18")
    parsed = Parsed(report._repr_html_())
    assert len(parsed.all("svg")) == 1
    assert "118.0M" in parsed.texts["td"]
    assert repr(report) == "<Report resnet18: 11.69M params, 1.814G MACs>"
    assert (
        "Conv2d 3 → 4" in dscost.layer(in_channels=3, out_channels=4, kernel_size=3)._repr_html_()
    )


RESULTS: dict[str, Callable[[], Any]] = {
    "a layer": lambda: dscost.layer(in_channels=64, out_channels=64, kernel_size=3),
    "models": lambda: dscost.compare("resnet18", "mobilenet_v2", "resnet34"),
    "layers of models": lambda: dscost.compare("resnet18", "resnet34", layers=True),
    "a sweep": lambda: dscost.sweep(in_channels=[8, 16], out_channels=[16, 32], kernel_size=3),
    "two counts": lambda: dscost.verify("resnet18"),
    "a figure": lambda: dscost.which("resnet18", "1.81G"),
    "a device": lambda: dscost.device("t4"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_is_a_page_an_output_of_a_notebook_and_a_table_of_pandas(name: str) -> None:
    result = RESULTS[name]()
    text = render(result, "html")
    parsed = Parsed(text)
    sheets = [sheet for one in said(result).pages(View()) for sheet in one.sheets]
    for sheet in sheets:
        for row in sheet.rows:
            cells = [row.cells.get(column.key, "") for column in sheet.columns]
            assert not [cell for cell in cells if cell.strip() not in parsed.text]
    shown = result._repr_html_()
    assert len(Parsed(shown).all("table")) == len(sheets)
    assert len(shown.encode()) < 50_000
    frame = result.to_pandas()
    assert list(frame.columns) == list(said(result).row_columns)
    assert len(frame) == len([*said(result).rows()])
    assert json.loads(parsed.texts["script"][0])["rows"] == len(frame)
