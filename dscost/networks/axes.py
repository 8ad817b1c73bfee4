"""Where the channels and positions of a feature map lie, however it is viewed or reduced.

An axis is a row of pieces, the slowest first. A piece `(label, step, size)` counts `size` values of
what `label` names, `step` apart: 12 channels are `("c", 1, 12)`, and as 3 groups of 4 they are
`("c", 4, 3)` and `("c", 1, 4)`. An axis of one value has no pieces; neither has one of more values
along which nothing differs.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from typing import NamedTuple

Shape = tuple[int, ...]
Piece = tuple[str, int, int]
Axis = tuple[Piece, ...]

MOST_KEPT = 4096
"""Networks repeat themselves, so what was found is kept."""

BATCH, CHANNELS, POSITIONS, REST, MIXED = "b", "c", "p", "r", "m"
"""What a label begins with. `REST` are the positions that are left where some have been summed up.
`MIXED` is what a gate has made of all channels, one value for each."""


class Map(NamedTuple):
    """A feature map, or what was made of it: its sizes, batch first, and what each axis counts.

    Strides say how far apart the values of each axis lie in memory. It is gated where channels of
    it have been mixed at one position, as a squeeze-and-excite does.
    """

    shape: Shape
    axes: tuple[Axis, ...]
    strides: Shape
    is_gated: bool = False

    def at(self, strides: Shape) -> "Map":
        """Return the same values elsewhere in memory."""
        return self._replace(strides=strides)

    @property
    def values(self) -> int:
        """How many there are."""
        return prod(self.shape)

    @property
    def pieces(self) -> Axis:
        """What all axes count."""
        return tuple(chain.from_iterable(self.axes))

    @property
    def has_positions(self) -> bool:
        """Whether it differs from position to position."""
        return _has_positions(self.pieces)

    def has_positions_on(self, axis: int) -> bool:
        """Whether it differs from position to position along an axis."""
        return _has_positions(self.axes[axis])

    def is_whole(self, channel_axis: int, channels: int, values: int) -> bool:
        """Whether one axis has all channels and no more, and the others every position once."""
        others = [axis for at, axis in enumerate(self.axes) if at != channel_axis % len(self.axes)]
        return (
            self.values == values == prod(size for *_, size in self.pieces)
            and self.shape[channel_axis] == channels
            and _are(self.axes[channel_axis], CHANNELS)
            and all(_are(axis, BATCH, POSITIONS) for axis in others)
        )


@lru_cache(maxsize=MOST_KEPT)
def feature_map(shape: Shape, dimensions: int, strides: Shape | None = None) -> Map:
    """Return a map `(B, C, *positions)` of so many spatial dimensions; the batch may be missing."""
    steps = row_major(shape[len(shape) - dimensions :])
    axes: list[Axis] = [
        _axis(POSITIONS, step, size) for step, size in zip(steps, shape[-dimensions:], strict=True)
    ]
    axes.insert(0, _axis(CHANNELS, 1, shape[-dimensions - 1]))
    if len(shape) > dimensions + 1:
        axes.insert(0, _axis(BATCH, 1, shape[0]))
    return Map(shape, tuple(axes), strides or row_major(shape))


def constant(shape: Shape) -> Map:
    """Return values of which nothing tells one from another."""
    return Map(shape, ((),) * len(shape), row_major(shape))


def row_major(shape: Sequence[int]) -> Shape:
    """Return the strides of a contiguous tensor.

    >>> row_major((2, 3, 4))
    (12, 4, 1)
    """
    strides = [1] * len(shape)
    for at in range(len(shape) - 2, -1, -1):
        strides[at] = strides[at + 1] * shape[at + 1]
    return tuple(strides)


@lru_cache(maxsize=MOST_KEPT)
def viewed(given: Map, shape: Shape, strides: Shape) -> Map | None:
    """Return a view of what `given` has in memory; `None` where it lacks or cuts a piece.

    An axis of stride 0 repeats what is there.
    """
    if shape == given.shape and strides == given.strides:
        return given
    stored = _stored(given)
    axes = []
    for size, stride in zip(shape, strides, strict=True):
        axis = _cut(stored, size, stride) if stride and size > 1 else ()
        if axis is None:
            return None
        axes.append(axis)
    found = Map(shape, tuple(axes), strides, given.is_gated)
    before, after = (_merged(sorted(one.pieces, key=_place)) for one in (given, found))
    return found if before == after else None


@lru_cache(maxsize=MOST_KEPT)
def reshaped(given: Map, shape: Shape) -> Map | None:
    """Return a contiguous copy in another shape, or `None` where that cuts through a piece."""
    if shape == given.shape:
        return given.at(row_major(shape))
    return viewed(given.at(row_major(given.shape)), shape, row_major(shape))


@lru_cache(maxsize=MOST_KEPT)
def joined(maps: tuple[Map, ...], shape: Shape) -> Map | None:
    """Return what an elementwise function makes of maps; `None` where it mixes places."""
    axes: list[Axis] = []
    for at in range(1, len(shape) + 1):  # from the last axis, as torch broadcasts
        here = [(one.shape[-at], one.axes[-at]) for one in maps if at <= len(one.shape)]
        if any(size not in (1, shape[-at]) for size, _ in here):
            return None
        axis = _agreed([axis for _, axis in here if axis])
        if axis is None:
            return None
        axes.insert(0, axis)
    found = Map(shape, tuple(axes), row_major(shape), any(one.is_gated for one in maps))
    is_outer_product = len(set(map(_place, found.pieces))) < len(found.pieces)
    return None if is_outer_product else found


@lru_cache(maxsize=MOST_KEPT)
def reduced(given: Map, along: tuple[int, ...], shape: Shape) -> Map | None:
    """Return a sum, mean or maximum along some axes, or `None` if over the batch alone."""
    gone = {at % len(given.shape) for at in along}
    lost = {piece[0] for at in gone for piece in given.axes[at]}
    if lost == {BATCH}:
        return None
    if POSITIONS in lost:
        given = given._replace(axes=tuple(tuple(map(_left, axis)) for axis in given.axes))
    keeps_axes = len(shape) == len(given.shape)  # a reduced one then has a single value
    axes: list[Axis] = []
    for at, axis in enumerate(given.axes):
        if at not in gone:
            axes.append(axis)
        elif keeps_axes:
            axes.append(())
    if len(axes) != len(shape):
        return None
    return Map(shape, tuple(axes), row_major(shape), given.is_gated)


@lru_cache(maxsize=MOST_KEPT)
def mixed(given: Map, shape: Shape) -> Map | None:
    """Return what a layer makes of what is the same at all positions, or `None` if it is not."""
    if given.has_positions:
        return None
    batches = given.axes if len(shape) == len(given.shape) else given.axes[: len(shape)]
    axes: list[Axis] = []
    for at, size in enumerate(shape):
        axis = batches[at] if at < len(batches) else ()
        keeps_batch = axis and _are(axis, BATCH) and given.shape[at] == size
        axes.append(axis if keeps_batch else _axis(f"{MIXED}{at}", 1, size))
    return Map(shape, tuple(axes), row_major(shape), is_gated=True)


def shuffled(given: Map, name: str) -> Map | None:
    """Return a map whose channels, on axis 1, are in an order that only `name` tells, or `None`."""
    if len(given.axes) < 2 or not _are(given.axes[1], CHANNELS):
        return None
    axis = _axis(f"{CHANNELS}{name}", 1, given.shape[1])
    axes = (given.axes[0], axis, *given.axes[2:])
    return given._replace(axes=axes, strides=row_major(given.shape))


# -- pieces


def _axis(label: str, step: int, size: int) -> Axis:
    return ((label, step, size),) if size > 1 else ()


def _are(axis: Axis, *kinds: str) -> bool:
    """Whether all pieces of an axis count what one of these stands for."""
    return all(label.startswith(kinds) for label, *_ in axis)


def _has_positions(axis: Axis) -> bool:
    return any(label.startswith((POSITIONS, REST)) for label, *_ in axis)


def _left(piece: Piece) -> Piece:
    label, step, size = piece
    return (REST, step, size) if label == POSITIONS else piece


def _place(piece: Piece) -> tuple[str, int]:
    label, step, _ = piece
    return label, -step


def _merged(pieces: Sequence[Piece]) -> Axis:
    """Return a row of pieces with those joined that count on from each other."""
    merged: list[Piece] = []
    for label, step, size in pieces:
        if merged and merged[-1][0] == label and merged[-1][1] == step * size:
            size *= merged.pop()[2]
        merged.append((label, step, size))
    return tuple(merged)


def _stored(given: Map) -> list[tuple[int, Piece]]:
    """Return how far apart the values of each piece lie in memory."""
    stored = []
    for axis, stride in zip(given.axes, given.strides, strict=True):
        for piece in reversed(axis):
            stored.append((stride, piece))
            stride *= piece[2]
    return stored


def _cut(stored: Sequence[tuple[int, Piece]], size: int, stride: int) -> Axis | None:
    """Return the pieces that an axis runs through, or `None` where it does not run along them."""
    axis: list[Piece] = []
    while size > 1:
        found = next((one for one in stored if _runs_along(*one, stride)), None)
        if found is None:
            return None
        apart, (label, step, length) = found
        skipped = stride // apart
        taken = min(size, length // skipped)
        if (length // skipped) % taken or size % taken:
            return None
        axis.insert(0, (label, step * skipped, taken))
        size //= taken
        stride *= taken
    return _merged(axis)


def _runs_along(apart: int, piece: Piece, stride: int) -> bool:
    """Whether steps of `stride` in memory lead along a piece, over a fixed number of values."""
    length = piece[2]
    return stride % apart == 0 and stride < apart * length and length % (stride // apart) == 0


def _agreed(axes: Sequence[Axis]) -> Axis | None:
    """Return what several axes count together; nothing if none, `None` if they disagree."""
    found: Axis = ()
    for axis in axes:
        if not found or _is_gate_of(axis, found):
            found = axis
        elif axis != found and not _is_gate_of(found, axis):
            return None
    return found


def _is_gate_of(channels: Axis, gate: Axis) -> bool:
    return _are(gate, MIXED) and _are(channels, CHANNELS, MIXED)
