"""What a score said of a model as it is and converted, layer by layer and in total."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dscost.converting.choosing import Metric, figure_text
from dscost.converting.results import Outcome
from dscost.converting.scoring.results import LayerLoss, Scored, Sensitivity, safe_in_words
from dscost.layers.orders import DEPTHWISE_FIRST
from dscost.notation.units import arrow, counted, format_count
from dscost.pages import Said
from dscost.pages.layer_table import ROOT
from dscost.pages.page import Column, Page, Row, Sheet, Tone, Toned, View, words
from dscost.reports.figures import FIGURES
from dscost.reports.records import head

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture

SHORT = "pw-first"
SMALL, SMALLEST = 0.01, 1e-9
"""Below the one a loss has two digits, below the other it is none."""
_TONES: Mapping[str, Tone] = {"safe": "good", "costly": "bad", "unclear": "unclear"}
NOTE = (
    "loss = score as it is less the score with this layer alone converted, with what it may be of "
    "more samples (95 %). safe: at most 1 % of the score, or no more than chance explains and at "
    "most 5 %; costly: more than chance explains; unclear: neither can be told."
)


def score_text(score: float) -> str:
    """Return a score with the digits that tell it from others.

    >>> score_text(0.9875), score_text(71.25), score_text(-0.012345), score_text(1234.5)
    ('0.9875', '71.25', '-0.01235', '1234')
    """
    return f"{score:.4g}"


def loss_text(loss: float, low: float, high: float) -> str:
    """Return a loss with its interval, where there is one.

    >>> loss_text(0.075, 0.012, 0.134), loss_text(0.0, 0.0, 0.0), loss_text(-0.01, -0.01, -0.01)
    ('0.075 [0.012, 0.134]', '0', '−0.01')
    >>> loss_text(0.00264, 0.00249, 0.00281)
    '0.0026 [0.0025, 0.0028]'
    """
    text = _number(loss)
    return text if low == high else f"{text} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    if abs(value) < SMALLEST:
        return "0"
    if abs(value) < SMALL:
        text = f"{value:.2g}"
    else:
        text = f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


# -- of a conversion


def score_lines(scored: Scored) -> Iterator[str]:
    """Yield what a score said of the whole model, as it is and converted."""
    if not scored.converted:
        yield f"Score by {scored.name}: {score_text(scored.before)} as it is."
        return
    lost = f", a loss of {loss_text(*scored.lost)}" if scored.lost.loss > 0 else ""
    if scored.lost.loss <= 0:
        lost = ", nothing lost" if scored.lost.loss == 0 else ", a gain"
    again = ", scored anew after it was chosen" if scored.is_final else ""
    before, after = score_text(scored.before), score_text(scored.after)
    text = f"{before} as it is, {after} converted{lost}{again}"
    if scored.recovered is not None:
        text += f"; recovered {score_text(scored.recovered)}"
    yield f"Score by {scored.name}: {text}."


def score_sheets(outcome: Outcome) -> Iterator[Sheet]:
    """Yield tables of what layers lose alone, and of the score by cost."""
    scored = outcome.scored
    if scored is None:
        return
    if scored.layers:
        yield loss_sheet(scored.layers)
    if len(scored.curve) > 1:
        yield _curve_sheet(scored, outcome.curve_metric)


def score_notes(outcome: Outcome) -> Iterator[str]:
    """Yield how losses are told, and how often the score was asked."""
    scored = outcome.scored
    if scored is None:
        return
    if scored.layers:
        yield Toned(NOTE, "method")
    yield _asked(scored.evaluations, scored.from_journal, scored.journal)


def _asked(evaluations: int, from_journal: int, journal: str | None) -> str:
    """Return how often a score was asked, and where its answers are."""
    known = f", {from_journal} of them known from before" if from_journal else ""
    kept = "" if journal is None else f"; kept in {journal}"
    return f"{counted(evaluations, 'evaluation')}{known}{kept}."


def _curve_sheet(scored: Scored, metric: Metric) -> Sheet:
    title = "time" if metric == "latency_s" else FIGURES[metric].title
    columns = [
        Column("cost", title, 0),
        Column("share", "of as it is", 1),
        Column("score", "score", 0),
        Column("converted", "layers converted", 2),
        words("goal", header=""),
    ]
    rows = []
    for point in scored.curve:
        cost = figure_text(metric, point.cost).partition(" MACs")[0].partition(" params")[0]
        cells = {
            "cost": cost,
            "share": f"{point.share:.3f}×",
            "score": score_text(point.score),
            "converted": str(point.converted),
            "goal": "← chosen" if point.is_chosen else "",
        }
        rows.append(Row(cells, "strong" if point.is_chosen else "plain"))
    return Sheet(columns, rows)


# -- of layers alone


def least_losses(layers: Sequence[LayerLoss]) -> dict[tuple[str, int], LayerLoss]:
    """Return of each layer and rank the order that loses less."""
    best: dict[tuple[str, int], LayerLoss] = {}
    for one in layers:
        known = best.get((one.name, one.rank))
        if known is None or one.loss < known.loss:
            best[one.name, one.rank] = one
    return best


def loss_sheet(layers: Sequence[LayerLoss]) -> Sheet:
    """Return a row for each layer and rank: what it loses alone, in the order that loses less."""
    best = least_losses(layers)
    ranks = sorted({rank for _, rank in best})
    names = dict.fromkeys(one.name for one in layers)
    first, *others = ranks
    columns = [
        words("layer", header="alone"),
        Column("loss", f"loss at rank {first}", 0),
        words("verdict", 0, ""),
        *(Column(f"loss_{rank}", f"at rank {rank}", 2 + at) for at, rank in enumerate(others)),
        Column("macs", f"MACs at rank {first}", 1),
    ]
    rows = []
    for name in names:
        cells = {"layer": name or ROOT}
        for rank in ranks:
            found = best.get((name, rank))
            if found is None:
                continue
            key = "loss" if rank == first else f"loss_{rank}"
            cells[key] = _loss_cell(found, with_interval=rank == first)
            if rank == first:
                macs = found.macs_before, found.macs_after
                cells["verdict"] = Toned(found.verdict, _TONES[found.verdict])
                cells["macs"] = arrow(map(format_count, macs))
        rows.append(Row(cells))
    return Sheet(columns, rows)


def _loss_cell(one: LayerLoss, *, with_interval: bool) -> str:
    text = loss_text(one.loss, one.low, one.high) if with_interval else _number(one.loss)
    if one.order != DEPTHWISE_FIRST:
        text = f"{SHORT} {text}"
    return text


class SensitivitySaid(Said):
    """What is to be said of how much layers cost of a score."""

    what = "a sensitivity"
    row_columns = (
        *("target", "layer", "rank", "order", "loss", "low", "high", "verdict", "error"),
        *("macs_before", "macs_after", "shared_by"),
    )
    _result: Sensitivity

    def pages(self, view: View) -> list[Page]:
        """Return one page: what every layer loses."""
        found = self._result
        heading = f"{found.target}: {safe_in_words(found.layers)}"
        lines = [f"Score by {found.name}: {score_text(found.score)} as it is."]
        sheets = [loss_sheet(found.layers)] if found.layers else []
        closing: list[str] = [Toned(NOTE, "method")] if found.layers else []
        if any(one.order != DEPTHWISE_FIRST for one in least_losses(found.layers).values()):
            closing.append(
                f"{SHORT} = pointwise-first, where that loses less than depthwise-first."
            )
        if found.untried:
            names = ", ".join(found.untried[:3])
            more = f" and {len(found.untried) - 3} more" if len(found.untried) > 3 else ""
            closing.append(f"The budget did not reach {names}{more}.")
        if found.noise is not None:
            closing.append(f"{found.name}: {found.noise}.")
        closing.append(_asked(found.evaluations, found.from_journal, found.journal))
        return [Page(heading, lines, sheets, closing, pictures=partial(_pictures_of, self._result))]

    def data(self, view: View) -> dict[str, Any]:
        """Return all of it."""
        return {**head("sensitivity"), "sensitivity": self._result.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each layer, rank and order that was tried."""
        for one in self._result.layers:
            found = one._asdict()
            yield {"target": self._result.target, "layer": found.pop("name"), **found}


def _pictures_of(found: Sensitivity) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_conversions import sensitivity_pictures

    return sensitivity_pictures(found)
