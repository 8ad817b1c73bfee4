"""Models held against each other: what is said of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.comparing.differences import (
    LAYER_METRICS,
    Comparison,
    Difference,
    LayerPair,
    Versus,
    difference,
)
from dscost.notation.units import arrow, counted, format_shape
from dscost.pages import Said
from dscost.pages.comparison_notes import answers_of, notes_of, what_else
from dscost.pages.comparison_rows import CSV_COLUMNS, columns_of, rows_of
from dscost.pages.comparison_totals import change_text, percent_text, totals_sheet
from dscost.pages.conventions import (
    convention_columns,
    outside_layers,
    without_conventions,
)
from dscost.pages.layer_table import IN_NO_LAYER, ROOT, kind_of
from dscost.pages.model_table import MODEL_COLUMNS, model_sheets, settings_of
from dscost.pages.page import (
    DECIDES,
    Column,
    Page,
    Row,
    View,
    chosen_sheet,
    grouped,
    most_of,
    name_column,
    unknown_key,
    words,
)
from dscost.pages.runs import measured_on
from dscost.reports.figures import (
    FIGURES,
    NOTHING,
    Cost,
    convention_of,
    figure_of,
    metric_of,
    summed,
)
from dscost.reports.records import Report, head, meanings_for

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture

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


NO_DIFFERENCES: Mapping[str, Difference] = MappingProxyType({})


def _with_conventions(columns: Sequence[Column], reports: Sequence[Report]) -> list[Column]:
    """Return columns with what conventions count, and its change, behind those of MACs."""
    behind = next(at for at, one in enumerate(columns, 1) if one.key == "macs_percent")
    own = [
        each
        for one in convention_columns(reports, 2)
        for each in (one, Column(f"{one.key}_change", f"± {one.header}", DECIDES))
    ]
    return [*columns[:behind], *own, *columns[behind:]]


class Line(NamedTuple):
    """One line of the layer table: a layer, or several added up."""

    name: str
    what: str
    kind: str
    output: str
    reference: Cost
    other: Cost
    by_convention: Mapping[str, Difference] = NO_DIFFERENCES

    def difference(self, metric: str) -> Difference:
        """Return one of `LAYER_METRICS`, or what a convention counts."""
        if metric in self.by_convention:
            return self.by_convention[metric]
        return difference(metric, self.reference, self.other)


def _layers_page(comparison: Comparison, versus: Versus, view: View) -> Page:
    reference = comparison.reference.label
    heading = f"Layers of {versus.label} against {reference}: {counts_text(versus, reference)}"
    rows = [_row(line) for line in lines_to_show(comparison, versus, view)]
    closing = []
    if not versus.differing:
        both = f"{versus.label} and {reference}"
        closing.append(f"No layer differs: {both} are made of the same layers.")
    if versus.renamed:
        closing.append(f"Layers that are the same under another name: {versus.renamed}.")
    if versus.is_reordered:
        closing.append("Layers of one name run in another order.")
    reports = [one.report for one in comparison.contenders]
    sheet = chosen_sheet(_with_conventions(_COLUMNS, reports), rows, view)
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


def lines_to_show(comparison: Comparison, versus: Versus, view: View) -> list[Line]:
    """Return the lines to show: sorted, cut and added up as the view says.

    However that is, changes add up to those of the totals.
    """
    pairs = comparison.layers_of(versus) if view.depth is None else versus.layers
    lines = [_line(pair, comparison.reference.label, versus.label) for pair in pairs]
    free: list[Line] = []
    sums: list[Line] = []
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
    elsewhere = _in_no_layer(comparison, versus)
    if elsewhere:
        sums.append(Line(IN_NO_LAYER, "", "", "", NOTHING, NOTHING, elsewhere))
    shown, rest = most_of(_sorted(lines, view.sort or DEFAULT_SORT), view.top, _added)
    if free:
        sums.insert(0, _added(f"({counted(len(free), 'layer')} without MACs)", free))
    return [*shown, *rest, *sums]


def _in_no_layer(comparison: Comparison, versus: Versus) -> dict[str, Difference]:
    """Return what conventions count in no layer, where that differs."""
    (other,) = (one for one in comparison.contenders if one.label == versus.label)
    ours, theirs = (outside_layers(one.report) for one in (comparison.reference, other))
    found = {
        metric_of(name): Difference(metric_of(name), ours.get(name, 0), theirs.get(name, 0))
        for name in {**ours, **theirs}
    }
    return {metric: one for metric, one in found.items() if one.change}


def _apart(
    lines: Sequence[Line], is_wanted: Callable[[Line], bool]
) -> tuple[list[Line], list[Line]]:
    """Return the lines that are wanted, and the others."""
    return [one for one in lines if is_wanted(one)], [one for one in lines if not is_wanted(one)]


def _has_macs(line: Line) -> bool:
    return bool(line.reference.macs or line.other.macs)


def _line(pair: LayerPair, reference: str, label: str) -> Line:
    sides = [one for one in (pair.reference, pair.other) if one]
    return Line(
        arrow(one.name or ROOT for one in sides),
        _what(pair.status, reference, label),
        arrow(map(kind_of, sides)),
        arrow(format_shape(one.output_shape[1:]) for one in sides),
        *pair.costs,
        {one: pair.difference(one) for one in pair.metrics if convention_of(one)},
    )


def _what(status: str, reference: str, label: str) -> str:
    if status == "only_reference":
        return f"only in {reference if len(reference) <= LONG_LABEL else 'the reference'}"
    if status == "only_other":
        return f"only in {label if len(label) <= LONG_LABEL else 'the other'}"
    return status


def _block(name: str, lines: Sequence[Line]) -> Line:
    """Return several layers as the module that holds them."""
    if len(lines) == 1:
        return lines[0]
    differing = sum(line.what != "same" for line in lines)
    what = f"{differing} of {counted(len(lines), 'layer')}" if differing else "same"
    return _added(name, lines)._replace(what=what)


def _added(name: str, lines: Sequence[Line]) -> Line:
    reference, other = (line.reference for line in lines), (line.other for line in lines)
    of_others = [line.by_convention for line in lines if line.by_convention]
    return Line(name, "", "", "", summed(reference), summed(other), _summed(of_others))


def _summed(several: Sequence[Mapping[str, Difference]]) -> dict[str, Difference]:
    """Return what conventions count of several layers; unknown where it is of one of them."""
    found = {}
    for metric in dict.fromkeys(metric for one in several for metric in one):
        each = [one[metric] for one in several if metric in one]
        before = _sum_of_known([one.reference for one in each])
        found[metric] = Difference(metric, before, _sum_of_known([one.value for one in each]))
    return found


def _sum_of_known(amounts: Sequence[float | None]) -> float | None:
    known = [one for one in amounts if one is not None]
    return sum(known) if len(known) == len(amounts) else None


def _sorted(lines: Sequence[Line], key: str) -> list[Line]:
    """Return the lines with the largest change first, whichever way; equal ones as in the model."""
    if key == "layer":
        return sorted(lines, key=lambda line: line.name)
    if key == "order":
        return list(lines)
    if key not in LAYER_METRICS and not any(key in line.by_convention for line in lines):
        raise unknown_key("sort key", key, SORT_KEYS)

    def size(line: Line) -> float:
        return abs(line.difference(key).change or 0)

    return sorted(lines, key=size, reverse=True)


def _row(line: Line) -> Row:
    cells = {"layer": line.name, "what": line.what, "kind": line.kind, "output": line.output}
    for metric in (*LAYER_METRICS, *line.by_convention):
        one = line.difference(metric)
        cells[metric] = arrow(map(figure_of(metric).text, (one.reference, one.value)))
        cells[f"{metric}_change"] = change_text(one)
        cells[f"{metric}_percent"] = percent_text(one)
    return Row(cells)


class ComparisonSaid(Said):
    """What is to be said of models held against each other."""

    what = "a comparison"
    columns = tuple(dict.fromkeys([*MODEL_COLUMNS, *(column.key for column in _COLUMNS)]))
    sort_keys = SORT_KEYS
    row_columns: Sequence[str] = CSV_COLUMNS
    _result: Comparison

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(comparison)
        self.row_columns = columns_of(comparison)

    @classmethod
    def check(cls, view: View, says: str) -> None:
        """As of every result; of conventions only the result tells."""
        super().check(without_conventions(view), says)

    def pages(self, view: View) -> list[Page]:
        """Return a page of the models and, where layers are shown, one for each of how they differ.

        Posted in a pull request, the first page has all notes, and of the layers those that differ
        most.
        """
        comparison = self._result
        with_layers = shows_layers(comparison, view)
        if with_layers and view.posted:
            columns = POSTED_COLUMNS if view.columns is None else view.columns
            top = POSTED_LAYERS if view.top is None else view.top
            view = view._replace(columns=columns, top=top)
        pages = [_first_page(comparison, view, with_layers=with_layers)]
        if with_layers:
            pages += [_layers_page(comparison, one, view) for one in comparison.versus]
        pages[0] = pages[0]._replace(
            pictures=partial(_pictures_of, comparison, view),
            answers=list(answers_of(comparison)) if view.paged else [],
        )
        noted = 0 if view.posted else -1
        closing = [*pages[noted].closing, *notes_of(comparison, pages[0])]
        pages[noted] = pages[noted]._replace(closing=closing)
        return pages

    def data(self, view: View) -> dict[str, Any]:
        """Return all that differs, and what does not."""
        meanings = meanings_for(one.report for one in self._result.contenders)
        return {**head("compare"), "conventions": meanings, **self._result.to_dict()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return a row for each model, or for each layer where these are asked for."""
        return rows_of(self._result)


