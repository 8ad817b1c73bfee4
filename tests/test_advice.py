"""What a timed model is advised to swap: by the verdicts of its layers, measured or made up."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from program import run
from test_measuring import FakeEngine, conv, made_up_ceilings
from torch import nn

import dscost
from dscost.analysis import bench
from dscost.analysis.advising import advice_of, readvised
from dscost.errors import InputError
from dscost.pages.advice import advice_sentence, gain_of
from dscost.pages.causes import cause_lines, format_range
from dscost.pages.layer_names import in_few_words
from dscost.rendering import View, render
from dscost.reports.records import (
    SAME_WITHIN,
    Advice,
    Cause,
    Environment,
    KeptLayer,
    Latency,
    Report,
    Speedup,
    Timing,
    document,
)
from dscost.reports.report_file import parse_reports
from dscost.timing import ceilings as timing_ceilings

pytestmark = pytest.mark.usefixtures("own_time")

NET = """
input: [3, 16, 16]
layers:
  - {name: stem, conv: 3, out_channels: 32}
  - {name: body1, conv: 3, out_channels: 64}
  - {name: body2, conv: 3, out_channels: 64}
  - {name: body3, conv: 3, out_channels: 64}
  - {name: head, conv: 1, out_channels: 8}
"""


def latency(seconds: float) -> Latency:
    return Latency(seconds, None, 0.0, seconds, seconds, seconds, 8)


def speedup_of(median: float, spread: float = 1.02) -> Speedup:
    return Speedup(median, (median / spread, median * spread), SAME_WITHIN)


def timing(standard_s: float, speedup: Speedup) -> Timing:
    standard, separable = latency(standard_s), latency(standard_s / speedup.median)
    times = {"as_is": standard, "standard": standard, "depthwise_separable": separable}
    return Timing(times, {"depthwise_separable": speedup})


def timed(
    report: Report, speedups: Mapping[str, Speedup], whole: Timing | None = None, **causes: Any
) -> Report:
    """Return a report with made-up times: 1 ms for every layer that has a speedup."""
    layers = []
    for layer in report.layers:
        speedup = speedups.get(layer.name)
        if speedup:
            layer = layer._replace(
                latency={"cpu": timing(1e-3, speedup)},
                verdict=speedup.verdict,
                causes=causes.get(layer.name, ()),
            )
        layers.append(layer)
    where = Environment("a processor", 1, "float32", "contiguous", "tuned", "2.9", None, None)
    report = report._replace(layers=tuple(layers), environment=where)
    return report._replace(latency={"cpu": whole} if whole else {})


def advised(report: Report, min_channels: int = 32) -> Report:
    return report._replace(advice=advice_of(report, min_channels))


@pytest.fixture
def net(tmp_path: Path) -> Report:
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    return dscost.analyze(str(path))


FASTER, SLOWER, SAME, UNCLEAR = (
    speedup_of(3.0),
    speedup_of(0.5),
    speedup_of(1.0, 1.01),
    speedup_of(1.0, 1.5),
)
BODY = ("body1", "body2", "body3")


# -- the decision


def test_what_measured_faster_is_swapped_and_all_else_kept_with_its_reason(net: Report) -> None:
    speedups = {"stem": SLOWER, "body1": FASTER, "body2": UNCLEAR, "body3": SAME}
    advice = advice_of(timed(net, speedups))
    assert advice is not None
    assert advice.swaps == ("body1",)
    assert advice.kept == (
        KeptLayer("stem", "slower"),
        KeptLayer("body2", "unclear"),
        KeptLayer("body3", "same"),
    )
    # the 1×1 convolution is none that could be swapped
    assert (advice.swapped, advice.swappable) == (1, 4)
    assert (advice.setting, advice.min_channels) == ("cpu", 32)


def test_a_layer_that_was_not_timed_is_kept(net: Report) -> None:
    advice = advice_of(timed(net, {"body1": FASTER}))
    assert advice is not None
    assert [(one.name, one.why) for one in advice.kept] == [
        ("stem", "not_timed"),
        ("body2", "not_timed"),
        ("body3", "not_timed"),
    ]
    assert advice_of(timed(net, {})) is None
    assert advice_of(net) is None


def test_a_layer_of_few_channels_is_kept_though_it_is_faster(net: Report) -> None:
    report = timed(net, dict.fromkeys(("stem", *BODY), FASTER))
    few = "3 input channels are fewer than min_channels=32 (--min-channels 1 takes it)"
    advice = advice_of(report)
    assert advice is not None
    assert advice.kept == (KeptLayer("stem", "min_channels", few),)
    every = advice_of(report, min_channels=1)
    assert every is not None
    assert every.swaps == ("stem", *BODY)
    # the output counts as well: of 64 channels two layers have 64 on both sides
    wide = advice_of(report, min_channels=64)
    assert wide is not None
    assert wide.swaps == ("body2", "body3")
    assert wide.kept[1].detail == (
        "32 input channels are fewer than min_channels=64 (--min-channels 1 takes it)"
    )


def test_a_slow_layer_of_few_channels_is_kept_for_its_time(net: Report) -> None:
    advice = advice_of(timed(net, {"stem": SLOWER}))
    assert advice is not None
    assert advice.kept[0] == KeptLayer("stem", "slower")


def test_a_layer_that_cannot_be_replaced_is_kept(net: Report) -> None:
    report = timed(net, dict.fromkeys(BODY, FASTER))
    advice = advice_of(report, irreplaceable={"body2": "it has hooks"})
    assert advice is not None
    assert advice.swaps == ("body1", "body3")
    assert KeptLayer("body2", "not_replaceable", "it has hooks") in advice.kept


# -- what it comes to


def test_the_time_of_the_whole_model_stands_for_just_the_swaps_that_it_has(net: Report) -> None:
    every = dict.fromkeys(("stem", *BODY), FASTER)
    report = timed(net, every, timing(9e-3, FASTER))
    advice = advice_of(report, min_channels=1)
    assert advice is not None
    assert advice.speedup == FASTER
    assert advice.latency_s == 9e-3
    assert advice.advised_latency_s == pytest.approx(3e-3)
    assert advice.cost == report.totals.depthwise_separable
    # without the stem it is another model: 9 ms less what three layers of 1 ms save
    advice = advice_of(report)
    assert advice is not None
    assert advice.speedup is None
    assert advice.advised_latency_s == pytest.approx(9e-3 - 3 * (1e-3 - 1e-3 / 3))


def test_the_gain_over_a_model_of_standard_pairs_is_not_that_over_the_model_as_it_is() -> None:
    pair = [nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.Conv2d(32, 32, 1)]
    report = dscost.analyze(nn.Sequential(*pair, conv(32, 64)), (1, 32, 6, 6))
    whole = timing(9e-3, FASTER)
    as_is = {**whole.latencies, "as_is": latency(4e-3)}
    advice = advice_of(timed(report, {"2": FASTER}, whole._replace(latencies=as_is)))
    assert advice is not None
    assert (advice.swaps, advice.speedup, advice.latency_s) == (("2",), None, 4e-3)
    assert advice.advised_latency_s == pytest.approx(4e-3 - (1e-3 - 1e-3 / 3))


def test_layers_that_took_longer_alone_than_the_model_are_scaled_to_it(net: Report) -> None:
    speedups = {**dict.fromkeys(BODY, speedup_of(2.0)), "stem": SLOWER}
    advice = advice_of(timed(net, speedups, timing(1.5e-3, FASTER)))
    assert advice is not None
    assert advice.advised_latency_s == pytest.approx(0.75e-3)


def test_where_the_whole_model_loses_nothing_is_swapped(net: Report) -> None:
    every = dict.fromkeys(("stem", *BODY), FASTER)
    report = timed(net, every, timing(9e-3, SLOWER))
    advice = advice_of(report, min_channels=1)
    assert advice is not None
    assert advice.swaps == ()
    assert {one.why for one in advice.kept} == {"whole_slower"}
    assert advice_sentence(report, advice) == (
        "Keep all 4 convolutions as they are: 4 layers are faster alone, "
        "but the whole model is 2.00× slower on this CPU."
    )


# -- measured


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(bench, "compare", fake.compare)
    monkeypatch.setattr(timing_ceilings, "find_ceilings", made_up_ceilings)
    return fake


def time_model(module: nn.Module, **timing: Any) -> Report:
    return dscost.analyze(
        module, (1, 32, 6, 6), time=True, threads=1, time_budget_s=100.0, timing=timing
    )


def two() -> nn.Sequential:
    return nn.Sequential(conv(32, 32), conv(32, 64))


def test_where_all_swaps_pay_the_whole_model_is_not_timed_again(engine: FakeEngine) -> None:
    advice = time_model(two()).advice
    assert advice is not None
    assert advice.swaps == ("0", "1")
    assert [names[0] for names in engine.rounds] == ["whole model", "1"]
    assert advice.speedup is not None
    assert advice.speedup.median == pytest.approx(2.0)
    assert (advice.latency_s, advice.advised_latency_s) == pytest.approx((2e-3, 1e-3))


def test_where_some_pay_the_model_with_just_those_is_timed_beside_itself(
    engine: FakeEngine,
) -> None:
    whole = (12e-3, 10e-3)
    engine.times = {"0": (1e-3, 2e-3), "whole model": whole, "advised model": (9e-3, 6e-3)}
    report = time_model(two())
    assert engine.rounds[-1] == ["advised model"]
    advice = report.advice
    assert advice is not None
    assert (advice.swaps, advice.kept) == (("1",), (KeptLayer("0", "slower"),))
    assert advice.speedup is not None
    assert advice.speedup.median == pytest.approx(1.5)
    # the model as it is takes what the table of the report says, also where it was measured again
    assert (advice.latency_s, advice.advised_latency_s) == pytest.approx((12e-3, 12e-3 / 1.5))
    # weights of the layer that stays, and of both stages of the other
    assert advice.cost is not None
    assert advice.cost.params == 32 * 32 * 9 + 32 * 9 + 32 * 64
    assert report.totals.depthwise_separable.params == 32 * (9 + 32) + 32 * (9 + 64)


def test_what_is_advised_is_estimated_where_it_was_not_timed(engine: FakeEngine) -> None:
    engine.times = {"0": (1e-3, 2e-3), "whole model": (9e-3, 6e-3)}
    engine.missing = lambda name: name == "advised model"
    report = time_model(two())
    advice = report.advice
    assert advice is not None
    assert advice.speedup is None
    assert advice.advised_latency_s == pytest.approx(9e-3 - (2e-3 - 1e-3))
    assert "about 1.12× faster by the times of its layers" in advice_sentence(report, advice)
    assert report.untimed == ()


def test_calls_on_inputs_of_other_sizes_save_what_they_were_timed_to(engine: FakeEngine) -> None:
    class Pyramid(nn.Module):
        """One convolution on two sizes."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.head = conv(32, 32), conv(32, 64)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.stem(x)
            return self.head(x[..., :3, :3]), self.head(x)

    engine.times = {
        "stem": (1e-3, 2e-3),
        "head": (2e-3, 1.5e-3),
        "head on 1×32×6×6": (4e-3, 1e-3),
        "whole model": (9e-3, 6e-3),
    }
    engine.missing = lambda name: name == "advised model"
    report = time_model(Pyramid())
    advice = report.advice
    assert advice is not None
    assert (advice.swaps, advice.speedup) == (("head",), None)
    # not twice what the larger one saves
    assert advice.advised_latency_s == pytest.approx(9e-3 - (4e-3 - 1e-3) - (2e-3 - 1.5e-3))
    head = next(layer for layer in report.layers if layer.name == "head")
    assert head.timing is not None
    assert head.timing.layers_s == pytest.approx({"standard": 6e-3, "depthwise_separable": 2.5e-3})


