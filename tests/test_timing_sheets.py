"""What tables say of made-up times."""

import json
import re

import pytest
from properties import timing_with

import dscost
from dscost.pages.page import Sheet
from dscost.pages.timings import (
    devices_sheet,
    explanation_sheet,
    layer_sheets,
    settings_sheet,
    sums_sheet,
)
from dscost.rendering import View, render
from dscost.reports.records import (
    UNKNOWN_FLOOR,
    Bound,
    Ceiling,
    Environment,
    Latency,
    Layer,
    Noise,
    Report,
    Speedup,
    Timing,
)


def latency(seconds: float, **given: float | str | bool) -> Latency:
    interval = (seconds * 0.99, seconds * 1.01)
    return Latency(seconds, interval, seconds / 50, seconds, seconds, seconds, samples=40, **given)


def timing(standard_s: float, separable_s: float | None = None, **given: object) -> Timing:
    if separable_s is None:
        return timing_with(as_is=latency(standard_s), standard=latency(standard_s))
    ratio = standard_s / separable_s
    speedup = Speedup(ratio, (ratio * 0.99, ratio * 1.01))
    return timing_with(
        speedup,
        as_is=latency(standard_s),
        standard=latency(standard_s),
        depthwise_separable=latency(separable_s),
        rest=given,
    )


def cells(sheet: Sheet) -> list[dict[str, str]]:
    """Every row by the keys of the columns that are shown."""
    keys = [column.key for column in sheet.columns]
    return [{key: row.cells.get(key, "") for key in keys} for row in sheet.rows]


def column(sheet: Sheet, key: str) -> list[str]:
    return [row.get(key, "not shown") for row in cells(sheet)]


ENVIRONMENT = Environment(
    device="made up",
    threads=1,
    dtype="float32",
    memory_format="contiguous, channels_last",
    allocator="tuned",
    torch_version="2.13.0",
    load_before=0.5,
    load_after=0.6,
    noise_floor=0.012,
)
COUNTED = dscost.layer(in_channels=256, out_channels=256, kernel_size=3)


def measured(timings: dict[str, Timing], report: Report = COUNTED, **environment: object) -> Report:
    layers = tuple(
        layer._replace(latency=timings, verdict="faster")
        if "depthwise_separable" in layer.variants
        else layer
        for layer in report.layers
    )
    return report._replace(
        layers=layers, latency=timings, environment=ENVIRONMENT._replace(**environment)
    )


# -- differences


# -- settings side by side


def test_best_is_what_takes_least() -> None:
    sheet = settings_sheet(
        {"cpu": timing(200e-6, 90e-6), "cpu:channels_last": timing(150e-6, 95e-6)}, own_batch=1
    )
    assert column(sheet, "setting") == ["cpu", "cpu:channels_last"]
    assert column(sheet, "standard") == ["200 µs", "150 µs"]
    assert column(sheet, "separable") == ["90.0 µs", "95.0 µs"]
    assert column(sheet, "best") == ["separable", "standard"]
    assert "throughput" not in cells(sheet)[0]


def test_several_settings_are_best_where_the_clock_sees_no_difference() -> None:
    timings = {
        "cpu": timing(102.9e-6, 50e-6),
        "cpu:channels_last": timing(100e-6, 51.6e-6),
        "cpu:compile": timing(103.1e-6, 51.4e-6),
    }
    sheet = settings_sheet(timings, own_batch=1)
    # up to 103 µs and 51.5 µs
    assert column(sheet, "best") == ["standard, separable", "standard", "separable"]


def test_no_setting_is_best_by_less_than_the_machine_was_off_by() -> None:
    # 118 µs against 100 is 1.18 times as fast, on a machine that is off by 29 %
    timings = {"cpu": timing(100e-6, 118e-6), "cpu:channels_last": timing(101e-6, 100e-6)}
    noisy = {
        key: one._replace(ratios={"depthwise_separable": Speedup(1.0, (0.9, 1.1), 0.29)})
        for key, one in timings.items()
    }
    assert column(settings_sheet(noisy, 1), "best") == ["standard, separable"] * 2
    alone = {key: timing(one.standard.median_s) for key, one in timings.items()}
    assert column(settings_sheet(alone, 1), "best") == ["standard"] * 2
    slower = {"cpu": timing(118e-6), "cpu:channels_last": timing(100e-6)}
    assert column(settings_sheet(slower, 1), "best") == ["", "standard"]
    assert (
        column(settings_sheet(slower, 1, ENVIRONMENT._replace(noise_floor=0.29)), "best")
        == ["standard"] * 2
    )


