import csv
import io
import json
import re
from time import process_time

import pytest
from properties import timing_with

import dscost
from dscost.errors import UnknownNameError
from dscost.layers.convolution import conv2d
from dscost.pages.page import Column, Page, Row, Sheet, words
from dscost.pages.wording import formula_line
from dscost.rendering import View, format_names, register_renderer, render
from dscost.rendering.terminal import elided, render_pages
from dscost.reports.records import Latency, Report, Speedup


def measured(report: Report, speedup: float, interval: tuple[float, float], verdict: str) -> Report:
    """A report with made-up times, so that what is said of them can be tested."""
    (layer,) = report.layers
    standard, separable = (
        Latency(s, (s * 0.99, s * 1.01), s / 50, s, s, s, 40) for s in (speedup * 1e-4, 1e-4)
    )
    timing = timing_with(
        Speedup(speedup, interval),
        as_is=standard,
        standard=standard,
        depthwise_separable=separable,
    )
    return report._replace(
        layers=(layer._replace(latency={"cpu": timing}, verdict=verdict),), latency={"cpu": timing}
    )


LAYER = dscost.layer(
    in_channels=256, out_channels=256, kernel_size=3
)  # promises 8.69 times fewer MACs
MODEL = dscost.analyze("mobilenet_v3_small")


@pytest.mark.parametrize(
    ("speedup", "interval", "verdict", "said"),
    [
        (8.5, (8.4, 8.6), "faster", "the clock agrees: 8.5× faster [8.4, 8.6]."),
        (
            3.6,
            (3.5, 3.7),
            "faster",
            "the clock says 3.6× faster [3.5, 3.7], 41% of what the MACs promise.",
        ),
        (
            12.0,
            (11.0, 13.0),
            "faster",
            "the clock says 12.0× faster [11.0, 13.0], more than the MACs explain",
        ),
        (
            0.8,
            (0.79, 0.81),
            "slower",
            "the clock disagrees: it ran 1.25× slower [1.23, 1.27].",
        ),
        (1.0, (0.99, 1.01), "same", "the clock sees no difference [0.99, 1.01]."),
        (1.1, (0.8, 1.4), "unclear", "the clock cannot tell (1.10× [0.80, 1.40])"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)
def test_the_last_line_says_where_formula_and_clock_disagree(
    speedup: float, interval: tuple[float, float], verdict: str, said: str
) -> None:
    text = render([measured(LAYER, speedup, interval, verdict)], "table", View())
    assert said in text


@pytest.mark.parametrize(
    ("conv", "depth_multiplier", "line"),
    [
        (
            conv2d(256, 256, 3),
            1,
            "1/N + 1/K² = 1/256 + 1/9 = 0.1150 → 8.69× fewer weights and MACs",
        ),
        (
            conv2d(48, 96, (5, 3)),
            1,
            "T·(G/N + 1/(Kh·Kw)) = 1·(1/96 + 1/15) = 0.0771 → 13.0× fewer weights and MACs",
        ),
        (
            conv2d(8, 96, 3, groups=4),
            2,
            "T·(G/N + 1/K²) = 2·(4/96 + 1/9) = 0.3056 → 3.27× fewer weights and MACs",
        ),
        (
            conv2d(4, 2, 3),
            2,
            "T·(G/N + 1/K²) = 2·(1/2 + 1/9) = 1.2222 → 1.22× more weights and MACs",
        ),
    ],
    ids=["plain", "rectangular", "grouped", "dearer"],
)
def test_the_formula_stands_with_its_numbers_in_it(
    conv: object, depth_multiplier: int, line: str
) -> None:
    ratio = dscost.layer(
        in_channels=conv.in_channels,
        out_channels=conv.out_channels,
        kernel_size=conv.kernel_size,
        groups=conv.groups,
        depth_multiplier=depth_multiplier,
    )
    assert formula_line(conv, depth_multiplier, ratio.layers[0].formula_ratio) == line


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200, 400])
def test_a_terminal_table_fits_and_never_cuts_a_number(width: int) -> None:
    report = measured(LAYER, 3.6, (3.5, 3.7), "faster")
    text = render([report, MODEL], "table", View(width=width))
    assert max(map(len, text.splitlines())) <= width
    figures = set(re.findall(r"\d[\d.]*[kMG]?\b", render([report, MODEL], "table", View())))
    assert (
        set(re.findall(r"\d[\d.]*[kMG]?\b", text)) <= figures
    )  # as they stand where there is room


