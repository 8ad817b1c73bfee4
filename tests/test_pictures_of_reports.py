"""Pictures of layers, models and devices show what is known, by hand, and say what is not."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from legible import assert_legible
from program import run

import dscost
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.pages.pictures import Bar, Bars, NotDrawn, Plot
from dscost.pages.pictures.of_layers import layers_picture, times_picture
from dscost.pages.pictures.of_reports import pictures_of_report
from dscost.pages.pictures.of_sums import cumulative_picture
from dscost.pages.pictures.of_variants import costs_picture
from dscost.pages.pictures.parts import parts_of
from dscost.pages.pictures.promises_of_reports import promise_of_report
from dscost.pages.pictures.rooflines import roofline_of_device
from dscost.pages.pictures.rooflines_of_reports import roofline_of_report
from dscost.rendering.drawing import svg_of
from dscost.reports.records import (
    Ceiling,
    Coverage,
    Environment,
    Latency,
    Layer,
    Noise,
    Report,
    Speedup,
    Timing,
)

STANDARD_MACS, SEPARABLE_MACS = 14 * 14 * 256 * 256 * 9, 14 * 14 * 256 * (9 + 256)


@cache
def layer_report() -> Report:
    """Return the layer that all know, 256 → 256, 3×3 at 14×14, counted."""
    return dscost.layer(in_channels=256, out_channels=256, kernel_size=3, input_size=14)


@cache
def counted(target: str) -> Report:
    return dscost.analyze(target)


def latency(seconds: float) -> Latency:
    return Latency(seconds, (0.9 * seconds, 1.1 * seconds), 0.0, seconds, seconds, seconds, 9)


def timing(
    standard_s: float, separable_s: float, within: float = 1.1, stages: Mapping[str, float] = {}
) -> Timing:
    """Return what was measured, with a speedup whose interval is that factor to either side."""
    times = {"as_is": standard_s, STANDARD: standard_s, SEPARABLE: separable_s}
    speedup = standard_s / separable_s
    return Timing(
        latencies={name: latency(seconds) for name, seconds in times.items()},
        ratios={SEPARABLE: Speedup(speedup, (speedup / within, speedup * within))},
        stages={name: latency(seconds) for name, seconds in stages.items()},
    )


PLACE = Environment(
    *("a processor", 1, "float32", "contiguous", "tuned", "2.13.0", None, None),
    noise_floor=0.01,
    ceilings={"cpu:float32": Ceiling(flops_per_s=100e9, bytes_per_s=10e9)},
)


def timed_layer(**timings: Timing) -> Report:
    report = layer_report()
    by_key = {key.replace("__", ":"): one for key, one in timings.items()}
    return report._replace(
        layers=(report.layers[0]._replace(latency=by_key),), latency=by_key, environment=PLACE
    )


def timed_model(report: Report, seconds: Mapping[str, tuple[float, float]]) -> Report:
    """Return a model some of whose layers were timed, standard and separable."""

    def timed(layer: Layer) -> Layer:
        if layer.name not in seconds:
            return layer
        return layer._replace(latency={"cpu": timing(*seconds[layer.name])})

    return report._replace(layers=tuple(map(timed, report.layers)), environment=PLACE)


def drawn(picture: object) -> Plot:
    assert isinstance(picture, Plot), picture
    assert_legible(picture)
    return picture


def bars_of(picture: object) -> Bars:
    assert isinstance(picture, Bars), picture
    assert_legible(picture)
    return picture


# -- promise


def test_a_promise_is_fewer_macs_against_the_speedup_with_its_interval() -> None:
    plot = drawn(promise_of_report(timed_layer(cpu=timing(3.6e-3, 1e-3))))
    ((point,),) = [series.points for series in plot.series]
    assert point.x == STANDARD_MACS / SEPARABLE_MACS  # 8.69
    assert point.y == pytest.approx(3.6)
    assert point.y_interval == pytest.approx((3.6 / 1.1, 3.6 * 1.1))
    assert point.tells == "depthwise-separable, torch: 8.69× fewer MACs, 3.6× faster [3.3, 4.0]."
    diagonal, level = plot.rules
    assert all(x == y for x, y in diagonal.points)
    assert all(y == 1 for _, y in level.points)
    assert plot.measured == "a processor, 1 thread, torch 2.13.0"
    assert plot.title.endswith(": promise against clock, torch")  # no legend names the only one


def test_every_setting_has_a_series_and_what_the_clock_cannot_tell_is_told() -> None:
    report = timed_layer(
        cpu=timing(4e-3, 1e-3),
        cpu__onnxruntime=timing(1e-3, 2e-3),
        cpu__channels_last=timing(4e-3, 1e-3, within=2),
    )
    plot = drawn(promise_of_report(report))
    assert [series.name for series in plot.series] == ["torch", "ONNX Runtime"]
    assert [series.points[0].y for series in plot.series] == pytest.approx([4, 0.5])
    assert (
        "Of 2 points, by their medians: 0 as fast as the MACs promise, 1 slower than standard."
        in plot.told
    )
    assert plot.notes[1:] == [
        "Left out: depthwise-separable (torch, channels_last): times that vary too much to "
        "tell a speedup."
    ]
    only = timed_layer(cpu=timing(4e-3, 1e-3, within=2))
    assert promise_of_report(only) == NotDrawn(
        "promise", "the clock cannot tell how fast anything is: give it longer by --time-budget"
    )


def test_equal_convolutions_of_a_model_are_one_point_beside_the_whole() -> None:
    """Four layers of the first stage of ResNet-18 are one convolution, with a fourth of its MACs."""
    names = [f"layer1.{at}.conv{number}" for at in (0, 1) for number in (1, 2)]
    report = timed_model(counted("resnet18"), dict.fromkeys(names, (3e-3, 1e-3)))
    whole = report._replace(latency={"cpu": timing(40e-3, 10e-3)})
    plot = drawn(promise_of_report(whole))
    ((model, layer),) = [series.points for series in plot.series]
    assert (model.name, model.weight, model.y) == ("whole model", 1.0, pytest.approx(4))
    assert (layer.name, layer.y) == ("layer1.0.conv1", pytest.approx(3))
    assert layer.tells.startswith("layer1.0.conv1 and 3 more that are equal, torch: 7.89×")
    assert layer.weight == 4 * 56 * 56 * 64 * 64 * 9 / 1_814_073_344
    assert layer.x == 64 * 64 * 9 / (64 * 9 + 64 * 64)


def test_points_of_several_settings_at_one_promise_stand_beside_each_other() -> None:
    both = timed_layer(cpu=timing(4e-3, 1e-3), cpu__channels_last=timing(4e-3, 1e-3))
    plot = drawn(promise_of_report(both))
    assert plot.notes[0].startswith("Points of the same MACs stand beside each other")
    _, _, *marks = re.findall(
        r'd="M([\d.]+) [^"]*" fill="#\w+" class="f-s\d l-ground"', svg_of(plot)
    )
    circle, square = map(float, marks)  # both begin at their left
    assert square - circle == pytest.approx(8, abs=0.2)
    assert not drawn(promise_of_report(timed_layer(cpu=timing(4e-3, 1e-3)))).is_apart


# -- roofline


def test_the_outermost_points_of_each_series_have_names_first_and_no_name_stands_twice() -> None:
    """The layer of fewest FLOPs is by far the slowest: its two points are the lowest."""
    swappable = [layer.name for layer in counted("resnet50").layers if layer.swappable]
    seconds = {name: (at * 1e-3, at * 0.5e-3) for at, name in enumerate(swappable, 1)}
    slow = min(swappable, key=lambda name: next(
        one.cost.macs or 0 for one in counted("resnet50").layers if one.name == name))  # fmt: skip
    plot = drawn(
        roofline_of_report(timed_model(counted("resnet50"), {**seconds, slow: (9.0, 8.0)}))
    )
    for series in plot.series:
        lowest = min(series.points, key=lambda point: point.y)
        assert lowest.name.startswith(slow)
        ends = {end(series.points, key=lambda one: (one.x, one.y)[at]).name
                for end in (min, max) for at in (0, 1)}  # fmt: skip
        assert "" not in ends
    names = [point.name for series in plot.series for point in series.points if point.name]
    assert len(names) == len(set(names)) == 12  # of 34, so that they are not all that is seen


def test_a_layer_stands_below_the_roof_of_what_it_was_timed_on() -> None:
    """The roof of 100 GFLOP/s and 10 GB/s has its ridge at 10 FLOP/byte."""
    stages = {"depthwise": 0.2e-3, "pointwise": 0.5e-3}
    plot = drawn(roofline_of_report(timed_layer(cpu=timing(4e-3, 1e-3, stages=stages))))
    found = {point.name: point for series in plot.series for point in series.points}
    assert found["standard"].x == pytest.approx(
        2 * STANDARD_MACS / (2 * 14 * 14 * 256 + 256 * 256 * 9) / 4
    )
    assert found["standard"].y == 2 * STANDARD_MACS / 4e-3
    assert found["depthwise"].x == pytest.approx(2 * 9 * 196 * 256 / (2 * 196 * 256 + 9 * 256) / 4)
    assert found["depthwise"].y == 2 * 9 * 196 * 256 / 0.2e-3
    roof, ridge = plot.rules
    assert roof.points[1] == (10.0, 100e9)
    assert roof.points[0][1] == pytest.approx(10e9 * roof.points[0][0])
    assert ridge.name == "ridge at 10.0 FLOP/byte"
    assert "reach 21 % to 58 % of its roof" in plot.told  # 4.52 of 22.0, 57.8 of 100 GFLOP/s
    assert "by its memory" in found["depthwise"].tells
    assert "by its arithmetic" in found["standard"].tells
    assert not plot.notes
    above = drawn(roofline_of_report(timed_layer(cpu=timing(1e-3, 1e-3))))
    assert "in caches" in above.notes[0]  # 231 MFLOPs in a millisecond


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (
            layer_report(),
            "no ceilings are known: time it (time=True), or name a device by --on (on='t4')",
        ),
        (timed_layer(cuda=timing(4e-3, 1e-3)), "no ceilings of what it was timed on are known"),
    ],
    ids=["not timed", "no ceilings"],
)
def test_without_ceilings_there_is_no_roofline(report: Report, why: str) -> None:
    found = roofline_of_report(report)
    assert isinstance(found, NotDrawn)
    assert found.why.startswith(why)


def test_what_was_not_timed_stands_on_the_roof_of_a_device(tmp_path: Path) -> None:
    board = tmp_path / "t4.yaml"  # a board of the user, called as another device is
    board.write_text(
        "name: My board\nsource: its maker\nflops_per_s: {float32: 64e9}\nbytes_per_s: 4e9\n"
    )
    mine = dscost.analyze("resnet18", on=[str(board)])
    plot = drawn(roofline_of_report(mine))
    for series in plot.series:
        for point in series.points:
            assert point.y == pytest.approx(min(64e9, 4e9 * point.x))
    assert plot.rules[1].name == "ridge at 16.0 FLOP/byte"
    assert [series.name for series in plot.series] == ["as it is", "stages of depthwise-separable"]


def test_a_device_whose_bounds_do_not_tell_its_roof_is_not_taken_for_another(
    tmp_path: Path,
) -> None:
    """The layer is bound by arithmetic: nothing tells the memory, which --explain does."""
    board = tmp_path / "t4.yaml"
    board.write_text(
        "name: My board\nsource: its maker\nflops_per_s: {float32: 64e9}\nbytes_per_s: 320e9\n"
    )
    asked = [
        "layer",
        "256",
        "256",
        "3",
        "--no-time",
        "--on",
        str(board),
        "--format",
        "svg:roofline",
    ]
    ran = run(*asked)
    assert ran.returncode == 2
    assert "the bounds on t4 do not tell its roof: with --explain they do" in ran.stderr
    explained = run(*asked, "--explain")
    assert "ridge at 0.2 FLOP/byte" in explained.stdout, explained.stderr


def test_layers_of_a_model_stand_where_either_version_was_timed() -> None:
    timed = timed_model(counted("resnet18"), {"layer1.0.conv1": (4e-3, 1e-3)})
    plot = drawn(roofline_of_report(timed))
    assert {series.name: [point.y for point in series.points] for series in plot.series} == {
        "standard": [2 * 56**2 * 64 * 64 * 9 / 4e-3],
        "depthwise-separable": [2 * 56**2 * 64 * (9 + 64) / 1e-3],
    }


def test_only_the_points_of_most_flops_have_names() -> None:
    plot = drawn(roofline_of_report(dscost.analyze("resnet50", on=["t4"])))
    points = [point for series in plot.series for point in series.points]
    named = [point.weight for point in points if point.name]
    others = [point.weight for point in points if not point.name]
    assert 12 <= len(named) < len(points)
    assert min(named) > max(others)


def test_several_devices_have_a_roof_each() -> None:
    both = dscost.layer(256, 256, 3, input_size=14, on=["t4", "raspberry_pi_4"])
    plot = drawn(roofline_of_report(both))
    assert [series.name for series in plot.series] == [
        "NVIDIA T4",
        "Raspberry Pi 4 Model B (4 cores)",
    ]
    assert plot.series[0].points[0].y == pytest.approx(8.1e12)


def test_a_device_has_its_roof_and_what_it_is_known_by() -> None:
    plot = drawn(roofline_of_device(dscost.device("t4")))
    assert plot.rules[0].points[1] == (8.1e12 / 320e9, 8.1e12)
    depthwise, dense = plot.series[0].points
    assert (depthwise.x, dense.y) == (2.25, 8.1e12)  # 9 · 2 FLOPs of 8 bytes
    assert "not measured" in plot.notes[0]


# -- costs


def test_costs_are_shares_of_standard_with_their_figures() -> None:
    bars = bars_of(costs_picture(timed_layer(cpu=timing(4e-3, 1e-3))))
    assert bars.series == ["MACs", "bytes moved", "time"]
    standard, separable = bars.bars
    assert standard.values == [1.0, 1.0, 1.0]
    positions = 2 * 196 * 256
    moved = (2 * positions + 256 * 9 + 256 * 256) / (positions + 256 * 256 * 9)
    assert separable.values == pytest.approx([SEPARABLE_MACS / STANDARD_MACS, moved, 0.25])
    assert separable.intervals[2] == pytest.approx((0.25 / 1.1, 0.25 * 1.1))
    assert separable.texts == ["13.30M MACs (11.5 %)", "1.024 MiB (38.9 %)", "1.00 ms (25 %)"]
    assert "1/N + 1/K² = 1/256 + 1/9 = 11.5 % of the weights and MACs" in bars.notes[0]
    assert bars.notes[1].startswith("A share of time, and the interval on it, is of the two timed")


def test_a_variant_that_moves_many_times_as_much_says_so_in_plain_digits() -> None:
    """An inverted residual of 64 channels at 112×112 moves its 384 in between four times more."""
    bars = bars_of(
        costs_picture(dscost.layer(64, 64, 3, input_size=112, variants=["inverted-residual"]))
    )
    stages, residual = 64 + 384 * 4 + 64, 3 * 64
    moved = 4 * (112 * 112 * (stages + residual) + 384 * (64 + 9 + 64))
    whole = 4 * (112 * 112 * 128 + 64 * 64 * 9)
    assert f"({100 * moved / whole:,.0f} %)" in bars.bars[-1].texts[1]


def test_a_time_that_the_clock_cannot_tell_has_no_bar() -> None:
    bars = bars_of(costs_picture(timed_layer(cpu=timing(4e-3, 1e-3, within=2))))
    assert bars.bars[1].values[2] is None
    assert bars.bars[1].texts[2] == "1.00 ms, share unclear"
    counted_only = bars_of(costs_picture(layer_report()))
    assert counted_only.series == ["MACs", "bytes moved"]
    assert not counted_only.measured


def test_a_layer_alone_has_nothing_to_be_compared_with() -> None:
    alone = dscost.layer(256, 256, 1, input_size=14)
    assert isinstance(costs_picture(alone), NotDrawn)


# -- layers, times


def test_a_separable_model_is_shown_beside_standard_pair_by_pair() -> None:
    """MobileNetV1's 4866 M against 569 M (Howard et al. 2017, table 4)."""
    bars = bars_of(layers_picture(counted("mobilenet_v1")))
    assert bars.series == ["standard", "as it is"]
    assert [sum(bar.values[at] or 0 for bar in bars.bars) for at in (0, 1)] == [
        4_867_293_184,
        568_740_352,
    ]
    first_pair = bars.bars[1]
    assert first_pair.values == [112**2 * 32 * 64 * 9, 112**2 * 32 * (9 + 64)]
    assert len(bars.bars) == 1 + 13 + 1