def test_several_settings_are_best_by_their_time_per_input() -> None:
    timings = {
        "cpu": timing(200e-6, 100e-6),
        "cpu:batch8": timing(1640e-6, 832e-6),
    }  # 205 and 104 µs per input
    assert column(settings_sheet(timings, own_batch=1), "best") == [
        "standard, separable",
        "standard",
    ]


def test_best_is_per_input_where_batches_differ() -> None:
    timings = {
        "cpu": timing(100e-6, 50e-6),  # per input 100 and 50 µs
        "cpu:batch8": timing(1600e-6, 320e-6),  # 200 and 40 µs
        "cpu:channels_last:batch32": timing(4800e-6, 3200e-6),  # 150 and 100 µs
    }
    sheet = settings_sheet(timings, own_batch=1)
    assert column(sheet, "best") == ["standard", "separable", ""]
    assert column(sheet, "throughput") == ["20,000", "25,000", "10,000"]


def test_less_than_an_input_a_second_is_not_none() -> None:
    timings = {"cpu": timing(9.0, 4.0), "cpu:batch4": timing(9.0, 5.0)}
    assert column(settings_sheet(timings, own_batch=1), "throughput") == ["0.25", "0.80"]


def test_a_setting_without_a_batch_has_that_of_the_report() -> None:
    timings = {
        "cpu": timing(400e-6, 200e-6),
        "cpu:batch1": timing(110e-6, 40e-6),
    }  # per input 100, 50; 110, 40
    sheet = settings_sheet(timings, own_batch=4)
    assert column(sheet, "best") == ["standard", "separable"]
    assert column(sheet, "throughput") == ["20,000", "25,000"]


def test_one_setting_can_be_best_for_both() -> None:
    sheet = settings_sheet(
        {"cpu": timing(2e-4, 1e-4), "cpu:bfloat16": timing(1e-4, 5e-5)}, own_batch=1
    )
    assert column(sheet, "best") == ["", "standard, separable"]


def test_settings_of_a_layer_without_a_variant_have_no_verdict() -> None:
    sheet = settings_sheet({"cpu": timing(2e-4), "cpu:channels_last": timing(1e-4)}, own_batch=1)
    assert column(sheet, "separable") == ["–", "–"]
    assert column(sheet, "speedup") == ["–", "–"]
    assert column(sheet, "best") == ["", "standard"]
    assert "verdict" not in cells(sheet)[0]


def test_compiling_is_told_for_both_sides() -> None:
    compiled = timing_with(
        standard=latency(2e-4, compile_s=1.5), depthwise_separable=latency(1e-4, compile_s=2.25)
    )
    sheet = settings_sheet({"cpu": timing(2e-4, 1e-4), "cpu:compile": compiled}, own_batch=1)
    assert column(sheet, "compiled") == ["", "1.50 s + 2.25 s"]


# -- why


def explained() -> Layer:
    (layer,) = COUNTED.layers
    one = timing_with(
        Speedup(2.25, (2.2, 2.3)),
        as_is=latency(216e-6),
        standard=latency(
            216e-6, roofline_s=15.12e-6, bound="compute", predicted_s=155e-6, roofline_fraction=0.07
        ),
        depthwise_separable=latency(
            96e-6, roofline_s=2.6e-6, bound="memory", roofline_fraction=0.0271
        ),
        rest={
            "stages": {
                "depthwise": latency(61e-6, roofline_s=1e-6, bound="memory"),
                "pointwise": latency(29.5e-6),
            },
            "gap_s": 5.5e-6,
            "backends": {"standard": "Slow2d", "depthwise": "Mkldnn", "pointwise": "Slow2d"},
        },
    )
    return layer._replace(latency={"cpu": one})


