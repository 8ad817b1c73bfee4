"""The table of layers: sorted, cut and grouped as a view says, nothing lost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD
from dscost.notation.units import (
    UNKNOWN,
    counted,
    format_count,
    format_extent,
    format_factor,
    format_layer,
    format_seconds,
    format_shape,
    format_share,
)
from dscost.pages.clocks import cpu_cells, cpu_column
from dscost.pages.conventions import added, convention_cells, outside_layers, with_conventions
from dscost.pages.layer_names import as_shown, as_spelt
from dscost.pages.page import (
    DECIDES,
    Column,
    Row,
    View,
    grouped,
    judged_as,
    most_of,
    name_column,
    unknown_key,
    without_interval,
    words,
)
from dscost.pages.wording import REDUCTION, SPEEDUP, format_speedup
from dscost.reports.figures import (
    COST_FIGURES,
    FIGURES,
    NOTHING,
    ON_REQUEST,
    Cost,
    convention_of,
    summed,
)
from dscost.reports.records import Block, Cause, Layer, Report, Timing

ROOT = format_layer("")
"""How a table calls the model itself, whose name among its modules is empty."""

IN_NO_LAYER = "(in no layer)"
"""The line of what only conventions of others count, and no layer has."""
NO_CONVENTIONS: Mapping[str, int] = MappingProxyType({})

KINDS_WIDTH = 24
"""Characters that the kinds of layers which share a line may take."""


def figure_columns(*, of_layers: bool) -> Iterator[Column]:
    """Yield the columns of figures in the table of variants, or of layers with a share of MACs."""
    for name, figure in FIGURES.items():
        priority = figure.columns[1 if of_layers else 0]
        if priority is not None:
            yield Column(name, figure.title, priority)
        if of_layers and name == "macs":
            yield Column("share", "share", 4)


LATENCIES, _SHORT = "standard → separable", "std. → sep."

LAYER_COLUMNS = [
    name_column("layer"),
    words("kind", 3),
    Column("output", "output", 6),
    *figure_columns(of_layers=True),
    Column("standard_macs", "standard MACs", 5),
    Column("separable_macs", "separable MACs", 5),
    Column("reduction", REDUCTION, 2),
    Column("standard_latency", "standard", ON_REQUEST),
    Column("separable_latency", "separable", ON_REQUEST),
    Column("latencies", LATENCIES, DECIDES, narrow=lambda text: text.replace(LATENCIES, _SHORT)),
    Column("speedup", SPEEDUP, DECIDES, narrow=without_interval),
    cpu_column(2),
    words("verdict", DECIDES),
    words("why", 7, "held back by")._replace(goes_below=True),
]


def layer_columns(report: Report, view: View) -> list[Column]:
    """Return the columns of the layer table: where it is timed, what is counted gives way.

    Then the kind of a layer, its times and their verdict are what decides.
    Both latencies stand in one column, and in two where every column is shown.
    """
    columns = LAYER_COLUMNS
    if report.by_convention:
        columns = list(with_conventions(columns, report, "share"))
    if view.wide:
        return [_apart(column) for column in columns if column.key != "latencies"]
    if not any(layer.latency for layer in report.layers):
        return columns
    return list(map(_beside_times, columns))


def _apart(column: Column) -> Column:
    return column._replace(priority=DECIDES) if column.key in _LATENCIES else column


def _beside_times(column: Column) -> Column:
    if column.key in COST_FIGURES:
        return column._replace(priority=max(DECIDES + 1, column.priority))
    return column._replace(priority=DECIDES) if column.key == "kind" else column


def cost_cells(cost: Cost) -> dict[str, str]:
    """Return the cells of every figure of a cost."""
    return {name: FIGURES[name].text(value) for name, value in cost.to_dict().items()}


class _Line(NamedTuple):
    """One line of the layer table: a layer, or several added up.

    The MACs in the two pure versions of the model are `None` where both are the same.
    """

    name: str
    kind: str
    output: str
    cost: Cost
    standard_macs: int | None
    separable_macs: int | None
    layer: Layer | None = None
    by_convention: Mapping[str, int] = NO_CONVENTIONS

    @property
    def reduction(self) -> float | None:
        if self.standard_macs and self.separable_macs:
            return self.standard_macs / self.separable_macs
        return None


def layer_rows(report: Report, view: View) -> list[Row]:
    """Return the rows of the layer table: sorted, cut and grouped as the view says, nothing lost.

    Layers without MACs are added up in one line, so that the columns sum to the totals.

    Raises:
        UnknownNameError: The sort key is no figure of a layer.
    """
    lines, rest = _lines(report, view.depth)
    if view.sort:
        lines = _sorted(lines, view.sort, pending=view.pending)
    elsewhere = outside_layers(report) if report.by_convention else {}
    if elsewhere:
        rest = [*rest, _Line(IN_NO_LAYER, "", "", NOTHING, None, None, by_convention=elsewhere)]
    shown, hidden = most_of(lines, view.top, _hidden)
    total_macs = report.totals.as_is.macs
    return [_layer_row(line, total_macs) for line in (*shown, *hidden, *rest)]


def shown_rows(report: Report, view: View) -> list[Row]:
    """Return the rows as they stand beside each other: nothing is said twice that nobody asked for.

    The speedup has words of its own, and a verdict beside it stands where those leave it open. A
    model without pairs is standard as it is, so that its MACs are those of standard everywhere.

    Raises:
        UnknownNameError: The sort key is no figure of a layer.
    """
    rows, asked = layer_rows(report, view), view.columns or ()
    if "verdict" not in asked:
        rows = [
            _without(row, "verdict") if row.cells.get("verdict") in _SAID_BY_SPEEDUPS else row
            for row in rows
        ]
    is_own = all(row.cells.get("standard_macs") in (None, row.cells["macs"]) for row in rows)
    if is_own and "standard_macs" not in asked:
        rows = [_without(row, "standard_macs") for row in rows]
    return rows


_SAID_BY_SPEEDUPS = ("faster", "slower", "same")


def _without(row: Row, key: str) -> Row:
    return row._replace(cells={name: cell for name, cell in row.cells.items() if name != key})


def _sorted(lines: list[_Line], key: str, *, pending: bool) -> list[_Line]:
    """Return the lines with the largest figure first; those without it last, in their order."""
    if key == "layer":
        return sorted(lines, key=lambda line: line.name)
    of_others = convention_of(key)
    if of_others is not None and any(of_others in line.by_convention for line in lines):
        return sorted(lines, key=lambda line: -line.by_convention.get(of_others, 0))
    if key not in SORT_KEYS:
        raise unknown_key("sort key", key, ("layer", *SORT_KEYS))
    figures = [_figure(line, key) for line in lines]
    if not pending and all(figure is None for figure in figures):
        untimed = " without timing" if key in _TIMED else ""
        raise InputError(f"cannot sort by {key}: no layer has it{untimed}")
    sizes = [-inf if figure is None else figure for figure in figures]
    order = sorted(range(len(lines)), key=sizes.__getitem__, reverse=True)
    return [lines[at] for at in order]


def _figure(line: _Line, key: str) -> float | None:
    """Return a figure to sort by, `None` where the line does not have it."""
    timing = (line.layer.timing if line.layer else None) or Timing()
    if key == "speedup":
        return timing.speedup.median if timing.speedup else None
    if key in _LATENCIES:
        latency = timing.of(_LATENCIES[key])
        return latency.median_s if latency else None
    if key == "share":
        return line.cost.macs
    figure: float | None = getattr(line.cost if key in COST_FIGURES else line, key)
    return figure


_LATENCIES = {"latency": "as_is", "standard_latency": STANDARD, "separable_latency": SEPARABLE}
_TIMED = (*_LATENCIES, "speedup")
MEASURED_COLUMNS = (*_TIMED, "latencies", "cpu_time", "verdict", "why")
"""Columns that are empty where nothing was timed."""

SORT_KEYS = (
    *(column.key for column in figure_columns(of_layers=False)),
    *("share", "standard_macs", "separable_macs", "reduction", *_TIMED),
)
"""What `--sort` takes besides `layer`."""


def _lines(report: Report, depth: int | None) -> tuple[list[_Line], list[_Line]]:
    """Return the lines to sort and to cut, and what stands below them in any case."""
    shown = as_shown([layer.name for layer in report.layers])
    lines = [
        _line(layer, report.skipped)._replace(name=name or ROOT)
        for name, layer in zip(shown, report.layers, strict=True)
    ]
    if depth is not None:
        names = [layer.path for layer in report.layers]
        groups = grouped(zip(names, lines, strict=True), depth)
        return [
            group[0]
            if len(group) == 1
            else _block(_spelt_in(group, name), group, report.blocks.get(name))
            for name, group in groups.items()
        ], []
    free = [line for line in lines if not line.cost.macs]
    if not free:
        return lines, []
    kinds = sorted({layer.type or layer.op for layer in report.layers if not layer.cost.macs})
    rest = _added(f"({counted(len(free), 'layer')} without MACs)", free)
    working = [line for line in lines if line.cost.macs]
    room = max((len(line.kind) for line in working), default=KINDS_WIDTH)
    return working, [rest._replace(kind=_some_kinds(kinds, min(room, KINDS_WIDTH)))]


def _spelt_in(lines: Sequence[_Line], path: str) -> str:
    """Return the path of several layers as their own names spell it."""
    layer = lines[0].layer
    return as_spelt(path, layer.name) if layer else path


def _block(name: str, lines: Sequence[_Line], block: Block | None) -> _Line:
    """Return several layers as the module that holds them, by its class where that is known."""
    kind, output = f"{len(lines)} layers", lines[-1].output
    if block:
        kind, output = f"{block.type}, {kind}", format_shape(block.output_shape[1:])
    return _added(name, lines)._replace(kind=kind, output=output)


def _some_kinds(kinds: Sequence[str], room: int) -> str:
    """Return as many kinds as fit, at least one: such a line must not widen the table."""
    for count in range(len(kinds), 0, -1):
        text = ", ".join(kinds if count == len(kinds) else [*kinds[:count], "…"])
        if len(text) <= room:
            break
    return text


def _line(layer: Layer, skipped: Sequence[str]) -> _Line:
    macs = {name: cost.macs for name, cost in costs_in_versions(layer, skipped).items()}
    return _Line(
        layer.name or ROOT,
        kind_of(layer),
        format_shape(layer.output_shape[1:]),
        layer.cost,
        macs.get(STANDARD),
        macs.get(SEPARABLE),
        layer,
        layer.by_convention,
    )


def costs_in_versions(layer: Layer, skipped: Sequence[str]) -> Mapping[str, Cost]:
    """Return what a layer is in the two pure versions of its model; nothing where it is as it is.

    A pair stands at its depthwise layer: its pointwise one has nothing in either version. The gate
    of a squeeze-and-excite only goes when the pair is made standard.
    """
    if layer.variants and layer.name not in skipped:
        return {name: layer.variants[name] for name in BOTH_WAYS}
    if layer.pair:
        return {STANDARD: NOTHING, SEPARABLE: NOTHING if layer.ends_pair else layer.cost}
    return {}


def _added(name: str, lines: Sequence[_Line]) -> _Line:
    cost = summed(line.cost for line in lines)
    of_others = added([line.by_convention for line in lines if line.by_convention])
    if not any(line.standard_macs for line in lines):
        return _Line(name, "", "", cost, None, None, by_convention=of_others)
    standard = separable = 0
    for line in lines:
        standard += line.cost.macs if line.standard_macs is None else line.standard_macs
        separable += line.cost.macs if line.separable_macs is None else line.separable_macs
    return _Line(name, "", "", cost, standard, separable, by_convention=of_others)


def _hidden(name: str, lines: Sequence[_Line]) -> _Line:
    """Return layers that are not shown, of some kind, so that no narrow table loses their row."""
    return _added(name, lines)._replace(kind="…")


def kind_of(layer: Layer) -> str:
    """Return what a layer is in a few characters, such as `conv 3×3 /2` or `depthwise 5×5`."""
    conv = layer.conv
    if conv is None:
        return layer.type or layer.op
    stride = f" /{format_extent(conv.stride)}" if max(conv.stride) > 1 else ""
    return f"{_conv_word(conv)} {format_shape(conv.kernel_size)}{stride}"


def _conv_word(conv: ConvSpec) -> str:
    if conv.transposed:
        return f"transposed {_conv_word(replace(conv, transposed=False, output_padding=()))}"
    if conv.is_depthwise and conv.in_channels > 1:
        return "depthwise"
    if conv.is_pointwise and conv.groups == 1:
        return "pointwise"
    return "conv" if conv.groups == 1 else f"conv (groups {conv.groups})"


def _layer_row(line: _Line, total_macs: int) -> Row:
    cells: dict[str, str] = {
        "layer": line.name,
        "kind": line.kind,
        "output": line.output,
        **cost_cells(line.cost),
        "share": format_share(line.cost.macs, total_macs),
        **convention_cells(line.by_convention),
    }
    if line.reduction:
        cells |= {
            "standard_macs": format_count(line.standard_macs),
            "separable_macs": format_count(line.separable_macs),
            "reduction": format_factor(line.reduction),
        }
    if line.layer:
        cells |= _latency_cells(line.layer)
    return Row(cells, "plain" if line.layer else "faint")


def _latency_cells(layer: Layer) -> dict[str, str]:
    timing = layer.timing
    if not (timing and timing.standard and timing.depthwise_separable):
        return {}
    from dscost.pages.causes import cause_word

    verdict = timing.speedup.verdict if timing.speedup else layer.verdict or UNKNOWN
    causes = known_causes(layer)
    standard = format_seconds(timing.standard.median_s)
    separable = format_seconds(timing.depthwise_separable.median_s)
    return {
        "standard_latency": standard,
        "separable_latency": separable,
        "latencies": f"{standard} → {separable}",
        "speedup": format_speedup(timing.speedup),
        **cpu_cells(timing),
        "verdict": judged_as(verdict, verdict),
        "why": cause_word(causes[0]) if causes else "",
    }


def known_causes(layer: Layer, setting: str | None = None) -> Sequence[Cause]:
    """Return why a variant is as fast as it is; nothing where the clock cannot tell how fast.

    Args:
        layer: With causes.
        setting: Under which; the first by default.
    """
    key = next(iter(layer.latency), None) if setting is None else setting
    timing = layer.latency.get(key or "")
    if timing and timing.speedup and timing.speedup.is_wide:
        return ()
    return [cause for cause in layer.causes if cause.setting == key]
