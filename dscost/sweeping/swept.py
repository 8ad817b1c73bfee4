"""Every layer of some grids, or every model of one, counted one by one into a table. No numpy."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dscost.errors import InputError, SpecError
from dscost.notation.units import DTYPE_BYTES, counted, format_extent
from dscost.reports.figures import NOTHING
from dscost.reports.records import Reduction
from dscost.sweeping.cases import Impossibility, cases_of
from dscost.sweeping.grids import SHORT, Grid, Value
from dscost.sweeping.making_grids import KINDS, MOST_TIMED, check_size
from dscost.sweeping.records import Case, Impossible, Row, Sweep

if TYPE_CHECKING:
    from dscost.sweeping.model_grids import ModelGrid
    from dscost.timing import Progress

MOST_ROWS = 100_000
"""Rows that are held in memory."""


class Cases(NamedTuple):
    """What is counted, and may be timed, one by one.

    Args:
        title: What it is, in a line.
        size: How many layers, or models, were asked for.
        cases: Those that can exist, in the order of the grids.
        impossible: The others.
        warnings: What the reader must know.
    """

    title: str
    size: int
    cases: tuple[Case, ...]
    impossible: Impossible | None = None
    warnings: tuple[str, ...] = ()

    def counted(self) -> Sweep:
        """Return what each of them costs."""
        rows: list[Row] = []
        for case in self.cases:
            # a model is counted in its dtype already, which layers need not know
            rows += rows_of_case(case, DTYPE_BYTES.get(case.of["dtype"], 0))
        found = Sweep(self.title, self.size, tuple(rows), self.impossible)
        return found._replace(warnings=self.warnings)


def layers_of(grids: Sequence[Grid], *, are_timed: bool = False) -> Cases:
    """Return the layers of some grids.

    Args:
        grids: At least one.
        are_timed: Whether each of them is to be timed, which takes long before they are many.

    Raises:
        InputError: No layer can exist, or there are too many to be held, or to be timed.
    """
    if are_timed:
        check_size(grids, MOST_TIMED, "timed")
    else:
        check_size(grids)
    rows = rows_in(grids)
    if rows > MOST_ROWS and not are_timed:
        told = f"{rows:,} rows are too many to be held, at most {MOST_ROWS:,}"
        raise InputError(f"{told}: dscost sweep … -o TABLE.parquet (or .csv, .jsonl) writes them")
    size = sum(grid.size for grid in grids)
    return _cases(title_of(grids), size, (one for grid in grids for one in cases_of(grid)))


def models_of(grid: "ModelGrid", progress: "Progress | None" = None) -> Cases:
    """Return the models of a grid, counted.

    Raises:
        InputError: There is no such model or setting, or none can exist.
        UnavailableError: A model needs a library that is not installed.
    """
    from dscost.sweeping.model_grids import model_cases, title_of_models

    return _cases(title_of_models(grid), grid.size, model_cases(grid, progress), "models")


def rows_in(grids: Sequence[Grid]) -> int:
    """Return how many rows grids have at most."""
    return sum(grid.size * (1 + len(grid.variants)) for grid in grids)


def _cases(
    title: str, size: int, found: Iterable[Case | Impossibility], what: str = "layers"
) -> Cases:
    cases: list[Case] = []
    impossible: list[str] = []
    for one in found:
        if isinstance(one, Impossibility):
            impossible.append(one.text)
        else:
            cases.append(one)
    left = Impossible(len(impossible), impossible[0]) if impossible else None
    require_some(size, len(cases), left, what)
    return Cases(title, size, tuple(cases), left)


def require_some(
    size: int, found: int, impossible: Impossible | None, what: str = "layers"
) -> None:
    """Refuse a grid without a layer that can exist.

    Args:
        size: How many were asked for.
        found: How many there are.
        impossible: The others.
        what: What they are.

    Raises:
        InputError: There is none.
    """
    if not found and impossible:
        told = f"none of {size:,} {what} can exist, such as " if size > 1 else ""
        raise InputError(f"{told}{impossible.example}")


def rows_of_case(case: Case, element_bytes: int) -> Iterator[Row]:
    """Yield a layer as it is, then its variants; of one that it has not, why."""
    itself, *variants = case.units
    standard = itself.cost(element_bytes)
    yield Row(case.of, itself.label, standard, calls=case.calls)
    lacking = dict(case.lacking)
    for unit in variants:
        try:
            cost = unit.cost(element_bytes)
        except SpecError as error:  # stages that do not fit each other here
            lacking[unit.label] = str(error)
            continue
        yield Row(case.of, unit.label, cost, Reduction.between(standard, cost), case.calls)
    for label, why in lacking.items():
        yield Row(case.of, label, NOTHING, calls=case.calls, note=why)


# -- what was swept, in words


def title_of(grids: Sequence[Grid]) -> str:
    """Return what grids hold, in a line.

    >>> from dscost.sweeping.making_grids import Setup, grid_of
    >>> given = {"in_channels": "8:64:8", "out_channels": 8, "kernel_size": "1,3"}
    >>> title_of([grid_of(given, Setup())])
    '16 convolutions: cin 8–64 (8), cout 8, k 1, 3, size 14'
    """
    size = sum(grid.size for grid in grids)
    kinds = {KINDS[grid.operation] for grid in grids}
    kind = kinds.pop() if len(kinds) == 1 else "layer"
    number = f"{size:,} {kind}{'' if size == 1 else 's'}"
    if len(grids) > 1:
        return f"{number} of {counted(len(grids), 'grid')}"
    told = ", ".join(_told(grids[0]))
    return f"{number}: {told}"


def _told(grid: Grid) -> Iterator[str]:
    """Yield what is said of axes that vary, and of channels and kernel."""
    values = {axis.name: axis.values for axis in grid.axes}
    ties = {tie.name: tie.expression.text for tie in grid.ties}
    for name in grid.names:
        short = SHORT.get(name, name)
        if name in ties:
            yield f"{short} = {ties[name]}"
        elif name in SHORT or len(values[name]) > 1:
            yield f"{short} {_values_text(values[name])}"


MOST_TOLD = 4
"""Values of an axis that a title has."""


def _values_text(values: Sequence[Value]) -> str:
    if len(values) <= MOST_TOLD:
        return ", ".join(map(_text, values))
    return f"{_text(values[0])}–{_text(values[-1])} ({len(values)})"


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_extent(value) if isinstance(value, tuple) else str(value)