def test_the_explanation_has_a_row_per_variant_stage_and_gap() -> None:
    sheet = explanation_sheet(explained())
    assert sheet.columns[0].key == "part"  # one setting needs no name
    assert column(sheet, "part") == [
        "standard",
        "separable",
        "  depthwise",
        "  pointwise",
        "  between the calls",
    ]
    assert column(sheet, "measured") == ["216 µs", "96.0 µs", "61.0 µs", "29.5 µs", "5.50 µs"]
    assert column(sheet, "roofline") == ["15.1 µs", "2.60 µs", "1.00 µs", "", ""]
    assert column(sheet, "predicted") == ["155 µs", "", "", "", ""]
    assert column(sheet, "bound") == ["compute", "memory", "memory", "", ""]
    assert column(sheet, "fraction") == ["7%", "3%", "", "", ""]
    assert column(sheet, "backend") == ["Slow2d", "", "Mkldnn", "Slow2d", ""]
    # 256 → 256, 3×3 at 14×14: 2 · 9 · 256 · 196 FLOPs over 2 · 256 · 196 + 256 · 9 values of 4 bytes
    assert (
        column(sheet, "flops_per_byte")[2]
        == f"{2 * 9 * 256 * 196 / (4 * (2 * 256 * 196 + 256 * 9)):.1f}"
    )


@pytest.mark.parametrize(
    ("bound", "balanced", "said"),
    [
        ("memory", True, "memory, balanced"),
        ("compute", True, "compute, balanced"),
        ("memory", False, "memory"),
    ],
)
def test_the_explanation_says_where_both_bounds_are_near(
    bound: str, balanced: bool, said: str
) -> None:
    one = timing_with(standard=latency(216e-6, roofline_s=15e-6, bound=bound, balanced=balanced))
    (layer,) = COUNTED.layers
    assert column(explanation_sheet(layer._replace(latency={"cpu": one})), "bound") == [said]


def test_the_intensity_is_that_of_the_dtype_and_the_batch_of_the_setting() -> None:
    (layer,) = COUNTED.layers
    keys = ["cpu:onnxruntime", "cpu:onnxruntime:int8", "cpu:batch8"]
    several = layer._replace(latency={key: timing(1e-4) for key in keys})
    # 256 → 256, 3×3 at 14×14: FLOPs of one input, values of both maps, weights
    flops, maps, weights = 2 * 9 * 256 * 256 * 196, 2 * 256 * 196, 9 * 256 * 256
    expected = [flops / 4 / (maps + weights), flops / (maps + weights)]
    expected.append(8 * flops / 4 / (8 * maps + weights))
    found = column(explanation_sheet(several), "flops_per_byte")
    assert found == [f"{one:.1f}" for one in expected]
    of_int8 = column(explanation_sheet(several, dtype="int8"), "flops_per_byte")
    assert float(of_int8[1]) == pytest.approx(flops / 4 / (maps + weights), abs=0.05)


def test_the_explanation_names_the_setting_where_there_are_several() -> None:
    layer = explained()
    several = layer._replace(latency={**layer.latency, "cpu:channels_last": timing(1e-4, 5e-5)})
    sheet = explanation_sheet(several)
    assert column(sheet, "setting") == ["cpu"] * 5 + ["cpu:channels_last"] * 2
    assert column(sheet, "measured")[5:] == ["100 µs", "50.0 µs"]


def test_the_gap_stands_under_the_stages_of_the_first_table() -> None:
    layer = explained()
    report = measured(dict(layer.latency))
    text = render([report], "table", View())
    rows = {
        line.split("  ")[1].strip() if line.startswith("  ") else "": line
        for line in text.splitlines()
    }
    assert rows["between the calls"].split()[3:] == ["5.50", "µs"]


