"""Processor time in reports and on pages: beside the clock on the wall, with a floor and a verdict of its own."""

import json
from collections.abc import Sequence
from math import log

import pytest
from torch import nn

import dscost
from dscost.analysis import side_by_side
from dscost.analysis.bench import AGAINST_ITSELF, Bench
from dscost.analysis.ratio_timing import Side, time_ratio
from dscost.analysis.side_by_side import Entry, SideBySide
from dscost.analysis.timed import timing_of
from dscost.errors import InputError
from dscost.pages.clocks import cpu_sentences
from dscost.pages.measuring_words import measured_notes
from dscost.pages.timings import settings_sheet
from dscost.rendering import View, render
from dscost.reports.records import CpuClock, Environment, Latency, Noise, Speedup, Timing
from dscost.reports.report_file import parse_reports
from dscost.timing import Setting, TimingOptions
from dscost.timing.engine import Case
from dscost.timing.samples import Block, Measurement, Quartet, Round

SEPARABLE = "depthwise_separable"
SPEEDUP = Speedup(3.0, (2.9, 3.1))


def latency(seconds: float) -> Latency:
    return Latency(seconds, (seconds, seconds), 0.0, seconds, seconds, seconds, samples=40)


def timing(speedup: Speedup, by_cpu: Speedup | None) -> Timing:
    times = {"as_is": latency(3e-3), "standard": latency(3e-3), SEPARABLE: latency(1e-3)}
    clock = CpuClock(times, {SEPARABLE: by_cpu}) if by_cpu else None
    return Timing(times, {SEPARABLE: speedup}, cpu_clock=clock)


def compared(*rounds: tuple[tuple[float, float], tuple[float, float]]) -> Measurement:
    """Rounds of one quartet: seconds of both sides on the wall, and of the processor."""
    made = []
    for wall, cpu in rounds:
        first, second = (Block(s, cpu_s=own) for s, own in zip(wall, cpu, strict=True))
        made.append(Round.of([Quartet((first, first), (second, second))]))
    return Measurement(made)


# -- what was measured


def test_a_timing_has_times_and_ratios_by_either_clock() -> None:
    bench = Bench(TimingOptions(clock="cpu"), [Setting()], 1.0)
    bench.noise_floors["cpu"], bench.cpu_floors["cpu"] = 0.5, 0.04
    result = compared(*[((8e-3, 1e-3), (4e-3, 1e-3)), ((4e-3, 1e-3), (4e-3, 1e-3))] * 4)
    found = timing_of(bench, {SEPARABLE: result}, Setting())
    assert found.speedup is not None
    assert log(found.speedup.median) == pytest.approx((log(8) + log(4)) / 2)
    assert found.speedup.noise_floor == 0.5
    clock = found.cpu_clock
    assert clock is not None
    assert clock.speedup is not None
    assert clock.speedup.median == pytest.approx(4.0)
    assert clock.speedup.noise_floor == 0.04
    assert clock.speedup.verdict == "faster"
    assert clock.latencies["standard"].median_s == pytest.approx(4e-3)
    assert clock.latencies[SEPARABLE].median_s == pytest.approx(1e-3)


def test_by_the_wall_alone_a_timing_has_no_other_clock() -> None:
    bench = Bench(TimingOptions(), [Setting()], 1.0)
    block = Block(1e-3)
    result = Measurement([Round.of([Quartet((block, block), (block, block))])] * 8)
    assert timing_of(bench, {SEPARABLE: result}, Setting()).cpu_clock is None


def test_each_clock_has_the_noise_floor_of_its_own_pairs() -> None:
    bench = Bench(TimingOptions(clock="cpu", allocator="system"), [Setting()], 1.0)
    call = lambda: sum(range(1000))  # noqa: E731
    with bench.open():
        compared = bench.compare([Case("x", call, call)], 1.0)
    assert AGAINST_ITSELF not in compared
    assert bench.noise_floors.keys() == bench.cpu_floors.keys() == {"cpu"}
    assert bench.noise_floors["cpu"] != bench.cpu_floors["cpu"]
    assert bench.threads == 1
    where = bench.environment()
    assert where.noise_floors == {"cpu": where.noise_floor}
    assert where.cpu_noise_floors == bench.cpu_floors


def test_a_layer_and_its_saved_report_have_both_clocks() -> None:
    report = dscost.layer(
        16,
        16,
        3,
        input_size=8,
        time=True,
        clock="cpu",
        memory_format="contiguous",
        time_budget_s=4.0,
    )
    found = report.latency["cpu"]
    assert found.cpu_clock is not None
    assert found.cpu_clock.ratios.keys() == found.ratios.keys() == {SEPARABLE}
    assert found.cpu_clock.latencies.keys() == found.latencies.keys()
    assert report.environment is not None
    assert (report.environment.clock, report.environment.threads) == ("cpu", 1)
    text = render(report, "json", View())
    clock = json.loads(text)["subjects"][0]["latency"]["cpu"]["cpu_clock"]
    assert clock["ratios"][SEPARABLE]["verdict"] == found.cpu_clock.ratios[SEPARABLE].verdict
    (again,) = parse_reports(text, "report.json")
    assert again.latency["cpu"].cpu_clock == found.cpu_clock


def test_models_that_take_turns_are_compared_by_both_clocks() -> None:
    small, large = (nn.Conv2d(8, 8 * times, 3) for times in (1, 4))
    comparison = dscost.compare(
        small, large, input=(1, 8, 24, 24), time=True, clock="cpu", time_budget_s=4.0
    )
    (versus,) = comparison.versus
    assert versus.cpu_speedups.keys() == versus.speedups.keys() == {"cpu"}
    assert versus.cpu_speedups["cpu"].median < 1  # four times the channels
    told = comparison.to_dict()["differences"][0]["latency_s"]["cpu"]
    assert told["cpu_speedup"]["median"] == versus.cpu_speedups["cpu"].median
    assert "CPU time [95 %]" in render(comparison, "table", View())


