"""What scoring found: plain data, no torch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dscost.converting.choosing import Options
from dscost.converting.decisions import form_of
from dscost.converting.knapsack import Amount
from dscost.converting.scoring.estimating import Tried
from dscost.converting.scoring.losses import Loss, Verdict
from dscost.layers.orders import Order
from dscost.notation.units import counted, format_layer
from dscost.reports.records import plain
from dscost.reports.result import Result

SAME_SCORE = 1e-9
"""Share of a score by which rounding may change it."""


class LayerLoss(NamedTuple):
    """What was lost where one layer alone was converted.

    Args:
        name: Path of the layer, the first of those that share its weights.
        rank: T.
        order: Which stage runs first.
        loss: Score of the model as it is, less that with this layer converted.
        low: Between this and `high` the loss of more samples lies, in 95 of 100 cases.
        high: The other end.
        verdict: `safe`, `unclear` or `costly`.
        error: Of its kernel, relative.
        macs_before: MACs of all of its calls as it is.
        macs_after: MACs of them converted.
        shared_by: How many layers share its weights, and were converted with it.
    """

    name: str
    rank: int
    order: Order
    loss: float
    low: float
    high: float
    verdict: Verdict
    error: float
    macs_before: int
    macs_after: int
    shared_by: int = 1


class ScorePoint(NamedTuple):
    """A whole model that was scored.

    Args:
        cost: What it costs.
        share: That cost as a share of the original one.
        score: What was said of it.
        converted: How many layers are.
        is_chosen: Whether it is what was chosen.
    """

    cost: Amount
    share: float
    score: float
    converted: int
    is_chosen: bool = False


class Scored(NamedTuple):
    """What a score said of a conversion.

    Args:
        name: The function.
        before: Of the model as it is.
        after: Of the converted one.
        lost: The first less the second, with its interval.
        noise: How noisy the score is, in words.
        layers: What was lost layer by layer, each alone.
        curve: Whole models that were scored, each the best of its cost.
        evaluations: How many scores it took.
        from_journal: How many of those were known from before.
        journal: Where they are kept.
        target: The least score that was to be kept, where that was the goal.
        recovered: The score after what the conversion lost was recovered, where that was done.
        is_final: Whether `after` is the mean of calls that had no part in the choice.
    """

    name: str
    before: float
    after: float
    lost: Loss
    noise: str | None
    layers: tuple[LayerLoss, ...]
    curve: tuple[ScorePoint, ...]
    evaluations: int
    from_journal: int
    journal: str | None
    target: float | None = None
    recovered: float | None = None
    is_final: bool = False

    @property
    def converted(self) -> int:
        """How many layers of the plan are converted."""
        return next((point.converted for point in self.curve if point.is_chosen), 0)

    @property
    def is_kept(self) -> bool:
        """Whether the score that was to be kept is."""
        return self.target is not None and reaches(self.last, self.target)

    @property
    def last(self) -> float:
        """The score of what is returned."""
        return self.after if self.recovered is None else self.recovered


def reaches(score: float, target: float) -> bool:
    """Whether a score is a target or above, but for rounding.

    >>> reaches(0.98 * 0.1 / 0.1, 0.98), reaches(0.97, 0.98)
    (True, False)
    """
    return score >= target - SAME_SCORE * abs(target)


class Sensitivity(Result):
    """How much of a score every layer costs that is converted alone.

    Args:
        target: The model.
        name: The function that scores it.
        score: Of the model as it is.
        layers: What was lost, by layer, rank and order.
        untried: Layers that the budget did not reach.
        noise: How noisy the score is, in words.
        evaluations: How many scores it took.
        from_journal: How many of those were known from before.
        journal: Where they are kept.
    """

    target: str
    name: str
    score: float
    layers: tuple[LayerLoss, ...]
    untried: tuple[str, ...] = ()
    noise: str | None = None
    evaluations: int = 0
    from_journal: int = 0
    journal: str | None = None

    @property
    def at_rank_one(self) -> dict[str, LayerLoss]:
        """Every layer at rank 1, in that order of its two stages which loses less."""
        return best_at_rank_one(self.layers)

    @property
    def safe(self) -> tuple[str, ...]:
        """The layers that can be of rank 1, each alone."""
        return tuple(name for name, one in self.at_rank_one.items() if one.verdict == "safe")

    @property
    def costly(self) -> tuple[str, ...]:
        """The layers that lose at rank 1, each alone, more than chance explains."""
        return tuple(name for name, one in self.at_rank_one.items() if one.verdict == "costly")

    def in_a_line(self) -> str:
        """Return how many layers are safe, and which are not."""
        return f"{self.target}: {safe_in_words(self.layers)}"

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, JSON-ready."""
        found: dict[str, Any] = plain({name: getattr(self, name) for name in self._fields})
        return found


def best_at_rank_one(layers: Sequence[LayerLoss]) -> dict[str, LayerLoss]:
    """Return every layer at rank 1 by name, in the order of stages that loses least."""
    found: dict[str, LayerLoss] = {}
    for one in layers:
        known = found.get(one.name)
        if one.rank == 1 and (known is None or one.loss < known.loss):
            found[one.name] = one
    return found


def safe_in_words(layers: Sequence[LayerLoss]) -> str:
    """Return how many layers can be of rank 1 alone, and which cannot."""
    ones = best_at_rank_one(layers)
    safe = sum(one.verdict == "safe" for one in ones.values())
    found = f"{safe} of {counted(len(ones), 'layer')} safe at rank 1 alone"
    for verdict in ("costly", "unclear"):
        names = [format_layer(name) for name, one in ones.items() if one.verdict == verdict]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            found += f"; {verdict}: {', '.join(names[:3])}{more}"
    return found


def layer_losses(
    layers: Sequence[Options], tried: Sequence[Tried], score: float
) -> tuple[LayerLoss, ...]:
    """Return what was tried, layer after layer in the order of the model."""
    found = []
    for layer, option, _, loss in sorted(tried, key=lambda one: (one.layer, _rank(one))):
        form, keep = form_of(option.decision), layers[layer][0]
        assert form is not None
        found.append(
            LayerLoss(
                name=option.names[0],
                rank=form.rank,
                order=form.order,
                loss=loss.loss,
                low=loss.low,
                high=loss.high,
                verdict=loss.verdict(score),
                error=option.error,
                macs_before=keep.macs,
                macs_after=option.macs,
                shared_by=len(option.names),
            )
        )
    return tuple(found)


def _rank(one: Tried) -> tuple[int, str]:
    form = form_of(one.option.decision)
    assert form is not None
    return form.rank, form.order
