"""Where there is little room, what decides stays: intervals and long titles go before figures do."""

import pytest
from properties import timing_with

import dscost
from dscost.rendering import View, render
from dscost.reports.records import Cause, Latency, Report, Speedup


def latency(seconds: float) -> Latency:
    ends = (0.99 * seconds, 1.02 * seconds)
    return Latency(seconds, ends, 0.01 * seconds, seconds, seconds, seconds, 40)


TIMING = timing_with(
    Speedup(5.44, (5.41, 5.47)),
    as_is=latency(2.03e-3),
    standard=latency(2.03e-3),
    depthwise_separable=latency(373e-6),
    rest={
        "stages": {"depthwise": latency(83.8e-6), "pointwise": latency(277e-6)},
        "gap_s": 12.3e-6,
    },
)


def timed_layer() -> Report:
    report = dscost.layer(256, 256, 3)
    (layer,) = report.layers
    both = {"cpu": TIMING, "cpu:channels_last": TIMING}
    return report._replace(layers=(layer._replace(latency=both),), latency=both)


def timed_model() -> Report:
    report = dscost.analyze("resnet18")
    layers = tuple(
        layer._replace(latency={"cpu": TIMING}) if layer.variants else layer
        for layer in report.layers
    )
    whole = TIMING._replace(stages={}, gap_s=None)
    return report._replace(layers=layers, latency={"cpu": whole})


def test_at_sixty_columns_params_and_latency_stay_and_no_row_is_empty() -> None:
    text = render([timed_layer()], "table", View(width=60))
    table = text[text.index("variant ") :].splitlines()[:7]
    assert table == [
        "variant           params     MACs   latency       speedup",
        "─────────────────────────────────────────────────────────",
        "standard          589.8k   115.6M   2.03 ms",
        "separable         67.84k   13.30M    373 µs   5.4× faster",
        "  depthwise        2,304   451.6k   83.8 µs",
        "  pointwise       65.54k   12.85M    277 µs",
        "  between calls                     12.3 µs",
    ]


def test_at_a_hundred_columns_intervals_stand_beside_params() -> None:
    text = render([timed_layer()], "table", View(width=100))
    assert "67.84k   13.30M      373 µs [369, 380]        8.69×   5.4× faster [5.4, 5.5]" in text


@pytest.mark.parametrize("width", [40, 45, 50, 60, 70, 80, 90, 100, 120, 140, 200])
def test_no_row_is_empty_and_no_line_too_long_at_any_width(width: int) -> None:
    text = render([timed_layer(), timed_model()], "table", View(width=width))
    assert max(map(len, text.splitlines())) <= width
    for line in text.splitlines():
        assert line.strip() not in ("between the calls", "between calls", "depthwise", "pointwise")


def test_a_model_that_is_standard_as_it_is_has_no_column_for_it() -> None:
    text = render([timed_model()], "table", View())
    assert "standard MACs" not in text
    asked = render([timed_model()], "table", View(columns=("macs", "standard_macs")))
    assert "standard MACs" in asked
    assert "standard MACs" in render([dscost.analyze("mobilenet_v2")], "table", View())


def test_a_verdict_stands_where_the_speedup_leaves_it_open_or_it_was_asked_for() -> None:
    report = timed_model()
    assert "verdict" not in render([report], "table", View())
    open_ = TIMING._replace(ratios={"depthwise_separable": Speedup(1.1, (0.9, 1.4))})
    first, *others = report.layers
    unsure = report._replace(layers=(first._replace(latency={"cpu": open_}), *others))
    text = render([unsure], "table", View())
    assert text.count("unclear") == 1
    assert "1.10× [0.90, 1.40]" in text
    asked = render([report], "table", View(columns=("speedup", "verdict")))
    assert asked.count("faster [5.4, 5.5]   faster") == 17


def test_nothing_is_explained_where_the_clock_cannot_tell() -> None:
    report = timed_layer()
    cause = Cause("layout", "cpu", {"weight": 0.5, "gain": 1.54, "standard_gain": 0.892})
    (layer,) = report.layers
    told = report._replace(layers=(layer._replace(causes=(cause,)),))
    assert "In channels_last it runs" in render([told], "table", View())
    wide = TIMING._replace(ratios={"depthwise_separable": Speedup(5.0, (2.0, 12.0))})
    open_ = layer._replace(causes=(cause,), latency={"cpu": wide})
    text = render([report._replace(layers=(open_,), latency={"cpu": wide})], "table", View())
    assert "cannot tell" in text
    assert "channels_last it runs" not in text
