"""What built-ins and layers count by each convention on paper, and as modules of torch.

On paper nobody runs anything: what a counter would see is made from the specs. Here the same
network is built of torch, and watched. The conventions are whichever there are.
"""

from typing import Any

import pytest
import torch

import dscost
from dscost.analysis.targets import Request, count
from dscost.analysis.varying import parts_of
from dscost.conventions import convention_names
from dscost.layers.variants import VARIANTS
from dscost.modules.building import Network, build_variant
from dscost.networks.architectures import build, builtin_names, find_builtin
from dscost.reports.records import Report

CONVENTIONS = tuple(convention_names())
SEVERAL = ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "resnet18", "vgg16")
"""Those that have each kind of layer that a built-in has."""


def by_layer(report: Report) -> dict[tuple[str, str], int]:
    """Return what counts anything, by layer and convention."""
    amounts = ((layer.name, layer.by_convention) for layer in report.layers)
    return {(at, by): count for at, counted in amounts for by, count in counted.items() if count}


@pytest.mark.parametrize(
    ("name", "batch"),
    [*((name, 1) for name in builtin_names()), *((name, 3) for name in SEVERAL)],
)
def test_a_built_in_counts_the_same_on_paper_as_built_of_torch(
    name: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for initial in ("normal_", "kaiming_uniform_"):  # of weights without values, and not quick
        monkeypatch.setattr(torch.nn.init, initial, lambda weight, **_: weight)
    paper = count(name, Request(batch=batch, conventions=CONVENTIONS)).report
    with torch.device("meta"):
        module = Network(build(find_builtin(name), overrides={}).operations)
    request = Request(paper.inputs[0].shape, conventions=CONVENTIONS)
    built = count(module, request).report
    assert set(paper.by_convention) == set(CONVENTIONS)
    assert paper.by_convention == built.by_convention
    assert by_layer(paper) == by_layer(built)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"bias": True},
        {"groups": 4, "stride": 2, "bias": True},
        {"dilation": 2, "batch": 3, "bias": True},
        {"kernel_size": (5, 3), "padding": (0, 2), "input_size": (9, 14)},
        {"padding": "same", "kernel_size": 4},
        {"groups": 8},
        {"dims": 1, "bias": True, "batch": 2},
        {"dims": 3, "stride": (1, 2, 1), "bias": True},
        {"transposed": True, "stride": 2, "bias": True},
        {"transposed": True, "stride": 2, "groups": 2, "output_padding": 1, "padding": 1},
        {"transposed": True, "dims": 1, "stride": 3, "bias": True},
        {"transposed": True, "dims": 3, "batch": 2},
    ],
    ids=str,
)
def test_a_layer_and_its_variants_count_the_same_on_paper_as_built_of_torch(
    given: dict[str, Any],
) -> None:
    setup = {"in_channels": 8, "out_channels": 16, "kernel_size": 3, "input_size": 7, **given}
    report = dscost.layer(**setup, variants=list(VARIANTS), convention=CONVENTIONS)
    (layer,) = report.layers
    assert len(layer.variants) > 1
    for label in layer.variants:
        module = build_variant(parts_of(report, label), layer.input_shape)
        built = count(module, Request(layer.input_shape, conventions=CONVENTIONS)).report
        for name in CONVENTIONS:
            assert report.by_convention[name][label] == built.by_convention[name]["as_is"], (
                label,
                name,
            )
