"""A model whose layers are named to do harm, through every format that a person or a program reads."""

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from program import run
from test_html import Parsed

import dscost
from dscost.printable import printable, printable_line
from dscost.rendering import render

HOSTILE = {
    "a script": "</script><script>alert(1)</script>",
    "a style": "</style><style>*{display:none}</style>",
    "a picture": "<img src=x onerror=alert(1)>",
    "a title": "</title></svg><svg onload=alert(1)>",
    "quotes": '" onmouseover="alert(1)" \' x=\'',
    "an entity": "&ltb&gt &#64 &quot",
    "a comment": "<!-- --> ]]> <![CDATA[",
    "a template": "{{ 7 * 7 }}{% raw %}",
    "a line": "two\nlines\r\nthree",
    "a formula of a spreadsheet": "=cmd|' /C calc'!A0",
    "another": "@SUM(1+1)",
    "right to left": "abc\u202edef\u2066\u200f",
    "separators": "a\u2028b\u2029c",
    "escapes": "\x1b[2J\x07\x00",
    "a surrogate": "a\ud800b",
    "markdown": "[x](http://evil) `code` | *b* @everyone #1",
    "latex": r"\input{/etc/passwd} $x$ % & # _ ^ ~",
    "very long": "long_" * 2_000,
}


def report_of(names: Sequence[str]) -> dscost.Report:
    """Return a report of a layer for each name, which names its target and its warnings as well."""
    report = dscost.layer(in_channels=64, out_channels=64, kernel_size=3)
    (layer,) = report.layers
    layers = tuple(layer._replace(name=name) for name in names)
    return report._replace(target=names[0], source="python", layers=layers, warnings=tuple(names))


ALL = report_of([*HOSTILE.values()])
PLAIN = report_of([f"layer{at}" for at in range(len(HOSTILE))])


def elements_of(text: str) -> list[tuple[str, list[str]]]:
    """Return the elements and the names of their attributes; what folds long names away is ours.

    So are paths: there is less room for bars beside long names.
    """
    return [
        (tag, sorted({*attributes} - {"class"}))
        for tag, attributes in Parsed(text).elements
        if tag not in ("details", "summary", "div", "p", "path")
    ]


def test_the_name_of_a_device_stands_in_the_labels_of_its_pictures_as_it_is_shown(
    tmp_path: Path,
) -> None:
    name = '\x00\x1b[2J\u202e\r\n"><b>'
    (tmp_path / "d.yaml").write_text(
        f"name: {json.dumps(name)}\nsource: it\n"
        "flops_per_s: {float32: 1.0e12}\nbytes_per_s: 1.0e11\n"
    )
    ran = run("device", "--on", "d.yaml", "--format", "html", cwd=tmp_path)
    (label,) = [
        str(one["aria-label"])
        for one in Parsed(ran.stdout).all("div")
        if str(one.get("aria-label")).startswith("Picture")
    ]
    assert label.startswith(f"Picture: {printable_line(name)}")
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", ran.stdout)


def test_a_page_has_no_element_and_no_attribute_that_a_name_brings() -> None:
    text, plain = render(ALL, "html"), render(PLAIN, "html")
    assert elements_of(text) == elements_of(plain)
    for _tag, attributes in Parsed(text).elements:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style")
        ]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_page_shows_the_whole_name(name: str) -> None:
    shown = Parsed(render(report_of([name, "other"]), "html"))
    assert printable_line(name) in shown.texts["th"] or any(
        cell.endswith(printable_line(name)) for cell in shown.texts["th"]
    )
    assert len(shown.texts["title"][0]) < 200
    rows = json.loads(shown.texts["script"][0])
    assert (
        rows["columns"]["layer"]["values"][0] == name.encode("utf-8", "replace").decode()
        or "\ud800" in name
    )


def test_a_notebook_has_no_element_and_no_attribute_that_a_name_brings() -> None:
    text = ALL._repr_html_()
    assert elements_of(text) == elements_of(PLAIN._repr_html_())
    assert len(text.encode()) < 50_000