def test_a_standard_model_is_shown_beside_separable() -> None:
    bars = bars_of(layers_picture(counted("resnet18")))
    assert bars.series == ["as it is", "depthwise-separable"]
    second = bars.bars[1]
    assert (second.name, second.values) == (
        "layer1.0.conv1",
        [56**2 * 64 * 64 * 9, 56**2 * 64 * (9 + 64)],
    )


def test_a_large_model_is_shown_by_block_and_nothing_is_lost() -> None:
    bars = bars_of(layers_picture(counted("resnet50")))
    names = [bar.name for bar in bars.bars]
    assert (names[0], names[1], names[-1], len(names)) == ("conv1", "layer1.0", "fc", 18)
    assert sum(bar.values[0] or 0 for bar in bars.bars) == 4_089_184_256
    assert bars.title.endswith("MACs of each block")


def test_a_large_model_without_blocks_has_its_largest_layers_and_the_rest() -> None:
    report = counted("resnet50")
    flat = [layer._replace(name=layer.name.replace(".", "_")) for layer in report.layers]
    bars = bars_of(layers_picture(report._replace(layers=tuple(flat))))
    assert (len(bars.bars), bars.bars[-1].name) == (31, "(24 more)")
    assert sum(bar.values[0] or 0 for bar in bars.bars) == 4_089_184_256


