"""Converted models: what is said of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from dscost.converting.choosing import CurvePoint, figure_text
from dscost.converting.plan_file import KEEP
from dscost.converting.results import Converted, LayerOutcome, Outcome, how_many
from dscost.notation.units import (
    UNKNOWN,
    format_count,
    format_factor,
    format_seconds,
    format_shape,
)
from dscost.pages import Said
from dscost.pages.layer_table import ROOT
from dscost.pages.page import Column, Page, Row, Sheet, View, chosen_columns
from dscost.reports.figures import CONVENTIONS, FIGURES, SUMMED, Cost, summed
from dscost.reports.records import head

if TYPE_CHECKING:
    from dscost.converting.applying import Conversion

KERNEL_ERROR_NOTE = (
    "The error of a layer is ‖W − W′‖ / ‖W‖ of its kernel W and the kernel W′ that its two stages "
    "make together. It is not an accuracy: fine-tune, then measure that."
)
OUTPUT_ERROR_NOTE = (
    "The error of a layer is ‖y − y′‖ / ‖y‖ of its outputs y before and y′ after, on the given "
    "inputs. It is not an accuracy: fine-tune, then measure that."
)
ERROR_NOTE = (
    f"{KERNEL_ERROR_NOTE} The total error is the root mean square over the layers that could be "
    "converted; one that is kept counts as 0."
)
LATENCY_NOTE = (
    "The plan takes for the latency of the converted model that of the model as it is, "
    "less what its layers save, each timed alone"
)
PREDICTED = "predicted"

_LAYER_COLUMNS = [
    Column("layer", "layer", 0, "left"),
    Column("rank", "rank", 0),
    Column("error", "error", 1),
    Column("params", "params", 4),
    Column("macs", "MACs", 2),
    Column("latency", "latency", 3),
    Column("why", "why kept", 5, "left", goes_below=True),
]
_TOTAL_COLUMNS = [
    Column("figure", "the whole model", 0, "left"),
    Column("before", "as it is", 0),
    Column("after", "converted", 0),
    Column("reduction", "reduction", 1),
]
_CURVE_COLUMNS = [
    Column("cost", "", 0),
    Column("share", "of as it is", 1),
    Column("error", "total error", 0),
    Column("converted", "layers converted", 2),
    Column("goal", "", 0, "left"),
]


def page_of(converted: Converted, view: View) -> Page:
    """Return the page of a converted model.

    Raises:
        UnknownNameError: The view asks for a column that there is not.
    """
    outcome = converted.outcome
    rows = list(_layer_rows(outcome.layers, every_layer=converted.every_layer))
    sheets = [Sheet(chosen_columns(_LAYER_COLUMNS, rows, view), rows)] if rows else []
    sheets.append(Sheet(_TOTAL_COLUMNS, list(_total_rows(outcome, view))))
    if outcome.goal is not None and len(outcome.curve) > 1:
        first, *others = _CURVE_COLUMNS
        header = FIGURES[outcome.curve_metric].title
        sheets.append(Sheet([first._replace(header=header), *others], list(_curve_rows(outcome))))
    closing = list(_speed_unknown(outcome))
    if outcome.converted and not view.brief:
        closing += [ERROR_NOTE, *_latency_note(outcome, sheets), *outcome.explanations]
    return Page(_heading(outcome), list(_lines(outcome)), sheets, [*closing, *outcome.notes])


def _speed_unknown(outcome: Outcome) -> Iterator[str]:
    """Yield that nothing is known of the speed of the converted model, if so."""
    if outcome.latency or not outcome.converted:
        return
    before, after = outcome.before.traffic_bytes, outcome.after.traffic_bytes
    grown = after / before if before else 1.0
    moves = ""
    if grown > 1 and format_factor(grown) != "1.00×":
        moves = f"; it moves {format_factor(grown)} more bytes"
    yield f"Whether it is faster was not measured (--goal latency_s=0.8x does){moves}."


def _latency_note(outcome: Outcome, sheets: Iterable[Sheet]) -> Iterator[str]:
    """Yield how latencies were planned; what is predicted is explained where a table says so."""
    if outcome.latency:
        cells = (
            row.cells.get(column.key, "")
            for sheet in sheets
            for column in sheet.columns
            for row in sheet.rows
        )
        is_shown = any(PREDICTED in cell for cell in cells)
        yield LATENCY_NOTE + ("; “predicted” ones were not timed." if is_shown else ".")


def _heading(outcome: Outcome) -> str:
    inputs = ", ".join(format_shape(one.shape) for one in outcome.inputs)
    return f"{outcome.target}, input {inputs}: {how_many(outcome.layers)}"


def _lines(outcome: Outcome) -> Iterator[str]:
    if outcome.weights is not None:
        yield f"Weights of {outcome.weights}."
    if outcome.goal is not None:
        missed = ""
        if outcome.is_met is False:
            missed = "; the converted model misses it, as the notes below tell"
        yield f"Goal {outcome.goal}, {_proof(outcome)}{missed}."


def _proof(outcome: Outcome) -> str:
    is_error = outcome.goal is not None and outcome.goal.startswith("error")
    least = "the fewest MACs" if is_error else "the least total error"
    if outcome.gap:
        gap = format_count(round(outcome.gap)) if is_error else f"{outcome.gap:.2g}"
        least = f"at most {gap} above {least}"
    by = " by the times of its layers" if outcome.latency else ""
    return f"with {least} that meets it{by}"


def _layer_rows(outcomes: Iterable[LayerOutcome], *, every_layer: bool) -> Iterator[Row]:
    """Yield a row for each layer that could be converted; the others are added up by reason."""
    alone: dict[str, list[LayerOutcome]] = {}
    for layer in outcomes:
        if layer.planned or layer.rank is not None or every_layer:
            yield _layer_row(layer)
        else:
            alone.setdefault(layer.reason or "", []).append(layer)
    for reason, layers in alone.items():
        if len(layers) == 1:
            yield _layer_row(layers[0])
        else:
            yield Row(
                {
                    "layer": f"({len(layers)} layers left alone)",
                    **_sums(layers),
                    "rank": "keep",
                    "why": reason,
                },
                "faint",
            )


def _layer_row(layer: LayerOutcome) -> Row:
    error = UNKNOWN if layer.error is None else f"{layer.error:.3f}"
    cells = {
        "layer": layer.name or ROOT,
        "rank": KEEP if layer.rank is None else str(layer.rank),
        "error": "" if layer.rank is None else error,
        "params": _change(format_count, layer.params_before, layer.params_after),
        "macs": _change(
            format_count, layer.before and layer.before.macs, layer.after and layer.after.macs
        ),
        "why": "" if layer.planned else layer.reason or "",
    }
    if layer.latency:
        predicted = f" {PREDICTED}" if layer.latency.is_predicted else ""
        cells["latency"] = (
            _change(format_seconds, layer.latency.before_s, layer.latency.after_s) + predicted
        )
    return Row(cells, "plain" if layer.rank is not None else "faint")


def _sums(layers: Iterable[LayerOutcome]) -> dict[str, str]:
    """Return the cells of layers that stay as they are; one that never ran adds nothing."""
    layers = list(layers)
    return {
        "params": format_count(sum(layer.params_before or 0 for layer in layers)),
        "macs": format_count(summed(layer.before for layer in layers if layer.before).macs),
    }


def _change(written: Callable[[Any], str], before: float | None, after: float | None) -> str:
    return " → ".join(dict.fromkeys((written(before), written(after))))


def _total_rows(outcome: Outcome, view: View) -> Iterator[Row]:
    for name in SUMMED:
        figure = FIGURES[name]
        if figure.is_on_request and not view.wide:
            continue
        before, after = getattr(outcome.before, name), getattr(outcome.after, name)
        cells = {
            "figure": figure.title,
            "before": figure.text(before),
            "after": figure.text(after),
            "reduction": format_factor(before / after if before is not None and after else None),
        }
        yield Row(cells)
    if outcome.latency:
        before_s, after_s, predicted = outcome.latency
        cells = {"figure": "latency", "before": format_seconds(before_s)}
        cells["after"] = format_seconds(after_s) + (f" {PREDICTED}" if predicted else "")
        yield Row(
            {**cells, "reduction": format_factor(before_s / after_s if after_s > 0 else None)}
        )
    yield Row({"figure": "total error", "after": f"{outcome.error:.4f}"})


def _curve_rows(outcome: Outcome) -> Iterator[Row]:
    for point in outcome.curve:
        cells = {
            "cost": _cost_text(outcome, point),
            "share": f"{point.share:.3f}×",
            "error": f"{point.error:.4f}",
            "converted": str(point.converted),
            "goal": _mark(outcome) if point.is_chosen else "",
        }
        yield Row(cells, "strong" if point.is_chosen else "plain")


def _mark(outcome: Outcome) -> str:
    """Return what stands beside the chosen point: of a latency, whether the clock agrees."""
    if outcome.is_met is False:
        return "← goal, missed"
    return "← goal" if outcome.is_met or outcome.latency is None else "← goal, unsure"


def _cost_text(outcome: Outcome, point: CurvePoint) -> str:
    return (
        figure_text(outcome.curve_metric, point.cost).partition(" MACs")[0].partition(" params")[0]
    )


# -- rows for programs

CSV_COLUMNS = (
    *("target", "layer", "decision", "rank", "error", "reason", "calls"),
    *("params_before", "params_after", "macs_before", "macs_after"),
    *("latency_before_s", "latency_after_s", "latency_is_predicted"),
)


def _decision(layer: LayerOutcome) -> str:
    if layer.rank is not None:
        return "converted"
    return "kept" if layer.planned else "left alone"


def _csv_row(target: str, layer: LayerOutcome) -> dict[str, Any]:
    def macs(cost: Cost | None) -> int | None:
        return None if cost is None else cost.macs

    cells = {
        "target": target,
        "layer": layer.name,
        "decision": _decision(layer),
        "rank": layer.rank,
        "error": layer.error,
        "reason": layer.reason,
        "calls": layer.calls,
        "params_before": layer.params_before,
        "params_after": layer.params_after,
        "macs_before": macs(layer.before),
        "macs_after": macs(layer.after),
    }
    if layer.latency:
        before_s, after_s, predicted = layer.latency
        cells |= {
            "latency_before_s": before_s,
            "latency_after_s": after_s,
            "latency_is_predicted": predicted,
        }
    return {key: value for key, value in cells.items() if value is not None}


class ConvertedSaid(Said):
    """What is to be said of a converted model."""

    what = "a conversion"
    row_columns = CSV_COLUMNS

    def __init__(self, converted: Converted) -> None:
        self._converted = converted

    def pages(self, view: View) -> list[Page]:
        """Return one page: what became of the layers, and what the whole costs."""
        return [page_of(self._converted, view)]

    def data(self, view: View) -> dict[str, Any]:
        """Return every layer and every point of the curve."""
        return {**head("convert"), "conventions": CONVENTIONS, **self._converted.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return a row for each convolution; the rank of one that was kept is missing."""
        outcome = self._converted.outcome
        return (_csv_row(outcome.target, layer) for layer in outcome.layers)


