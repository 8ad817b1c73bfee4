"""The products that a layer's multiply-accumulates are, and bars of them."""

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import run
from properties import law

import dscost
from dscost.errors import DscostError
from dscost.notation.units import format_count
from dscost.pages.arithmetic import arithmetic_lines, factors_of
from dscost.pages.bars import Bars, bar, bars, bars_drawing
from dscost.rendering import View, render
from dscost.reports.records import Report


def lines_of(*given: int, **more: object) -> dict[str, str]:
    """Return what is told by the label that it begins with."""
    lines = arithmetic_lines(dscost.layer(*given, **more))  # type: ignore[arg-type]
    return {line.split("   ")[0].strip(): line.split("   ", 1)[1].strip() for line in lines}


def test_the_layer_of_the_readme_is_multiplied_out() -> None:
    assert arithmetic_lines(dscost.layer(256, 256, 3)) == [
        "MACs        channels out · channels in · kernel · positions",
        "standard    256·256·3·3 · 14·14 = 115,605,504",
        "separable   256·3·3·14·14 + 256·256·14·14 = 451,584 + 12,845,056 = 13,296,640",
        "ratio       1/N + 1/K² = 1/256 + 1/9 = 0.1150 → 8.69× fewer weights and MACs",
    ]


def test_the_layer_of_the_books_is_multiplied_out() -> None:
    # 6×6×3, a 3×3 kernel, 4 filters, no padding: 1,728 multiplications against 624
    said = lines_of(3, 4, 3, input_size=6, padding=0)
    assert said["standard"] == "4·3·3·3 · 4·4 = 1,728"
    assert said["separable"] == "3·3·3·4·4 + 4·3·4·4 = 432 + 192 = 624"


@pytest.mark.parametrize(
    ("given", "more", "standard", "separable"),
    [
        (
            (48, 96, (5, 3)),
            {"stride": (2, 1), "padding": (2, 1), "input_size": (31, 40), "batch": 2},
            "96·48·5·3 · 2·16·40 = 88,473,600",
            "48·5·3·2·16·40 + 96·48·2·16·40 = 921,600 + 5,898,240 = 6,819,840",
        ),
        (
            (96, 96, 3),
            {"groups": 4, "depth_multiplier": 2},
            "96·24·3·3 · 14·14 = 4,064,256",
            "192·3·3·14·14 + 96·48·14·14 = 338,688 + 903,168 = 1,241,856",
        ),
        (
            (8, 16, 3),
            {"dilation": 2, "padding": 0, "input_size": 9},  # reaches 5: 5 positions a side
            "16·8·3·3 · 5·5 = 28,800",
            "8·3·3·5·5 + 16·8·5·5 = 1,800 + 3,200 = 5,000",
        ),
        (
            (16, 32, 3),
            {"dims": 3, "input_size": 8},
            "32·16·3·3·3 · 8·8·8 = 7,077,888",
            "16·3·3·3·8·8·8 + 32·16·8·8·8 = 221,184 + 262,144 = 483,328",
        ),
        (
            (16, 32, 3),
            {"dims": 1},
            "32·16·3 · 14 = 21,504",
            "16·3·14 + 32·16·14 = 672 + 7,168 = 7,840",
        ),
        (
            (64, 32, 3),  # each value that it reads meets every tap: 14×14 positions, not 28×28
            {"transposed": True, "stride": 2},
            "32·64·3·3 · 14·14 = 3,612,672",
            "64·3·3·14·14 + 32·64·28·28 = 112,896 + 1,605,632 = 1,718,528",
        ),
        ((1, 16, 3), {}, "16·3·3 · 14·14 = 28,224", "3·3·14·14 + 16·14·14 = 1,764 + 3,136 = 4,900"),
    ],
    ids=["rectangular", "grouped", "dilated", "3-D", "1-D", "transposed", "one channel"],
)
def test_products_have_what_shapes_a_layer(
    given: tuple[int, ...], more: dict[str, object], standard: str, separable: str
) -> None:
    said = lines_of(*given, **more)
    assert (said["standard"], said["separable"]) == (standard, separable)


def test_what_is_multiplied_is_told_in_words() -> None:
    assert lines_of(8, 8, 3, groups=2, batch=3)["MACs"] == (
        "channels out · channels in per group · kernel · batch · positions"
    )
    assert lines_of(8, 8, 3, transposed=True)["MACs"].endswith("kernel · positions read")


def test_further_variants_are_the_sums_of_their_stages() -> None:
    said = lines_of(256, 256, 3, variants=("grouped:8", "ghost", "bottleneck"))
    assert said["grouped:8"] == "256·32·3·3 · 14·14 = 14,450,688"
    assert said["ghost:2"] == (
        "128·256·3·3·14·14 + 128·3·3·14·14 = 57,802,752 + 225,792 = 58,028,544"
    )
    assert said["bottleneck:4"] == (
        "64·256·14·14 + 64·64·3·3·14·14 + 256·64·14·14 "
        "= 3,211,264 + 7,225,344 + 3,211,264 = 13,647,872"
    )