def test_a_column_that_several_tables_of_a_page_drop_is_named_once() -> None:
    columns = [Column("name", "", 0, "left"), Column("a", "± %", 1), Column("b", "MACs", 1)]
    sheet = Sheet(columns, [Row(dict.fromkeys(("name", "a", "b"), "x" * 20))])
    text = render_pages([Page("two", sheets=[sheet, sheet])], View(width=25))
    note = "Not shown at this width: ± %, MACs (see them with --wide)."
    assert " ".join(text.split()).endswith(f" {note}")
    assert text.count("Not shown") == 1


def test_two_dropped_columns_of_one_heading_are_named_once() -> None:
    columns = [Column("name", "", 0, "left"), Column("a", "± %", 1), Column("b", "± %", 1)]
    sheet = Sheet(columns, [Row(dict.fromkeys(("name", "a", "b"), "x" * 20))])
    text = render_pages([Page("one", sheets=[sheet])], View(width=25))
    assert "Not shown at this width: ± % (see" in " ".join(text.split())


def test_dropped_columns_are_named() -> None:
    text = render([LAYER], "table", View(width=60))
    assert "Not shown at this width:" in text
    assert (
        "FLOP/byte" in text.split("Not shown at this width:")[1]
    )  # as it is called above the column
    assert "flops_per_byte" not in text
    assert "Not shown" not in render([LAYER], "table", View(width=60, wide=True))


def test_sentences_of_a_dropped_column_stand_below_the_table() -> None:
    columns = [
        Column("layer", "layer", 0, "left"),
        Column("why", "why kept", 1, "left", goes_below=True),
    ]
    rows = [Row({"layer": "conv1", "why": "its 3 input channels are few"}), Row({"layer": "conv2"})]
    page = Page("a model", sheets=[Sheet(columns, rows)])
    narrow, broad = (render_pages([page], View(width=width)) for width in (30, 60))
    assert "why kept:\n  conv1: its 3 input channels\nare few\n" in narrow
    assert "Not shown" not in narrow
    assert "conv2:" not in narrow
    assert "conv1   its 3 input channels are few\n" in broad
    assert broad.count("why kept") == 1


@pytest.mark.parametrize(
    "view", [View(width=40, wide=True), View(width=40, columns=("params", "macs", "traffic_bytes"))]
)
def test_columns_that_were_asked_for_are_never_dropped(view: View) -> None:
    text = render([LAYER], "table", view)
    for figure in ("589.8k", "115.6M", "2.633 MiB", "67.84k", "13.30M", "1.024 MiB"):
        assert figure in text


@pytest.mark.parametrize(
    ("width", "shown"), [(60, ["params", "MACs"]), (100, ["kind", "params", "MACs", "share"])]
)
def test_what_matters_most_of_layers_stays_where_space_is_short(
    width: int, shown: list[str]
) -> None:
    table = render([MODEL], "table", View(width=width)).split("\n\n")[1]
    header = dict.fromkeys(table.splitlines()[0].split())
    assert [name for name in header if name in ("kind", "params", "MACs", *shown)] == shown


def test_a_column_stays_that_fits_when_wider_ones_are_gone() -> None:
    columns = [Column("a", "a", 0, "left"), Column("small", "b", 2), Column("wide", "w" * 20, 1)]
    page = Page(heading="", sheets=[Sheet(columns, [Row({"a": "x", "small": "1", "wide": "2"})])])
    header = render_pages([page], View(width=12)).strip().splitlines()[0]
    assert header.split() == ["a", "b"]


