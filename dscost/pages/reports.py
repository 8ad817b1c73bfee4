"""A report → a page: which sheets there are, what stands in their cells."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation.units import format_bytes, format_factor, format_seconds
from dscost.pages import Said
from dscost.pages.arithmetic import arithmetic_lines
from dscost.pages.bars import bars_drawing
from dscost.pages.between_calls import BETWEEN_CALLS, between_calls_s, short_title
from dscost.pages.clocks import cpu_cells, cpu_column, cpu_sentences
from dscost.pages.conventions import (
    convention_cells,
    convention_notes,
    of_version,
    with_conventions,
    without_conventions,
)
from dscost.pages.layer_table import (
    LAYER_COLUMNS,
    SORT_KEYS,
    cost_cells,
    figure_columns,
    layer_columns,
    shown_rows,
)
from dscost.pages.layer_words import assumed_line, layer_heading
from dscost.pages.page import (
    Column,
    InCharacters,
    Page,
    Row,
    Sheet,
    Toned,
    View,
    check_columns,
    chosen_sheet,
    without_interval,
)
from dscost.pages.rows import CSV_COLUMNS, columns_of, rows_of
from dscost.pages.runs import measured_on, setting_title
from dscost.pages.wording import (
    LATENCY,
    REDUCTION,
    SPEEDUP,
    VARIANT_TITLES,
    clock_sentence,
    format_latency,
    format_speedup,
    formula_lines,
    layer_sentence,
    model_sentences,
    short_titles,
    variant_titles,
)
from dscost.reports.figures import Cost
from dscost.reports.one_setting import setting_of_layers, under_setting
from dscost.reports.records import Layer, Report, Timing, document, inputs_text
from dscost.timing import runtime_of

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture

PENDING = "…"
FLOPS_NOTE = Toned("FLOPs = 2 × MACs. Many papers call MACs “FLOPs”.", "method")


WITH_NORM = (
    "Timed with BatchNorm and ReLU after each convolution, as networks have them; counted without."
)


VARIANT_COLUMNS = [
    Column("variant", "variant", 0, "left", narrow=short_title),
    *figure_columns(of_layers=False),
    Column("latency", LATENCY, 1, narrow=without_interval),
    Column("reduction", REDUCTION, 2),
    Column("speedup", SPEEDUP, 1, narrow=without_interval),
    cpu_column(2),
]


class ReportsSaid(Said):
    """What is to be said of reports."""

    what = "a report"
    columns = tuple(column.key for column in LAYER_COLUMNS)
    sort_keys = ("layer", *SORT_KEYS)
    row_columns: Sequence[str] = CSV_COLUMNS
    _results: tuple[Report, ...]

    def __init__(self, *reports: Report) -> None:
        super().__init__(*reports)
        self.row_columns = columns_of(reports)

    @classmethod
    def check(cls, view: View, says: str) -> None:
        """As of every result; a tree has columns of its own."""
        view = without_conventions(view)
        if view.tree:
            from dscost.pages.tree import TREE_COLUMNS

            check_columns(view, [column.key for column in TREE_COLUMNS])
        else:
            super().check(view, says)

    def pages(self, view: View) -> list[Page]:
        """Return a page of each."""
        return [page for one in self._results for page in _pages_of(one, view)]

    def data(self, view: View) -> dict[str, Any]:
        """Return all of them in one document."""
        return document(self._results, command=view.command)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return a row for each layer of a model, or for each variant of a layer."""
        return self.rows_in(View())

    def rows_in(self, view: View) -> Iterator[dict[str, Any]]:
        """Return the rows that a view asks for."""
        return rows_of(self._results, view)


def _pages_of(report: Report, view: View) -> Iterator[Page]:
    if report.source == "layer":
        yield _layer_page(report, view)
        return
    page = _model_page(report, view)
    if not report.advice:
        yield page
        return
    from dscost.pages.advice import advice_page, with_advice

    advice = advice_page(report, report.advice, view)
    yield from [with_advice(page, advice)] if view.paged else [page, advice]


def column_headers() -> Mapping[str, str]:
    """Return every key that `--columns` takes for some report, with its header."""
    from dscost.pages.tree import TREE_COLUMNS

    every = (*TREE_COLUMNS, *VARIANT_COLUMNS, *LAYER_COLUMNS)
    return {column.key: column.header for column in every}


# -- one layer


