"""A report → a page: which sheets there are, what stands in their cells."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from typing import Any, NamedTuple

from dscost.errors import InputError, UnknownNameError
from dscost.layers.convolution import ConvSpec
from dscost.notation.units import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_difference,
    format_extent,
    format_factor,
    format_layer,
    format_seconds,
    format_shape,
)
from dscost.pages import Rows, Said
from dscost.pages.page import Column, Page, Row, Sheet, View, check_keys, chosen_columns
from dscost.pages.rows import CSV_COLUMNS, rows_of
from dscost.pages.wording import (
    LATENCY,
    REDUCTION,
    SPEEDUP,
    VARIANT_TITLES,
    assumed_line,
    format_latency,
    format_speedup,
    formula_lines,
    layer_heading,
    layer_sentence,
    model_sentences,
    variant_titles,
)
from dscost.reports.figures import FIGURES, Cost, summed
from dscost.reports.records import Block, Latency, Layer, Report, Timing, document

PENDING = "…"
ROOT = format_layer("")
"""How a table calls the model itself, whose name among its modules is empty."""

FLOPS_NOTE = "FLOPs = 2 × MACs; papers' “FLOPs” are mostly our MACs."


def figure_columns(*, of_layers: bool) -> Iterator[Column]:
    """Yield the columns of figures in the table of variants or of layers; there MACs have a share."""
    for name, figure in FIGURES.items():
        priority = figure.columns[1 if of_layers else 0]
        if priority is not None:
            yield Column(name, figure.title, priority)
        if of_layers and name == "macs":
            yield Column("share", "share", 4)


_COST_COLUMNS = [
    *figure_columns(of_layers=False),
    Column("latency", LATENCY, 1),
    Column("reduction", REDUCTION, 2),
    Column("speedup", SPEEDUP, 1),
]
_VARIANT_COLUMNS = [Column("variant", "variant", 0, "left"), *_COST_COLUMNS]
_LAYER_COLUMNS = [
    Column("layer", "layer", 0, "left"),
    Column("kind", "kind", 3, "left"),
    Column("output", "output", 6),
    *figure_columns(of_layers=True),
    Column("standard_macs", "standard MACs", 5),
    Column("separable_macs", "separable MACs", 5),
    Column("reduction", REDUCTION, 2),
    Column("standard_latency", "standard", 2),
    Column("separable_latency", "separable", 2),
    Column("speedup", SPEEDUP, 1),
    Column("verdict", "verdict", 1, "left"),
    Column("why", "held back by", 7, "left"),
]

KINDS_WIDTH = 24
"""Characters that the kinds of layers which share a line may take."""

CAUSES_SHOWN = 2
"""Sentences that say why, where the user has not asked for all."""


class ReportsSaid(Said):
    """What is to be said of reports."""

    what = "a report"

    def __init__(self, *reports: Report) -> None:
        self._reports = reports

    def pages(self, view: View) -> list[Page]:
        """Return a page of each."""
        return [page_of(report, view) for report in self._reports]

    def data(self, view: View) -> dict[str, Any]:
        """Return all of them in one document."""
        return document(self._reports, command=view.command)

    def rows(self) -> Rows:
        """Return one row per layer and variant."""
        return rows_of(self._reports)


said = ReportsSaid


def page_of(report: Report, view: View) -> Page:
    """Return the page of a report.

    Raises:
        UnknownNameError: The view asks for a column that the report does not have.
    """
    return _layer_page(report, view) if report.source == "layer" else _model_page(report, view)


def column_headers() -> Mapping[str, str]:
    """Return every key that `--columns` takes for some report, with its header."""
    return {column.key: column.header for column in (*_VARIANT_COLUMNS, *_LAYER_COLUMNS)}


def check_view(view: View, says: str) -> None:
    """Refuse a view of a model that asks for a column or a sort key that there is not.

    Args:
        view: As asked for.
        says: What is shown of it: `rows` have other columns than `pages`.

    Raises:
        UnknownNameError: It does.
    """
    if says == "rows":
        check_keys(view, CSV_COLUMNS)
    else:
        check_keys(view, (column.key for column in _LAYER_COLUMNS), ("layer", *SORT_KEYS))


# -- one layer


def _layer_page(report: Report, view: View) -> Page:
    (layer,) = report.layers
    assert layer.conv is not None
    lines = []
    if report.assumed:
        lines.append(assumed_line(report))
    lines += formula_lines(report)
    rows = list(_variant_rows(report, layer, view))
    sheets = [Sheet(chosen_columns(_VARIANT_COLUMNS, rows, view), rows)]
    if layer.latency or layer.predictions:
        from dscost.pages.timings import layer_sheets

        sheets += layer_sheets(layer, variant_titles(report), explain=view.explain)
    why = []
    if layer.causes:
        from dscost.pages.causes import cause_sentence

        causes = layer.causes if view.explain else layer.causes[:CAUSES_SHOWN]
        why = [sentence for cause in causes if (sentence := cause_sentence(cause))]
    return Page(
        heading=layer_heading(report),
        lines=lines,
        sheets=sheets,
        closing=[" ".join([layer_sentence(report, view.pending), *why]), *_footnotes(report)],
    )


def _variant_rows(report: Report, layer: Layer, view: View) -> Iterable[Row]:
    timing, titles = layer.timing, variant_titles(report)
    for name, cost in layer.variants.items():
        title = titles[
            name if len(layer.variants) > 1 or "variants" in report.settings else "as_is"
        ]
        reduction = layer.reduction_of(name).macs if name != "standard" else None
        yield Row(_variant_cells(title, name, cost, reduction, timing, view), "strong")
        stages = layer.stages[name]
        for stage in stages if len(stages) > 1 else ():
            cells = {"variant": f"  {stage.name}", **_cost_cells(stage.cost)}
            latency = timing.part(name, stage.name) if timing else None
            if latency or (view.pending and name == "depthwise_separable"):
                cells["latency"] = format_latency(latency) if latency else PENDING
            yield Row(cells, "faint")
        if name == "depthwise_separable" and timing and timing.gap_s is not None:
            yield Row({"variant": "  gap", "latency": format_difference(timing.gap_s)}, "faint")


def _variant_cells(
    title: str, name: str, cost: Cost, reduction: float | None, timing: Timing | None, view: View
) -> dict[str, str]:
    cells = {"variant": title, **_cost_cells(cost)}
    is_variant = name not in ("as_is", "standard")
    if is_variant:
        cells["reduction"] = format_factor(reduction)
    if timing:
        cells["latency"] = format_latency(timing.of(name))
        if is_variant:
            cells["speedup"] = format_speedup(timing.speedup_of(name))
    elif view.pending:
        cells |= {"latency": PENDING, "speedup": PENDING if is_variant else ""}
    return cells


def _cost_cells(cost: Cost) -> dict[str, str]:
    return {name: FIGURES[name].text(value) for name, value in cost.to_dict().items()}


# -- a whole model


def _model_page(report: Report, view: View) -> Page:
    inputs = (
        ", ".join(f"{format_shape(entry.shape)} {entry.dtype}" for entry in report.inputs)
        or "nothing"
    )
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    timing = report.timing
    versions = VARIANT_TITLES if any(layer.variants for layer in report.layers) else ("as_is",)
    reduction = report.totals.reduction.macs
    totals = [
        Row(
            _variant_cells(
                VARIANT_TITLES[name], name, getattr(report.totals, name), reduction, timing, view
            ),
            "strong",
        )
        for name in versions
    ]
    rows = layer_rows(report, view)
    sheets = [
        Sheet(chosen_columns(_LAYER_COLUMNS, rows, view), rows),
        Sheet(chosen_columns(_VARIANT_COLUMNS, totals, view._replace(columns=None)), totals),
    ]
    if report.latency or report.predictions:
        from dscost.pages.timings import model_sheets

        sheets += model_sheets(report)
    why = []
    if view.explain:
        from dscost.pages.causes import cause_sentence

        why = [
            f"{layer.name}: {cause_sentence(layer.causes[0])}"
            for layer in report.layers
            if layer.causes
        ]
    return Page(
        heading=f"{report.target}, input {inputs}",
        lines=[line for line in (settings, _peak_line(report)) if line],
        sheets=sheets,
        closing=[*model_sentences(report), *why, *_footnotes(report)],
    )


def _peak_line(report: Report) -> str:
    if report.peak_activation_bytes is None:
        return ""
    return f"peak activation memory {format_bytes(report.peak_activation_bytes)}"


class _Line(NamedTuple):
    """One line of the layer table: a layer, or several added up.

    `standard` and `separable` are MACs in the two pure versions of the model, `None` where both are
    the same.
    """

    name: str
    kind: str
    output: str
    cost: Cost
    standard: int | None
    separable: int | None
    layer: Layer | None = None


def layer_rows(report: Report, view: View) -> list[Row]:
    """Return the rows of the layer table: sorted, cut and grouped as the view says, nothing lost.

    Layers without MACs are added up in one line, so that the columns sum to the totals.

    Raises:
        UnknownNameError: The sort key is no figure of a layer.
    """
    lines, rest = _lines(report, view.depth)
    if view.sort:
        lines = _sorted(lines, view.sort, pending=view.pending)
    if view.top is not None and len(lines) > view.top:
        lines, hidden = lines[: view.top], lines[view.top :]
        rest = [_added(f"({len(hidden)} more)", "", hidden), *rest]
    return [_layer_row(line, report, view) for line in (*lines, *rest)]


def _sorted(lines: list[_Line], key: str, *, pending: bool) -> list[_Line]:
    """Return the lines with the largest figure first; those without that figure last, in their order."""
    if key == "layer":
        return sorted(lines, key=lambda line: line.name)
    if key not in SORT_KEYS:
        raise UnknownNameError("sort key", key, ("layer", *SORT_KEYS))
    figures = [SORT_KEYS[key](line) for line in lines]
    if all(figure is None for figure in figures) and not pending:
        raise InputError(
            f"cannot sort by {key}: no layer has it" + (" without timing" if key in _TIMED else "")
        )
    order = sorted(
        zip(figures, range(len(lines)), strict=True),
        key=lambda pair: -inf if pair[0] is None else pair[0],
        reverse=True,
    )
    return [lines[at] for _, at in order]


def _timing(line: _Line) -> Timing:
    return (line.layer.timing if line.layer else None) or Timing()


def _figure(name: str, line: _Line) -> float | None:
    value: float | None = getattr(line.cost, name)
    return value


def _median(latency: Latency | None) -> float | None:
    return latency.median_s if latency else None


def _quotient(dividend: int | None, divisor: int | None) -> float | None:
    return dividend / divisor if dividend and divisor else None


_TIMED = ("latency", "standard_latency", "separable_latency", "speedup")
MEASURED_COLUMNS = (*_TIMED, "verdict", "why")
"""Columns that are empty where nothing was timed."""

SORT_KEYS: Mapping[str, Callable[[_Line], float | None]] = {
    **{column.key: partial(_figure, column.key) for column in figure_columns(of_layers=False)},
    "share": partial(_figure, "macs"),
    "standard_macs": lambda line: line.standard,
    "separable_macs": lambda line: line.separable,
    "reduction": lambda line: _quotient(line.standard, line.separable),
    "latency": lambda line: _median(_timing(line).as_is),
    "standard_latency": lambda line: _median(_timing(line).standard),
    "separable_latency": lambda line: _median(_timing(line).depthwise_separable),
    "speedup": lambda line: speedup.median if (speedup := _timing(line).speedup) else None,
}
"""What `--sort` takes besides `layer`."""


def _lines(report: Report, depth: int | None) -> tuple[list[_Line], list[_Line]]:
    if depth is not None:
        groups: dict[str, list[_Line]] = {}
        for layer in report.layers:
            groups.setdefault(".".join(layer.name.split(".")[:depth]), []).append(
                _line(layer, report.skipped)
            )
        return [
            group[0] if len(group) == 1 else _block(name, group, report.blocks.get(name))
            for name, group in groups.items()
        ], []
    counted = [_line(layer, report.skipped) for layer in report.layers if layer.cost.macs]
    free = [layer for layer in report.layers if not layer.cost.macs]
    if not free:
        return counted, []
    kinds = sorted({layer.type for layer in free})
    name = f"({len(free)} layer{'s' if len(free) > 1 else ''} without MACs)"
    return counted, [_added(name, _some_kinds(kinds), [_line(layer) for layer in free])]


def _block(name: str, lines: Sequence[_Line], block: Block | None) -> _Line:
    """Return several layers as the module that holds them: its class where that is known, and what comes out of it."""
    number = f"{len(lines)} layers"
    added = _added(name, f"{block.type}, {number}" if block else number, lines)
    return added._replace(
        output=format_shape(block.output_shape[1:]) if block else lines[-1].output
    )


def _some_kinds(kinds: Sequence[str]) -> str:
    """Return as many kinds as fit, at least one, so that a line of little weight does not widen the table."""
    for count in range(len(kinds), 1, -1):
        text = ", ".join((*kinds[:count], *("…" for _ in kinds[count : count + 1])))
        if len(text) <= KINDS_WIDTH:
            return text
    return ", ".join((*kinds[:1], *("…" for _ in kinds[1:2])))


def _line(layer: Layer, skipped: Sequence[str] = ()) -> _Line:
    cost, trade = layer.cost, layer.variants
    standard: int | None = None
    separable: int | None = None
    if trade and layer.name not in skipped:
        standard, separable = trade["standard"].macs, trade["depthwise_separable"].macs
    elif layer.pair:  # its pointwise layer stands in the pair, the gate of a squeeze-and-excite only goes when standard
        standard, separable = 0, 0 if layer.ends_pair else cost.macs
    return _Line(
        layer.name or ROOT,
        kind_of(layer),
        format_shape(layer.output_shape[1:]),
        cost,
        standard,
        separable,
        layer,
    )


def _added(name: str, kind: str, lines: Sequence[_Line]) -> _Line:
    cost = summed(line.cost for line in lines)
    if not any(line.standard for line in lines):
        return _Line(name, kind, "", cost, None, None)
    standard = separable = 0
    for line in lines:
        standard += line.cost.macs if line.standard is None else line.standard
        separable += line.cost.macs if line.separable is None else line.separable
    return _Line(name, kind, "", cost, standard, separable)


def kind_of(layer: Layer) -> str:
    """Return what a layer is in a few characters, such as `conv 3×3 /2` or `depthwise 5×5`."""
    conv = layer.conv
    if conv is None:
        return layer.type
    stride = f" /{format_extent(conv.stride)}" if max(conv.stride) > 1 else ""
    return f"{_conv_word(conv)} {format_shape(conv.kernel_size)}{stride}"


def _conv_word(conv: ConvSpec) -> str:
    if conv.is_depthwise and conv.in_channels > 1:
        return "depthwise"
    if conv.is_pointwise and conv.groups == 1:
        return "pointwise"
    return "conv" if conv.groups == 1 else f"conv (groups {conv.groups})"


def _layer_row(line: _Line, report: Report, view: View) -> Row:
    total_macs = report.totals.as_is.macs
    cells: dict[str, str] = {
        "layer": line.name,
        "kind": line.kind,
        "output": line.output,
        **_cost_cells(line.cost),
        "share": f"{line.cost.macs / total_macs:.1%}" if total_macs else UNKNOWN,
    }
    if line.standard and line.separable:
        cells |= {
            "standard_macs": format_count(line.standard),
            "separable_macs": format_count(line.separable),
            "reduction": format_factor(line.standard / line.separable),
        }
    if line.layer:
        cells |= _latency_cells(line.layer)
    return Row(cells, "plain" if line.layer else "faint")


def _latency_cells(layer: Layer) -> dict[str, str]:
    timing = layer.timing
    if not (timing and timing.standard and timing.depthwise_separable):
        return {}
    from dscost.pages.causes import cause_word

    return {
        "standard_latency": format_seconds(timing.standard.median_s),
        "separable_latency": format_seconds(timing.depthwise_separable.median_s),
        "speedup": format_speedup(timing.speedup),
        "verdict": layer.verdict or UNKNOWN,
        "why": cause_word(layer.causes[0]) if layer.causes else "",
    }


# -- what stands below every page


def _footnotes(report: Report) -> list[str]:
    notes = [FLOPS_NOTE]
    if report.predictions or any(layer.predictions for layer in report.layers):
        notes.append(
            "Times “at least” are bounds by the datasheet of a device: no run can be faster, real ones are slower."
        )
    where = report.environment
    if where:
        from dscost.pages.causes import measured_notes

        notes += measured_notes(where, _first_setting(report))
    return [*notes, *report.warnings]


def _first_setting(report: Report) -> str:
    """Return what the figures that stand beside the costs were measured under."""
    key = next(
        iter([*report.latency, *(key for layer in report.layers for key in layer.latency)]), ""
    )
    words = [word for word in key.split(":")[1:] if not word.startswith("batch")]
    return ", ".join(words if "channels_last" in words else ["contiguous", *words])
