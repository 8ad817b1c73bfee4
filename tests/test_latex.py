"""Tables for a paper: figures in one unit, aligned by siunitx; booktabs; captions; every row whole."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from program import run
from properties import timing_with

import dscost
from dscost.comparing.differences import Comparison
from dscost.pages import Page, Said, View
from dscost.pages.page import (
    Column,
    Row,
    Sheet,
    Toned,
    Typed,
    name_column,
    without_interval,
    words,
)
from dscost.rendering import RENDERERS, render
from dscost.rendering.figures_of_cells import figures_of
from dscost.reports.records import Environment, Latency


def rendered(result: Any, **view: Any) -> str:
    return render(result, "latex", View(**view))


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows, the heads of tables too."""
    lines = (line.strip() for line in text.splitlines())
    return [
        re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
        for line in lines
        if line.endswith(r" \\") and "&" in line
    ]


def columns(text: str) -> list[list[str]]:
    """Return how the columns of each table are aligned."""
    found = re.findall(r"\\begin\{(?:tabular|longtable)\}\{(.*)\}\n", text)
    return [re.findall(r"S\[[^\]]*\]|l", one) for one in found]


CAPTION = re.compile(r"\\caption\{(.*)\.\}\s*\\label\{(.*)\}")


def test_a_table_of_models_is_one_of_booktabs_with_figures_in_one_unit() -> None:
    text = rendered(dscost.compare("resnet18", "mobilenet_v2"))
    assert (
        text
        == r"""% \usepackage{booktabs,siunitx,longtable} \sisetup{retain-explicit-plus}

\begin{table}
  \centering
  \caption{mobilenet\_v2 against resnet18.}
  \label{tab:dscost-mobilenet-v2-against-resnet18}
  \begin{tabular}{@{}lS[table-format=2.3]S[table-format=1.4]l@{}}
    \toprule
    model & {params (M)} & {MACs (G)} & MACs vs resnet18 \\
    \midrule
    resnet18 & 11.69 & 1.814 & 1$\times$ \\
    mobilenet\_v2 & 3.505 & 0.3008 & 6.0$\times$ fewer \\
    \bottomrule
  \end{tabular}
\end{table}

% Not shown at this width: peak activations (see them with -{}-wide or -{}-columns).
"""
    )


def timed(median_s: float, target: str) -> dscost.Report:
    low, high = 0.95 * median_s, 1.05 * median_s
    latency = Latency(median_s, (low, high), 0.0, median_s, median_s, median_s, 9)
    where = Environment("A & B_C 100%", 2, "float32", "contiguous", "tuned", "2.13.0", None, None)
    report = dscost.analyze("resnet18")._replace(target=target)
    return report._replace(latency={"cpu": timing_with(as_is=latency)}, environment=where)


def test_latencies_stand_in_one_unit_with_their_intervals_beside() -> None:
    comparison = dscost.compare(timed(0.02, "slow"), timed(0.0005, "fast"), layers=False)
    head, slow, fast = rows(rendered(comparison))
    at = head.index("{latency (ms)}")
    assert head[at + 1] == r"{95\,\%}"
    assert slow[at : at + 2] == ["20.0", "{[}19.0, 21.0{]}"]
    assert fast[at : at + 2] == ["0.500", "{[}0.475, 0.525{]}"]
    assert columns(rendered(comparison))[0][at : at + 2] == ["S[table-format=2.3]", "l"]


def test_a_caption_names_machine_and_torch_where_something_was_measured() -> None:
    where = timed(0.02, "a").environment
    comparison = dscost.compare("resnet18", "mobilenet_v2")._replace(environment=where)
    where = rf"A \& B\_C 100\%, 2 threads, torch 2.13.0; written by dscost {dscost.__version__}"
    ((caption, _),) = CAPTION.findall(rendered(comparison))
    assert caption == rf"mobilenet\_v2 against resnet18. Measured on {where}"
    captions = [caption for caption, _ in CAPTION.findall(rendered(timed(0.02, "net_a")))]
    assert len(captions) > 1
    for caption in captions:
        assert caption.startswith(r"net\_a, input ")
        assert caption.endswith(f". Measured on {where}")
    assert "Measured" not in rendered(dscost.analyze("resnet18"))


RESULTS: Sequence[tuple[str, ...]] = (
    ("layer", "64", "64", "3", "--no-time"),
    ("model", "mobilenet_v3_small", "--no-time"),
    ("compare", "resnet18", "resnet34"),
    ("compare", "resnet18", "mobilenet_v2", "--layers", "--all"),
    ("list", "models"),
    ("device", "--on", "t4"),
)


