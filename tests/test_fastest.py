"""`convert --fastest`: just the swaps that pay, by a timed report or measured now."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from program import run
from test_advice import FASTER, SAME, SLOWER, UNCLEAR, advised, saved, speedup_of, timed, timing
from test_measuring import FakeEngine, made_up_ceilings
from torch import nn

import dscost
from dscost.analysis import bench
from dscost.errors import InputError
from dscost.nn import DepthwiseSeparableConv2d
from dscost.reports.records import Report
from dscost.timing import ceilings as timing_ceilings

SHAPE = (1, 3, 16, 16)
NET = """
from torch import nn

def make(channels=64):
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.Conv2d(32, channels, 3, padding=1),
        nn.Conv2d(channels, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ConvTranspose2d(64, 16, 2),
        nn.Conv2d(16, 8, 1),
    )
"""
SPEEDUPS = {"0": SLOWER, "1": FASTER, "2": UNCLEAR, "3": speedup_of(2.0)}
ASKED = ("convert", "net.py:make")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    return tmp_path


@pytest.fixture
def report(here: Path) -> Report:
    counted = dscost.analyze("net.py:make", SHAPE)
    return advised(timed(counted, SPEEDUPS, timing(9e-3, speedup_of(3.0))))


def converted(*arguments: str) -> Any:
    ran = run(*ASKED, *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)["conversion"]


def separable(module: nn.Module) -> list[str]:
    return [
        name for name, one in module.named_modules() if isinstance(one, DepthwiseSeparableConv2d)
    ]


# -- by a report


def test_just_what_measured_faster_is_converted_and_all_else_has_its_reason(
    report: Report, here: Path
) -> None:
    found = converted("--fastest", "--from", saved(report, here / "r.json"))
    ranks = {layer["name"]: layer["rank"] for layer in found["layers"]}
    assert ranks == {"0": None, "1": 1, "2": None, "3": 1, "4": None, "5": None}
    reasons = {layer["name"]: layer["reason"] for layer in found["layers"]}
    assert reasons["0"] == "it measured slower when swapped"
    assert reasons["2"] == "the clock could not tell whether it is faster"
    assert found["plan"] == {"1": 1, "3": 1}
    assert found["advice"]["swaps"] == ["1", "3"]
    # 1 ms each, of which the one takes a third and the other a half
    assert found["latency"] == {
        "before_s": 9e-3,
        "after_s": pytest.approx(9e-3 - 2e-3 / 3 - 0.5e-3),
        "is_predicted": True,
    }
    times = [layer["latency"] for layer in found["layers"] if layer["rank"]]
    assert [one["before_s"] for one in times] == [1e-3, 1e-3]
    assert [one["after_s"] for one in times] == pytest.approx([1e-3 / 3, 0.5e-3])


def test_the_headline_counts_what_could_be_swapped_as_model_does(
    report: Report, here: Path
) -> None:
    path = saved(report, here / "r.json")
    told = run("model", path).stdout
    assert "4 convolutions could be depthwise-separable" in told
    assert "Swap 2 of 4 convolutions: " in told
    ran = run(*ASKED, "--from", path)
    assert ran.stdout.startswith(
        "net.py:make, input 1×3×16×16: 2 of 4 convolutions made depthwise-separable\n"
    )
    assert f"The swaps that pay, by {path}: about 1.15× faster by the times of its layers" in (
        ran.stdout
    )


def test_weights_of_the_conversion_are_saved(report: Report, here: Path) -> None:
    path = saved(report, here / "r.json")
    ran = run(*ASKED, "--fastest", "--from", path, "--save", "cheaper.pt")
    assert ran.returncode == 0
    kept, swapped = torch.load("cheaper.pt")["0.weight"], torch.load("cheaper.pt")
    assert kept.shape == (32, 3, 3, 3)
    assert swapped["1.depthwise.weight"].shape == (32, 1, 3, 3)


def test_the_least_channels_are_those_of_the_report_unless_told(here: Path) -> None:
    counted = dscost.analyze("net.py:make", SHAPE)
    every = timed(counted, dict.fromkeys("0123", FASTER))
    path = saved(advised(every, min_channels=1), here / "r.json")
    assert set(converted("--from", path)["plan"]) == {"0", "1", "2", "3"}
    found = converted("--from", path, "--min-channels", "32")
    assert set(found["plan"]) == {"1", "2", "3"}
    assert found["layers"][0]["reason"] == (
        "3 input channels are fewer than min_channels=32 (--min-channels 1 takes it)"
    )


def test_where_takes_of_what_pays(report: Report, here: Path) -> None:
    found = converted("--from", saved(report, here / "r.json"), "--where", "1")
    assert found["plan"] == {"1": 1}
    assert "Kept although faster when swapped: '3'; see why." in found["notes"]
    # of fewer swaps than were measured the time is an estimate
    assert found["latency"]["after_s"] == pytest.approx(9e-3 - 2e-3 / 3)
    assert found["latency"]["is_predicted"]


def test_where_nothing_pays_the_model_stays_and_it_is_said(report: Report, here: Path) -> None:
    slow = advised(timed(report, dict.fromkeys("0123", SLOWER)))
    ran = run(*ASKED, "--from", saved(slow, here / "r.json"), "--save", "same.pt")
    assert ran.returncode == 0
    assert "0 of 4 convolutions made depthwise-separable" in ran.stdout
    assert "none. Every convolution is kept." in ran.stdout
    assert "0.weight" in torch.load("same.pt")


def test_a_model_that_stays_has_not_the_times_of_swaps_that_lose(
    report: Report, here: Path
) -> None:
    whole = timing(9e-3, SLOWER)
    losing = advised(timed(report, dict.fromkeys("0123", FASTER), whole), min_channels=1)
    assert losing.advice is not None
    assert losing.advice.advised_latency_s == pytest.approx(18e-3)
    found = converted("--from", saved(losing, here / "r.json"))
    assert (found["plan"], found["latency"]) == ({}, None)


def test_of_a_model_without_convolutions_a_timed_report_tells_that_nothing_pays(here: Path) -> None:
    Path("net.py").write_text("from torch import nn\n\ndef make():\n    return nn.Linear(8, 8)\n")
    report = timed(dscost.analyze("net.py:make", (1, 8)), {}, timing(9e-3, SAME))
    found = converted("--from", saved(report, here / "r.json"))
    assert (found["layers"], found["plan"], found["advice"]["swaps"]) == ([], {}, [])


def test_a_report_of_before_there_was_advice_is_taken_by_its_verdicts(
    report: Report, here: Path
) -> None:
    old = saved(report._replace(advice=None), here / "r.json")
    assert converted("--from", old)["plan"] == {"1": 1, "3": 1}


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        (
            {},
            ["--kwargs", "channels=48"],
            "r.json: a report of another model: the convolution '1' is another one there",
        ),
        (
            {},
            ["--input", "1,3,8,8"],
            "r.json: measured on 1×3×16×16 float32, not on 1×3×8×8 float32: "
            "give the same --input, or measure again",
        ),
        (
            "layers",
            [],
            "r.json: no layer was timed in it that could be swapped; "
            "dscost model … -o r.json measures and saves one",
        ),
        ({}, ["--goal", "macs=0.5x"], "found --goal and --fastest"),
        ({}, ["--rank", "2"], "found --rank and --fastest"),
        ({}, ["--plan", "p.yaml"], "found --plan and --fastest"),
        ({}, ["--threads", "1"], "--threads has no effect: --from has what was measured"),
    ],
)
def test_what_cannot_be_is_one_line(
    report: Report, here: Path, change: Any, arguments: list[str], told: str
) -> None:
    if change == "layers":
        report = dscost.analyze("net.py:make", SHAPE)
    Path("p.yaml").write_text("version: 1\nlayers: {'1': 1}\n")
    saved(report, Path("r.json"))
    ran = run(*ASKED, "--fastest", "--from", "r.json", *arguments, "--save", "never.pt")
    assert (ran.returncode, ran.stdout) == (2, "")
    (line,) = ran.stderr.splitlines()
    assert line.endswith(told)
    assert not Path("never.pt").exists()


def test_a_report_of_another_model_names_what_it_lacks(report: Report, here: Path) -> None:
    saved(report, Path("r.json"))
    ran = run("convert", "resnet18", "--from", "r.json")
    assert ran.stderr == (
        "dscost: r.json: a report of another model: "
        "the model has the convolution 'conv1', the report has not\n"
    )
    ran = run("layer", "8", "8", "3", "--no-time", "-o", "layer.json")
    ran = run(*ASKED, "--from", "layer.json")
    assert ran.stderr == ("dscost: layer.json: a report of one layer, expected one of a model\n")


# -- measured now


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(bench, "compare", fake.compare)
    monkeypatch.setattr(timing_ceilings, "find_ceilings", made_up_ceilings)
    return fake


def test_without_a_report_it_is_measured_now(engine: FakeEngine, here: Path) -> None:
    whole, advised = (9e-3, 6e-3), (6e-3, 2e-3)
    engine.times = {"1": (1e-3, 3e-3), "whole model": whole, "advised model": advised}
    found = converted("--fastest", "--input", "1,3,16,16", "--time-budget", "100s")
    assert found["plan"] == {"2": 1, "3": 1}
    assert found["proof"] == "measured"
    assert found["latency"] == {
        "before_s": pytest.approx(9e-3),
        "after_s": pytest.approx(3e-3),
        "is_predicted": False,
    }
    ran = run(*ASKED, "--fastest", "--input", "1,3,16,16", "--time-budget", "100s")
    assert "The swaps that pay, as measured now: 3.00× faster (9.00 → 3.00 ms)." in ran.stdout


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            [],
            "wrote cheaper.pt "
            "(weights; --save-code cheaper.py beside --save writes the model that they fit)\n",
        ),
        (["--save-plan", "p.yaml"], "wrote p.yaml\nwrote cheaper.pt\n"),
        (["--save-code", "cheaper.py"], "wrote cheaper.pt\nwrote cheaper.py\n"),
    ],
)
def test_weights_that_fit_no_model_but_one_of_now_say_how_it_is_had(
    more: list[str], told: str, engine: FakeEngine, here: Path
) -> None:
    asked = (*ASKED, "--fastest", "--input", "1,3,16,16", "--time-budget", "100s")
    assert run(*asked, "--save", "cheaper.pt", *more).stderr == told


def test_what_could_not_be_measured_is_one_line(engine: FakeEngine, here: Path) -> None:
    engine.missing = lambda name: True
    ran = run(*ASKED, "--fastest", "--input", "1,3,16,16", "--time-budget", "100s")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: which swaps pay could not be measured: "
        "The whole model was not timed within 100 s (--time-budget). "
        "3 of 3 distinct layers were not timed within 100 s (--time-budget).\n"
    )


# -- from Python


def module() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3))


def test_the_library_converts_what_pays(engine: FakeEngine, tmp_path: Path) -> None:
    engine.times = {"0": (1e-3, 3e-3)}
    assert separable(dscost.convert(module(), (1, 32, 8, 8), fastest=True)) == ["2"]
    report = advised(timed(dscost.analyze(module(), (1, 32, 8, 8)), {"0": FASTER, "2": SAME}))
    assert separable(dscost.convert(module(), fastest=report)) == ["0"]
    # of as many channels as the report was made with, unless told
    wide = report._replace(advice=None)
    wide = advised(wide, min_channels=64)
    assert separable(dscost.convert(module(), fastest=wide)) == []
    assert separable(dscost.convert(module(), fastest=wide, min_channels=32)) == ["0"]
    path = saved(report, tmp_path / "r.json")
    found = dscost.conversion(module(), (1, 32, 8, 8), fastest=path)
    assert [layer.reason for layer in found.layers] == [
        None,
        "it measured no faster when swapped",
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rank": 2}, "fastest decides what is converted, so rank cannot be given too"),
        ({"plan": {"0": 1}}, "fastest decides what is converted, so plan cannot be given too"),
        ({"fastest": 3}, "fastest is True, a timed report, or the path of one, found 3"),
    ],
)
def test_what_the_library_refuses(given: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        dscost.convert(module(), (1, 32, 8, 8), **{"fastest": True, **given})
