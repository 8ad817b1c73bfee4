"""Models held against each other: what is said of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dscost.comparing.differences import (
    LAYER_METRICS,
    Comparison,
    Difference,
    LayerPair,
    Versus,
    difference,
)
from dscost.errors import UnknownNameError
from dscost.notation.units import UNKNOWN, arrow, counted, format_shape
from dscost.pages import Said
from dscost.pages.comparison_rows import CSV_COLUMNS, rows_of
from dscost.pages.layer_table import ROOT, kind_of
from dscost.pages.model_table import (
    MODEL_COLUMNS,
    model_sheets,
    settings_of,
    shortened,
)
from dscost.pages.page import (
    Column,
    Page,
    Row,
    Sheet,
    Toned,
    View,
    chosen_sheet,
    grouped,
    most_of,
    name_column,
    words,
)
from dscost.pages.reports import FLOPS_NOTE
from dscost.pages.runs import measured_on
from dscost.reports.figures import CONVENTIONS, FIGURES, Cost, summed
from dscost.reports.records import head

DEFAULT_SORT = "macs"
POSTED_LAYERS = 20
"""A comment in a pull request shows no more layers; the rest is added up."""
SORT_KEYS = ("layer", "order", *LAYER_METRICS)
"""What `--sort` takes."""
POSTED_COLUMNS = (
    *("what", "kind", "output", "params", "params_change"),
    *("macs", "macs_change", "macs_percent"),
)
LONG = 10
"""More than that are folded away."""
LONG_LABEL = 20
"""A label that is longer has no place in a cell."""
HEADER_WIDTHS = (16, 32)
"""How long a label may be above a column, on a terminal under `NARROW` and elsewhere."""
NARROW = 100


MORE_IS_NO_COST = ("flops_per_byte",)
"""Figures whose growth is no loss."""


# -- how figures are written


def change_text(one: Difference) -> str:
    """Return a change with its sign, in as few digits as tell it.

    >>> change_text(Difference("macs", 3_628_146_688, 3_628_146_687))
    '−1'
    >>> change_text(Difference("params", 10, 10))
    '0'
    """
    if one.change is None:
        return UNKNOWN
    if not one.change:
        return "0"
    return f"{'+' if one.change > 0 else '−'}{FIGURES[one.metric].text(abs(one.change))}"


def percent_text(one: Difference) -> str:
    """Return a change in percent, never rounded to nothing.

    >>> percent_text(Difference("macs", 300, 303)), percent_text(Difference("macs", 0, 5))
    ('+1.0 %', 'new')
    >>> percent_text(Difference("macs", 3_628_146_688, 3_628_146_687))
    '−<0.1 %'
    """
    if one.is_new:
        return "new"
    if one.percent is None:
        return UNKNOWN
    if not one.percent:
        return "0 %"
    sign, size = "+" if one.percent > 0 else "−", abs(one.percent)
    text = f"{sign}<0.1 %" if size < 0.05 else f"{sign}{size:,.1f} %"
    if one.metric in MORE_IS_NO_COST:
        return text
    return Toned(text, "bad" if one.percent > 0 else "good")


# -- the whole


def _totals_sheet(comparison: Comparison, view: View) -> Sheet:
    first, *others = (one.label for one in comparison.contenders)
    narrow = view.width is not None and view.width < NARROW
    width = HEADER_WIDTHS[0 if narrow else 1]
    columns = [words("figure", header=""), Column(first, shortened(first, width), 0)]
    # where space is short, changes go first, and those of the last model before
    for at, name in enumerate(others):
        columns += [
            Column(name, shortened(name, width), at),
            Column(f"change of {name}", "±", 2 * len(others) + at),
            Column(f"percent of {name}", "± %", len(others) + at),
        ]
    found: dict[tuple[str, str | None], dict[str, Difference]] = {}
    for versus in comparison.versus:
        separate = (one for one in versus.latencies if one.setting not in versus.speedups)
        for one in (*versus.totals, *separate):
            if view.wide or not FIGURES[one.metric].is_on_request:
                found.setdefault((one.metric, one.setting), {})[versus.label] = one
    rows = [_totals_row(first, differences) for differences in found.values()]
    return Sheet(columns, rows)


def _totals_row(reference: str, found: Mapping[str, Difference]) -> Row:
    """Return the row of one figure; a model that does not have it has empty cells."""
    first = next(iter(found.values()))
    where = f" {first.setting}, separate runs" if first.setting else ""
    cells = {
        "figure": FIGURES[first.metric].title + where,
        reference: FIGURES[first.metric].text(first.reference),
    }
    for name, one in found.items():
        cells[name] = FIGURES[one.metric].text(one.value)
        cells[f"change of {name}"] = change_text(one)
        cells[f"percent of {name}"] = percent_text(one)
    return Row(cells)


# -- layers


def _figure_columns() -> Iterator[Column]:
    """Yield the columns of every figure and of its change; that of MACs is in percent as well."""
    for name, figure in FIGURES.items():
        *_, priority, priority_of_change = figure.columns
        if priority is not None and priority_of_change is not None:
            yield Column(name, figure.title, priority)
            yield Column(f"{name}_change", f"± {figure.title}", priority_of_change)
        if name == "macs":
            yield Column("macs_percent", "± %", 2)


_COLUMNS = [
    name_column("layer"),
    words("what", 1),
    words("kind", 6),
    words("output", 7),
    *_figure_columns(),
]


class _Line(NamedTuple):
    """One line of the layer table: a layer, or several added up."""

    name: str
    what: str
    kind: str
    output: str
    reference: Cost
    other: Cost


def _layers_page(comparison: Comparison, versus: Versus, view: View) -> Page:
    reference = comparison.reference.label
    heading = f"Layers of {versus.label} against {reference}: {counts_text(versus, reference)}"
    rows = [_row(line) for line in _lines_to_show(comparison, versus, view)]
    closing = []
    if not versus.differing:
        both = f"{versus.label} and {reference}"
        closing.append(f"No layer differs: {both} are made of the same layers.")
    if versus.renamed:
        closing.append(f"Layers that are the same under another name: {versus.renamed}.")
    if versus.is_reordered:
        closing.append("Layers of one name run in another order.")
    sheet = chosen_sheet(_COLUMNS, rows, view)
    return Page(heading, sheets=[sheet] if rows else [], closing=closing, is_long=len(rows) > LONG)


def counts_text(versus: Versus, reference: str) -> str:
    """Return how many layers there are of each kind, `2 changed, 1 only in b, 60 the same`."""
    words = {
        "changed": "changed",
        "only_reference": f"only in {reference}",
        "only_other": f"only in {versus.label}",
        "same": "the same",
    }
    counts = {status: versus.count_of(status) for status in words}
    told = [f"{number} {words[status]}" for status, number in counts.items() if number]
    if versus.folded:
        told.append(f"{counted(versus.folded, 'normalisation')} folded")
    return ", ".join(told)


def _lines_to_show(comparison: Comparison, versus: Versus, view: View) -> list[_Line]:
    """Return the lines to show: sorted, cut and added up as the view says.

    However that is, changes add up to those of the totals.
    """
    pairs = comparison.layers_of(versus) if view.depth is None else versus.layers
    lines = [_line(pair, comparison.reference.label, versus.label) for pair in pairs]
    free: list[_Line] = []
    sums: list[_Line] = []
    if view.depth is not None:
        names = [(pair.reference or pair.layer).path for pair in pairs]
        groups = grouped(zip(names, lines, strict=True), view.depth)
        blocks = [_block(name or ROOT, group) for name, group in groups.items()]
        lines = [line for line in blocks if comparison.every_layer or line.what != "same"]
    elif not comparison.every_layer:
        lines, folded = _apart(lines, lambda line: line.what != "folded")
        if folded or any(map(_has_macs, lines)):
            lines, free = _apart(lines, _has_macs)
        if folded:
            name = f"({counted(versus.folded, 'normalisation')} folded into other layers)"
            sums.append(_added(name, folded))
    shown, rest = most_of(_sorted(lines, view.sort or DEFAULT_SORT), view.top, _added)
    if free:
        sums.insert(0, _added(f"({counted(len(free), 'layer')} without MACs)", free))
    return [*shown, *rest, *sums]


def _apart(
    lines: Sequence[_Line], is_wanted: Callable[[_Line], bool]
) -> tuple[list[_Line], list[_Line]]:
    """Return the lines that are wanted, and the others."""
    return [one for one in lines if is_wanted(one)], [one for one in lines if not is_wanted(one)]


def _has_macs(line: _Line) -> bool:
    return bool(line.reference.macs or line.other.macs)


def _line(pair: LayerPair, reference: str, label: str) -> _Line:
    sides = [one for one in (pair.reference, pair.other) if one]
    return _Line(
        arrow(one.name or ROOT for one in sides),
        _what(pair.status, reference, label),
        arrow(map(kind_of, sides)),
        arrow(format_shape(one.output_shape[1:]) for one in sides),
        *pair.costs,
    )


def _what(status: str, reference: str, label: str) -> str:
    if status == "only_reference":
        return f"only in {reference if len(reference) <= LONG_LABEL else 'the reference'}"
    if status == "only_other":
        return f"only in {label if len(label) <= LONG_LABEL else 'the other'}"
    return status


def _block(name: str, lines: Sequence[_Line]) -> _Line:
    """Return several layers as the module that holds them."""
    if len(lines) == 1:
        return lines[0]
    differing = sum(line.what != "same" for line in lines)
    what = f"{differing} of {counted(len(lines), 'layer')}" if differing else "same"
    return _added(name, lines)._replace(what=what)


def _added(name: str, lines: Sequence[_Line]) -> _Line:
    reference, other = (line.reference for line in lines), (line.other for line in lines)
    return _Line(name, "", "", "", summed(reference), summed(other))


def _sorted(lines: Sequence[_Line], key: str) -> list[_Line]:
    """Return the lines with the largest change first, whichever way; equal ones as in the model."""
    if key == "layer":
        return sorted(lines, key=lambda line: line.name)
    if key == "order":
        return list(lines)
    if key not in LAYER_METRICS:
        raise UnknownNameError("sort key", key, SORT_KEYS)

    def size(line: _Line) -> float:
        return abs(difference(key, line.reference, line.other).change or 0)

    return sorted(lines, key=size, reverse=True)


def _row(line: _Line) -> Row:
    cells = {"layer": line.name, "what": line.what, "kind": line.kind, "output": line.output}
    for metric in LAYER_METRICS:
        one = difference(metric, line.reference, line.other)
        cells[metric] = arrow(map(FIGURES[metric].text, (one.reference, one.value)))
        cells[f"{metric}_change"] = change_text(one)
        cells[f"{metric}_percent"] = percent_text(one)
    return Row(cells)


class ComparisonSaid(Said):
    """What is to be said of models held against each other."""

    what = "a comparison"
    columns = tuple(dict.fromkeys([*MODEL_COLUMNS, *(column.key for column in _COLUMNS)]))
    sort_keys = SORT_KEYS
    row_columns = CSV_COLUMNS
    _result: Comparison

    def pages(self, view: View) -> list[Page]:
        """Return a page of the models and, where layers are shown, one for each of how they differ.

        Posted in a pull request, the first page has all notes, and of the layers those that differ
        most.
        """
        comparison = self._result
        with_layers = _shows_layers(comparison, view)
        if with_layers and view.posted:
            columns = POSTED_COLUMNS if view.columns is None else view.columns
            top = POSTED_LAYERS if view.top is None else view.top
            view = view._replace(columns=columns, top=top)
        pages = [_first_page(comparison, view, with_layers=with_layers)]
        if with_layers:
            pages += [_layers_page(comparison, one, view) for one in comparison.versus]
        noted = 0 if view.posted else -1
        closing = [*pages[noted].closing, *_notes(comparison, pages[0])]
        pages[noted] = pages[noted]._replace(closing=closing)
        return pages

    def data(self, view: View) -> dict[str, Any]:
        """Return all that differs, and what does not."""
        return {**head("compare"), "conventions": CONVENTIONS, **self._result.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return a row for each model, or for each layer where these are asked for."""
        return rows_of(self._result)


