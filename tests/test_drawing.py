"""The drawing of pictures: whatever they hold, all of it can be read, on every machine alike."""

import re
from xml.etree import ElementTree

import pytest
from legible import SVG, assert_legible, boxes_of

from dscost.pages.pictures import Axis, Bar, Bars, Picture, Plot, Point, Rule, Series
from dscost.rendering.drawing import svg_of
from dscost.rendering.drawing.scales import scale_of, tick_texts

HOSTILE = "<a&\"'>\n\u202ereversed\x1b[31m"
LONG = "x" * 10_000


def plot(*series: Series, is_log: bool = True, rules: tuple[Rule, ...] = ()) -> Plot:
    """Return a plot of counts against seconds."""
    x, y = Axis("MACs", "count", is_log), Axis("time", "seconds", is_log)
    return Plot("p", "title", "told", x, y, series, rules, ["A note. " * 40], "a machine")


def bars(*each: Bar, names: tuple[str, ...] = ("before", "after")) -> Bars:
    """Return bars of counts."""
    return Bars("b", "title", "told", Axis("MACs", "count"), names, each, (), ["A note."], "it")


def points(*places: tuple[float, float]) -> Series:
    """Return points with names and intervals."""
    return Series("", [Point(x, y, f"layer{x:g}", "told", None, (y, 2 * y)) for x, y in places])


PICTURES: dict[str, Picture] = {
    "one point": plot(points((5.0, 5.0))),
    "no point": plot(Series("", [])),
    "ten equal points": plot(points(*[(5.0, 5.0)] * 10)),
    "zeros": plot(points((0.0, 0.0), (0.0, 0.0)), is_log=False),
    "huge and tiny": plot(points((1e18, 1e-9), (1e-12, 1e18))),
    "huge and 0": plot(points((1e18, 0.0), (0.0, 1e18)), is_log=False),
    "nearly equal": plot(points((1_000_000.0, 0.999), (1_000_001.0, 1.0)), is_log=False),
    "hostile names": plot(
        Series(HOSTILE, [Point(1.0, 2.0, HOSTILE, HOSTILE), Point(3.0, 2.5, LONG, LONG)]),
        Series(LONG, [Point(1.0, 2.2, "שלום")]),
        rules=(Rule(LONG, [(1.0, 1.0), (10.0, 10.0)]),),
    ),
    "nine series of forty": plot(
        *(
            Series(f"series {at}", [Point(1 + 1.3 * i + at, 1 + (7 * i + 3 * at) % 11, f"layer{i}") for i in range(40)])
            for at in range(9)
        )
    ),
    "300 steps": plot(
        Series("MACs", [Point(i, i * i, f"layer{i}" * (i % 70 == 0), "told") for i in range(300)], "steps"),
        is_log=False,
    ),
    "long titles": plot(points((1.0, 2.0)))._replace(
        title=LONG, told=LONG, x=Axis("words and " * 40), y=Axis("words and " * 40), notes=[LONG], measured=LONG
    ),
    "one bar": bars(Bar("conv1", [1.0, 2.0])),
    "bars of 0": bars(Bar("conv1", [0, 0]), Bar("conv2", [None, 0])),
    "unknown bars": bars(Bar("conv1", [None, None])),
    "huge and tiny bars": bars(Bar("conv1", [1e18, 1e-18]), Bar("conv2", [3, 4])),
    "bars that shrink": bars(Bar("conv1", [-5e3, 2e3]), Bar("conv2", [3e3, 4e3])),
    "hostile bars": bars(Bar(HOSTILE, [1, 2], HOSTILE, (), [HOSTILE, ""]), Bar(LONG, [3, 4], LONG, (), [LONG, LONG]), names=(HOSTILE, LONG)),
    "300 bars": bars(*(Bar(f"layer{at}", [at, at / 2], "told") for at in range(300))),
    "no bar": bars(),
    "long axis of bars": bars(Bar("conv1", [1, 2]))._replace(axis=Axis("words and " * 40, "count")),
}  # fmt: skip