@pytest.mark.parametrize(
    ("gap_s", "floor"),
    [(-279e-6, 0.03), (2.8e-6, 0.03), (5.5e-6, 0.08), (0.0, 0.03)],
    ids=["negative", "under three percent", "under the floor", "none"],
)
def test_a_gap_that_is_noise_is_left_out(gap_s: float, floor: float) -> None:
    # of a separable layer of 96 µs, of which 2.88 are three percent, and 7.68 eight
    layer = explained()
    noisy = layer.latency["cpu"]._replace(
        gap_s=gap_s, ratios={"depthwise_separable": Speedup(2.25, (2.1, 2.4), floor)}
    )
    text = render([measured({"cpu": noisy})], "table", View(explain=True))
    assert "between the calls" not in text
    assert "−" not in text


# -- whole models


def test_the_rest_is_what_the_layers_do_not_explain() -> None:
    whole = timing(10e-3, 4e-3, layers_s={"standard": 8.5e-3, "depthwise_separable": 5e-3})
    assert cells(sums_sheet(whole)) == [
        {"version": "standard", "whole": "10.0 ms", "layers": "8.50 ms", "rest": "1.50 ms"},
        {"version": "separable", "whole": "4.00 ms", "layers": "5.00 ms", "rest": ""},
    ]


def test_a_rest_below_the_noise_floor_is_not_told() -> None:
    layers_s = {"standard": 9.5e-3, "depthwise_separable": 3.5e-3}  # 0.5 of 10, 0.5 of 4
    ratio = {"depthwise_separable": Speedup(2.5, (2.4, 2.6), 0.06)}
    sheet = sums_sheet(timing(10e-3, 4e-3, layers_s=layers_s)._replace(ratios=ratio))
    assert [row["rest"] for row in cells(sheet)] == ["", "500 µs"]


def test_a_sum_stands_only_where_both_sides_are_known() -> None:
    assert cells(sums_sheet(timing(10e-3, 4e-3, layers_s={"standard": 8e-3}))) == [
        {"version": "standard", "whole": "10.0 ms", "layers": "8.00 ms", "rest": "2.00 ms"}
    ]
    alone = Timing(layers_s={"standard": 8e-3, "depthwise_separable": 5e-3})
    assert sums_sheet(alone).rows == []


# -- devices that one does not have


def test_devices_are_compared_by_their_bounds() -> None:
    found = {
        "t4": {
            "as_is": Bound(40e-6, "compute"),
            "standard": Bound(40e-6, "compute"),
            "depthwise_separable": Bound(10e-6, "memory"),
        },
        "phone": {"as_is": Bound(2e-3, "memory"), "standard": Bound(2e-3, "memory")},
    }
    sheet = devices_sheet(found)
    assert column(sheet, "device") == ["t4", "phone"]
    assert column(sheet, "standard") == ["40.0 µs", "2.00 ms"]
    assert column(sheet, "separable") == ["10.0 µs", ""]
    assert column(sheet, "bound") == ["compute → memory", "memory"]
    assert column(sheet, "speedup") == ["4.00×", ""]


def test_a_device_on_which_both_are_bound_alike_says_so_once() -> None:
    found = {"t4": {name: Bound(1e-3, "memory") for name in ("standard", "depthwise_separable")}}
    assert column(devices_sheet(found), "bound") == ["memory"]
    nothing = {
        "t4": {"standard": Bound(1e-3, "memory"), "depthwise_separable": Bound(0.0, "memory")}
    }
    assert "speedup" not in cells(devices_sheet(nothing))[0]


# -- on a page


