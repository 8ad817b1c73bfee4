"""Losses of layers that were tried alone → what every way to treat every layer is likely to cost.

Of a layer few ranks are tried. Between two of them the loss goes with the square of the kernel's
error, beyond the last it shrinks with it; a layer that was not tried at all loses as the others do
by their errors. To all of it a little is added by the error, as much as the score cannot tell,
since of two ways that seem to lose nothing the one of less error is the better guess; without it a
plan would put all of what is to be saved into the few layers that seem to be free.

A loss that is no larger than chance explains counts for less.

Source:
    Barlow et al. 1972, Statistical Inference under Order Restrictions, for losses that have to
    shrink with the rank: neighbours that do not are pooled.
"""

from collections.abc import Mapping, Sequence
from math import hypot
from typing import NamedTuple

from dscost.converting.choosing import Option, Options
from dscost.converting.decisions import form_of
from dscost.converting.scoring.losses import Evaluation, Loss
from dscost.layers.orders import Order

LEAST_TIE = 1e-3
"""Share of the score that errors count for where the score is exact."""
GUESSED_SLOPE = 0.1
"""Loss by squared error, as a share of the score, where nothing lost anything."""


class Tried(NamedTuple):
    """A layer that was converted alone.

    Args:
        layer: Which of the layers.
        option: How it was treated.
        said: What was said of the model then.
        loss: What was lost.
    """

    layer: int
    option: Option
    said: Evaluation
    loss: Loss


def expected_losses(
    layers: Sequence[Options], tried: Sequence[Tried], score: float, resolution: float
) -> list[list[float]]:
    """Return the loss to be expected of every option of every layer; 0 of one that is kept.

    Args:
        layers: The options.
        tried: Which of them were tried alone, and what came of it.
        score: Of the model as it is.
        resolution: The least loss that the score could tell.
    """
    tie = max(resolution, LEAST_TIE * abs(score))
    slope = _slope(tried, score)
    found = []
    for at, options in enumerate(layers):
        points = _points([one for one in tried if one.layer == at])
        found.append(
            [_expected(option, points, slope) + tie * _energy(option) for option in options]
        )
    return found


def believed(loss: Loss) -> float:
    """Return a loss as far as chance does not explain it.

    >>> believed(Loss(0.1, 0.1, 0.1)), believed(Loss(-0.1, -0.2, 0.0))
    (0.1, 0.0)
    """
    if loss.loss <= 0:
        return 0.0
    return loss.loss * (loss.loss / hypot(loss.loss, loss.standard_error)) ** 2


class _Point(NamedTuple):
    """A squared error, and what was lost at it."""

    energy: float
    loss: float


def _points(tried: Sequence[Tried]) -> Mapping[Order, list[_Point]]:
    """Return what was tried of a layer by order, the largest error first, losses shrinking."""
    found: dict[Order, list[_Point]] = {}
    for one in sorted(tried, key=lambda one: -one.option.error):
        form = form_of(one.option.decision)
        assert form is not None
        point = _Point(_energy(one.option), believed(one.loss))
        found.setdefault(form.order, []).append(point)
    return {order: _pooled(points) for order, points in found.items()}


def _pooled(points: Sequence[_Point]) -> list[_Point]:
    """Return points whose losses do not grow as errors shrink."""
    groups: list[list[_Point]] = []
    for point in points:
        groups.append([point])
        while len(groups) > 1 and _mean(groups[-2]) < _mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [point._replace(loss=_mean(group)) for group in groups for point in group]


def _mean(points: Sequence[_Point]) -> float:
    return sum(point.loss for point in points) / len(points)


def _slope(tried: Sequence[Tried], score: float) -> float:
    """Return the loss by squared error of all that was tried."""
    energy = sum(_energy(one.option) for one in tried)
    lost = sum(believed(one.loss) for one in tried)
    return lost / energy if energy and lost else GUESSED_SLOPE * abs(score)


def _energy(option: Option) -> float:
    return option.error**2


def _expected(option: Option, points: Mapping[Order, list[_Point]], slope: float) -> float:
    """Return the loss of an option, without what errors count for beside it."""
    form, energy = form_of(option.decision), _energy(option)
    if form is None or not energy:
        return 0.0
    own = points.get(form.order)
    if not own:
        # the other order tells how much the layer matters
        others = [point for found in points.values() for point in found if point.energy]
        if others:
            nearest = min(others, key=lambda point: abs(point.energy - energy))
            return nearest.loss * energy / nearest.energy
        return slope * energy
    above = [point for point in own if point.energy >= energy]
    below = [point for point in own if point.energy < energy]
    if not above:  # less rank than was tried
        return below[0].loss * energy / below[0].energy if below[0].energy else slope * energy
    if not below:
        return above[-1].loss * energy / above[-1].energy
    upper, lower = above[-1], below[0]
    share = (energy - lower.energy) / (upper.energy - lower.energy)
    return lower.loss + share * (upper.loss - lower.loss)