def test_a_line_of_a_table_holds_its_cells_at_their_edges() -> None:
    columns = [
        Column("name", "layer", 0, "left"),
        Column("macs", "MACs", 0),
        Column("kind", "kind", 0, "left"),
    ]
    rows = [
        Row({"name": "a", "macs": "12,345", "kind": "conv\npool"}),
        Row({"name": "\u5c64", "macs": "7"}, "strong"),  # two cells wide
    ]
    page = Page("heading", sheets=(Sheet(columns, rows),))
    plain = [
        "layer     MACs   kind",
        "\u2500" * 21,
        "a       12,345   conv",
        "                 pool",
        "\u5c64           7",
    ]
    assert render_pages([page], View()).splitlines()[2:] == plain
    coloured = render_pages([page], View(color=True)).splitlines()[2:]
    assert coloured[0] == f"\x1b[1m{plain[0]}\x1b[0m"
    assert coloured[1:4] == plain[1:4]
    assert coloured[4] == f"\x1b[1m{plain[4]}\x1b[0m"


def test_nothing_stands_below_the_last_line() -> None:
    sheet = Sheet([words("name")], [Row({"name": "a"})])
    pages = [Page("one", sheets=(sheet,)), Page("two", sheets=(sheet,))]
    assert render_pages(pages, View()) == "one\n\nname\n────\na\n\ntwo\n\nname\n────\na\n"


def test_a_table_of_twenty_thousand_rows_takes_seconds() -> None:
    columns = [Column(str(at), f"column {at}", at) for at in range(10)]
    rows = [Row({str(at): f"{at * row:,}" for at in range(10)}) for row in range(20_000)]
    started = process_time()
    text = render_pages([Page("long", sheets=(Sheet(columns, rows),))], View())
    assert process_time() - started < 5
    assert text.count("\n") > 20_000


def test_kinds_of_many_layers_do_not_widen_the_table() -> None:
    (line,) = [
        line
        for line in render([MODEL], "table", View()).splitlines()
        if "layers without MACs" in line
    ]
    assert re.search(r"\) +AdaptiveAvgPool2d, … ", line)


def test_long_names_lose_their_middle() -> None:
    assert elided("layer1.0.conv1", 14) == "layer1.0.conv1"
    assert elided("features.denseblock4.denselayer16.conv2", 21) == "features.d…er16.conv2"


@pytest.mark.parametrize("format_name", ["table", "markdown"])
def test_every_line_of_the_layer_table_adds_up_to_the_totals(format_name: str) -> None:
    # rows without MACs and rows beyond --top are summed, not lost: shares add up to 100 %
    text = render([MODEL], format_name, View(top=5, sort="macs", columns=("share", "macs")))
    shares = [float(share) for share in re.findall(r"([\d.]+)%", text)]
    assert len(shares) == 7
    assert sum(shares) == pytest.approx(100, abs=0.3)


def test_sorting_puts_the_largest_first() -> None:
    text = render([MODEL], "csv", View())
    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["variant"] == "as_is"]
    largest = max(rows, key=lambda row: int(row["params"]))["layer"]
    first = render([MODEL], "markdown", View(sort="params", top=1)).split("\n| ")[3].split(" |")[0]
    assert first == f"`{largest}`"


def test_depth_adds_up_layers_of_one_name() -> None:
    resnet = dscost.analyze("resnet18")
    text = render([resnet], "markdown", View(depth=1, columns=("params", "macs")))
    # layer1 of ResNet-18: four 3×3 convolutions of 64 channels and their batch norms, on 56×56
    assert (
        f"| `layer1` | {(4 * 64 * 64 * 9 + 4 * 2 * 64) / 1e3:.1f}k | {4 * 64 * 64 * 9 * 56 * 56 / 1e6:.1f}M |"
        in text
    )