def _layer_page(report: Report, view: View) -> Page:
    (layer,) = report.layers
    lines = [assumed_line(report)] if report.assumed else []
    lines += [WITH_NORM] if report.environment and report.environment.with_norm else []
    columns = with_conventions(VARIANT_COLUMNS, report, "macs")
    sheets = [chosen_sheet(columns, list(_variant_rows(report, layer, view)), view)]
    if layer.latency or layer.predictions:
        from dscost.pages.timings import layer_sheets

        sheets += layer_sheets(
            layer,
            variant_titles(report),
            explain=view.explain,
            where=report.environment,
            dtype=report.inputs[0].dtype if report.inputs else "float32",
        )
    explains_bounds = view.explain and not (layer.latency or view.pending)
    if explains_bounds:
        from dscost.pages.bounds import parts_sheet

        sheets.append(parts_sheet(layer, short_titles(report)))
    sentences = [layer_sentence(report, view.pending)]
    if layer.causes:
        from dscost.pages.causes import sentences_of

        sentences += sentences_of(layer, is_all=view.explain)
    sentences += cpu_sentences(layer.timing, variant_titles(report))
    ran_notes: list[str] = []
    if view.explain and layer.latency:
        from dscost.pages.runs import run_sheets

        of_runs, ran_notes = run_sheets(layer.latency, short_titles(report))
        sheets += of_runs
    is_counted_only = not (layer.latency or view.pending)
    lines += arithmetic_lines(report) if is_counted_only else []
    return Page(
        heading=layer_heading(report),
        lines=[*lines, *formula_lines(report, with_separable=not is_counted_only)],
        sheets=sheets,
        drawing=bars_drawing(layer.variants, layer.timing, short_titles(report)),
        closing=[
            Toned(" ".join(sentences), "verdict"),
            *(_ridge_notes(report) if explains_bounds else ()),
            *ran_notes,
            *_footnotes(report, sheets),
        ],
        measured=measured_on(report.environment, _settings(report)),
        pictures=partial(_pictures_of, report),
    )


def _variant_rows(report: Report, layer: Layer, view: View) -> Iterator[Row]:
    timing, titles = layer.timing, variant_titles(report)
    for name, cost in layer.variants.items():
        title = titles[
            name if len(layer.variants) > 1 or "variants" in report.settings else "as_is"
        ]
        reduction = layer.reduction_of(name).macs if name != STANDARD else None
        cells = _variant_cells(title, name, cost, reduction, timing, view)
        yield Row({**cells, **convention_cells(of_version(report, name))}, "strong")
        for stage in layer.parts_of(name):
            cells = {"variant": f"  {stage.name}", **cost_cells(stage.cost)}
            latency = timing.part(name, stage.name) if timing else None
            if latency or (view.pending and name == SEPARABLE):
                cells["latency"] = format_latency(latency) if latency else PENDING
            yield Row(cells, "faint")
        between_s = between_calls_s(timing) if timing and name == SEPARABLE else None
        if between_s is not None:
            cells = {"variant": f"  {BETWEEN_CALLS}", "latency": format_seconds(between_s)}
            yield Row(cells, "faint")


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
            cells |= {"speedup": format_speedup(timing.speedup_of(name)), **cpu_cells(timing, name)}
    elif view.pending:
        cells |= {"latency": PENDING, "speedup": PENDING if is_variant else ""}
    return cells


# -- a whole model


def _model_page(report: Report, view: View) -> Page:
    setting = setting_of_layers(report)
    of_one = under_setting(report, setting)
    lines = [", ".join(f"{name} {value}" for name, value in report.settings.items())]
    if report.peak_activation_bytes is not None:
        lines.append(f"peak activation memory {format_bytes(report.peak_activation_bytes)}")
    if view.tree:
        from dscost.pages.tree import trained_line

        lines += trained_line(report)
    lines += _which_engine(report, setting)
    sheets = [
        _layers_sheet(of_one, view),
        _totals_sheet(report, view),
    ]
    if report.latency or report.predictions:
        from dscost.pages.timings import model_sheets

        sheets += model_sheets(report)
    closing, answers = model_sentences(of_one), list(clock_sentence(of_one))
    closing += cpu_sentences(report.timing, VARIANT_TITLES, "as a whole, ")
    if view.explain and report.latency:
        from dscost.pages.runs import run_sheets

        of_runs, notes = run_sheets(report.latency, short_titles(report))
        sheets += of_runs
        closing += notes
    if view.explain and not any(layer.latency for layer in report.layers):
        from dscost.pages.bounds import layers_sheet

        sheets += layers_sheet(report)
        closing += _ridge_notes(report)
    if view.explain:
        from dscost.pages.causes import cause_lines

        swappable = [layer.name for layer in report.layers if layer.variants]
        closing += cause_lines(report.layers, swappable, setting)
    return Page(
        heading=f"{report.target}, input {inputs_text(report.inputs)}",
        lines=list(filter(None, lines)),
        sheets=sheets,
        drawing=_drawing_of_totals(report),
        closing=[*closing, *_footnotes(report, sheets)],
        measured=measured_on(report.environment, _settings(report)),
        pictures=partial(_pictures_of, report),
        answers=answers if view.paged else [],
    )


