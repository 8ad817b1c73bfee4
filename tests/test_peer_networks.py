"""The exact figures that `benchmarks/peers.py` holds all counters against: by hand, and as published; and its arithmetic."""

import csv
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(
    str(ROOT / "benchmarks")
)  # a folder of scripts; others of them have names of packages

from peer_networks import NETWORKS  # noqa: E402
from peers import Run, Times, difference, not_first, reason, times_of  # noqa: E402

sys.path.pop()

PUBLISHED = {
    row["model"]: row
    for row in csv.DictReader(
        (ROOT / "tests" / "data" / "torchvision_weights_meta.csv").read_text().splitlines()
    )
    if row["crop_size"] in ("", "224")
}
OF_TORCHVISION = [name for name in NETWORKS if name in PUBLISHED]


def test_all_but_the_networks_made_for_it_are_published() -> None:
    assert set(NETWORKS) - set(OF_TORCHVISION) == {"recurrent", "sound"}


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_what_is_reckoned_by_hand_is_what_torchvision_publishes(name: str) -> None:
    figure = PUBLISHED[name]["gflops_ops"]
    decimals = len(figure.partition(".")[2])
    assert f"{NETWORKS[name].macs / 1e9:.{decimals}f}" == figure
    assert str(NETWORKS[name].params) == PUBLISHED[name]["num_params"]
    assert f" {figure} GMACs" in NETWORKS[name].source


def test_a_figure_in_flops_is_halved_and_others_stand() -> None:
    assert Run("resnet18", "FlopCounterMode", 0, figure=2 * 1_814_073_344).macs == 1_814_073_344
    assert Run("resnet18", "fvcore", 0, figure=1_819_065_856).macs == 1_819_065_856
    assert Run("resnet18", "thop", 0, why="KeyError: 'x'").macs is None


@pytest.mark.parametrize(
    ("macs", "exact", "said"),
    [
        (1000, 1000, "exact"),
        (1_000_010, 1_000_000, "+10"),
        (999_990, 1_000_000, "-10"),
        (1003, 1000, "+0.30 %"),
        (855, 1000, "-14.5 %"),
        (2759, 1000, "+176 %"),
    ],
)
def test_how_far_off_is_never_rounded_to_exact(macs: float, exact: int, said: str) -> None:
    assert difference(macs, exact) == said


def test_the_reason_is_the_line_of_the_exception() -> None:
    err = "Traceback (most recent call last):\n  File x\ntorch.jit.TracingError: no way: at all\nbye: then\n"
    assert reason(err) == "torch.jit.TracingError: no way: at all"
    assert reason("dscost: error: what\n") == "dscost: error: what"
    assert reason("") == "it ended without a word"


def test_times_leave_the_first_round_out() -> None:
    rounds = [
        Run("resnet18", "thop", n, 1, answered_s=s) for n, s in enumerate((9.0, 1.0, 3.0, 2.0))
    ]
    found = times_of(rounds)
    assert found is not None
    assert (found.low_s, found.answered_s, found.high_s) == (1.5, 2.0, 2.5)
    assert found.count_s is None
    assert times_of(rounds[:2]) is None


def test_who_is_faster_than_dscost_is_named() -> None:
    def took(answered_s: float, count_s: float | None, mib: int) -> Times:
        return Times(answered_s, 0.0, 0.0, None, None, count_s, None, float(mib << 20))

    times = {
        "dscost model": took(2.0, None, 300),
        "dscost, library": took(9.0, 0.2, 900),
        "thop": took(1.5, 0.4, 400),
        "onnxsim": took(0.1, None, 10),  # of a file: not of this task
    }
    assert list(not_first("resnet18", times)) == [
        "- resnet18, to the answer, of a torch model: **dscost is not first**; of what it takes: thop 0.75.",
        "- resnet18, counting alone, of a torch model: dscost is first; thop, which comes next, takes 2.00 times as much.",
        "- resnet18, memory, of a torch model: dscost is first; thop, which comes next, takes 1.33 times as much.",
    ]