def test_markdown_is_a_table_that_github_reads() -> None:
    text = render([LAYER], "markdown", View())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert lines[1].replace("-", "").replace(":", "").replace("|", "").strip() == ""
    assert "&nbsp;&nbsp;depthwise" in text


def test_markup_in_a_name_stays_text() -> None:
    named = MODEL._replace(target="[bold]a|b*c`d<e>[/bold]")
    assert "[bold]a|b*c`d<e>[/bold]" in render([named], "table", View())
    assert "[bold]a\\|b\\*c\\`d\\<e\\>[/bold]" in render([named], "markdown", View())


def test_json_is_the_document_and_names_its_schema() -> None:
    document = json.loads(render([LAYER, MODEL], "json", View(command="compare")))
    assert document["schema_version"] == 1
    assert document["command"] == "compare"
    assert [subject["target"] for subject in document["subjects"]] == [
        LAYER.target,
        "mobilenet_v3_small",
    ]
    assert document["environment"] is None


def test_csv_leaves_unknown_empty_and_counts_exact() -> None:
    rows = list(csv.DictReader(io.StringIO(render([MODEL], "csv", View()))))
    assert (
        sum(int(row["macs"]) for row in rows if row["variant"] == "as_is")
        == MODEL.totals.as_is.macs
    )
    flatten = next(row for row in rows if row["type"] == "Flatten")
    assert flatten["flops_per_byte"] == ""
    assert flatten["latency_median_s"] == ""


def test_csv_columns_can_be_chosen() -> None:
    text = render([LAYER], "csv", View(columns=("variant", "stage", "macs")))
    macs = 256 * 256 * 9 * 14 * 14
    assert text.splitlines()[:3] == ["variant,stage,macs", f"as_is,,{macs}", f"standard,,{macs}"]


@pytest.mark.parametrize("format_name", ["table", "csv", "markdown"])
def test_unknown_columns_are_named_with_the_nearest(format_name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown column 'mcas' \(did you mean 'macs'\?\)"):
        render([LAYER], format_name, View(columns=("mcas",)))


def test_every_renderer_takes_every_report() -> None:
    pointwise = dscost.layer(in_channels=8, out_channels=8, kernel_size=1)
    for format_name in format_names(judges=False):
        assert render([LAYER, pointwise, MODEL], format_name, View(width=80)).endswith("\n")


def test_a_renderer_can_be_added(own_formats: None) -> None:
    register_renderer("test-count")(lambda said, view: f"{len(said.pages(view))} pages\n")
    assert render([LAYER, MODEL], "test-count", View()) == "2 pages\n"


def test_a_layer_without_a_variant_says_why() -> None:
    text = render(
        [dscost.layer(in_channels=8, out_channels=8, kernel_size=3, groups=8)], "table", View()
    )
    assert (
        "No depthwise-separable variant: it is depthwise already (groups = in_channels = 8)."
        in text
    )


@pytest.mark.parametrize("width", [60, 72, 80, 100])
def test_names_give_way_and_figures_are_never_cut(width: int) -> None:
    columns = [
        Column("model", "model", 0, "left"),
        Column("what", "what", 0, "left"),
        Column("value", "value", 0),
        Column("outcome", "outcome", 0, "left"),
    ]
    cells = {
        "model": "mobilenet_v1[width=0.5,resolution=160]",
        "what": "params of type:Conv2d[groups=1,kernel>1]",
        "value": "1,814,073,344",
        "outcome": "over budget",
    }
    text = render_pages([Page("budget", sheets=[Sheet(columns, [Row(cells)])])], View(width=width))
    (line,) = [line for line in text.splitlines() if "1,814" in line]
    assert "1,814,073,344   over budget" in line
    assert len(line) <= width
    assert "…" in line or width == 100