@pytest.mark.parametrize("arguments", RESULTS, ids=" ".join)
def test_every_row_has_as_many_cells_as_its_table_has_columns(arguments: tuple[str, ...]) -> None:
    text = run(*arguments, "--format", "latex").stdout
    assert text.startswith(
        "% \\usepackage{booktabs,siunitx,longtable} \\sisetup{retain-explicit-plus}\n\n"
    )
    bodies = re.findall(
        r"\\begin\{(tabular|longtable)\}\{([^\n]*)\}\n(.*?)\\end\{\1\}", text, flags=re.DOTALL
    )
    assert bodies
    for _, aligned, body in bodies:
        kinds = re.findall(r"S\[[^\]]*\]|l", aligned)
        lines = [line.strip() for line in body.splitlines() if line.strip().endswith(r"\\")]
        for line in lines:
            if line.startswith(r"\caption"):
                continue
            cells = re.split(r"(?<!\\)&", line.removesuffix(r" \\"))
            assert len(cells) == len(kinds), line
            for kind, cell in zip(kinds, map(str.strip, cells), strict=True):
                if kind.startswith("S"):
                    assert re.fullmatch(r"[+-]?\d+(\.\d+)?|\{.*\}", cell), cell
        for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
            assert body.count(rule) == 1
    assert text.isascii()


def test_a_long_table_breaks_across_pages() -> None:
    text = rendered(dscost.analyze("efficientnet_b0"))
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 1
    assert text.count(r"\endhead") == text.count(r"\endfoot") == 1


@pytest.mark.parametrize(
    ("cells", "unit", "numbers", "table_format"),
    [
        (["11.69M", "3.505M"], "M", ["11.69", "3.505"], "2.3"),
        (["1.814G", "0", "115.6M"], "G", ["1.814", "0", "0.1156"], "1.4"),
        (["5.0 ms", "0.0 µs"], "ms", ["5.0", "0.0"], "1.1"),
        (["11.69M", "–", "512"], "M", ["11.69", None, "0.000512"], "2.6"),
        (["1,728", "624"], "", ["1728", "624"], "4"),
        (["1.000 MiB", "512 B"], "MiB", ["1.000", "0.0004883"], "1.7"),
        (["−1.50 ms", "20.0 µs"], "ms", ["-1.50", "0.0200"], "-1.4"),
        (["8.69×", "131×"], "×", ["8.69", "131"], "3.2"),
        (["8.10 TFLOP/s", "720 GFLOP/s"], "TFLOP/s", ["8.10", "0.720"], "1.3"),
        (["+12.5 %", "−3.0 %"], "%", ["+12.5", "-3.0"], "-2.1"),
    ],
)
def test_figures_are_in_the_largest_unit_of_their_column(
    cells: list[str], unit: str, numbers: list[str | None], table_format: str
) -> None:
    found = figures_of(cells)
    assert found is not None
    assert (found.unit, found.numbers, found.table_format) == (unit, numbers, table_format)


@pytest.mark.parametrize(
    "cells",
    [["6.0× fewer"], ["1×", "3.6× faster [3.5, 3.7]"], ["64×56×56"], ["5 ms", "3 MiB"], [""]],
)
def test_what_is_no_figure_stays_words(cells: list[str]) -> None:
    assert figures_of(cells) is None