def test_times_are_of_the_layers_that_were_timed() -> None:
    report = timed_model(
        counted("resnet18"), {"conv1": (9e-3, 2e-3), "layer1.0.conv1": (3e-3, 1e-3)}
    )
    bars = bars_of(times_picture(report))
    assert [(bar.name, bar.values) for bar in bars.bars] == [
        ("conv1", [9e-3, 2e-3]),
        ("layer1.0.conv1", [3e-3, 1e-3]),
    ]
    share = 100 * (112**2 * 64 * 3 * 49 + 56**2 * 64 * 64 * 9) / 1_814_073_344
    assert f"2 of 21 layers were timed one by one, with {share:.3g} % of the MACs" in bars.notes[0]
    assert bars.bars[0].intervals == [
        pytest.approx((8.1e-3, 9.9e-3)),
        pytest.approx((1.8e-3, 2.2e-3)),
    ]
    untimed = times_picture(counted("resnet18"))
    assert isinstance(untimed, NotDrawn)
    assert "leave out --no-time, or say time=True from Python" in untimed.why


def test_the_interval_of_equal_calls_is_that_of_one_times_their_number() -> None:
    """Three calls of 3 ms each within a tenth; calls on other shapes have no interval."""

    def bar_of(all_calls: Mapping[str, float]) -> Bar:
        own = timing(3e-3, 1e-3)._replace(layers_s=all_calls)
        layers = [
            layer._replace(latency={"cpu": own} if layer.name == "conv1" else {})
            for layer in counted("resnet18").layers
        ]
        report = counted("resnet18")._replace(layers=tuple(layers), environment=PLACE)
        (bar,) = bars_of(times_picture(report)).bars
        return bar

    equal = bar_of({STANDARD: 9e-3, SEPARABLE: 3e-3})
    assert equal.values == [9e-3, 3e-3]
    assert equal.intervals == [pytest.approx((8.1e-3, 9.9e-3)), pytest.approx((2.7e-3, 3.3e-3))]
    assert bar_of({STANDARD: 10e-3, SEPARABLE: 3.5e-3}).intervals == [None, None]


