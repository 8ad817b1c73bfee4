"""Convolutions, pooling and resampling."""

from collections.abc import Sequence
from math import floor

import numpy as np

from dscost.errors import SpecError
from dscost.graphs.convolutions import BLOCKED, KINDS, convolution_of
from dscost.graphs.nodes import MICROSOFT, Node
from dscost.graphs.shapes.table import (
    SHAPED,
    Type,
    Unknowable,
    axes_of,
    feature_map,
    numbers,
    read,
    shaped,
)
from dscost.graphs.values import Shape
from dscost.graphs.windows import window_of

LARGEST_BLOCK = 16
"""Channels are blocks of 8 or 16, by the processor."""

MOST_SCALED = 1e6
"""No axis is made longer by more."""


def _convolved(node: Node) -> Sequence[Type]:
    found = convolution_of(node)
    assert found is not None
    dtype = read(node).dtype
    if node.base == "ConvInteger":
        dtype = "int32"
    elif node.base == "QLinearConv":
        dtype = read(node, 7).dtype
    return [(dtype, found.output_shape)]


SHAPED.update(dict.fromkeys(KINDS, _convolved))


@shaped("ConvTransposeWithDynamicPads", domain=MICROSOFT)
def _dynamically_padded(node: Node) -> Sequence[Type]:
    pads = numbers(node, 2)
    attributes = dict(node.attributes)
    if pads is not None:
        attributes["pads"] = pads
    return _convolved(node._replace(attributes=attributes))


@shaped("DeformConv")
def _deformed(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, weight) = read(node), read(node, 1)
    if len(shape) < 3 or shape[1] != weight[1] * node.attributes.get("group", 1):
        raise SpecError(f"an input {shape} does not fit weights {weight}")
    window = window_of(node.attributes, shape[2:], weight[2:])
    return [(dtype, (shape[0], weight[0], *window.positions(shape[2:])))]


@shaped("CausalConvWithState")
def _causal(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, weight) = read(node), read(node, 1)
    if len(shape) != 3 or len(weight) != 3 or weight[:2] != (shape[1], 1) or not weight[2]:
        raise SpecError(f"an input {shape} does not fit weights {weight}")
    return [(dtype, shape), (dtype, (*shape[:2], weight[2] - 1))]


@shaped("MaxPool AveragePool", domain=BLOCKED)
@shaped("MaxPool AveragePool LpPool")
def _pooled(node: Node) -> Sequence[Type]:
    dtype, shape = feature_map(node)
    pooled = (*shape[:2], *pooled_positions(node, shape[2:]))
    return [(dtype, pooled), ("int64", pooled)]


def pooled_positions(node: Node, extents: Shape) -> Shape:
    """Return how many positions a pooling writes.

    Raises:
        SpecError: Its window does not fit.
    """
    kernel = tuple(node.attributes.get("kernel_shape") or ())
    window = window_of(node.attributes, extents, kernel)
    return window.positions(extents, ceil=bool(node.attributes.get("ceil_mode", 0)))


# -- resampling


@shaped("Resize Upsample")
def _resized(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    is_old = node.base == "Upsample" or node.opset < 11
    rank = len(shape)
    axes = axes_of(node.attributes.get("axes") or range(rank), rank)
    sizes = None if is_old else numbers(node, 3)
    if sizes:
        wanted = _fitted(node, [shape[axis] for axis in axes], sizes)
    else:
        wanted = _scaled([shape[axis] for axis in axes], _scales(node, 1 if is_old else 2))
    found = list(shape)
    for axis, size in zip(axes, wanted, strict=True):
        found[axis] = size
    return [(dtype, tuple(found))]


def _scales(node: Node, at: int) -> Sequence[float]:
    value = node.input(at)
    if value is not None and value.content is None:
        raise Unknowable("its scales are computed")
    if value is not None:
        return [float(one) for one in value.content.reshape(-1)]  # type: ignore[union-attr]
    read = node.attributes
    if "height_scale" in read:
        return (1.0, 1.0, read["height_scale"], read["width_scale"])
    return tuple(read.get("scales") or ())


def _scaled(extents: Sequence[int], scales: Sequence[float]) -> Shape:
    if len(scales) != len(extents) or not all(0 < scale < MOST_SCALED for scale in scales):
        raise SpecError(f"scales {tuple(scales)} are not those of {tuple(extents)}")
    return tuple(
        floor(np.float32(size) * np.float32(scale))
        for size, scale in zip(extents, scales, strict=True)
    )


def _fitted(node: Node, extents: Sequence[int], sizes: Shape) -> Shape:
    if len(sizes) != len(extents):
        raise SpecError(f"sizes {sizes} are not those of {tuple(extents)}")
    policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes
    if not all(extents):
        raise SpecError(f"{tuple(extents)} has no positions")
    ratios = [np.float32(a) / np.float32(b) for a, b in zip(sizes, extents, strict=True)]
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return tuple(floor(np.float32(size) * ratio + np.float32(0.5)) for size in extents)


@shaped("GridSample")
def _sampled(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, grid) = read(node), read(node, 1)
    if len(shape) != len(grid) or len(shape) < 3 or shape[0] != grid[0]:
        raise SpecError(f"a grid {grid} does not fit an input {shape}")
    return [(dtype, (*shape[:2], *grid[1:-1]))]


@shaped("RoiAlign")
def _aligned(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, regions) = read(node), read(node, 1)
    if len(shape) != 4 or len(regions) != 2:
        raise SpecError(f"regions {regions} are none of {shape}")
    height, width = (node.attributes.get(f"output_{name}", 1) for name in ("height", "width"))
    return [(dtype, (regions[0], shape[1], height, width))]


# -- channels in blocks


@shaped("ReorderInput", domain=BLOCKED)
def _into_blocks(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    if node.attributes.get("channels_last"):
        shape = (*shape[:1], *shape[-1:], *shape[1:-1])
    if len(shape) != 4 or shape[1] % LARGEST_BLOCK:
        raise Unknowable("how many channels are added depends on the processor")
    return [(dtype, shape)]


@shaped("ReorderOutput", domain=BLOCKED)
def _out_of_blocks(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    channels = node.attributes.get("channels", 0)
    if len(shape) != 4 or not 0 < channels <= shape[1]:
        raise SpecError(f"there are no {channels} channels in {shape}")
    if node.attributes.get("channels_last"):
        return [(dtype, (shape[0], *shape[2:], channels))]
    return [(dtype, (shape[0], channels, *shape[2:]))]


@shaped("Upsample", domain=BLOCKED)
def _larger(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    scales = node.attributes.get("scales") or ()
    if len(scales) != len(shape) or min(scales, default=1) < 1:
        raise SpecError(f"scales {scales} are not those of {shape}")
    return [(dtype, tuple(floor(a * b) for a, b in zip(shape, scales, strict=True)))]
