"""The 1×1 convolution that a dense one is held against: as many MACs, the same outputs."""

import pytest

from dscost.analysis.equal_macs import pointwise_of
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.layers.making import conv
from dscost.networks.network import stage_costs


def held_against(spec: ConvSpec, shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The MACs of a convolution and of the 1×1 that it is held against."""
    (stage,) = stage_costs([("standard", spec)], shape, 4)
    found = pointwise_of(stage, 4)
    if not found:
        return None
    assert found[0].output_shape == stage.output_shape
    return stage.cost.macs, found[0].cost.macs


@pytest.mark.parametrize(
    ("spec", "shape", "macs"),
    [
        (conv2d(256, 256, 3, padding=1), (1, 256, 14, 14), 256 * 256 * 9 * 14 * 14),
        (conv2d(3, 32, 3, stride=2, padding=1), (2, 3, 224, 224), 2 * 3 * 32 * 9 * 112 * 112),
        (conv2d(8, 4, (1, 5), padding=(0, 2)), (1, 8, 6, 7), 8 * 4 * 5 * 6 * 7),
        (conv(8, 4, 3, dims=1, padding=1), (1, 8, 10), 8 * 4 * 3 * 10),
        (conv2d(64, 32, 3, groups=2, padding=1), (1, 64, 5, 5), 32 * 32 * 9 * 5 * 5),
        (conv2d(2048, 4, 3, padding=1), (1, 2048, 2, 2), 2048 * 4 * 9 * 2 * 2),
    ],
)
def test_it_has_the_macs_and_the_outputs_of_the_dense_one(
    spec: ConvSpec, shape: tuple[int, ...], macs: int
) -> None:
    assert held_against(spec, shape) == (macs, macs)


@pytest.mark.parametrize(
    "spec",
    [
        conv2d(64, 64, 1),
        conv(64, 64, 3, dims=2, transposed=True, stride=2),
        conv2d(8192, 64, 3),
    ],
)
def test_what_is_no_such_product_is_held_against_nothing(spec: ConvSpec) -> None:
    assert held_against(spec, (1, spec.in_channels, 8, 8)) is None
