"""One choice per layer: the least error within a cost, or the least cost within an error.

That is the multiple-choice knapsack problem. It is solved exactly: sums are made of whole numbers
(a float is one over a power of two), layer after layer keeps the sums that no other sum dominates
(Nemhauser and Ullmann), and a sum goes as soon as the linear relaxation says that nothing better
than what is known can come of it. Should more than `MOST_SUMS` remain, those of the best bounds are
kept, and the bounds of the others say how far from the best the answer may be.

Source:
    Nemhauser and Ullmann 1969, Discrete dynamic programming and capital allocation;
    Sinha and Zoltners 1979, The multiple-choice knapsack problem;
    Kellerer, Pferschy and Pisinger 2004, Knapsack Problems, chapter 11.
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import NamedTuple

MOST_SUMS = 4_000
FIRST_SUMS = 64
"""A first pass that keeps so few already finds an answer, mostly the best one, and the second has
less to look at."""

Amount = int | float

Choice = tuple[Amount, float]
"""What one way of treating a layer costs, and the error that it adds; neither is negative."""


class Selection(NamedTuple):
    """One choice for each layer.

    Args:
        chosen: Index of the choice, layer by layer.
        cost: Sum of the costs.
        error: Sum of the errors.
        gap: How much less the figure that was minimised could be at most; 0 where this is proven to
            be the best.
    """

    chosen: tuple[int, ...]
    cost: Amount
    error: float
    gap: float = 0.0


def least_error(
    layers: Sequence[Sequence[Choice]], budget: Amount | Fraction, *, most_sums: int = MOST_SUMS
) -> Selection | None:
    """Return the choices of least error within a budget of cost, of equal ones the cheapest.

    Args:
        layers: The choices of each layer, at least one.
        budget: The most that the costs may add up to.
        most_sums: How many partial sums are kept; the fewer, the larger the gap may be.

    Returns:
        `None` where even the cheapest choices cost more.

    >>> least_error([[(10, 0.0), (4, 0.3)], [(10, 0.0), (2, 0.2)]], budget=14)
    Selection(chosen=(0, 1), cost=12, error=0.2, gap=0.0)
    """
    costs, errors = _axis(layers, 0), _axis(layers, 1)
    found = _solved(costs, errors, budget, most_sums)
    return found and _selection(layers, *found, errors.denominator)


def least_cost(
    layers: Sequence[Sequence[Choice]], bound: float | Fraction, *, most_sums: int = MOST_SUMS
) -> Selection | None:
    """Return the choices of least cost whose error is within a bound, of equal ones the most exact.

    See `least_error`: `None` where even the most exact choices have a larger error.

    >>> least_cost([[(10, 0.0), (4, 0.3)], [(10, 0.0), (2, 0.2)]], bound=0.3).chosen
    (0, 1)
    """
    costs, errors = _axis(layers, 0), _axis(layers, 1)
    found = _solved(errors, costs, bound, most_sums)
    return found and _selection(layers, *found, costs.denominator)


def _selection(
    layers: Sequence[Sequence[Choice]], chosen: Sequence[int], gap: Fraction, denominator: int
) -> Selection:
    taken = [layer[at] for layer, at in zip(layers, chosen, strict=True)]
    cost: Amount = sum(cost for cost, _ in taken)
    if isinstance(cost, float):  # added up without an error
        cost = float(sum(Fraction(cost) for cost, _ in taken))
    error = float(sum(Fraction(error) for _, error in taken))
    return Selection(tuple(chosen), cost, error, float(gap / denominator))


# -- in whole numbers: `weight` is what is bounded, `value` what is minimised


class _Axis(NamedTuple):
    """One figure of every choice, as whole numbers over one denominator."""

    figures: list[list[int]]
    denominator: int


class _Item(NamedTuple):
    """A choice in whole numbers, with its index in the layer."""

    weight: int
    value: int
    at: int


class _Price(NamedTuple):
    """What a unit of weight is worth in value, `weight_price / value_price`."""

    weight_price: int
    value_price: int

    def of(self, weight: int, value: int) -> int:
        """Return what weight and value come to."""
        return self.weight_price * weight + self.value_price * value


class _Sums(NamedTuple):
    """Sums over the first layers that no other dominates, lightest first, and how they came."""

    weights: list[int]
    values: list[int]
    parents: list[int]
    chosen: list[int]


def _axis(layers: Sequence[Sequence[Choice]], at: int) -> _Axis:
    """Return the costs of all choices, which stand at 0, or their errors, at 1."""
    ratios = [[Fraction(choice[at]) for choice in layer] for layer in layers]
    # all are powers of two
    denominator = max((ratio.denominator for layer in ratios for ratio in layer), default=1)
    return _Axis([[int(ratio * denominator) for ratio in layer] for layer in ratios], denominator)


def _solved(
    weights: _Axis, values: _Axis, budget: Amount | Fraction, most_sums: int
) -> tuple[list[int], Fraction] | None:
    """Return the choices of least value within a weight, and by how much the best may be below."""
    room = floor(Fraction(budget) * weights.denominator)
    layers = [
        _undominated([_Item(*pair, at) for at, pair in enumerate(zip(*layer, strict=True))])
        for layer in zip(weights.figures, values.figures, strict=True)
    ]
    lightest = [layer[0] for layer in layers]
    if sum(item.weight for item in lightest) > room:
        return None
    best, price = _greedy(layers, room)
    if price is None:  # everything fits
        return [item.at for item in best], Fraction(0)
    gap = Fraction(0)
    for width in (min(FIRST_SUMS, most_sums), most_sums):
        best, gap = _searched(layers, room, price, best, width)
        if not gap:
            break
    return [item.at for item in best], gap


def _undominated(items: Sequence[_Item]) -> list[_Item]:
    """Return the items that no other equals or beats in both figures, lightest and worst first."""
    kept: list[_Item] = []
    for item in sorted(items):
        if not kept or item.value < kept[-1].value:
            kept.append(item)
    return kept


def _hull(items: Sequence[_Item]) -> list[_Item]:
    """Return the items on the lower convex hull; between them the relaxation mixes."""
    hull: list[_Item] = []
    for item in items:
        while len(hull) > 1 and _is_above(hull[-2], hull[-1], item):
            hull.pop()
        hull.append(item)
    return hull


def _is_above(left: _Item, middle: _Item, right: _Item) -> bool:
    """Whether the middle one is on or above the line from left to right."""
    gained, weighed = left.value - middle.value, middle.weight - left.weight
    return gained * (right.weight - left.weight) <= (left.value - right.value) * weighed


def _greedy(layers: Sequence[Sequence[_Item]], room: int) -> tuple[list[_Item], _Price | None]:
    """Return a good choice, and the price of weight at which the relaxation just fits.

    The steps along the hulls are taken in the order of what they gain; from the first that does not
    fit on, those that still do are taken. There is no price where all of them fit.
    """
    steps = []
    for number, layer in enumerate(layers):
        for before, after in pairwise(_hull(layer)):
            gain = Fraction(before.value - after.value, after.weight - before.weight)
            steps.append((gain, number, before, after))
    best = [layer[0] for layer in layers]
    left = room - sum(item.weight for item in best)
    price = None
    for gain, number, before, after in sorted(steps, key=lambda step: -step[0]):
        if best[number] is before and after.weight - before.weight <= left:
            best[number], left = after, left - (after.weight - before.weight)
        elif price is None:
            price = _Price(gain.numerator, gain.denominator)
    return best, price


def _searched(
    layers: Sequence[Sequence[_Item]], room: int, price: _Price, known: Sequence[_Item], width: int
) -> tuple[list[_Item], Fraction]:
    """Return the best choice, and by how much less value another one may have.

    Bounds are made by the price: any is right, that of the relaxation is the sharpest. A choice
    that fits is known; no more than `width` sums are kept from layer to layer.
    """
    cheapest = [min(price.of(item.weight, item.value) for item in layer) for layer in layers]
    limit = price.of(room, sum(item.value for item in known))
    # what a choice may be dearer than the cheapest ones and still be as good as known
    slack = limit - sum(cheapest)
    spread = [layer[0].weight - layer[-1].weight for layer in layers]
    order = sorted(range(len(layers)), key=spread.__getitem__)
    rest_price, rest_weight = sum(cheapest), sum(layer[0].weight for layer in layers)
    sums, history = _Sums([0], [0], [-1], [-1]), []
    dropped: int | None = None
    for number in order:
        most = cheapest[number] + slack
        items = [item for item in layers[number] if price.of(item.weight, item.value) <= most]
        rest_price -= cheapest[number]
        rest_weight -= layers[number][0].weight
        sums = _extended(sums, items, room - rest_weight, price, limit - rest_price)
        if len(sums.weights) > width:
            sums, least = _narrowed(sums, price, width)
            dropped = least + rest_price if dropped is None else min(dropped, least + rest_price)
        history.append(sums)
    best = list(known)
    if sums.weights:  # the last is the best of value
        at = len(sums.weights) - 1
        found = {}
        for number, step in zip(reversed(order), reversed(history), strict=True):
            found[number] = next(item for item in layers[number] if item.at == step.chosen[at])
            at = step.parents[at]
        best = min(best, [found[number] for number in range(len(layers))], key=_worth)
    if dropped is None:
        return best, Fraction(0)
    bound = Fraction(dropped - price.weight_price * room, price.value_price)
    return best, max(Fraction(0), sum(item.value for item in best) - bound)


def _worth(items: Sequence[_Item]) -> tuple[int, int]:
    return sum(item.value for item in items), sum(item.weight for item in items)


def _extended(sums: _Sums, items: Sequence[_Item], room: int, price: _Price, limit: int) -> _Sums:
    """Return the sums with one more layer: those within room and limit that no other dominates."""
    found = []
    weight_price, value_price = price
    for item in items:
        for parent, (weight, value) in enumerate(zip(sums.weights, sums.values, strict=True)):
            weight += item.weight
            value += item.value
            if weight <= room and weight_price * weight + value_price * value <= limit:
                found.append((weight, value, parent, item.at))
    found.sort()
    kept = []
    least = None
    for one in found:
        if least is None or one[1] < least:
            kept.append(one)
            least = one[1]
    return _Sums(*([one[field] for one in kept] for field in range(4)))


def _narrowed(sums: _Sums, price: _Price, width: int) -> tuple[_Sums, int]:
    """Return the sums of the best bounds, and the best bound of the others."""
    bounds = [price.of(*pair) for pair in zip(sums.weights, sums.values, strict=True)]
    by_bound = sorted(range(len(bounds)), key=bounds.__getitem__)
    kept = sorted(by_bound[:width])
    return _Sums(*([column[at] for at in kept] for column in sums)), bounds[by_bound[width]]