def texts_in(svg: str) -> list[ElementTree.Element]:
    return [*ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", PICTURES)
def test_whatever_a_picture_holds_can_be_read(name: str) -> None:
    assert_legible(PICTURES[name])


def test_names_are_text_and_never_markup_or_controls() -> None:
    for name in ("hostile names", "hostile bars"):
        svg = svg_of(PICTURES[name])
        assert "\x1b" not in svg
        assert "\u202e" not in svg
        assert "<a&" not in svg
        assert "&lt;a&amp;" in svg
        assert len(svg) < 60_000  # 10,000 characters are shown by a few of them


def test_a_point_stands_where_its_axes_say() -> None:
    """On logarithmic axes 10 stands in the middle of 1 and 100."""
    svg = svg_of(plot(Series("", [Point(1.0, 1.0), Point(10.0, 10.0), Point(100.0, 100.0)])))
    circles = re.findall(r'd="M([\d.]+) ([\d.]+)a', svg)
    (x, y), (middle_x, middle_y), (last_x, last_y) = [(float(a), float(b)) for a, b in circles]
    assert middle_x == pytest.approx((x + last_x) / 2, abs=0.1)
    assert middle_y == pytest.approx((y + last_y) / 2, abs=0.1)
    assert last_y < y


def test_bars_are_as_long_as_what_they_are_of() -> None:
    svg = svg_of(bars(Bar("conv1", [100.0, 25.0])))
    widths = [
        float(one.get("width", 0))
        for one in ElementTree.fromstring(svg).iter(f"{SVG}rect")
        if one.get("class") in ("f-s0", "f-s1") and one.get("width") != "18"
    ]
    assert widths[1] == pytest.approx(widths[0] / 4, abs=0.1)
    ticks = {
        one.text: float(one.get("x", 0))
        for one in texts_in(svg)
        if one.get("text-anchor") == "middle"
    }
    assert widths[0] == pytest.approx(
        ticks["100"] - ticks["0"], abs=0.2
    )  # as long as the axis says


def test_an_interval_and_a_limit_stand_where_the_axis_says() -> None:
    svg = svg_of(
        plot(
            Series(
                "",
                [Point(1.0, 1.0), Point(10.0, 10.0, "", "", None, (1.0, 100.0)), Point(1.0, 100.0)],
            )
        )
    )
    low, _, high = [float(y) for y in re.findall(r'd="M[\d.]+ ([\d.]+)a', svg)]
    (ends, *_) = re.findall(
        r'd="M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)" [^>]*class="l-s0" stroke-width="1.5"', svg
    )
    assert [float(one) for one in ends] == pytest.approx([low, high], abs=0.1)
    limited = bars(Bar("conv1", [50.0]), names=("",))._replace(limits=[100.0])
    svg = svg_of(limited)
    ticks = {
        one.text: float(one.get("x", 0))
        for one in texts_in(svg)
        if one.get("text-anchor") == "middle"
    }
    (x,) = set(
        re.findall(r'd="M([\d.]+) [\d.]+L\1 [\d.]+" [^>]*class="l-ink"', svg.partition("conv1")[2])
    )
    assert float(x) == pytest.approx(ticks["100"], abs=0.1)


def test_series_are_told_apart_without_colour() -> None:
    """The six shapes of points, and the strokes over every second bar, are seen in grey."""
    one_each = [Series(f"series {at}", [Point(1.0 + at, 1.0)]) for at in range(6)]
    svg = svg_of(plot(*one_each))
    shapes = re.findall(r'd="([^"]+)" fill="(#\w+)" class="f-s\d l-ground"', svg)
    assert len({re.sub(r"[-\d. ]+", "", path) + str(path.count("L")) for path, _ in shapes}) >= 4
    twelve = [Series(f"series {at}", [Point(1.0 + at, 1.0)]) for at in range(12)]
    marks = re.findall(r'd="([^"]+)" fill="(#\w+)" class="f-s\d l-ground"', svg_of(plot(*twelve)))
    legend = marks[:12]
    assert len({(re.sub(r"[\d.]+", "", path), ink) for path, ink in legend}) > 6


def test_every_colour_of_a_file_has_one_for_dark_screens() -> None:
    for picture in (PICTURES["hostile names"], PICTURES["one bar"]):
        svg = svg_of(picture)
        used = set(re.findall(r"[ \"]([fl]-\w+)", svg))
        style = svg.split("<style>")[1].split("</style>")[0]
        assert used <= set(re.findall(r"\.([fl]-\w+)\{", style))
        assert "s5" not in style
        assert "<style>" not in svg_of(picture, is_dark_too=False)


def test_bars_are_told_apart_without_colour() -> None:
    svg = svg_of(bars(Bar("conv1", [9.0, 9.0, 9.0, 9.0]), names=("a", "b", "c", "d")))
    lines = re.findall(r'stroke="#ffffff" class="l-ground" stroke-width="(\d+)"( [^/]*)?/>', svg)
    of_legend, of_bars = lines[:3], lines[3:]
    assert of_legend == of_bars
    assert len(set(of_bars)) == 3  # and the first has none


def test_names_stay_off_lines_where_they_have_room() -> None:
    rule = Rule("level", [(1.0, 5.0), (100.0, 5.0)])
    around = [Point(10.0, 5.0, "conv1"), Point(1.0, 1.0), Point(90.0, 9.0)]
    svg = svg_of(plot(Series("", around), rules=(rule,)))
    level = r'd="M[\d.]+ ([\d.]+)L[\d.]+ \1" fill="none" stroke="#5b636d" class="l-faint" stroke-width="1.4"'
    _, y = re.findall(level, svg)  # in the legend, and in the plot
    (_, top, _, bottom) = dict(boxes_of(svg))["conv1"]
    assert not top < float(y) < bottom


def test_a_name_that_a_rule_would_strike_through_is_left_out() -> None:
    """Rules to all sides of a point leave its name no room that none of them crosses."""
    rules = tuple(Rule("", [(1.0, y), (100.0, y)]) for y in (4.0, 4.5, 5.0, 5.5, 6.0))
    around = [Point(10.0, 5.0, "conv1"), Point(1.0, 1.0, "conv2"), Point(90.0, 9.0)]
    named = dict(boxes_of(svg_of(plot(Series("", around), rules=rules))))
    assert "conv1" not in named
    assert "conv2" in named


@pytest.mark.parametrize(
    ("values", "quantity", "texts"),
    [
        ([0.0, 0.0], "count", ["0", "1"]),
        ([0.0, 3.0], "count", ["0", "1", "2", "3"]),
        ([1e6, 1e6 + 1], "number", ["1000000", "1000000.2", "1000000.4", "1000000.6", "1000000.8", "1000001"]),
        ([0.0, 1.0], "share", ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        ([0.0, 9e4], "seconds", ["0 s", "20,000 s", "40,000 s", "60,000 s", "80,000 s"]),
    ],
)  # fmt: skip
def test_ticks_are_round_and_differ(values: list[float], quantity: str, texts: list[str]) -> None:
    scale = scale_of(Axis("", quantity), values, 0.0, 100.0)  # type: ignore[arg-type]
    assert tick_texts(scale.ticks, quantity) == texts  # type: ignore[arg-type]


def test_equal_values_stand_in_the_middle_of_a_logarithmic_axis() -> None:
    scale = scale_of(Axis("", "factor", is_log=True), [8.0], 0.0, 100.0)
    assert scale.at(8.0) == pytest.approx(50.0)
    assert len(scale.ticks) >= 2


def test_of_very_many_points_those_that_weigh_most_tell_and_no_mark_is_drawn_twice() -> None:
    many = [Point(1.0 + at % 5, 1.0, "", f"point {at}.", weight=at / 1_000) for at in range(1_000)]
    picture = plot(Series("", many), is_log=False)
    svg = svg_of(picture)
    told = re.findall(r"<title>point (\d+)\.</title>", svg)
    assert sorted(map(int, told)) == [*range(800, 1_000)]
    assert svg.count("<path") < 240