TWO_SETTINGS = {
    "cpu:bfloat16": timing(
        216.4e-6,
        96.72e-6,
        stages={"depthwise": latency(61.8e-6), "pointwise": latency(26.2e-6)},
        gap_s=-8.73e-6,
        backends={"standard": "Slow2d", "depthwise": "Mkldnn", "pointwise": "Slow2d"},
    ),
    "cpu:bfloat16:channels_last:batch32": timing(
        174.1e-3,
        73.2e-3,
        stages={"depthwise": latency(39.7e-3), "pointwise": latency(25.2e-3)},
        gap_s=8.36e-3,
    ),
}
DEVICES = {
    name: {n: Bound(1.234e-4, "memory") for n in ("standard", "depthwise_separable")}
    for name in ("t4", "m7")
}
MODEL = dscost.analyze("mobilenet_v1", settings={"resolution": 128})
_FIGURE = re.compile(r"−?\d[\d.,]*(?:[kMG]|×| µs| ms|%)?")


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("explain", [False, True], ids=["plain", "explained"])
@pytest.mark.parametrize("kind", ["layer", "model"])
def test_a_table_of_two_settings_fits_and_never_cuts_a_number(
    width: int, explain: bool, kind: str
) -> None:
    report = measured(TWO_SETTINGS) if kind == "layer" else measured(TWO_SETTINGS, MODEL)
    whole = TWO_SETTINGS["cpu:bfloat16"]._replace(
        layers_s={"standard": 1.23e-4, "depthwise_separable": 2.34e-4}
    )
    report = report._replace(latency={**TWO_SETTINGS, "cpu:bfloat16": whole}, predictions=DEVICES)
    report = report._replace(
        layers=tuple(layer._replace(predictions=DEVICES) for layer in report.layers)
    )
    text = render([report], "table", View(width=width, explain=explain))
    assert max(map(len, text.splitlines())) <= width
    roomy = set(_FIGURE.findall(render([report], "table", View(explain=explain))))
    tables = [line for line in text.splitlines() if re.search(r"\S {3,}\S", line)]
    assert len(tables) > 4
    for line in tables:
        without_name = re.split(r" {3,}", line, maxsplit=1)[1]  # a name may be shortened
        assert "…" not in without_name.replace(", …", "")  # kinds and so on
        assert set(_FIGURE.findall(without_name)) <= roomy


@pytest.mark.parametrize("format_name", ["table", "markdown", "csv", "json"])
def test_every_format_takes_two_settings(format_name: str) -> None:
    text = render([measured(TWO_SETTINGS)], format_name, View(explain=True))
    if format_name == "json":
        (subject,) = json.loads(text)["subjects"]
        assert list(subject["latency"]) == list(TWO_SETTINGS)
        stages = subject["layers"][0]["latency"]["cpu:bfloat16"]["stages"]
        assert stages["depthwise"]["median_s"] == 61.8e-6
        assert subject["latency"]["cpu:bfloat16"]["gap_s"] == -8.73e-6
        speedup = subject["latency"]["cpu:bfloat16"]["speedup"]
        assert speedup["median"] == pytest.approx(216.4 / 96.72)
        assert (speedup["verdict"], speedup["noise_floor"]) == ("faster", 0.03)


def test_the_footnotes_say_where_how_and_how_surely() -> None:
    noise = (Noise("load", 7.5, 2.0), Noise("page_faults", 300.0, 10.0, "cpu"))
    report = measured(
        TWO_SETTINGS,
        noise=noise,
        unknown=("steal", "cpu_pressure"),
        flags={"tf32": "off"},
        noise_floor=0.043,
    )
    text = render([report], "table", View())
    assert "Measured on made up, 1 thread, contiguous, bfloat16, torch 2.13.0, tf32 off:" in text
    assert "differences under 4.3 % are noise here and not reported" in text
    assert "load 7.5 on 2 cores" in text
    assert "300 page faults" in text
    assert "not available on this system: steal, CPU pressure." in text
    noisy, _ = (line for line in text.splitlines() if line.startswith(("Measured", "Noisy")))
    assert noisy.endswith(
        "floor 4.3 %. Run again when idle, with a longer --time-budget, "
        "or with --clock cpu (processor time)."
    )
    assert not any(
        line.startswith(("Roofline", "Noise floor", "The machine")) for line in text.splitlines()
    )


def test_a_quiet_machine_still_calls_no_difference_under_three_percent() -> None:
    text = render([measured(TWO_SETTINGS)], "table", View())
    assert "differences under 3.0 % are noise here and not reported" in text


def test_a_noise_floor_that_is_unknown_is_said_to_be() -> None:
    text = render([measured(TWO_SETTINGS, noise_floor=None)], "table", View())
    assert (
        "could not be found in so short a time, "
        f"differences under {100 * UNKNOWN_FLOOR:.0f} % are taken for noise" in text
    )