def _pictures_of(report: Report) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_reports import pictures_of_report

    return pictures_of_report(report)


def _which_engine(report: Report, setting: str | None) -> Iterator[str]:
    """Yield under what the layers of the table were timed, where the report leaves it open."""
    if setting is None:
        return
    keys = _settings(report)
    first = next(iter(report.latency), setting)
    if len(set(map(runtime_of, keys))) > 1 or setting != first:
        whole = "" if setting == first else f"; the whole model under {setting_title(first)}"
        yield Toned(f"Layers are timed under {setting_title(setting)}{whole}.", "method")


def _layers_sheet(report: Report, view: View) -> Sheet:
    if view.tree:
        from dscost.pages.tree import tree_sheet

        return tree_sheet(report, view)
    return chosen_sheet(layer_columns(report, view), shown_rows(report, view), view)


def _drawing_of_totals(report: Report) -> InCharacters | None:
    """Return bars of MACs beside those of time, where the whole was timed."""
    if not report.timing:
        return None
    costs = {name: getattr(report.totals, name) for name in _versions(report)}
    return bars_drawing(costs, report.timing, short_titles(report))


def _versions(report: Report) -> list[str]:
    """Return the versions of a model that there are; standard where it is not the model itself."""
    if not any(layer.variants for layer in report.layers):
        return ["as_is"]
    totals, timing = report.totals, report.timing or Timing()
    is_standard = totals.standard == totals.as_is and timing.standard == timing.as_is
    return [name for name in VARIANT_TITLES if not (is_standard and name == STANDARD)]


def _totals_sheet(report: Report, view: View) -> Sheet:
    """Return the table of versions; columns are asked for of layers, so that these give way."""
    columns = with_conventions(VARIANT_COLUMNS, report, "macs", view.columns or ())
    rows = list(_total_rows(report, view))
    return chosen_sheet(columns, rows, view._replace(columns=None))._replace(gives_way=True)


def _total_rows(report: Report, view: View) -> Iterator[Row]:
    reduction = report.totals.reduction.macs
    for name in _versions(report):
        cost = getattr(report.totals, name)
        title = VARIANT_TITLES[name]
        cells = _variant_cells(title, name, cost, reduction, report.timing, view)
        yield Row({**cells, **convention_cells(of_version(report, name))}, "strong")


# -- what stands below every page


def _footnotes(report: Report, sheets: Sequence[Sheet]) -> list[str]:
    shown = {column.key for sheet in sheets for column in sheet.columns}
    notes: list[str] = [FLOPS_NOTE] if shown & {"flops", "flops_per_byte"} else []
    notes += convention_notes(report)
    if report.predictions or any(layer.predictions for layer in report.layers):
        from dscost.pages.bounds import bounds_notes

        notes += bounds_notes(report)
    where = report.environment
    if where:
        from dscost.pages.measuring_words import measured_notes

        notes += measured_notes(where, _settings(report))
    return [*notes, *(Toned(warning, "unclear") for warning in report.warnings)]


def _ridge_notes(report: Report) -> list[str]:
    """Return what an intensity means, and how bounds are had where there are none."""
    from dscost.pages.bounds import RIDGE_NOTE, WITHOUT_DEVICES

    has_bounds = any(layer.predictions for layer in report.layers)
    return [RIDGE_NOTE if has_bounds else WITHOUT_DEVICES]


def _settings(report: Report) -> dict[str, Timing]:
    """Return all settings that something was measured under, with the first thing that was.

    The first setting is that of the figures beside the costs.
    """
    found: dict[str, Timing] = {}
    for timings in (report.latency, *(layer.latency for layer in report.layers)):
        for key, timing in timings.items():
            found.setdefault(key, timing)
    return found