def test_a_file_ends_in_tex(tmp_path: Path) -> None:
    ran = run("compare", "resnet18", "mobilenet_v2", "-o", "t.tex", "-q", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    comparison = dscost.compare("resnet18", "mobilenet_v2")
    assert isinstance(comparison, Comparison)
    comparison.save(tmp_path / "s.tex")
    assert (tmp_path / "t.tex").read_text() == (tmp_path / "s.tex").read_text()


def test_a_format_of_one_s_own_takes_the_place_of_ours_before_and_after_it_is_loaded(
    own_formats: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dscost.register_renderer("latex")
    def own(said: Said, view: View) -> str:
        return "my own"

    list(RENDERERS)  # loads ours
    assert rendered(dscost.analyze("resnet18")) == "my own"


def of_pages(*pages: Page, **view: Any) -> str:
    class Told(Said):
        def pages(self, view: View) -> Sequence[Page]:
            return pages

    return rendered(Told(), **view)


def sheet(*columns: Column, rows: int = 2) -> Sheet:
    return Sheet(columns, [Row({one.key: "12.5M" for one in columns})] * rows)


def test_what_is_no_table_is_a_comment_and_no_text_of_a_paper() -> None:
    page = Page(
        "models",
        ["assumed: stride 1,\npadding 1"],
        [sheet(words("model"))],
        [Toned("Noisy: load 5 % & more", "unclear"), "", Typed("dscost list")],
    )
    text = of_pages(page, Page("notes", closing=["Text."]))
    outside = re.sub(r"\\begin\{table\}.*?\\end\{table\}", "", text, flags=re.DOTALL)
    assert all(line.startswith("% ") for line in outside.splitlines() if line)
    assert "% assumed: stride 1,\\textbackslash{}npadding 1\n" in text
    assert "% Noisy: load 5 \\% \\& more\n% dscost list\n\n% notes\n% Text.\n" in text


def test_rows_without_heads_are_no_table_unless_they_are_a_list() -> None:
    rows_of = [Row({"": "  swap", "what": "layer1.*", "why": ""})]
    bare = Sheet([words("", 0, ""), words("what", 0, ""), words("why", 0, "")], rows_of)
    page = Page("Swap 1 of 2.", sheets=[bare])
    told = of_pages(page, Page("It was so.", sheets=[sheet(words("model"))]))
    assert "\n\n% Swap 1 of 2.\n%   swap   layer1.{*}\n\n" in told
    assert [caption for caption, _ in CAPTION.findall(told)] == ["It was so"]
    assert CAPTION.findall(of_pages(page._replace(is_list=True)))


def test_of_columns_that_matter_alike_the_last_ones_are_kept() -> None:
    columns = [words("layer"), *(Column(f"{at}", "a figure " * at, 1) for at in (3, 4, 2))]
    both = Sheet(columns, [Row({one.key: "12.5M" for one in columns})])
    head, *_ = rows(of_pages(Page("models", sheets=[both])))
    assert head == ["layer", "{" + "a figure " * 4 + " (M)}", "{" + "a figure " * 2 + " (M)}"]


def test_where_there_is_no_table_the_sentences_are_the_text() -> None:
    text = of_pages(Page("resnet50: 4.11G", ["fvcore's FLOPs"]))
    assert text.endswith("\n\n\\paragraph{resnet50: 4.11G}\n\nfvcore's FLOPs\n")


def test_every_table_has_a_caption_and_a_label_of_its_own_that_names_cannot_break() -> None:
    hostile = "a}\\input{/etc/passwd}%_é, input 1×3"
    two = [sheet(words("layer")), sheet(words("variant"))]
    text = of_pages(
        Page(hostile, sheets=two),
        Page("…", sheets=[sheet(words("x"))]),
        *[Page("net", sheets=[sheet(words("x"))])] * 2,
    )
    labels = [label for _, label in CAPTION.findall(text)]
    assert labels == [
        "tab:dscost-a-input-etc-passwd-layer",
        "tab:dscost-a-input-etc-passwd-variant",
        "tab:dscost-table",
        "tab:dscost-net",
        "tab:dscost-net-2",
    ]
    long = [label for _, label in CAPTION.findall(of_pages(Page("name " * 99, sheets=two)))]
    shortened = "-".join(["name"] * 8)
    assert long == [f"tab:dscost-{shortened}-{last}" for last in ("layer", "variant")]


def test_a_table_has_the_columns_that_fit_on_a_page_unless_they_are_asked_for() -> None:
    columns = [
        words("model"),
        *(Column(f"figure_{at}", f"a figure of {at}", at) for at in (2, 0, 3, 1)),
        words("why", 5)._replace(goes_below=True),
    ]
    wide = Sheet(
        columns,
        [
            Row({one.key: "of many words " * 5} if one.key == "why" else {one.key: "12.5M"})
            for one in columns
        ],
    )
    text = of_pages(Page("models", sheets=[wide]))
    head, *_ = rows(text)
    assert head == ["model", "{a figure of 2 (M)}", "{a figure of 0 (M)}", "{a figure of 1 (M)}"]
    assert "% Not shown at this width: a figure of 3 (see them with" in text
    assert re.search("% why:\n%   : of many words of", text)
    for asked in ({"wide": True}, {"columns": ("why",)}):
        head, *_ = rows(of_pages(Page("models", sheets=[wide]), **asked))
        assert len(head) == len(columns)


def test_intervals_give_way_before_a_figure_that_decides() -> None:
    latency = Column("latency", "latency [95 %]", 1, narrow=without_interval)
    cells = {"latency": "1.51 ms [1.50, 1.53]", "model": "m" * 20, "speedup": "3.6× faster"}
    both = Sheet([name_column("model"), latency, words("speedup", 1)], [Row(cells)])
    head, row = rows(of_pages(Page("models", sheets=[both])))
    assert head == ["model", "{latency (ms)}", "speedup"]
    assert row[1] == "1.51"
    short = both._replace(rows=[Row({**cells, "model": "m"})])
    head, row = rows(of_pages(Page("models", sheets=[short])))
    assert head == ["model", "{latency (ms)}", r"{95\,\%}", "speedup"]
    assert row[2] == "{[}1.50, 1.53{]}"


PDFLATEX = shutil.which("pdflatex")


@pytest.mark.skipif(PDFLATEX is None, reason="needs pdflatex, with siunitx and booktabs")
def test_tables_fit_on_a_page_of_article(tmp_path: Path) -> None:
    bodies = [
        rendered(dscost.compare("resnet18", "mobilenet_v2", "vgg16")),
        rendered(dscost.layer(256, 256, 3)),
        rendered(timed(0.02, "net_a")),
    ]
    packages = r"\usepackage[T1]{fontenc}\usepackage{booktabs,siunitx,longtable}"
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass{{article}}{packages}\sisetup{{retain-explicit-plus}}"
        rf"\begin{{document}}{''.join(bodies)}\end{{document}}"
    )
    subprocess.run(
        [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert "Output written" in log
    assert "Overfull" not in log
