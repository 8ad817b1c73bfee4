"""A report → a page: which sheets there are, what stands in their cells."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation.units import (
    format_bytes,
    format_difference,
    format_factor,
    format_shape,
)
from dscost.pages import Said
from dscost.pages.layer_table import (
    LAYER_COLUMNS,
    SORT_KEYS,
    cost_cells,
    figure_columns,
    layer_rows,
)
from dscost.pages.page import Column, Page, Row, Sheet, View, chosen_columns
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
from dscost.reports.figures import Cost
from dscost.reports.records import Layer, Report, Timing, document

PENDING = "…"
FLOPS_NOTE = "FLOPs = 2 × MACs. Many papers call MACs “FLOPs”."


_COST_COLUMNS = [
    *figure_columns(of_layers=False),
    Column("latency", LATENCY, 1),
    Column("reduction", REDUCTION, 2),
    Column("speedup", SPEEDUP, 1),
]
_VARIANT_COLUMNS = [Column("variant", "variant", 0, "left"), *_COST_COLUMNS]
CAUSES_SHOWN = 2
"""Sentences that say why, where the user has not asked for all."""


class ReportsSaid(Said):
    """What is to be said of reports."""

    what = "a report"
    columns = tuple(column.key for column in LAYER_COLUMNS)
    sort_keys = ("layer", *SORT_KEYS)
    row_columns = CSV_COLUMNS

    def __init__(self, *reports: Report) -> None:
        self._reports = reports

    def pages(self, view: View) -> list[Page]:
        """Return a page of each."""
        return [page_of(report, view) for report in self._reports]

    def data(self, view: View) -> dict[str, Any]:
        """Return all of them in one document."""
        return document(self._reports, command=view.command)

    def rows(self) -> Iterator[dict[str, Any]]:
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
    return {column.key: column.header for column in (*_VARIANT_COLUMNS, *LAYER_COLUMNS)}


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
        reduction = layer.reduction_of(name).macs if name != STANDARD else None
        yield Row(_variant_cells(title, name, cost, reduction, timing, view), "strong")
        stages = layer.stages[name]
        for stage in stages if len(stages) > 1 else ():
            cells = {"variant": f"  {stage.name}", **cost_cells(stage.cost)}
            latency = timing.part(name, stage.name) if timing else None
            if latency or (view.pending and name == SEPARABLE):
                cells["latency"] = format_latency(latency) if latency else PENDING
            yield Row(cells, "faint")
        if name == SEPARABLE and timing and timing.gap_s is not None:
            yield Row({"variant": "  gap", "latency": format_difference(timing.gap_s)}, "faint")


def _variant_cells(
    title: str, name: str, cost: Cost, reduction: float | None, timing: Timing | None, view: View
) -> dict[str, str]:
    cells = {"variant": title, **cost_cells(cost)}
    is_variant = name not in ("as_is", STANDARD)
    if is_variant:
        cells["reduction"] = format_factor(reduction)
    if timing:
        cells["latency"] = format_latency(timing.of(name))
        if is_variant:
            cells["speedup"] = format_speedup(timing.speedup_of(name))
    elif view.pending:
        cells |= {"latency": PENDING, "speedup": PENDING if is_variant else ""}
    return cells


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
        Sheet(chosen_columns(LAYER_COLUMNS, rows, view), rows),
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


# -- what stands below every page


def _footnotes(report: Report) -> list[str]:
    notes = [FLOPS_NOTE]
    if report.predictions or any(layer.predictions for layer in report.layers):
        notes.append(
            "Times “at least” are bounds by the datasheet of a device: no run can be faster, "
            "real ones are slower."
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
