"""Models one below the other: what each costs, how long it takes, and both against the first."""

from collections.abc import Iterator, Mapping
from math import isclose

from dscost.comparing.differences import METRICS, Comparison, Contender, Difference, metrics_of
from dscost.notation.units import UNKNOWN, format_rate
from dscost.pages.clocks import cpu_column, format_cpu_time
from dscost.pages.conventions import convention_columns
from dscost.pages.page import (
    Column,
    Row,
    Sheet,
    View,
    chosen_sheet,
    filled_sheet,
    name_column,
    without_interval,
    words,
)
from dscost.pages.wording import LATENCY, format_latency, format_speedup, said_decimals
from dscost.printable import without_middle
from dscost.reports.figures import FIGURES, ON_REQUEST, figure_of

_PRIORITIES = {"params": 3, "macs": 1, "peak_activation_bytes": 5}
"""Of the figures that a table of models has unless more are asked for."""
VERSUS_WIDTH = 20
"""Characters of the name of the reference above a column."""
SAVED, ELSEWHERE = "own run", "another machine"
"""What stands for the ratio of a saved report, which was not timed beside the others."""


def _columns(reference: str) -> Iterator[Column]:
    """Yield the columns of a table of models."""
    yield name_column("model")
    for metric in METRICS:
        yield Column(metric, FIGURES[metric].title, _PRIORITIES.get(metric, ON_REQUEST))
        if metric == "macs":
            yield Column("macs_versus", f"MACs vs {reference}", 4)
    yield Column("latency", LATENCY, 1, narrow=without_interval)
    yield Column("versus", f"vs {reference}", 1, narrow=without_interval)
    yield cpu_column(2)
    yield Column("per_s", "1/s", 2)


TIME_COLUMNS = ("latency", "versus", "cpu_time", "per_s")
"""Those of a table of times alone."""
MODEL_COLUMNS = tuple(column.key for column in _columns(""))
"""What `--columns` takes where no layers are shown."""


def shortened(label: str, width: int) -> str:
    """Return a label as it stands above a column, its middle left out where it is long."""
    return label if len(label) <= width else without_middle(label, width)


def model_sheets(comparison: Comparison, view: View) -> list[Sheet]:
    """Return a table with a row for each model; one more for each further setting of the timing."""
    settings = settings_of(comparison)
    first, *further = settings or [""]
    columns = list(_columns(shortened(comparison.reference.label, VERSUS_WIDTH)))
    behind = next(at for at, one in enumerate(columns, 1) if one.key == "macs_versus")
    columns[behind:behind] = convention_columns([one.report for one in comparison.contenders])
    rows = [
        Row({**_costs(comparison, one), **_times(comparison, one, first)})
        for one in comparison.contenders
    ]
    if further:  # each says whose times it has
        columns[0] = columns[0]._replace(header=first)
    sheets = [chosen_sheet(columns, rows, view)]
    of_times = [column for column in columns if column.key in TIME_COLUMNS]
    for setting in further:
        rows = [
            Row({"model": one.label, **_times(comparison, one, setting)})
            for one in comparison.contenders
        ]
        sheets.append(filled_sheet([words("model", header=setting), *of_times], rows))
    return sheets


def settings_of(comparison: Comparison) -> list[str]:
    """Return under what models were measured whose latencies may stand in one table."""
    where = where_timed(comparison)
    found = [one for one in comparison.contenders if one.latencies and one.place == where]
    in_turns = [one for one in found if one.timed] or found
    return list(dict.fromkeys(key for one in in_turns for key in one.latencies))


def where_timed(comparison: Comparison) -> str | None:
    """Return where the latencies of the table were measured: here, or where the first was."""
    measured = [one for one in comparison.contenders if one.latencies]
    in_turns = [one for one in measured if one.timed] or measured
    return in_turns[0].place if in_turns else None


def _costs(comparison: Comparison, one: Contender) -> dict[str, str]:
    cells = {"model": one.label}
    for metric in metrics_of(each.report for each in comparison.contenders):
        cells[metric] = figure_of(metric).text(one.figure(metric))
    macs = Difference("macs", comparison.reference.figure("macs"), one.figure("macs"))
    cells["macs_versus"] = "1×" if one is comparison.reference else times_as_many(macs)
    return cells


def times_as_many(one: Difference) -> str:
    """Return how many times fewer or more one has than the reference.

    >>> times_as_many(Difference("macs", 300, 100)), times_as_many(Difference("macs", 100, 250))
    ('3.0× fewer', '2.5× more')
    """
    if not one.reference or not one.value:
        return UNKNOWN
    is_less = one.value < one.reference
    factor = one.reference / one.value if is_less else one.value / one.reference
    if isclose(factor, 1, abs_tol=0.005):
        return "as many"
    return f"{factor:,.{said_decimals(factor)}f}× {'fewer' if is_less else 'more'}"


def _times(comparison: Comparison, one: Contender, setting: str) -> Mapping[str, str]:
    """Return the cells of a model that was measured under a setting; the others have none."""
    latency = one.latencies.get(setting)
    is_elsewhere = one.place != where_timed(comparison)
    if latency is None and comparison.environment is not None:
        return {"latency": "not timed"}
    if latency is None or (is_elsewhere and comparison.environment is None):
        return {}
    cells = {"latency": format_latency(latency), "per_s": format_rate(one.per_s(setting))}
    if comparison.environment is None:
        return cells  # of separate runs: no ratio follows
    found = {versus.label: versus for versus in comparison.versus}
    if not one.timed:
        cells["versus"] = ELSEWHERE if is_elsewhere else SAVED
    elif one is comparison.reference:
        cells["versus"] = "1×"
    else:
        own = found[one.label]
        cells["versus"] = format_speedup(own.speedups.get(setting))
        cells["cpu_time"] = format_cpu_time(own.cpu_speedups.get(setting))
    return cells
