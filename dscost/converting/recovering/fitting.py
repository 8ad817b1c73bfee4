"""A depthwise-separable layer refitted: its pointwise weights, and its bias where it has its own.

Depthwise-first, the features of an output are what the filters make of the input, the same for all
outputs of a group. Pointwise-first, output n has filters of its own: its features are the channels
of its group, each filtered by them. All of those come of the second moments of the patches of the
input, which are summed up once.
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, prod
from typing import Any, NamedTuple

import numpy as np

from dscost.converting.recovering.least_squares import (
    Equations,
    Pair,
    Sums,
    best_choice,
    together,
)

PER_UNKNOWN = 40
"""Positions that are looked at, for each unknown of an output: of p unknowns and k·p independent
positions least squares adds p / (k·p), here a fortieth, to the variance that it cannot explain.
Neighbours are alike, so that it adds more than that, but by few times."""
LEAST_POSITIONS = 4096
"""So many however few the unknowns are: they are cheap then, and neighbours tell little."""
MOST_BYTES = 2**29
"""Of second moments of what a layer sees; one that has more is not refitted. They are 5,792
features: the patches of 643 channels under a kernel of 3×3, or any pointwise layer in use."""
MOST_JUDGED = 32
"""Outputs of a group by which the ridge is chosen: one number of seven, for which a few outputs
vote as all do; they share a solution, so that more are nearly free."""
MOST_JUDGED_APART = 8
"""Outputs by which it is, where each has features of its own: every one is solved by itself, 20
times of each half, which would take longer than all the rest."""
MOST_PROJECTED = 2**27
"""Bytes that are made of second moments at a time."""
MOST_WAITING = 2**25
"""Bytes of features that wait to be summed up at once: products of a few positions each cost more
in calls, in threads that are woken, and in second moments that are added, than in arithmetic."""

Positions = tuple[np.ndarray, np.ndarray]
"""Features and targets of a few positions, `(G, features, positions)` and `(G, N/G, positions)`."""
Rounded = Callable[[np.ndarray], np.ndarray]
"""Numbers as the layer will store them, in float64."""


class Stages(NamedTuple):
    """The weights of both stages in float64, and how they go together.

    Args:
        filters: `(M·T, Kh·Kw)` depthwise-first, `(N·T, Kh·Kw)` pointwise-first.
        mixing: `(N, M/G·T)` depthwise-first, `(N·T, M/G)` pointwise-first.
        groups: G of the pointwise stage.
        outputs: N.
        is_depthwise_first: Which of the stages comes first.
    """

    filters: np.ndarray
    mixing: np.ndarray
    groups: int
    outputs: int
    is_depthwise_first: bool

    @property
    def multiplier(self) -> int:
        """T, filters of an output; pointwise-first."""
        return len(self.filters) // self.outputs

    @property
    def features(self) -> int:
        """How many features a group has: depthwise-first M/G·T, else the M/G·Kh·Kw of patches."""
        per_group = int(self.mixing.shape[1])
        return per_group if self.is_depthwise_first else per_group * int(self.filters.shape[1])

    @property
    def unknowns(self) -> int:
        """Of each output: its weights, and a bias."""
        weights = int(self.mixing.shape[1])
        return weights * (1 if self.is_depthwise_first else self.multiplier) + 1

    def kernel(self) -> np.ndarray:
        """Return what all features are multiplied by, `(G, N/G, features)`."""
        if self.is_depthwise_first:
            return self.mixing.reshape(self.groups, -1, self.features)
        mixing = self.mixing.reshape(self.outputs, self.multiplier, -1)
        filters = self.filters.reshape(self.outputs, self.multiplier, -1)
        made: np.ndarray = mixing.swapaxes(1, 2) @ filters  # (N, M/G, Kh·Kw)
        return made.reshape(self.groups, -1, self.features)


class Fitted(NamedTuple):
    """Refitted weights, as the layer stores them, in float64.

    Args:
        mixing: Of the shape that they had.
        shift: What is added to the bias, `(N,)`; zeros where that is not refitted.
        before: Squared error of the layer on the positions that were looked at, as it was.
        after: The same now; never larger.
    """

    mixing: np.ndarray
    shift: np.ndarray
    before: float
    after: float

    @property
    def is_changed(self) -> bool:
        """Whether any output does better."""
        return self.after < self.before


class Fitting:
    """A layer while its inputs and its targets are looked at.

    Args:
        stages: Its weights.
        shifts: Whether its bias is refitted too.
        inputs: How many inputs it will see, over all of which positions are drawn.
    """

    def __init__(self, stages: Stages, *, shifts: bool, inputs: int) -> None:
        self.stages, self._shifts, self._inputs = stages, shifts, max(inputs, 1)
        self._sums = Sums(stages.groups, stages.features, stages.outputs // stages.groups)
        self._kernel = stages.kernel()
        self._waiting: dict[int, list[Positions]] = {0: [], 1: []}
        self._bytes = 0

    @staticmethod
    def is_possible(stages: Stages) -> bool:
        """Whether the moments of what a layer sees are few enough to be held."""
        return Sums.bytes_of(stages.groups, stages.features) <= MOST_BYTES

    @property
    def are_finite(self) -> bool:
        """Whether all that was looked at is finite, and so are its squares."""
        self._sum_up()
        return self._sums.are_finite

    def add(
        self, features: np.ndarray, target: np.ndarray, bias: np.ndarray | None, at: int
    ) -> None:
        """Look at an input.

        Args:
            features: `(G · features, positions)`, see `Stages.features`.
            target: What the layer is to return there, `(N, positions)`.
            bias: Of the layer, `(N,)`.
            at: Which of the inputs it is; those of even and uneven numbers are the two halves.
        """
        positions = features.shape[-1]
        z = features.reshape(self.stages.groups, self.stages.features, positions)
        middle = positions // 2  # of a single input, what is above and what is below
        is_alone = self._inputs == 1
        parts = (slice(0, middle), slice(middle, None)) if is_alone else (slice(None),)
        with np.errstate(all="ignore"):  # what is too large is told in the end
            aim = target if bias is None else target - bias[:, None]
        aim = aim.reshape(self.stages.groups, -1, positions)
        for half, part in enumerate(parts):
            found = self._waiting[half if is_alone else at % 2]
            found.append((z[..., part], aim[..., part]))
        self._bytes += z.nbytes
        if self._bytes > MOST_WAITING:
            self._sum_up()

    def _sum_up(self) -> None:
        """Take in what waits, of each half at once."""
        with np.errstate(all="ignore"):
            for half, found in self._waiting.items():
                if found:
                    z, aim = (np.concatenate(one, -1) for one in zip(*found, strict=True))
                    self._sums.add(z, aim - self._kernel @ z, half)
                found.clear()
        self._bytes = 0

    def result(self, rounded: Rounded, bias: np.ndarray | None) -> Fitted:
        """Return what is best, output by output; one that gains nothing has what it had."""
        self._sum_up()
        stages = self.stages
        every = self._shared if stages.is_depthwise_first else self._own
        judged = MOST_JUDGED if stages.is_depthwise_first else MOST_JUDGED_APART
        choice = best_choice(every(judged), shifts=self._shifts)
        mixing, shift = stages.mixing.copy(), np.zeros(stages.outputs)
        before = after = 0.0
        rows = 0
        for whole in map(together, every(None)):
            number = len(whole.rr)
            scale, some = whole.scale(), slice(rows, rows + number)
            rows += number
            before += float(whole.rr.sum())
            if choice is None or not scale:
                after += float(whole.rr.sum())
                continue
            correction, constant = whole.correction(choice.share * scale, shifts=choice.shifts)
            old = self._rows(mixing, some)
            new = rounded(old + correction)
            if bias is not None and choice.shifts:
                constant = rounded(bias[some] + constant) - bias[some]
            left = whole.left(new - old, constant)
            gains = left < whole.rr
            shift[some] = np.where(gains, constant, 0.0)
            self._write(mixing, some, np.where(gains[:, None], new, old))
            after += float(np.where(gains, left, whole.rr).sum())
        return Fitted(mixing, shift, before, after)

    # -- the unknowns of outputs, and their equations

    def _rows(self, mixing: np.ndarray, some: slice) -> np.ndarray:
        """Return the weights of outputs, `(n, unknowns)`."""
        if self.stages.is_depthwise_first:
            return mixing[some]
        by_output = mixing.reshape(self.stages.outputs, self.stages.multiplier, -1)[some]
        return by_output.swapaxes(1, 2).reshape(len(by_output), -1)  # channel m, filter t: m·T + t

    def _write(self, mixing: np.ndarray, some: slice, new: np.ndarray) -> None:
        if self.stages.is_depthwise_first:
            mixing[some] = new
            return
        times = self.stages.multiplier
        by_output = mixing.reshape(self.stages.outputs, times, -1)  # a view of the same numbers
        by_output[some] = new.reshape(len(new), -1, times).swapaxes(1, 2)

    def _shared(self, at_most: int | None) -> Iterator[Pair]:
        """Yield the equations of the outputs of a group, or of some of them."""
        outputs = self.stages.outputs // self.stages.groups
        some = slice(None, None, 1 if at_most is None else ceil(outputs / at_most))
        for group in range(self.stages.groups):
            first, second = self._sums.pair(group)
            yield first.of_outputs(some), second.of_outputs(some)

    def _own(self, at_most: int | None) -> Iterator[Pair]:
        """Yield the equations of each output, or of some."""
        outputs = self.stages.outputs
        step = 1 if at_most is None else ceil(outputs / at_most)
        per_group = outputs // self.stages.groups
        for group in range(self.stages.groups):
            pair = self._sums.pair(group)
            first = group * per_group
            chosen = [n for n in range(first, first + per_group) if n % step == 0]
            all_filters = self.stages.filters.reshape(outputs, self.stages.multiplier, -1)
            _, times, taps = all_filters.shape
            for some in _chunks(chosen, pair[0].zz.nbytes * times // taps):
                filters = all_filters[some]
                rows = np.asarray(some) - first
                yield from zip(*(_projected(one, filters, rows) for one in pair), strict=True)


def _chunks(outputs: Sequence[int], bytes_each: int) -> Iterator[list[int]]:
    at_a_time = max(1, MOST_PROJECTED // max(bytes_each, 1))
    for at in range(0, len(outputs), at_a_time):
        yield list(outputs[at : at + at_a_time])


def _projected(patches: Equations, filters: np.ndarray, rows: np.ndarray) -> Iterator[Equations]:
    """Yield the equations of some outputs, whose features are patches under filters `(n, T, K)`."""
    number, times, taps = filters.shape
    channels = len(patches.z) // taps
    z = patches.z.reshape(channels, taps)
    # (M, n·T, M·K): one side under all filters at once, the other output by output
    half = filters.reshape(-1, taps) @ patches.zz.reshape(channels, taps, channels * taps)
    half = half.reshape(channels, number, times, channels, taps)
    for at, own in enumerate(filters):
        row = rows[at : at + 1]
        yield Equations(
            patches.positions,
            (z @ own.T).reshape(-1),
            (half[:, at] @ own.T).reshape(channels * times, channels * times),
            patches.r[row],
            (patches.rz[row].reshape(channels, taps) @ own.T).reshape(1, -1),
            patches.rr[row],
        )


# -- where a layer is looked at


def drawn(extent: Sequence[int], stages: Stages, inputs: int, seed: Sequence[int]) -> np.ndarray:
    """Return which positions of an output of some extent are looked at, in order."""
    number, most = prod(extent), quota(stages, inputs)
    if number <= most:
        return np.arange(number)
    random = np.random.default_rng(list(seed))
    return np.sort(random.choice(number, most, replace=False))


def quota(stages: Stages, inputs: int) -> int:
    """Return how many positions of an input are looked at: over all, `PER_UNKNOWN` an unknown."""
    return ceil(max(PER_UNKNOWN * stages.unknowns, LEAST_POSITIONS) / max(inputs, 1))


def patches_at(
    padded: np.ndarray,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    at: np.ndarray,
) -> np.ndarray:
    """Return the patches of a padded input `(M, H, W)` at positions, `(M·Kh·Kw, positions)`."""
    windows = list(zip(padded.shape[1:], kernel, stride, dilation, strict=True))
    extent = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in windows]
    first = np.unravel_index(at, extent)
    taps = np.unravel_index(np.arange(prod(kernel)), kernel)
    places: list[Any] = [
        tap[:, None] * d + one * s
        for tap, one, (_, _, s, d) in zip(taps, first, windows, strict=True)
    ]
    found: np.ndarray = padded[(slice(None), *places)]  # (M, Kh·Kw, positions)
    return found.reshape(-1, len(at))
