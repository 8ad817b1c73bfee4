"""A version of a model on an input: what it costs, and what counters of others see of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import ceil, log2, prod
from types import MappingProxyType
from typing import NamedTuple

from dscost.conventions import alike_among
from dscost.layers.convolution import Shape
from dscost.reports.records import CountedBy
from dscost.traces.calls import Call

AS_IS = "as_is"
_LINEAR = ("aten::linear", "aten::addmm")


class Seen(NamedTuple):
    """A version of a model on an input.

    Args:
        inputs: Shapes of what it is given.
        macs: Its multiply-accumulates.
        params: Its parameters.
        activations: What its convolutions and linear layers write; `None` where that is not known.
        calls: What counters of others see of it; `None` where that cannot be known.
        saved: What it counts by conventions, where only that was kept.
        conventions: How those count, by name.
        changes: What was done to the model, in words, before it was counted.
        unknown: Operators of unknown cost.
        beyond: Why no convention of others can be held against it, in a sentence.
    """

    inputs: tuple[Shape, ...]
    macs: int
    params: int
    activations: int | None
    calls: Sequence[Call] | None
    saved: Mapping[str, int] = MappingProxyType({})
    changes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    conventions: Mapping[str, CountedBy] = MappingProxyType({})
    beyond: str = ""

    @property
    def batch(self) -> int:
        """How many inputs at once."""
        return next((shape[0] for shape in self.inputs if shape), 1)

    @property
    def resolution(self) -> int | None:
        """The side of its one square image, where it is given one."""
        if len(self.inputs) != 1 or len(self.inputs[0]) != 4:
            return None
        height, width = self.inputs[0][2:]
        return height if height == width else None

    def macs_on(self, sides: Iterable[int]) -> Iterator[tuple[float, int]]:
        """Yield about how many multiply-accumulates it has on images of other sides, and the side.

        A layer has as many times more as its output has positions; strides round these up.
        """
        whole = self.resolution
        if whole is None:
            return
        by_extents: dict[Shape, int] = {}
        for call, paths in () if self.calls is None else alike_among(self.calls):
            if call.kind == "operators" and call.macs:
                macs = call.macs * len(paths)
                by_extents[call.output[2:]] = by_extents.get(call.output[2:], 0) + macs
        rest = self.macs - sum(by_extents.values())
        for side in sides:
            more = (macs * _more(extents, whole, side) for extents, macs in by_extents.items())
            yield rest * (side / whole) ** 2 + sum(more), side

    @property
    def norm_params(self) -> int:
        """Parameters of batch normalisation, which go into the convolution before it."""
        return sum(
            _elements(call)
            for call in _once(self.calls or ())
            if call.kind == "modules" and "BatchNorm" in call.name.rpartition(".")[2]
        )

    def without_classifier(self) -> "Seen | None":
        """Return it without its last layer, where that is linear, as papers count backbones."""
        calls = self.calls or ()
        last = next(
            (call for call in reversed(calls) if call.kind == "operators" and call.macs), None
        )
        if last is None or last.name not in _LINEAR or not last.path:
            return None
        gone = [call for call in calls if call.path == last.path]
        macs = sum(call.macs for call in gone if call.kind == "operators")
        modules = [call for call in _once(gone) if call.kind == "modules"]
        params = sum(map(_elements, modules)) or _elements(last)
        if macs >= self.macs:
            return None
        kept = [call for call in calls if call.path != last.path]
        return self._replace(
            macs=self.macs - macs,
            params=self.params - params,
            activations=None,
            calls=kept,
            changes=(*self.changes, "without its classifier"),
        )


def _more(extents: Shape, whole: int, side: int) -> float:
    """Return how many times more positions an output has on images of another side."""
    if len(extents) == 1:  # of tokens, which are as many as the area is large
        return (side / whole) ** 2
    return prod(_longer(one, whole, side) for one in extents)


def _longer(extent: int, whole: int, side: int) -> float:
    """Return how many times longer an axis is; strides of two that round up do so again."""
    if extent == 1:
        return 1.0
    stride = 2 ** max(0, round(log2(whole / extent)))
    is_strided = extent == ceil(whole / stride)
    return ceil(side / stride) / extent if is_strided else side / whole


class Prospect(NamedTuple):
    """A version of a model of which the rest may not be worth counting.

    Args:
        macs: Its multiply-accumulates.
        params: Its parameters.
        seen: Counts the rest; `None` where there is no such version after all.
        keeps_layers: Whether its layers are those of the model as it stands.
    """

    macs: int
    params: int
    seen: Callable[[], Seen | None]
    keeps_layers: bool = False


def known(seen: Seen) -> Prospect:
    """Return what is counted already."""
    return Prospect(seen.macs, seen.params, lambda: seen)


def _once(calls: Sequence[Call]) -> Iterator[Call]:
    """Yield the first call of each module, whose parameters count once."""
    found: set[tuple[str, str]] = set()
    for call in calls:
        if call.kind == "modules" and (call.path, call.name) not in found:
            found.add((call.path, call.name))
            yield call


def _elements(call: Call) -> int:
    total = 0
    for shape in call.parameters.values():
        size = 1
        for extent in shape:
            size *= extent
        total += size
    return total