def test_what_is_advised_is_not_timed_where_it_does_not_fit(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.times = {"0": (1e-3, 2e-3)}
    # a call of the model as it is, swapped, and with what pays: 12 of each take 126 s
    seconds = iter([0.5, 0.4, 10.0])
    monkeypatch.setattr(bench, "warm", lambda *given, **more: next(seconds))
    advice = time_model(two()).advice
    assert advice is not None
    assert (advice.swaps, advice.speedup) == (("1",), None)
    assert [names[0] for names in engine.rounds] == ["whole model", "1"]


def test_of_a_model_with_pairs_what_is_advised_is_held_against_the_model_as_it_is(
    engine: FakeEngine,
) -> None:
    # a pair, which is standard in the standard version, and a convolution
    pair = [nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.Conv2d(32, 32, 1)]
    engine.times = {"whole model": (8e-3, 1e-3), "as it is": (3e-3, 2e-3)}
    advice = time_model(nn.Sequential(*pair, conv(32, 64))).advice
    assert advice is not None
    assert advice.swaps == ("2",)
    assert advice.speedup is not None
    assert advice.speedup.median == pytest.approx(1.5)
    # beside the separable time that the table shows
    assert (advice.latency_s, advice.advised_latency_s) == pytest.approx((1.5e-3, 1e-3))


def test_what_the_clock_tells_only_of_all_together_is_swapped_together(engine: FakeEngine) -> None:
    # on a busy machine no layer is sure, yet the whole model is
    engine.missing = lambda name: name in ("0", "1")
    engine.times = {"whole model": (9e-3, 3e-3)}
    report = time_model(two())
    advice = report.advice
    assert advice is not None
    assert (advice.swaps, advice.kept) == (("0", "1"), ())
    assert (advice.latency_s, advice.advised_latency_s) == pytest.approx((9e-3, 3e-3))
    (row,) = [line for line in last_page(report) if line.startswith("  swap")]
    assert row.endswith("0–1   faster with the others; not timed one by one")


def test_what_is_not_sure_one_by_one_is_measured_together_where_it_promises_more(
    engine: FakeEngine,
) -> None:
    # the stem has too few channels, so that no version that was timed is the advised one
    engine.times = {"whole model": (9e-3, 3e-3), "advised model": (9e-3, 4.5e-3)}
    engine.missing = lambda name: name in ("1", "2")
    module = nn.Sequential(conv(32, 16), conv(16, 64), conv(64, 64))
    report = time_model(module)
    advice = report.advice
    assert advice is not None
    assert [(one.name, one.why) for one in advice.kept] == [
        ("0", "min_channels"),
        ("1", "min_channels"),
    ]
    few = "channels are fewer than min_channels=32 (--min-channels 1 takes it)"
    told = [line.split("   ", 2)[-1] for line in last_page(report) if line.startswith("  keep")]
    assert told == [f"2.00× faster, but 16 output {few}", f"16 input {few}"]
    assert advice.swaps == ("2",)
    assert advice.speedup is not None
    assert advice.speedup.median == pytest.approx(2.0)


def test_what_is_not_sure_one_by_one_is_kept_where_it_gains_nothing_together(
    engine: FakeEngine,
) -> None:
    engine.missing = lambda name: name == "0"
    engine.times = {"whole model": (9e-3, 7.5e-3), "1": (2e-3, 1e-3), "advised model": (9e-3, 8e-3)}
    advice = time_model(two()).advice
    assert advice is not None
    assert (advice.swaps, advice.kept) == (("1",), (KeptLayer("0", "not_timed"),))


def test_the_least_channels_are_an_option_of_measuring(engine: FakeEngine) -> None:
    advice = time_model(two(), min_channels=64).advice
    assert advice is not None
    assert advice.swaps == ()
    assert [one.why for one in advice.kept] == ["min_channels"] * 2
    with pytest.raises(InputError, match="min_channels must be at least 1, found 0"):
        time_model(two(), min_channels=0)


# -- saved


def test_advice_is_saved_with_its_report(net: Report) -> None:
    report = advised(timed(net, dict.fromkeys(BODY, FASTER), timing(9e-3, FASTER)))
    (read,) = parse_reports(json.dumps(document([report], command="model")), "a.json")
    assert read == report


def test_a_report_of_before_there_was_advice_is_advised_by_its_verdicts(net: Report) -> None:
    report = timed(net, {**dict.fromkeys(BODY, FASTER), "stem": SLOWER}, timing(9e-3, FASTER))
    assert readvised(report, 32) == advised(report)
    # figures that were measured of the same swaps hold for others that are kept
    measured = advised(report)._replace(
        advice=Advice("cpu", BODY, (), 3, 4, 32, 9e-3, 4e-3, speedup_of(2.25))
    )
    again = readvised(measured, 8).advice
    assert again is not None
    assert (again.speedup, again.min_channels) == (speedup_of(2.25), 8)
    assert [one.why for one in again.kept] == ["slower"]


def test_swaps_by_which_the_whole_model_lost_are_not_advised_again(net: Report) -> None:
    report = timed(net, dict.fromkeys(BODY, FASTER), timing(9e-3, FASTER))
    losing = tuple(KeptLayer(name, "whole_slower") for name in BODY)
    found = Advice("cpu", (), losing, 0, 4, 32, 9e-3, 18e-3, SLOWER)
    again = readvised(report._replace(advice=found), 16).advice
    assert again is not None
    assert (again.swaps, again.speedup, again.min_channels) == ((), SLOWER, 16)
    assert again.kept == (KeptLayer("stem", "not_timed"), *losing)
    # of fewer swaps nothing was measured
    fewer = readvised(report._replace(advice=found), 64).advice
    assert fewer is not None
    assert (fewer.swaps, fewer.speedup) == (("body2", "body3"), None)


# -- in words


def last_page(report: Report, **view: Any) -> list[str]:
    text = render([report], "table", View(**view))
    return text[text.rindex("\nSwap" if "\nSwap" in text else "\nKeep") :].strip().splitlines()


def test_advice_is_the_last_word(net: Report) -> None:
    causes = (
        Cause("few_channels", "cpu", {"in_channels": 3.0}),
        Cause("more_bytes", "cpu", {"traffic_ratio": 1.9}),
    )
    speedups = {"stem": speedup_of(0.119), "body1": speedup_of(2.8), "body2": speedup_of(6.1)}
    report = timed(net, speedups, timing(35e-3, speedup_of(3.1)), stem=causes)
    report = advised(report)
    assert report.advice is not None
    report = report._replace(
        advice=report.advice._replace(
            latency_s=35e-3,
            advised_latency_s=35e-3 / 3.1,
            speedup=speedup_of(3.1),
            cost=report.totals.as_is._replace(params=report.totals.as_is.params // 7),
        )
    )
    assert last_page(report, get_it="dscost convert net.yaml --fastest", width=100) == [
        "Swap 2 of 4 convolutions: 3.1× faster (35.0 → 11.3 ms), 7.00× fewer params on this CPU, "
        "before",
        "fine-tuning.",
        "",
        "  swap   body1–2   2.8–6.1× faster each",
        "  keep   stem      8.4× slower: 3 input channels save little arithmetic, it moves 1.90× the "
        "bytes",
        "  keep   body3     not timed",
        "",
        "Get it:  dscost convert net.yaml --fastest",
    ]


def test_where_nothing_pays_it_is_said_plainly(net: Report) -> None:
    report = advised(timed(net, dict.fromkeys(("stem", *BODY), SLOWER)))
    assert last_page(report, get_it="dscost convert net.yaml --fastest") == [
        "Keep all 4 convolutions as they are: none is faster depthwise-separable on this CPU.",
        "",
        "  keep   stem, body1–3   2.0× slower each",
    ]


@pytest.mark.parametrize(
    ("speedups", "told"),
    [
        ({**dict.fromkeys(BODY, UNCLEAR), "stem": SAME}, "none is surely faster"),
        ({"body1": SLOWER}, "none that was timed is faster"),
        (
            {**dict.fromkeys(BODY, SLOWER), "stem": FASTER},
            "none of 32 channels or more is faster",
        ),
    ],
)
def test_what_is_not_known_of_all_is_not_said_of_all(
    net: Report, speedups: Mapping[str, Speedup], told: str
) -> None:
    report = timed(net, speedups)
    advice = advice_of(report)
    assert advice is not None
    assert f": {told} depthwise-separable on this CPU." in advice_sentence(report, advice)


@pytest.mark.parametrize(
    ("whole", "told"),
    [
        (speedup_of(1.0, 1.01), "no difference in time (9.00 → 9.00 ms)"),
        (speedup_of(1.5, 2.0), "the clock cannot tell whether it is faster (9.00 → 6.00 ms)"),
        (None, "each of them is faster alone (the whole model was not timed)"),
    ],
)
def test_a_gain_is_said_as_sure_as_it_is(net: Report, whole: Speedup | None, told: str) -> None:
    every = dict.fromkeys(("stem", *BODY), FASTER)
    report = timed(net, every, whole and timing(9e-3, whole))
    advice = advice_of(report, min_channels=1)
    assert advice is not None
    assert advice_sentence(report, advice).startswith(f"Swap 4 of 4 convolutions: {told}")


def test_swaps_that_were_slower_together_are_said_so(net: Report) -> None:
    advice = advice_of(timed(net, dict.fromkeys(BODY, FASTER)))
    assert advice is not None
    slower = advice._replace(latency_s=9e-3, advised_latency_s=12e-3, speedup=speedup_of(0.75))
    assert gain_of(slower) == "1.33× slower (9.00 → 12.0 ms)"


def test_advice_is_said_in_markdown_too(net: Report) -> None:
    report = advised(timed(net, dict.fromkeys(BODY, FASTER), timing(9e-3, FASTER)))
    text = render([report], "markdown", View())
    assert "### Swap 3 of 4 convolutions: " in text
    assert "| body1–3 | 3.0× faster each |" in text


def test_another_setting_is_named(net: Report) -> None:
    report = timed(net, dict.fromkeys(BODY, FASTER))
    advice = advice_of(report)
    assert advice is not None
    elsewhere = advice._replace(setting="cuda:float16:channels_last")
    assert "on this GPU (float16, channels_last)," in advice_sentence(report, elsewhere)


def test_a_layer_that_computes_its_convolution_by_a_function_is_named() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv(32, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.conv(torch.conv2d(x, self.conv.weight, padding=1))
            return result

    report = dscost.analyze(Model(), (1, 32, 6, 6), time=True, threads=1, time_budget_s=0.5)
    assert (
        "Timed with 1 layer left as it is, though counted as swapped: "
        "(root): the convolution is computed by a function, not by a Conv2d."
    ) in report.warnings


# -- reasons that several share


def test_a_reason_that_many_layers_share_stands_once(net: Report) -> None:
    def overhead(share: float) -> tuple[Cause, ...]:
        return (Cause("overhead", "cpu", {"share_of_time": share}),)

    few = (Cause("few_channels", "cpu", {"in_channels": 3.0}),)
    shares = {"body1": overhead(0.4), "body2": overhead(0.5), "body3": overhead(0.68)}
    report = timed(net, dict.fromkeys(("stem", *BODY), FASTER), None, stem=few, **shares)
    lines = cause_lines(report.layers, [layer.name for layer in report.layers])
    assert lines[1:] == ["3 layers: call overhead, 40–68 % of their time (body1–3)."]
    assert lines[0].startswith("stem: ")


def test_where_the_clock_cannot_tell_how_fast_a_layer_is_no_line_says_why(net: Report) -> None:
    causes = (Cause("few_channels", "cpu", {"in_channels": 3.0}),)
    wide = dict.fromkeys(BODY, Speedup(2.0, (0.5, 9.0)))
    report = timed(net, wide, None, body1=causes, body2=causes)
    assert cause_lines(report.layers, list(BODY)) == []


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (0.4, 0.68, "%", "40–68 %"),
        (0.4, 0.4, "%", "40 %"),
        (2.8, 6.1, "×", "2.8–6.1×"),
        (1.05, 1.2, "×", "1.05–1.20×"),
        (3.0, 3.0, "", "3"),
    ],
)
def test_a_range_has_few_digits(low: float, high: float, unit: str, text: str) -> None:
    assert format_range(low, high, unit) == text


# -- names


def stands_for(pattern: str, name: str) -> bool:
    """Whether a pattern stands for a name, by its own words: `*` ends it, `a1–3` is a1, a2 or a3."""
    parts, names = pattern.split("."), name.split(".")
    if parts[-1] == "*":
        parts, names = parts[:-1], names[: len(parts) - 1]
        if len(name.split(".")) <= len(parts):
            return False
    if len(parts) != len(names):
        return False
    for part, own in zip(parts, names, strict=True):
        first, dash, last = part.partition("–")
        stem = first.rstrip("0123456789")
        numbers = range(int(first[len(stem) :]), int(last) + 1) if dash else ()
        if own != part and own not in [f"{stem}{number}" for number in numbers]:
            return False
    return True


TREE = [
    *("stem.0", "stage1.0.conv1", "stage1.0.conv2", "stage1.1.conv1", "stage1.1.conv2"),
    *("stage2.0.conv1", "stage2.0.conv2", "stage3.0.conv1", "stage9", "stage10", "wide"),
]


@pytest.mark.parametrize("without", [(), *((name,) for name in TREE), ("stem.0", "wide")])
def test_few_words_stand_for_just_the_chosen_names(without: tuple[str, ...]) -> None:
    chosen = [name for name in TREE if name not in without]
    patterns = in_few_words(chosen, TREE)
    for name in TREE:
        found = [one for one in patterns if stands_for(one, name)]
        assert len(found) == (name not in without), (name, patterns)
    assert len(patterns) < len(chosen)


@pytest.mark.parametrize(
    ("chosen", "every", "patterns"),
    [
        (["a.0", "a.1", "b"], ["a.0", "a.1", "b"], ["a.*", "b"]),
        (["a.0"], ["a.0", "a.1"], ["a.0"]),
        (["l1.x", "l1.y", "l2.x", "l2.y"], ["l1.x", "l1.y", "l2.x", "l2.y", "h"], ["l1–2.*"]),
        (["l1", "l3"], ["l1", "l2", "l3"], ["l1", "l3"]),
        (["l9", "l10"], ["l9", "l10"], ["l9–10"]),
        # a layer that has others below it does not disappear behind them
        (["a", "a.0", "a.1"], ["a", "a.0", "a.1"], ["a", "a.0–1"]),
        (["ab.0", "ab.1"], ["a.0", "ab.0", "ab.1"], ["ab.*"]),
        ([""], [""], [""]),
    ],
)
def test_names_in_few_words(chosen: list[str], every: list[str], patterns: list[str]) -> None:
    assert in_few_words(chosen, every) == patterns


# -- the command that does it


def saved(report: Report, path: Path) -> str:
    path.write_text(json.dumps(document([report], command="model")))
    return str(path)


def get_it(text: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith("Get it:"))
    return shlex.split(line.removeprefix("Get it:"))


def test_a_report_tells_the_command_that_takes_its_swaps(net: Report, tmp_path: Path) -> None:
    path = saved(advised(timed(net, dict.fromkeys(BODY, FASTER))), tmp_path / "a b.json")
    told = get_it(run("model", path).stdout)
    assert told == [
        *("dscost", "convert", str(tmp_path / "net.yaml"), "--input", "1,3,16,16"),
        *("--fastest", "--from", path, "--save", "cheaper.pt"),
    ]
    again = run("model", path, "--min-channels", "64").stdout
    assert get_it(again)[-4:] == ["--min-channels", "64", "--save", "cheaper.pt"]


def test_a_timed_model_ends_with_the_command_that_repeats_what_was_asked(
    net: Report, tmp_path: Path, engine: FakeEngine
) -> None:
    path = str(tmp_path / "net.yaml")
    asked = ("--input", "1,3,8,8", "--threads", "1", "--time-budget", "100s")
    ran = run("model", path, *asked, "--min-channels", "1", "--export", "csv=a.csv", cwd=tmp_path)
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[-1].startswith("Get it:")
    assert get_it(ran.stdout) == [
        *("dscost", "convert", path, "--input", "1,3,8,8", "--fastest"),
        *("--threads", "1", "--time-budget", "100s", "--min-channels", "1"),
        *("--save", "cheaper.pt"),
    ]
    ran = run("model", path, *asked, "--export", "json=a.json", cwd=tmp_path)
    assert get_it(ran.stdout)[-4:] == ["--from", "a.json", "--save", "cheaper.pt"]


def test_least_channels_without_timing_are_refused(net: Report, tmp_path: Path) -> None:
    ran = run("model", str(tmp_path / "net.yaml"), "--no-time", "--min-channels", "1")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("dscost: --min-channels needs timing: ")


def test_where_only_all_together_are_surely_faster_nothing_is_said_to_be_kept(net: Report) -> None:
    wide = Speedup(3.0, (0.9, 9.0), SAME_WITHIN)
    unsure = timed(net, dict.fromkeys(BODY, wide), timing(9e-3, FASTER))
    report = unsure._replace(advice=advice_of(unsure))
    assert report.advice is not None
    sentence = advice_sentence(report, report.advice)
    assert sentence.startswith(
        "Cannot tell which of 4 convolutions to swap: all of them together measured 3.0× faster on this CPU"
    )
    text = render([report], "table", View(get_it="dscost convert net.yaml --fastest"))
    assert "Keep all" not in text
    assert "Get it" not in text
    slower = timed(net, dict.fromkeys(BODY, SLOWER), timing(9e-3, FASTER))
    kept = advice_of(slower)
    assert kept is not None
    assert "Cannot tell" in advice_sentence(slower, kept)  # the stem was not timed


def test_what_pairs_gain_that_a_model_has_is_no_gain_of_its_swaps() -> None:
    report = dscost.analyze("mobilenet_v2")
    (swappable,) = [layer.name for layer in report.layers if layer.swappable]
    unsure = timed(report, {swappable: UNCLEAR}, timing(9e-3, FASTER))
    advice = advice_of(unsure)
    assert advice is not None
    assert advice_sentence(unsure, advice).startswith(
        "Keep the only convolution that could be swapped as it is"
    )