def test_of_a_timed_model_the_promise_is_drawn_where_nothing_is_named() -> None:
    report = timed_model(counted("resnet18"), {"conv1": (9e-3, 2e-3)})
    assert "promise against clock, torch" in report.plot().svg
    assert "MACs of each layer" in counted("resnet18").plot().svg


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"noise_floor": 0.41}, "; differences under 41 % are noise"),
        ({"noise_floor": 0.03}, ""),
        ({"noise_floor": None}, "; the noise floor is not known"),
        (
            {"noise_floor": 0.02, "noise_floors": {"cpu": 0.05}},
            "; differences under 5.0 % are noise",
        ),
        (
            {"noise": (Noise("load", 9.5, 2.0), Noise("steal", 0.2, 0.1))},
            ", noisy (load 9.5 on 2 cores)",
        ),
    ],
    ids=["much", "usual", "unknown", "of its place", "noisy"],
)
def test_pictures_of_times_say_what_is_noise_in_them(found: dict[str, Any], told: str) -> None:
    where = PLACE._replace(**found)
    layer = timed_layer(cpu=timing(4e-3, 1e-3))._replace(environment=where)
    model = timed_model(counted("resnet18"), {"conv1": (9e-3, 2e-3)})._replace(environment=where)
    pictures = [*pictures_of_report(layer), *pictures_of_report(model)]
    measured = {
        one.name: one.measured for one in pictures if not isinstance(one, NotDrawn) and one.measured
    }
    assert measured.keys() == {"costs", "promise", "times", "roofline", "cumulative"}
    assert {*measured.values()} == {f"a processor, 1 thread, torch 2.13.0{told}"}


