"""Every layer converted alone, at a few ranks and orders: what each loses."""

from collections.abc import Iterator, Sequence

from dscost.converting.choosing import Metric, Option, Options
from dscost.converting.decisions import form_of
from dscost.converting.scoring.estimating import Tried
from dscost.converting.scoring.evaluating import Evaluator, SpentError
from dscost.converting.scoring.losses import Evaluation
from dscost.errors import InputError
from dscost.layers.orders import ORDERS, Form
from dscost.notation.units import format_layer

FEW_RANKS = (1, 2, 4)
"""The ranks that are tried alone."""
SUSPICIOUS = 5
"""Layers in a row that leave the score just as it was, after which it is asked what ruin does."""


def tried_alone(
    layers: Sequence[Options],
    evaluator: Evaluator,
    metric: Metric = "macs",
    *,
    reserve: float = 0.0,
) -> list[Tried]:
    """Return what layers lose one by one, as many as the budget allows.

    The most telling come first: every layer at rank 1, those that cost most before others, then the
    other order, then more ranks. What would cost no less than the layer as it is is left out.

    Args:
        layers: Their options; those of one entry share their weights.
        evaluator: What is asked; it has scored the model as it is.
        metric: What is to be saved.
        reserve: Share of the budget that is kept for plans.

    Raises:
        InputError: The function fails, or its score does not depend on the model.
    """
    found: list[tuple[int, Option, Evaluation]] = []
    spared = 1 if reserve else 0
    for at, option in in_turn(layers, metric):
        decisions = dict.fromkeys(option.names, option.decision)
        # as long as nothing has changed the score, a ruined model may have to
        is_telling = any(one.score != evaluator.base_score for _, _, one in found)
        kept_back = 0 if reserve or not found or is_telling else 1
        try:
            said = evaluator.of(decisions, alone(option), reserve=reserve, spared=kept_back)
        except SpentError:
            break
        found.append((at, option, said))
        if len(found) == SUSPICIOUS:
            _require_dependence(layers, evaluator, found, spared)
    _require_dependence(layers, evaluator, found, spared)
    return [Tried(at, option, said, evaluator.loss(said)) for at, option, said in found]


def in_turn(layers: Sequence[Options], metric: Metric = "macs") -> Iterator[tuple[int, Option]]:
    """Yield the layers' options that are worth a try alone, by turns, the most telling first."""
    by_cost = sorted(range(len(layers)), key=lambda at: -float(_cost(layers[at][0], metric)))
    for rank in FEW_RANKS:
        for order in ORDERS:
            for at in by_cost:
                options = {form_of(one.decision): one for one in layers[at]}
                option = options.get(Form(rank, order))
                if option is not None and _cost(option, metric) < _cost(layers[at][0], metric):
                    yield at, option


def alone(option: Option) -> str:
    """Return in words which layer is converted alone, and how."""
    form = form_of(option.decision)
    assert form is not None
    first, *others = option.names
    more = f" and {len(others)} that share its weights" if others else ""
    return f"{format_layer(first)}{more} alone at rank {form.text}"


def _require_dependence(
    layers: Sequence[Options],
    evaluator: Evaluator,
    found: Sequence[tuple[int, Option, Evaluation]],
    spared: int,
) -> None:
    """Refuse a score that is the same whatever becomes of the model.

    Where no layer that was converted alone has changed it, it may be that the model does not mind;
    but a model whose weights are all but gone has to tell.

    Raises:
        InputError: It does not.
    """
    said = {evaluation.score for _, _, evaluation in found}
    names = [name for options in layers for name in options[0].names]
    if said != {evaluator.base_score} or evaluator.ruined(names, spared) != evaluator.base_score:
        return
    number = len(names)
    zero = "its convolution" if number == 1 else f"all of its {number} convolutions"
    raise InputError(
        f"{evaluator.score.name} returned {evaluator.base_score:g} for the model as it is, and the "
        f"same with {zero} set to zero: it does not depend on the model it is "
        "given, or what the model answers does not depend on them"
        f"{evaluator.kept_in_words()}"
    )


def _cost(option: Option, metric: Metric) -> float:
    return float(getattr(option, metric))