EVERY_VARIANT = (
    *("separable", "grouped:2", "ghost:2", "bottleneck:2", "low_rank", "shuffle:2"),
    *("inverted_residual:3", "fused_inverted_residual:2", "blueprint_separable:2", "dilated:2"),
    "spatially_separable",
)


@law
@given(
    groups=st.sampled_from([1, 2, 4]),
    channels=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kernel=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 3, 5])),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 4),
    size=st.tuples(st.integers(9, 20), st.integers(9, 20)),
    batch=st.integers(1, 3),
    depth_multiplier=st.integers(1, 3),
    transposed=st.booleans(),
    variant=st.sampled_from(EVERY_VARIANT),
)
def test_products_multiply_out_to_what_is_counted(
    groups: int,
    channels: tuple[int, int],
    depth_multiplier: int,
    variant: str,
    **geometry: object,
) -> None:
    into, out = (4 * groups * count for count in channels)
    kernel, size = geometry.pop("kernel"), geometry.pop("size")
    more = (
        {"depth_multiplier": depth_multiplier} if variant == "separable" else {"variants": variant}
    )
    try:
        report = dscost.layer(into, out, kernel, groups=groups, input_size=size, **geometry, **more)  # type: ignore[arg-type]
    except DscostError:  # some shapes have no such variant
        return
    told = [line.split("   ", 1)[1].strip() for line in arithmetic_lines(report)]
    products = [line for line in told if " = " in line and "/" not in line]
    (layer,) = report.layers
    assert len(products) == len(layer.variants)
    for line, cost in zip(products, layer.variants.values(), strict=True):
        for side in line.split(" = "):
            assert eval(side.replace("·", "*").replace(",", "")) == cost.macs
    for stages in layer.stages.values():
        for stage in stages:
            if stage.cost.macs:
                weights, positions = factors_of(stage) or ((), ())
                assert prod(weights) * prod(positions) == stage.cost.macs
                assert prod(weights) <= stage.cost.params


def test_products_stand_where_nothing_is_timed() -> None:
    ran = run("layer", "256", "256", "3", "--no-time")
    assert "standard    256·256·3·3 · 14·14 = 115,605,504\n" in ran.stdout
    pending = render([dscost.layer(256, 256, 3)], "table", View(pending=True))
    assert "115,605,504" not in pending
    assert "1/N + 1/K² = 1/256 + 1/9 = 0.1150" in pending


def test_products_are_ascii_where_nothing_else_can_be_written() -> None:
    text = render([dscost.layer(256, 256, 3)], "table", View(encoding="ascii"))
    assert "standard    256*256*3*3 * 14*14 = 115,605,504\n" in text
    assert "standard    ############################ 115.6M\n" in text


# -- exact counts


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_728, "1,728"),
        (9_999, "9,999"),
        (10_000, "10.00k"),
        (-1_728, "-1,728"),
        (-10_000, "-10.00k"),
        (None, "–"),
    ],
)
def test_counts_below_ten_thousand_are_exact(count: int | None, text: str) -> None:
    assert format_count(count) == text


# -- bars


def test_macs_and_time_stand_side_by_side_scaled_alike() -> None:
    kinds = [
        Bars("MACs", [800, 100], ["800", "100"]),
        Bars("time", [4e-3, 1e-3], ["4.00 ms", "1.00 ms"]),
    ]
    assert bars(["standard", "separable"], kinds, 60) == [
        "            MACs                   time",
        "standard    ████████████████ 800   ████████████████ 4.00 ms",
        "separable   ██ 100                 ████ 1.00 ms",
    ]


@law
@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=5), st.integers(45, 200))
def test_bars_are_no_wider_than_there_is_room(figures: list[float], width: int) -> None:
    texts = [f"{figure:.3g}" for figure in figures]
    kinds = [Bars("MACs", figures, texts), Bars("time", figures[::-1], texts[::-1])]
    lines = bars(["depthwise"] * len(figures), kinds, width)
    assert max(map(len, lines)) <= width
    longest = max(line.count("█") for line in lines)
    assert longest > 0


@law
@given(st.floats(1e-9, 1.0), st.integers(4, 40))
def test_a_bar_is_as_long_as_its_share(share: float, longest: int) -> None:
    drawn = bar(share, 1.0, longest)
    length = sum("▏▎▍▌▋▊▉█".index(one) + 1 for one in drawn) / 8
    assert length == pytest.approx(longest * share, abs=0.126)


def test_a_layer_that_has_no_variant_has_no_bars() -> None:
    (layer,) = dscost.layer(64, 64, 1).layers
    assert bars_drawing(layer.variants, None, {"standard": "as it is"}) is None


def test_a_model_without_its_own_pairs_says_standard_once() -> None:
    text = render([dscost.analyze("resnet18")], "table", View())
    rows = [line.split("   ")[0] for line in text.splitlines()]
    assert "as it is" in rows
    assert "standard" not in rows
    both: Report = dscost.analyze("mobilenet_v2")
    assert "standard" in [
        line.split("   ")[0] for line in render([both], "table", View()).splitlines()
    ]