def test_operators_of_unknown_cost_are_told_where_macs_are_summed() -> None:
    report = counted("resnet18")._replace(
        coverage=Coverage(9, 9, ("my::op (2×)", "my::other (1×)"))
    )
    note = "Operators of unknown cost are in no figure: my::op (2×), my::other (1×)."
    assert bars_of(layers_picture(report)).notes == [note]
    assert note in drawn(cumulative_picture(report)).notes
    assert not bars_of(layers_picture(counted("resnet18"))).notes


# -- cumulative


def test_sums_tell_where_time_goes_beside_where_macs_are() -> None:
    report = timed_model(
        counted("resnet18"), {"conv1": (9e-3, 2e-3), "layer1.0.conv1": (3e-3, 1e-3)}
    )
    plot = drawn(cumulative_picture(report))
    macs, time, separable = plot.series
    assert [point.x for point in time.points] == [0, 1, 2]
    assert [point.y for point in time.points] == pytest.approx([0, 9 / 12, 1])
    assert [point.y for point in separable.points] == pytest.approx([0, 2 / 12, 3 / 12])
    of_conv1, of_other = 112**2 * 64 * 3 * 49, 56**2 * 64 * 64 * 9
    assert macs.points[1].y == pytest.approx(of_conv1 / (of_conv1 + of_other))
    assert time.points[1].name == "conv1"
    assert time.points[1].tells == (
        "conv1: MACs 118.0M (51 % so far), time 9.00 ms (75 % so far), "
        "time, depthwise-separable 2.00 ms (17 % so far)."
    )
    assert all(series.joined == "steps" for series in plot.series)
    reached = "half of the {} is reached at layer 1 of 2"  # 118.0M of 233.6M, 9 of 12 ms
    assert f"{reached.format('MACs')}, {reached.format('time')}." in plot.told


