"""What the pages quote stands where they say: each row below `<!-- rows of FILE -->` is one of a table of that file.

A page may leave out rows, columns, and the interval behind a figure, `4.88` for `4.88 [4.62, 5.15]`. It may put the columns of
several tables of a file into one, where their first column is of the same things.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from documents import ROOT, name_of, pages

_QUOTE = re.compile(r"^<!-- rows of (\S+) -->\n((?:\|.*\n)+)", re.MULTILINE)
_MODEL = {
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "VGG-16": "vgg16",
    "MobileNetV2": "mobilenet_v2",
    "MobileNetV3-L": "mobilenet_v3_large",
    "EfficientNet-B0": "efficientnet_b0",
    "ConvNeXt-T": "convnext_tiny",
    "ViT-B/16": "vit_b_16",
}
_MACS = {
    "ResNet-18": 1_814_073_344,
    "ResNet-50": 4_089_184_256,
    "VGG-16": 15_470_264_320,
    "MobileNetV2": 300_774_272,
    "MobileNetV3-L": 216_589_760,
    "EfficientNet-B0": 385_814_752,
    "ConvNeXt-T": 4_455_531_264,
    "ViT-B/16": 17_563_828_224,
}
"""torchvision states them in thousand millions, to three places."""
_FIGURES = re.compile(
    r"^<!-- figures of tests/data/conventions_expected.csv -->\n((?:\|.*\n)+)", re.MULTILINE
)
_EXPECTED = ROOT / "tests" / "data" / "conventions_expected.csv"
_PUBLISHED = ROOT / "tests" / "data" / "torchvision_weights_meta.csv"
_TIMM = ROOT / "benchmarks" / "data" / "timm_throughput.csv"


class Table(NamedTuple):
    header: list[str]
    rows: list[list[str]]

    def columns(self, names: list[str]) -> list[list[str]]:
        at = [self.header.index(name) for name in names]
        return [[row[column] for column in at] for row in self.rows]


class Quote(NamedTuple):
    page: Path
    source: Path
    table: Table


def tables_of(text: str) -> Iterator[Table]:
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        header, _, *rows = [cells_of(line) for line in block.splitlines()]
        yield Table(header, rows)


def cells_of(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def tables_in(source: Path) -> list[Table]:
    text = source.read_text(encoding="utf-8")
    if source.suffix == ".csv":
        header, *rows = csv.reader(text.splitlines())
        return [Table(header, rows)]
    return list(tables_of(text))


def quotes() -> list[Quote]:
    return [
        Quote(page, ROOT / source, table)
        for page in pages()
        for source, block in _QUOTE.findall(page.read_text(encoding="utf-8"))
        for table in tables_of(block)
    ]


def is_said_by(quoted: list[str], row: list[str]) -> bool:
    return all(
        cell in (whole, whole.partition(" [")[0]) for cell, whole in zip(quoted, row, strict=True)
    )


@pytest.mark.parametrize(
    "quote", quotes(), ids=lambda quote: f"{name_of(quote.page)}: {quote.source.name}"
)
def test_each_row_that_is_quoted_stands_in_one_table_of_its_file(quote: Quote) -> None:
    header, rows = quote.table
    assert rows
    of_all = [table for table in tables_in(quote.source) if set(header) <= set(table.header)]
    if of_all:
        missing = min(
            ([row for row in rows if not stands(row, header, table)] for table in of_all), key=len
        )
        assert missing == []
        return
    for column, name in enumerate(header[1:], start=1):  # several tables of the same things
        some = [header[0], name]
        tables = [table for table in tables_in(quote.source) if set(some) <= set(table.header)]
        assert tables, f"no table of {quote.source.name} has a column {name}"
        for row in rows:
            assert any(stands([row[0], row[column]], some, table) for table in tables), row


def stands(row: list[str], header: list[str], table: Table) -> bool:
    return any(is_said_by(row, said) for said in table.columns(header))


def test_rows_are_quoted() -> None:
    assert len(quotes()) > 3


def test_a_quote_needs_figure_column_and_row() -> None:
    [table] = tables_of("| layer | torch | ncnn |\n| -- | -- | -- |\n| a | 4.88 [4.6, 5.2] | 3 |\n")
    assert is_said_by(["a", "4.88"], *table.columns(["layer", "torch"]))
    assert not is_said_by(["a", "4.8"], *table.columns(["layer", "torch"]))
    assert not is_said_by(["a", "4.88"], *table.columns(["layer", "ncnn"]))


def test_the_ratios_of_timms_tables_are_those_of_their_figures() -> None:
    [table] = tables_in(_TIMM)
    for dense, mobile, ratio in table.columns(["ResNet-18", "MobileNetV2", "times as fast"]):
        assert f"{float(mobile) / float(dense):.2f}" == ratio
    assert len(table.rows) == 8


def test_the_figures_of_other_tools_are_those_that_they_gave() -> None:
    expected = {(row["model"], row["convention"]): int(row["value"]) for row in rows_of(_EXPECTED)}
    published = {
        row["model"]: float(row["gflops_ops"])
        for row in rows_of(_PUBLISHED)
        if row["crop_size"] == "224"
    }
    for model, macs in _MACS.items():
        assert round(macs / 10**9, 3) == published[_MODEL[model]]
    tables = [
        table
        for page in pages()
        for block in _FIGURES.findall(page.read_text(encoding="utf-8"))
        for table in tables_of(block)
    ]
    assert tables
    for table in tables:
        tools = table.header[2:]
        assert tools == ["fvcore", "ptflops", "thop", "torchinfo"]
        for model, macs, *figures in table.rows:
            assert macs == in_four_digits(_MACS[model])
            for tool, figure in zip(tools, figures, strict=True):
                assert figure == in_four_digits(expected[_MODEL[model], tool])


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def in_four_digits(count: int) -> str:
    scale, unit = (10**9, "G") if count >= 10**9 else (10**6, "M")
    return f"{count / scale:#.4g} {unit}"