@pytest.mark.parametrize(("clock", "median"), [("wall", 3.0), ("cpu", 2.0)])
def test_a_ratio_for_a_budget_is_by_the_clock_that_was_asked_for(
    clock: str, median: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(entries: list[Entry], *_: object) -> SideBySide:
        ratios = [{entries[-1].name: {"cpu": Speedup(one, (one, one))}} for one in (3.0, 2.0)]
        return SideBySide({}, *ratios, ENVIRONMENT, (), ())

    monkeypatch.setattr(side_by_side, "time_side_by_side", timed)
    found = time_ratio(Side("m", "mobilenet_v2"), None, TimingOptions(clock=clock))
    assert found.speedup.median == median


def test_more_than_one_thread_is_refused() -> None:
    with pytest.raises(InputError, match="--clock cpu is of one thread"):
        TimingOptions(clock="cpu", threads=2)


# -- what is said of it


def test_processor_time_has_a_column_with_its_own_verdict() -> None:
    unsure = Speedup(3.0, (0.9, 10.0))
    sheet = settings_sheet(
        {"cpu": timing(unsure, SPEEDUP), "cpu:channels_last": timing(SPEEDUP, None)}, 1
    )
    assert [row.cells.get("cpu_time", "") for row in sheet.rows] == ["3.0× less [2.9, 3.1]", ""]
    assert sheet.rows[0].cells["speedup"] == "cannot tell"
    without = settings_sheet(
        {"cpu": timing(SPEEDUP, None), "cpu:compile": timing(SPEEDUP, None)}, 1
    )
    assert "cpu_time" not in [column.key for column in without.columns]


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (SPEEDUP, "A layer takes 3.0× less CPU time than standard [2.9, 3.1]."),
        (Speedup(0.5, (0.48, 0.52)), "A layer takes 2.0× more CPU time than standard [1.9, 2.1]."),
        (Speedup(1.0, (0.99, 1.01)), "A layer takes as much CPU time: no difference [0.99, 1.01]."),
        (
            Speedup(1.05, (0.98, 1.12)),
            "A layer may take more or less CPU time (1.05× [0.98, 1.12]); "
            "a longer --time-budget may tell.",
        ),
        (
            Speedup(1.0, (0.2, 5.0)),
            "A layer may take more or less CPU time; a longer --time-budget may tell.",
        ),
    ],
    ids=["less", "more", "same", "unclear", "wide"],
)
def test_a_sentence_says_what_the_interval_allows(ratio: Speedup, said: str) -> None:
    assert cpu_sentences(timing(SPEEDUP, ratio), {SEPARABLE: "a layer"}) == [said]
    assert cpu_sentences(timing(SPEEDUP, None), {SEPARABLE: "a layer"}) == []


ENVIRONMENT = Environment(
    device="made up",
    threads=1,
    dtype="float32",
    memory_format="contiguous",
    allocator="tuned",
    torch_version="2.13.0",
    load_before=7.5,
    load_after=7.5,
    noise_floor=0.2,
    noise=(Noise("load", 7.5, 2.0),),
)


def notes(key: str = "cpu", **changed: object) -> list[str]:
    return measured_notes(ENVIRONMENT._replace(**changed), {key: None})


def test_a_busy_machine_offers_the_clock_of_the_processor_once() -> None:
    offer = (
        "Run again when idle, with a longer --time-budget, or with --clock cpu (processor time)."
    )
    assert notes()[0].endswith(offer)
    again = "Run again when idle, or with a longer --time-budget."
    assert notes(clock="cpu")[0].endswith(again)
    assert notes("cuda")[0].endswith(again)  # whose time it does not see
    assert notes(noise=(Noise("throttled", 0.5, 0.75),))[0].endswith(again)


def floor_told(keys: Sequence[str], **changed: object) -> str:
    where = ENVIRONMENT._replace(**changed)
    line = measured_notes(where, dict.fromkeys(keys))[-1]
    return next(part for part in line.rstrip(".").split("; ") if part.startswith("differences"))


def test_each_place_is_told_with_the_noise_floor_that_it_was_judged_by() -> None:
    floors = {"cpu": 0.01, "cpu:onnxruntime": 0.21}
    both = floor_told(["cpu", "cpu:onnxruntime:int8"], noise_floors=floors)
    told = "differences under 3.0 % (torch) or 21 % (ONNX Runtime) are noise here and not reported"
    assert both == told
    one = "differences under {} are noise here and not reported"
    assert floor_told(["cpu:channels_last"], noise_floors=floors) == one.format("3.0 %")
    assert floor_told(["cpu:onnxruntime"], noise_floors=floors) == one.format("21 %")
    # both less than is ever called
    quiet = {"cpu": 0.01, "cpu:onnxruntime": 0.02}
    assert floor_told(["cpu", "cpu:onnxruntime"], noise_floors=quiet) == one.format("3.0 %")
    # a report that was saved before they were known
    assert floor_told(["cpu", "cpu:onnxruntime"]) == one.format("20 %")


def test_processor_time_has_a_noise_floor_of_its_own() -> None:
    told = floor_told(["cpu"], noise_floors={"cpu": 0.2}, cpu_noise_floors={"cpu": 0.04})
    assert told == (
        "differences under 20 % are noise here and not reported, of CPU time those under 4.0 %"
    )


def test_the_method_says_what_processor_time_is() -> None:
    told = "; CPU time is what the processor spent on this process alone over the same pairs: "
    assert told in notes(clock="cpu")[-1]
    assert told not in notes()[-1]
