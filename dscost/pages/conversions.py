"""Converted models: what is said of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dscost.converting.choosing import figure_text, parse_goal
from dscost.converting.decisions import KEEP
from dscost.converting.results import Conversion, Converted, LayerOutcome, Outcome, how_many
from dscost.layers.orders import DEPTHWISE_FIRST, POINTWISE_FIRST
from dscost.notation.units import (
    UNKNOWN,
    arrow,
    format_count,
    format_factor,
    format_seconds,
    format_shape,
)
from dscost.pages import Said
from dscost.pages.conversion_words import answers_of, last_words, what_was_asked
from dscost.pages.layer_table import ROOT
from dscost.pages.measuring_words import measured_notes
from dscost.pages.page import (
    Column,
    Page,
    Row,
    Sheet,
    Tone,
    Toned,
    View,
    chosen_sheet,
    known,
    words,
)
from dscost.pages.recovery_words import recovery_lines, recovery_notes
from dscost.pages.scores import score_notes, score_sheets, score_text
from dscost.reports.figures import CONVENTIONS, FIGURES, SUMMED, Cost, summed
from dscost.reports.records import head
from dscost.runtimes import TORCH
from dscost.timing import Setting

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture

_NO_ACCURACY = "It is not an accuracy: fine-tune, then measure that."
ERROR_NOTES = {
    "kernel": "error = ‖W − W′‖ / ‖W‖ of a layer's weights W, and W′ that its two stages make "
    f"together. {_NO_ACCURACY}",
    "output": "error = ‖y − y′‖ / ‖y‖ of a layer's outputs y before and y′ after, on the given "
    f"inputs. {_NO_ACCURACY}",
}
TOTAL_ERROR_NOTE = (
    f"{ERROR_NOTES['kernel']} total error = root mean square over the layers that could be "
    "converted, 0 for one that is kept."
)
LATENCY_NOTE = (
    "The plan takes for the latency of the converted model that of the model as it is, "
    "less what its layers save, each timed alone"
)
PREDICTED = "predicted"
SHORT = "pw-first"
ORDER_NOTE = (
    f"{SHORT} = {POINTWISE_FIRST}: the 1×1 convolution runs before the K×K one, at the size of the "
    f"input; other ranks are {DEPTHWISE_FIRST}."
)

_LAYER_COLUMNS = [
    words("layer"),
    Column("rank", "rank", 0),
    Column("error", "error", 1),
    Column("params", "params", 4),
    Column("macs", "MACs", 2),
    Column("latency", "latency", 1),
    Column("why", "why kept", 5, "left", goes_below=True),
]
_TOTAL_COLUMNS = [
    words("figure", header="the whole model"),
    Column("before", "as it is", 0),
    Column("after", "converted", 0),
    Column("reduction", "reduction", 1),
]
_CURVE_COLUMNS = [
    Column("cost", "", 0),
    Column("share", "of as it is", 1),
    Column("error", "total error", 0),
    Column("converted", "layers converted", 2),
    words("goal", header=""),
]


def _page(converted: Converted, view: View) -> Page:
    outcome = converted.outcome
    title = outcome.time_title
    sheets = _layer_sheets(outcome.layers, view, title, every_layer=converted.every_layer)
    sheets.append(Sheet(_TOTAL_COLUMNS, list(_total_rows(outcome, view))))
    sheets += score_sheets(outcome)
    if outcome.goal is not None and len(outcome.curve) > 1 and outcome.scored is None:
        first, *others = _CURVE_COLUMNS
        is_of_time = outcome.curve_metric == "latency_s"
        header = title if is_of_time else FIGURES[outcome.curve_metric].title
        sheets.append(Sheet([first._replace(header=header), *others], list(_curve_rows(outcome))))
    inputs = ", ".join(format_shape(one.shape) for one in outcome.inputs)
    heading = f"{outcome.target}, input {inputs}: {how_many(outcome.layers)}"
    lines = [*what_was_asked(outcome), *recovery_lines(outcome.recovery)]
    if outcome.missed is not None and not view.paged:
        heading, lines = Toned(f"MISSED: {outcome.missed}", "bad"), [heading, *lines]
    unknown = list(_speed_unknown(outcome))
    closing = list(unknown)
    if outcome.converted and not view.brief:
        notes = [TOTAL_ERROR_NOTE, *_latency_note(outcome, sheets)]
        closing += [*(Toned(note, "method") for note in notes), *_order_note(outcome.layers)]
        closing += outcome.explanations
    closing += [*score_notes(outcome), *outcome.notes, *recovery_notes(outcome.recovery)]
    if converted.environment is not None:
        closing += measured_notes(converted.environment, {_setting(converted): None})
    if view.width is not None:  # on a terminal the first lines may be out of sight
        closing += last_words(outcome)
    answers = list(answers_of(outcome, unknown)) if view.paged else []
    return Page(heading, lines, sheets, closing, answers=answers)


def _setting(converted: Converted) -> str:
    """Return the key of the setting that a conversion was measured under."""
    outcome, where = converted.outcome, converted.environment
    if outcome.advice is not None:
        return outcome.advice.setting
    layout = where.memory_format if where else Setting().memory_format
    return Setting(memory_format=layout, runtime=outcome.runtime or TORCH).key


def _layer_sheets(
    layers: Iterable[LayerOutcome], view: View, time: str = "latency", *, every_layer: bool = False
) -> list[Sheet]:
    """Return what became of layers, whose times are called so."""
    rows = list(_layer_rows(layers, every_layer=every_layer))
    columns = [one._replace(header=time) if one.key == "latency" else one for one in _LAYER_COLUMNS]
    return [chosen_sheet(columns, rows, view)] if rows else []


def _speed_unknown(outcome: Outcome) -> Iterator[str]:
    """Yield that nothing is known of the speed of the converted model, if so."""
    if outcome.latency or not outcome.converted:
        return
    before, after = outcome.before.traffic_bytes, outcome.after.traffic_bytes
    grown = after / before if before else 1.0
    moves = ""
    if grown > 1 and format_factor(grown) != "1.00×":
        moves = f"; it moves {format_factor(grown)} more bytes"
    runtime = " --runtime onnxruntime" if outcome.source == "onnx" else ""
    how = f" (--goal latency_s=0.8x{runtime} does)"
    yield f"Whether it is faster was not measured{how}{moves}."


def _latency_note(outcome: Outcome, sheets: Iterable[Sheet]) -> Iterator[str]:
    """Yield how latencies were planned; what is predicted is explained where a table says so."""
    if outcome.latency and outcome.goal is not None:
        is_shown = any(
            PREDICTED in row.cells.get(column.key, "")
            for sheet in sheets
            for column in sheet.columns
            for row in sheet.rows
        )
        note = LATENCY_NOTE.replace("latency", outcome.time_title)
        yield note + ("; “predicted” ones were not timed." if is_shown else ".")


def _layer_rows(outcomes: Iterable[LayerOutcome], *, every_layer: bool) -> Iterator[Row]:
    """Yield a row for each layer that could be converted; the others are added up by reason."""
    alone: dict[str, list[LayerOutcome]] = {}
    for layer in outcomes:
        if layer.planned or layer.converted or every_layer:
            yield _layer_row(layer)
        else:
            alone.setdefault(layer.reason or "", []).append(layer)
    for reason, layers in alone.items():
        if len(layers) == 1:
            yield _layer_row(layers[0])
        else:
            name = f"({len(layers)} layers left alone)"
            yield Row({"layer": name, "rank": KEEP, "why": reason, **_sums(layers)}, "faint")


def _layer_row(layer: LayerOutcome) -> Row:
    cells = {
        "layer": layer.name or ROOT,
        "rank": KEEP,
        "params": arrow(format_count(one) for one in (layer.params_before, layer.params_after)),
        "macs": arrow(format_count(_macs(one)) for one in (layer.before, layer.after)),
    }
    if layer.converted:
        error = UNKNOWN if layer.error is None else f"{layer.error:.3f}"
        cells |= {"rank": _rank_cell(layer), "error": error}
    if layer.reason and not layer.planned:
        cells["why"] = layer.reason
    if layer.latency:
        before_s, after_s, predicted = layer.latency
        cells["latency"] = arrow(map(format_seconds, (before_s, after_s))) + _predicted(predicted)
    return Row(cells, "plain" if layer.converted else "faint")


def _rank_cell(layer: LayerOutcome) -> str:
    return f"{layer.rank}{'' if layer.order == DEPTHWISE_FIRST else f' {SHORT}'}"


def _order_note(layers: Iterable[LayerOutcome]) -> Iterator[Toned]:
    """Yield what the table has for the other order, where some layer has that."""
    if any(layer.order == POINTWISE_FIRST for layer in layers):
        yield Toned(ORDER_NOTE, "method")


def _macs(cost: Cost | None) -> int | None:
    return None if cost is None else cost.macs


def _predicted(is_predicted: bool) -> str:
    return f" {PREDICTED}" if is_predicted else ""


def _sums(layers: Sequence[LayerOutcome]) -> dict[str, str]:
    """Return the cells of layers that stay as they are; one that never ran adds nothing."""
    return {
        "params": format_count(sum(layer.params_before or 0 for layer in layers)),
        "macs": format_count(summed(layer.before for layer in layers if layer.before).macs),
    }


def _total_rows(outcome: Outcome, view: View) -> Iterator[Row]:
    for name in SUMMED:
        figure = FIGURES[name]
        if view.wide or not figure.is_on_request:
            before, after = getattr(outcome.before, name), getattr(outcome.after, name)
            yield _total_row(figure.title, figure.text, before, after)
    if outcome.latency:
        before_s, after_s, predicted = outcome.latency
        row = _total_row(outcome.time_title, format_seconds, before_s, after_s)
        yield Row({**row.cells, "after": row.cells["after"] + _predicted(predicted)})
    yield Row({"figure": "total error", "after": f"{outcome.error:.4f}"})
    if outcome.scored is not None:
        scores = {"before": outcome.scored.before, "after": outcome.scored.last}
        yield Row({"figure": "score", **{name: score_text(one) for name, one in scores.items()}})


def _total_row(title: str, text: Callable[[float | None], str], before: Any, after: Any) -> Row:
    is_known = before is not None and after is not None and after > 0
    reduction = format_factor(before / after if is_known else None)
    cells = {"figure": title, "before": text(before), "after": text(after)}
    return Row({**cells, "reduction": reduction})


def _curve_rows(outcome: Outcome) -> Iterator[Row]:
    for point in outcome.curve:
        cost = figure_text(outcome.curve_metric, point.cost)
        cells = {
            "cost": cost.partition(" MACs")[0].partition(" params")[0],
            "share": f"{point.share:.3f}×",
            "error": f"{point.error:.4f}",
            "converted": str(point.converted),
            "goal": _mark(outcome) if point.is_chosen else "",
        }
        yield Row(cells, "strong" if point.is_chosen else "plain")


def _mark(outcome: Outcome) -> str:
    """Return what stands beside the chosen point: of a latency, what the clock says."""
    if outcome.goal is None or (outcome.is_met and not _is_timed(outcome)):
        return Toned("← goal", "good")
    goal, missed = parse_goal(outcome.goal), ": missed" if outcome.is_met is False else ""
    value = float(goal.value)
    wanted = f"{value:g}×" if goal.relative else figure_text(goal.cost_metric, value)
    if outcome.latency is None or not _is_timed(outcome):
        unsure = ", not measured" if outcome.is_met is None else ""
        return _met_or_not(f"← goal {wanted}{unsure}{missed}", outcome)
    ratio = f"{told_apart(value, outcome.latency.ratio)}×"
    found = ratio if goal.relative else format_seconds(outcome.latency.after_s)
    return _met_or_not(f"← goal {wanted}, measured {found}{missed}", outcome)


def _met_or_not(text: str, outcome: Outcome) -> str:
    tones: Mapping[bool | None, Tone] = {True: "good", False: "bad", None: "unclear"}
    return Toned(text, tones[outcome.is_met])


def _is_timed(outcome: Outcome) -> bool:
    """Whether a goal of latency was held against the clock: some layer was converted for it."""
    latency = outcome.latency
    return latency is not None and not latency.is_predicted and outcome.converted > 0


def told_apart(goal: float, found: float) -> str:
    """Return a ratio with two digits, or as many as show on which side of a goal it is.

    >>> told_apart(0.6, 0.691), told_apart(0.6, 0.6013), told_apart(0.6, 0.598)
    ('0.69', '0.601', '0.598')
    """
    for digits in range(2, 6):
        text = f"{found:.{digits}g}"
        if (float(text) > goal) == (found > goal) and float(text) != goal:
            break
    return text


# -- rows for programs

CSV_COLUMNS = (
    *("target", "layer", "decision", "rank", "order", "error", "reason", "calls"),
    *("params_before", "params_after", "macs_before", "macs_after"),
    *("latency_before_s", "latency_after_s", "latency_is_predicted"),
)


def _csv_row(target: str, layer: LayerOutcome) -> dict[str, Any]:
    decision = "kept" if layer.planned else "left alone"
    cells = {
        "target": target,
        "layer": layer.name,
        "decision": "converted" if layer.converted else decision,
        "rank": layer.rank,
        "order": layer.order,
        "error": layer.error,
        "reason": layer.reason,
        "calls": layer.calls,
        "params_before": layer.params_before,
        "params_after": layer.params_after,
        "macs_before": _macs(layer.before),
        "macs_after": _macs(layer.after),
    }
    if layer.latency:
        before_s, after_s, predicted = layer.latency
        cells |= {"latency_before_s": before_s, "latency_after_s": after_s}
        cells["latency_is_predicted"] = predicted
    return known(cells)


class ConversionSaid(Said):
    """What is to be said of a module that was converted: of its layers alone."""

    what = "a conversion"
    columns = tuple(column.key for column in _LAYER_COLUMNS)
    row_columns = CSV_COLUMNS

    def _layers(self) -> tuple[str, Sequence[LayerOutcome]]:
        return type(self._result.module).__name__, self._result.layers

    def pages(self, view: View) -> list[Page]:
        """Return one page: what became of the layers."""
        _, layers = self._layers()
        errors_of = {layer.error_of for layer in layers if layer.error is not None}
        notes = (note for of, note in ERROR_NOTES.items() if of in errors_of)
        closing: list[str] = [Toned(note, "method") for note in notes]
        closing += _order_note(layers)
        recovery = self._result.recovery
        closing += recovery_notes(recovery)
        lines = list(recovery_lines(recovery))
        page = Page(self._result.in_a_line(), lines, _layer_sheets(layers, view), closing)
        return [page._replace(pictures=partial(_pictures_of, self._result))]

    def data(self, view: View) -> dict[str, Any]:
        """Return every layer, and what else is known of the result."""
        return {**head("convert"), "conventions": CONVENTIONS, **self._result.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each convolution; rank and order of one that was kept are missing."""
        name, layers = self._layers()
        yield from (_csv_row(name, layer) for layer in layers)


class ConvertedSaid(ConversionSaid):
    """What is to be said of a converted model."""

    _result: Converted

    def _layers(self) -> tuple[str, Sequence[LayerOutcome]]:
        return self._result.outcome.target, self._result.outcome.layers

    def pages(self, view: View) -> list[Page]:
        """Return one page: what became of the layers, and what the whole costs."""
        drawn = partial(_pictures_of, self._result)
        return [_page(self._result, view)._replace(pictures=drawn)]


def _pictures_of(result: Conversion | Converted) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_conversions import conversion_pictures, converted_pictures

    if isinstance(result, Converted):
        return converted_pictures(result)
    return conversion_pictures(result)
