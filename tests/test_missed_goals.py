"""Goals that are out of reach, and goals that the clock says are missed: the nearest plan is there all the same."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from jsonschema import Draft7Validator
from program import Ran, run
from torch import nn

import dscost
from dscost.analysis import Request
from dscost.analysis.choice_timing import AS_IS, BothTimes, ChoiceTimes, Seconds
from dscost.analysis.whole_models import WholeModel
from dscost.converting import layer_times, reporting
from dscost.converting.convert import convert_target
from dscost.converting.loading import Subject
from dscost.converting.plan_file import KEEP, Decision, read_plan
from dscost.converting.sites import Site
from dscost.errors import InputError, UnavailableError
from dscost.layers.orders import Order
from dscost.pages import View
from dscost.rendering import render
from dscost.reports.records import Environment, Noise, Speedup
from dscost.schemas import schema

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 10, 1),
    )

def pointwise():
    return nn.Conv2d(8, 8, 1)
"""
# positions 8·8; by hand: 3×3 from 32 to 32 and to 64 is 9,216 and 18,432 weights, at rank 1 32·9 + 32·32 or 64·32
STANDARD, RANK_1, OTHER = (9216 + 18432) * 64, (2 * 32 * 9 + 32 * 32 + 64 * 32) * 64, 640 * 64
WHOLE = STANDARD + OTHER
SHARE = f"{-(-(RANK_1 + OTHER) * 1000 // WHOLE) / 1000:g}x"  # rounded up, so that it can be met
LEAST = f"{-(-(RANK_1 + OTHER) // 100) / 10}k"