@pytest.mark.parametrize("format_name", ["html", "svg", "markdown", "latex", "csv"])
def test_no_format_lets_through_what_is_no_text(format_name: str) -> None:
    text = render(ALL, format_name)
    assert isinstance(text, str)
    assert not re.search(
        "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200f\u2028-\u202e\u2066\ud800]", text
    )
    assert "\r" not in text.replace("\r\n", "") or format_name == "csv"
    text.encode()


def test_a_picture_is_xml_with_the_shapes_of_a_picture_only() -> None:
    shapes = {"svg", "title", "desc", "style", "rect", "text", "g", "path"}
    root = ElementTree.fromstring(render(ALL, "svg"))
    plain = ElementTree.fromstring(render(PLAIN, "svg"))
    assert {one.tag.partition("}")[2] for one in root.iter()} <= shapes
    for tag in ("text", "rect", "g", "title"):
        assert len([*root.iter(f"{{*}}{tag}")]) == len([*plain.iter(f"{{*}}{tag}")])
    for one in root.iter():
        assert not [name for name in one.attrib if name.startswith("on") or "href" in name]
        assert len("".join(one.itertext())) < 300 or not one.tag.endswith("}text")


def test_a_table_for_programs_has_no_formula_and_a_row_for_each_layer() -> None:
    *rows, shared = csv.DictReader(io.StringIO(str(render(ALL, "csv"))))
    assert shared["layer"] == "(shared weights)"  # the totals are those of one layer
    for row, name in zip(rows, HOSTILE.values(), strict=True):
        assert row["layer"].lstrip("'") == printable(name)
        for cell in (cell for cell in row.values() if not re.fullmatch(r"-?[\d.e+-]+", cell)):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert int(row["macs"]) == 64 * 64 * 9 * 14 * 14


def test_markdown_and_latex_have_a_row_for_each_layer_and_nothing_that_acts() -> None:
    page, paper = str(render(ALL, "markdown")), str(render(ALL, "latex"))
    plain_page, plain_paper = str(render(PLAIN, "markdown")), str(render(PLAIN, "latex"))
    cells = r"(?<!\\)\|"
    assert [len(re.findall(cells, one)) for one in page.splitlines() if one.startswith("| ")] == [
        len(re.findall(cells, one)) for one in plain_page.splitlines() if one.startswith("| ")
    ]
    assert not re.search(r"(?<!\\)<(?!br>)|\]\(|https?://|@(?=\w)", page)
    assert r"\input" not in paper
    commands = {*re.findall(r"\\([a-zA-Z]+)\{", plain_paper)}
    assert {
        *re.findall(r"\\(begin|end|input|write|def|include|usepackage)\b", paper)
    } <= commands | {"usepackage"}
    bare = re.sub(r"\\[{}]", "", paper)
    assert bare.count("{") == bare.count("}")


def test_a_module_of_torch_that_is_named_so_is_shown_so(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    names = [name for name in HOSTILE.values() if "." not in name and "\ud800" not in name]
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef make():\n    network = nn.Sequential()\n"
        f"    for name in {names!r}:\n"
        "        network.add_module(name, nn.Conv2d(8, 8, 3, padding=1))\n    return network\n",
        encoding="utf-8",
    )
    ran = run(
        *("model", "net.py:make", "--input", "1,8,8,8", "--no-time", "-q", "-o", "a.html"),
        *("--export", "a.csv", "--export", "a.md", "--export", "a.tex", "--plot", "layers=a.svg"),
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    shown = Parsed((tmp_path / "a.html").read_text(encoding="utf-8"))
    assert {tag for tag, _ in shown.elements} <= {
        tag for tag, _ in Parsed(render(PLAIN, "html")).elements
    } | {"details", "summary"}
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text(encoding="utf-8"))))
    assert [row["layer"].lstrip("'") for row in rows] == [printable(name) for name in names]
    ElementTree.parse(tmp_path / "a.svg")