class ConversionSaid(Said):
    """What is to be said of a module that was converted: of its layers alone."""

    what = "a conversion"
    row_columns = CSV_COLUMNS

    def __init__(self, conversion: "Conversion") -> None:
        self._conversion = conversion

    def pages(self, view: View) -> list[Page]:
        """Return one page: what became of the layers."""
        layers = self._conversion.layers
        rows = list(_layer_rows(layers, every_layer=False))
        sheets = [Sheet(chosen_columns(_LAYER_COLUMNS, rows, view), rows)] if rows else []
        errors_of = {layer.error_of for layer in layers if layer.error is not None}
        closing = [KERNEL_ERROR_NOTE] if "kernel" in errors_of else []
        closing += [OUTPUT_ERROR_NOTE] if "output" in errors_of else []
        return [Page(self._conversion.in_a_line(), (), sheets, closing)]

    def data(self, view: View) -> dict[str, Any]:
        """Return the method and every layer."""
        return {**head("convert"), "conventions": CONVENTIONS, **self._conversion.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return a row for each convolution; the rank of one that was kept is missing."""
        name = type(self._conversion.module).__name__
        return (_csv_row(name, layer) for layer in self._conversion.layers)


def said(found: "Converted | Conversion") -> Said:
    """Return what is to be said of a converted model."""
    return ConvertedSaid(found) if isinstance(found, Converted) else ConversionSaid(found)