A_PROCESSOR = Environment(
    *("a processor", 1, "float32", "contiguous", "system", torch.__version__, None, None)
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def convert(folder: Path, *arguments: str, name: str = "make") -> Ran:
    channels = 8 if name == "pointwise" else 32
    return run("convert", f"net.py:{name}", "--input", f"1,{channels},8,8", *arguments, cwd=folder)


def conversion(ran: Ran) -> dict[str, object]:
    document = json.loads(ran.stdout)
    Draft7Validator(schema("conversion")).validate(document)
    return document["conversion"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("goal", "nearest"),
    [
        ("macs=0.01x", f"{SHARE} ({LEAST} MACs)"),
        ("macs=1%", f"{SHARE} ({LEAST} MACs)"),
        ("macs=1k", f"{LEAST} MACs ({SHARE})"),
        ("params=0.01x", "0.155x (4,394 params)"),
        ("params=1", "4,394 params (0.155x)"),
    ],
)
def test_a_goal_out_of_reach_is_missed_in_the_headline_and_its_nearest_plan_is_written(
    here: Path, goal: str, nearest: str
) -> None:
    files = ["--save", "w.pt", "--save-plan", "plan.yaml"]
    ran = convert(here, "--goal", goal, *files)
    assert ran.returncode == 1
    headline, second, *rest = ran.stdout.splitlines()
    assert headline == f"MISSED: {goal}, nearest {nearest}, every layer at rank 1"
    assert second == "net.py:make, input 1×32×8×8: 2 of 2 convolutions made depthwise-separable"
    assert rest[0] == f"Goal {goal}: no plan reaches it; this is the nearest."
    wanted = {"macs=1%": "0.01×", "macs=1k": "1,000 MACs", "params=1": "1 params"}
    mark = f"← goal {wanted.get(goal, '0.01×')}: missed"
    assert sum(line.endswith(mark) for line in rest) == 1
    assert ran.stderr == "wrote plan.yaml\nwrote w.pt\n"
    plan = read_plan(here / "plan.yaml")
    assert dict(plan.layers) == {"0": 1, "2": 1}
    first_line = (here / "plan.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first_line == f"# {headline}"
    assert "0.depthwise.weight" in torch.load(here / "w.pt", weights_only=True)


def test_programs_are_told_what_was_missed_and_what_is_nearest(here: Path) -> None:
    ran = convert(here, "--goal", "macs=0.01x", "--json")
    assert ran.returncode == 1
    found = conversion(ran)
    assert found["is_met"] is False
    assert str(found["nearest"]).startswith(f"{SHARE} (")
    ran = convert(here, "--goal", "macs=0.5x", "--json")
    assert (ran.returncode, conversion(ran)["nearest"], conversion(ran)["is_met"]) == (
        0,
        None,
        True,
    )


def test_the_nearest_plan_reaches_the_goal_that_is_called_the_nearest(here: Path) -> None:
    assert convert(here, "--goal", f"macs={SHARE}").returncode == 0


def test_a_model_that_has_nothing_to_convert_misses_every_goal_below_what_it_is(
    here: Path,
) -> None:
    ran = convert(here, "--goal", "macs=0.5x", name="pointwise")
    assert ran.returncode == 1
    told = ran.stdout.splitlines()[0]
    assert told == "MISSED: macs=0.5x, nearest 1x (4,096 MACs), no layer can be converted"


def test_from_python_the_nearest_plan_says_what_it_missed_unless_an_error_is_asked_for() -> None:
    model, given = nn.Conv2d(32, 32, 3, bias=False), {"input": (1, 32, 8, 8)}
    # (32·9 + 32·32) / (32·32·9) is 0.1424
    plan = dscost.plan(model, "macs=0.1x", **given)
    assert (dict(plan.layers), plan.missed) == (
        {"": 1},
        "0.143x (47.24k MACs), every layer at rank 1",
    )
    assert "MISSED: the nearest is 0.143x" in str(plan)
    assert dscost.convert(model, plan=plan).depthwise.weight.shape == (32, 1, 3, 3)
    assert dscost.plan(model, "macs=0.5x", **given).missed is None
    with pytest.raises(InputError, match=r"^macs=0\.1x cannot be reached: the least is 0\.143x"):
        dscost.plan(model, "macs=0.1x", **given, strict=True)


# -- by the clock


def made_up_times(
    subject: Subject, able: Sequence[Site], orders: Sequence[Order], *_: object
) -> ChoiceTimes:
    """Return seconds that are a millionth of the MACs."""
    of = {
        (one.conv, run.batched_input_shape): {
            AS_IS: Seconds(1e-6 * one.macs()),
            **{
                form: Seconds(1e-6 * one.macs(form))
                for order in orders
                for form in one.forms(order)
            },
        }
        for one in able
        for run in one.runs
        if one.conv
    }
    return ChoiceTimes(1e-6 * subject.cost.macs, of, A_PROCESSOR, ())


class Clock:
    """Says of one model after the other how much faster it is than the one as it is, which takes a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *speedups: Speedup | float | None) -> None:
        self.left: Iterator[Speedup | float | None] = iter(speedups)
        self.modules: list[nn.Module] = []
        self.environment = A_PROCESSOR
        self.by_cpu: tuple[float, Speedup] | None = None
        monkeypatch.setattr(layer_times, "measured", made_up_times)
        monkeypatch.setattr(reporting, "time_both", self)

    def __call__(
        self, models: tuple[WholeModel, WholeModel], *_: object, turn: int = 0
    ) -> BothTimes:
        assert turn == len(self.modules)
        self.modules.append(models[1].build())
        found = next(self.left)
        if found is None:
            raise UnavailableError("Not timed: the converted model is too large.")
        speedup = found if isinstance(found, Speedup) else Speedup(found, (found, found))
        return BothTimes(1.0, speedup, self.environment, by_cpu=self.by_cpu)


def ranks(model: nn.Module) -> tuple[Decision, ...]:
    return tuple(getattr(part, "depth_multiplier", KEEP) for part in (model[0], model[2]))  # type: ignore[index]


def test_a_goal_that_the_clock_confirms_stands_beside_what_it_says(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 2.0)
    ran = convert(here, "--goal", "latency_s=0.6x")
    assert ran.returncode == 0
    assert "MISSED" not in ran.stdout
    assert "← goal 0.6×, measured 0.5×\n" in ran.stdout
    assert "1.00 s as it is and 500 ms converted, 0.500 [0.500, 0.500] times as long" in ran.stdout


def test_a_plan_that_the_whole_model_misses_is_made_once_more_by_the_measured_ratio(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the layers promise 0.58 or so of the model's time, the model takes 0.8: the next plan is for 0.58 of 0.6 / 0.8
    clock = Clock(monkeypatch, 1.25, 2.0)
    ran = convert(here, "--goal", "latency_s=0.6x", "--json")
    assert ran.returncode == 0
    found = conversion(ran)
    first, second = clock.modules
    promised = (WHOLE - (STANDARD - macs_of(first))) / WHOLE
    aimed = 0.6 * promised / 0.8
    assert found["aimed"] == f"latency_s={aimed:.3g}x"
    assert found["goal"] == "latency_s=0.6x"
    assert macs_of(second) + OTHER <= aimed * WHOLE < macs_of(first) + OTHER
    assert tuple(found["plan"].values()) == ranks(second)  # type: ignore[attr-defined]
    assert found["latency"] == {"before_s": 1.0, "after_s": 0.5, "is_predicted": False}
    assert found["is_met"] is True
    told = str(found["notes"])
    assert "A plan for latency_s=0.6x took 0.800 times as long as the model as it is" in told
    assert f"so this one is for latency_s={aimed:.3g}x" in told


def macs_of(model: nn.Module) -> int:
    """Return the MACs of the two layers, by hand."""
    return sum(
        64 * (9 * 32 * n if rank == KEEP else int(rank) * (32 * 9 + 32 * n))
        for rank, n in zip(ranks(model), (32, 64), strict=True)
    )


def test_a_goal_that_is_missed_twice_is_missed_by_the_faster_of_both(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 1.25, 1.45)
    files = ["--save", "w.pt", "--save-plan", "plan.yaml"]
    ran = convert(here, "--goal", "latency_s=0.6x", *files)
    assert ran.returncode == 1
    assert ran.stdout.startswith("MISSED: latency_s=0.6x, measured 0.69x (690 ms)\n")
    assert "← goal 0.6×, measured 0.69×: missed\n" in ran.stdout
    assert "predicted" not in ran.stdout
    assert tuple(read_plan(here / "plan.yaml").layers.values()) == ranks(clock.modules[1])
    weights = torch.load(here / "w.pt", weights_only=True)
    assert len(weights["2.depthwise.weight"]) == 32 * int(ranks(clock.modules[1])[1])
    text = (here / "plan.yaml").read_text(encoding="utf-8")
    assert text.startswith("# MISSED: latency_s=0.6x, measured 0.69x (690 ms)\n")
    assert "\n# 1.00 s → 690 ms, measured\n" in text


def test_a_second_plan_that_is_no_faster_is_told_and_left(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second, told in ((1.2, "took 0.833 times as long"), (None, "could not be timed")):
        clock = Clock(monkeypatch, 1.25, second)
        ran = convert(here, "--goal", "latency_s=0.6x", "--json")
        assert ran.returncode == 1
        found = conversion(ran)
        assert tuple(found["plan"].values()) == ranks(clock.modules[0])  # type: ignore[attr-defined]
        assert told in str(found["notes"])
        assert found["aimed"] is None


def test_a_time_that_is_given_is_held_against_the_clock_as_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 1 / 1.3, 1 / 1.2)
    ran = convert(here, "--goal", "latency_s=1.1s")
    # the made-up model as it is takes 1.8 s, the clock says 1.2 s
    assert ran.returncode == 1
    assert ran.stdout.startswith("MISSED: latency_s=1.1s, measured 1.20 s (1.2x)\n")
    assert "← goal 1.10 s, measured 1.20 s: missed\n" in ran.stdout


def test_a_goal_of_latency_out_of_reach_is_told_with_what_the_clock_says_of_the_nearest(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 4.0)
    ran = convert(here, "--goal", "latency_s=0.05x")
    assert ran.returncode == 1
    nearest = f"{SHARE} ({-(-(RANK_1 + OTHER) // 1000)} ms), every layer at rank 1"
    headline = f"MISSED: latency_s=0.05x, nearest {nearest}; measured 0.25x (250 ms)"
    assert ran.stdout.splitlines()[0] == headline
    assert ranks(clock.modules[0]) == (1, 1)
    assert "no plan reaches it by the times of its layers; this is the nearest." in ran.stdout
    Clock(monkeypatch, 25.0)  # the layers promised too little
    ran = convert(here, "--goal", "latency_s=0.05x")
    assert (ran.returncode, "MISSED" in ran.stdout) == (0, False)
    assert "← goal 0.05×, measured 0.04×\n" in ran.stdout


def test_a_goal_that_could_not_be_held_against_the_clock_is_not_called_met(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, None)
    ran = convert(here, "--goal", "latency_s=0.6x")
    assert (ran.returncode, "MISSED" in ran.stdout) == (0, False)
    assert "← goal 0.6×, not measured\n" in ran.stdout
    told = "Converted it was not timed. Not timed: the converted model is too large.\n"
    assert told in ran.stdout
    assert "“predicted” ones were not timed" in ran.stdout
    Clock(monkeypatch, None)
    assert conversion(convert(here, "--goal", "latency_s=0.6x", "--json"))["is_met"] is None


def test_a_busy_machine_is_told_as_by_model_and_layer(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Noise("load", 4.2, 1.0, "")
    clock = Clock(monkeypatch, 2.0)
    clock.environment = A_PROCESSOR._replace(noise=(noise,), noise_floor=0.53, load_after=4.2)
    ran = convert(here, "--goal", "latency_s=0.6x", "-q")
    assert "load 4.2" in ran.stdout
    assert "53" in ran.stdout
    clock = Clock(monkeypatch, 2.0)
    clock.environment = A_PROCESSOR._replace(noise=(noise,), noise_floor=0.53, load_after=4.2)
    document = json.loads(convert(here, "--goal", "latency_s=0.6x", "--json").stdout)
    assert document["environment"]["noise"][0]["kind"] == "load"
    assert document["environment"]["noise_floor"] == 0.53


def test_a_goal_by_processor_time_is_held_against_that_and_called_what_it_is(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # on the wall it would be missed, by an interval that tells nothing
    for asked in ((), ("--json",)):
        clock = Clock(monkeypatch, Speedup(1.25, (0.5, 2.5)))
        clock.by_cpu = 0.5, Speedup(2.0, (1.6, 2.5))
        ran = convert(
            here, "--goal", "latency_s=0.6x", "--clock", "cpu", "--save-plan", "p.yaml", *asked
        )
        assert ran.returncode == 0
    found = conversion(ran)
    assert (found["clock"], found["is_met"]) == ("cpu", True)
    assert found["latency"] == {"before_s": 0.5, "after_s": 0.25, "is_predicted": False}
    assert "# 500 ms → 250 ms of CPU time, measured\n" in (here / "p.yaml").read_text("utf-8")
    Clock(monkeypatch, 1.25, 1.2).by_cpu = 0.5, Speedup(1.25, (1.2, 1.3))
    ran = convert(here, "--goal", "latency_s=0.6x", "--clock", "cpu")
    told = "MISSED: latency_s=0.6x, measured 0.8x (400 ms) of CPU time"
    assert (ran.returncode, ran.stdout.splitlines()[0]) == (1, told)


def test_people_read_processor_times_under_their_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, Speedup(1.25, (0.5, 2.5)))
    clock.by_cpu = 0.5, Speedup(2.0, (1.6, 2.5))
    ran = convert(here, "--goal", "latency_s=0.6x", "--clock", "cpu")
    assert "by the CPU times of its layers" in ran.stdout
    assert "the whole model takes 500 ms of CPU time as it is and 250 ms converted, " in ran.stdout
    both = "0.500 [0.400, 0.625] times as long; its layers promised "
    assert both in ran.stdout
    assert ", and the clock on the wall says 0.800 [0.400, 2.000].\n" in ran.stdout
    before_notes, _, _ = ran.stdout.partition("\nerror = ")
    assert "latency" not in before_notes.replace("latency_s=0.6x", "")
    assert before_notes.count("CPU time ") == 3  # of layers, of the whole, of the curve
    refused = convert(here, "--goal", "macs=0.5x", "--clock", "cpu")
    assert refused.stderr == (
        "dscost: --clock is for --goal latency_s=…: nothing else is planned by it\n"
    )


def last_line(module: nn.Module, width: int | None, **how: str) -> str:
    converted = convert_target(module, Request((1, 32, 8, 8)), **how).converted  # type: ignore[arg-type]
    return render(converted, "table", View(width=width)).rstrip().splitlines()[-1]


def test_on_a_terminal_what_came_of_a_goal_is_the_last_word(here: Path) -> None:
    module = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1))
    met = last_line(module, 200, goal="macs=0.5x")
    told = "convolutions made depthwise-separable. Goal macs=0.5x, with the least total error that meets it."
    assert met.endswith(f" of 2 {told}")
    assert last_line(module, 200, goal="macs=0.01x").startswith("MISSED: macs=0.01x, nearest ")
    for text in (last_line(module, None, goal="macs=0.5x"), last_line(module, 200)):
        assert (
            "made depthwise-separable." not in text
        )  # a pipe keeps the first line; nothing was asked for