def _shows_layers(comparison: Comparison, view: View) -> bool:
    """Whether layers are shown: as asked for, and else those of related models."""
    if comparison.layers is not None:
        return comparison.layers
    asked = (view.depth, view.sort, view.top)
    if comparison.every_layer or any(one is not None for one in asked):
        return True
    if any(key not in MODEL_COLUMNS for key in view.columns or ()):
        return True
    return comparison.are_related


def _first_page(comparison: Comparison, view: View, *, with_layers: bool) -> Page:
    """Return the models one below the other, and figure by figure where they are related."""
    measured = measured_on(comparison.environment, settings_of(comparison))
    if not with_layers:
        sheets, closing = model_sheets(comparison, view), []
        if view.width is not None:  # who sees it can ask for more
            closing = _what_else(comparison)
        return Page(comparison.in_a_line(), sheets=sheets, closing=closing, measured=measured)
    view = view._replace(columns=None)  # which speak of the layers
    totals = [_totals_sheet(comparison, view)] if comparison.are_related else []
    timed = comparison.environment is not None
    sheets = [] if totals and not timed else model_sheets(comparison, view)
    return Page(comparison.in_a_line(), sheets=[*sheets, *totals], measured=measured)


def _what_else(comparison: Comparison) -> list[str]:
    """Return what there is besides the table of models, for who does not know the options."""
    more = []
    if comparison.layers is None:
        more.append("--layers shows the layers, of which they share less than a fifth")
    if not any(one.latencies for one in comparison.contenders):
        more.append("--time times them in turns")
    return [Toned(f"{'; '.join(more)}.", "method")] if more else []


def _notes(comparison: Comparison, first: Page) -> list[str]:
    """Return what the reader must know about the figures of the first page."""
    notes: list[str] = [FLOPS_NOTE] if _tells_flops(first) else []
    if comparison.environment:
        from dscost.pages.measuring_words import measured_notes

        timed = [one.report.latency for one in comparison.contenders if one.timed]
        keys = settings_of(comparison)
        timings = {key: next((one[key] for one in timed if key in one), None) for key in keys}
        notes += measured_notes(comparison.environment, timings)
    return [*notes, *comparison.notes]


def _tells_flops(page: Page) -> bool:
    title = FIGURES["flops"].title
    return any(
        title in (column.header for column in sheet.columns)
        or any(row.cells.get("figure") == title for row in sheet.rows)
        for sheet in page.sheets
    )