def test_the_ceilings_stand_on_the_page_and_in_the_document() -> None:
    ceilings = {"cpu:float32": Ceiling(1234.4e9, 45.67e9), "cuda:float16": Ceiling(989e12, 4.8e12)}
    report = measured(TWO_SETTINGS, ceilings=ceilings, seed=7)
    for format_name in ("table", "markdown"):
        text = render([report], format_name, View())
        # 1234.4 / 45.67 and 989 / 4.8
        assert (
            "roofline of cpu float32 1,234 GFLOP/s, 45.7 GB/s, ridge at 27.0 FLOP/byte (dscost device);"
            in text
        )
        assert (
            "roofline of cuda float16 989,000 GFLOP/s, 4,800.0 GB/s, ridge at 206.0 FLOP/byte"
            in text
        )
    environment = json.loads(render([report], "json", View()))["environment"]
    assert environment["seed"] == 7
    assert environment["ceilings"]["cpu:float32"] == {
        "flops_per_s": 1234.4e9,
        "bytes_per_s": 45.67e9,
    }
    assert "roofline of" not in render([measured(TWO_SETTINGS)], "table", View())


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((8.60, 9.40), "the clock agrees: 9.0× faster [8.6, 9.4]."),
        ((8.71, 9.40), "the clock says 9.0× faster [8.7, 9.4], more than the MACs explain."),
    ],
    ids=["holds what the MACs promise", "all above it"],
)
def test_a_clock_that_promises_more_than_the_macs_is_sure_of_it(
    interval: tuple[float, float], said: str
) -> None:
    # 1 / (1/256 + 1/9) = 8.69 times fewer MACs
    faster = timing(9e-4, 1e-4)._replace(ratios={"depthwise_separable": Speedup(9.0, interval)})
    assert said in render([measured({"cpu": faster})], "table", View())


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("cpu", "1 thread, contiguous, torch"),
        ("cpu:channels_last", "1 thread, channels_last, torch"),
        ("cpu:float16:channels_last:batch8", "1 thread, float16, channels_last, torch"),
        ("cuda:compile", "1 thread, contiguous, compile, torch"),
    ],
)
def test_the_footnote_speaks_of_the_first_setting(key: str, said: str) -> None:
    assert said in render([measured({key: timing(2e-4, 1e-4)})], "table", View())


def test_a_model_without_layers_that_trade_says_where_it_was_measured_too() -> None:
    from torch import nn

    counted = dscost.analyze(nn.Linear(8, 8), input=(1, 8))
    report = measured({"cpu": timing(5e-6)}, counted)
    text = render([report], "table", View())
    assert "5.00 µs" in text
    assert "Measured on made up, 1 thread" in text


def test_only_as_many_causes_are_told_as_are_asked_for() -> None:
    from dscost.reports.records import Cause

    causes = tuple(
        Cause("allocation", "cpu", {"weight": 1.0, "faults_per_call": 1000.0 + n}) for n in range(4)
    )
    report = measured({"cpu": timing(2e-4, 1e-4)})
    report = report._replace(layers=(report.layers[0]._replace(causes=causes),))
    assert render([report], "table", View()).count("fresh pages") == 2
    assert render([report], "table", View(explain=True)).count("fresh pages") == 4


def test_of_several_data_types_each_has_its_bytes() -> None:
    (layer,) = dscost.layer(64, 64, 3, input_size=56).layers
    timings = {"cpu:onnxruntime": timing(2e-3, 1e-3), "cpu:onnxruntime:int8": timing(1e-3, 1e-3)}
    (sheet,) = layer_sheets(layer._replace(latency=timings), {}, explain=False)
    # 64 × 64 × 9 against 64 × 9 + 64 × 64; 56 × 56 × 64 values in, between and out
    assert column(sheet, "weights") == ["144.0 KiB → 18.25 KiB", "36.00 KiB → 4.562 KiB"]
    assert column(sheet, "traffic") == ["1.672 MiB → 3.080 MiB", "428.0 KiB → 788.6 KiB"]
    alone = layer._replace(latency={"cpu": timing(2e-3, 1e-3), "cpu:compile": timing(2e-3, 1e-3)})
    assert "weights" not in cells(layer_sheets(alone, {}, explain=False)[0])[0]