def shows_layers(comparison: Comparison, view: View) -> bool:
    """Whether layers are shown: as asked for, and else those of related models."""
    if comparison.layers is not None:
        return comparison.layers
    asked = (view.depth, view.sort, view.top)
    if comparison.every_layer or any(one is not None for one in asked):
        return True
    columns = without_conventions(view).columns or ()
    if any(key not in MODEL_COLUMNS and not convention_of(key) for key in columns):
        return True
    return comparison.are_related


def _first_page(comparison: Comparison, view: View, *, with_layers: bool) -> Page:
    """Return the models one below the other, and figure by figure where they are related."""
    measured = measured_on(comparison.environment, settings_of(comparison))
    if not with_layers:
        sheets, closing = model_sheets(comparison, view), []
        if view.width is not None:  # who sees it can ask for more
            closing = what_else(comparison)
        return Page(comparison.in_a_line(), sheets=sheets, closing=closing, measured=measured)
    view = view._replace(columns=None)  # which speak of the layers
    totals = [totals_sheet(comparison, view)] if comparison.are_related else []
    timed = comparison.environment is not None
    sheets = [] if totals and not timed else model_sheets(comparison, view)
    return Page(comparison.in_a_line(), sheets=[*sheets, *totals], measured=measured)


def _pictures_of(comparison: Comparison, view: View) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_comparisons import comparison_pictures

    return comparison_pictures(comparison, view)