def test_a_pair_takes_as_it_is_what_it_takes_separable() -> None:
    report = counted("mobilenet_v1")
    first = next(layer.name for layer in report.layers if layer.pair)
    timed = timed_model(report, {first: (9e-3, 2e-3)})
    (pair,) = [part for part in parts_of(timed, "cpu") if part.seconds]
    assert pair.seconds == {"as_is": 2e-3, STANDARD: 9e-3, SEPARABLE: 2e-3}
    ((point,),) = [series.points for series in drawn(promise_of_report(timed)).series]
    assert point.weight == 112**2 * 32 * 64 * 9 / 4_867_293_184  # of the standard model


def test_sums_of_what_was_not_timed_are_of_macs_and_bytes() -> None:
    plot = drawn(cumulative_picture(counted("resnet18")))
    assert [series.name for series in plot.series] == ["MACs", "bytes moved"]
    assert [series.points[-1].y for series in plot.series] == pytest.approx([1, 1])
    assert plot.notes == ["No layer was timed: bytes moved stand in place of times."]


# -- all of them


@pytest.mark.parametrize("name", ["", "x" * 10_000, "a\n<b>&\"'\u202e\x1b[31m", "名前"])
def test_names_of_any_kind_are_drawn(name: str) -> None:
    report = timed_model(
        counted("resnet18"), {"conv1": (9e-3, 2e-3), "layer1.0.conv1": (3e-3, 1e-3)}
    )
    layers = tuple(
        layer._replace(name=f"{name}{at or ''}") for at, layer in enumerate(report.layers)
    )
    report = report._replace(target=name or "m", layers=layers)
    found = pictures_of_report(report)
    assert [one.name for one in found] == ["promise", "times", "layers", "roofline", "cumulative"]
    for picture in found:
        assert not isinstance(picture, NotDrawn)
        svg = assert_legible(picture)
        assert not {"\x1b", "\u202e"} & set(svg)
        assert len(svg) < 150_000


