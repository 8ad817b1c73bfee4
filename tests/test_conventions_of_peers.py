"""Conventions of peers against the figures that the peers themselves give.

`data/conventions.csv` has been written by them (`benchmarks/conventions.py`), `data/conventions_expected.csv` too.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import dscost
from dscost.conventions import find_convention
from dscost.errors import UnavailableError
from tests.convention_cases import CASES

DATA = Path(__file__).parent / "data"
PEERS = ("fvcore", "ptflops", "thop", "torchinfo")
BUILT_IN = (
    "resnet18",
    "resnet50",
    "vgg16",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
)


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


SAID = {row["case"]: row for row in rows("conventions.csv")}


def expected() -> Iterator[tuple[str, dict[str, int]]]:
    figures: dict[str, dict[str, int]] = {}
    for row in rows("conventions_expected.csv"):
        figures.setdefault(row["model"], {})[row["convention"]] = int(row["value"])
    for model, of_model in figures.items():
        yield (model if model in BUILT_IN else f"torchvision:{model}"), of_model
    yield "torchvision:resnet18", figures["resnet18"]


EXPECTED = dict(expected())


def figures_of(target: object, given: object) -> dict[str, int]:
    report = dscost.analyze(target, input=given, convention=PEERS)  # type: ignore[arg-type]
    assert report.by_convention is not None
    found = {peer: report.by_convention[find_convention(peer).key]["as_is"] for peer in PEERS}
    return {**found, "macs": report.totals.as_is.macs}


def test_every_case_has_figures_of_its_peers() -> None:
    assert list(SAID) == list(CASES)
    assert all(SAID[case][peer] for case in SAID for peer in PEERS)


@pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning"
)
@pytest.mark.parametrize("case", CASES)
def test_a_module_counts_as_its_peers_say(case: str) -> None:
    module = CASES[case].make().eval()
    found = figures_of(
        module, tuple(torch.zeros(shape, device="meta") for shape in CASES[case].shapes)
    )
    assert {peer: found[peer] for peer in PEERS} == {peer: int(SAID[case][peer]) for peer in PEERS}


@pytest.mark.parametrize("target", EXPECTED)
def test_a_model_counts_as_its_peers_say(target: str) -> None:
    try:
        found = figures_of(target, (1, 3, 224, 224))
    except UnavailableError as error:
        pytest.skip(str(error))
    assert found == EXPECTED[target]