@pytest.mark.parametrize("extreme", [5e-324, 1e-300, 1e300])
def test_figures_that_no_machine_has_are_left_out(extreme: float) -> None:
    """A saved report may hold any number; quotients of such are none."""
    report = timed_layer(cpu=timing(4e-3, 1e-3), cpu__channels_last=timing(4e-3, 1e-3))
    (layer,) = report.layers
    ratios = {SEPARABLE: Speedup(extreme, (extreme, extreme))}
    odd = layer.latency["cpu:channels_last"]._replace(ratios=ratios)
    layers = (layer._replace(latency={"cpu": layer.latency["cpu"], "cpu:channels_last": odd}),)
    promise = drawn(promise_of_report(report._replace(layers=layers)))
    assert promise.notes == [
        "Left out: depthwise-separable (torch, channels_last): figures that no machine has."
    ]
    costs = bars_of(costs_picture(report._replace(layers=layers)))
    assert costs.bars[1].values[3] is None
    times = {name: latency(extreme) for name in ("as_is", STANDARD, SEPARABLE)}
    no_time = (layer._replace(latency={"cpu": Timing(times)}),)
    assert isinstance(roofline_of_report(report._replace(layers=no_time)), NotDrawn)
    model = timed_model(
        counted("resnet18"), {"conv1": (extreme, extreme), "layer1.0.conv1": (3e-3, 1e-3)}
    )
    assert [bar.name for bar in bars_of(times_picture(model)).bars] == ["layer1.0.conv1"]
    ceilings = {"cpu:float32": Ceiling(flops_per_s=extreme, bytes_per_s=10e9)}
    no_roof = report._replace(environment=PLACE._replace(ceilings=ceilings))
    assert isinstance(roofline_of_report(no_roof), NotDrawn)


def test_a_model_of_one_linear_layer_says_why_it_has_no_promise() -> None:
    report = counted("resnet18")
    report = report._replace(layers=report.layers[-1:])
    why = {one.name: one.why for one in pictures_of_report(report) if isinstance(one, NotDrawn)}
    assert why["promise"] == "no layer could be depthwise-separable, or is"
    bars_of(layers_picture(report))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["layer", "256", "256", "3"],
            "picture 'promise': nothing was timed: leave out --no-time, or say time=True from Python",
        ),
        (
            ["model", "resnet18"],
            "picture 'promise': nothing was timed: leave out --no-time, or say time=True from Python",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(arguments: list[str], message: str) -> None:
    ran = run(*arguments, "--no-time", "--format", "svg:promise")
    assert ran.returncode == 2
    assert ran.stderr.strip() == f"dscost: {message}"


def test_a_device_is_drawn_from_the_command_line() -> None:
    ran = run("device", "t4", "--format", "svg")
    assert ran.returncode == 0, ran.stderr
    assert "NVIDIA T4, float32: its roofline" in ran.stdout
