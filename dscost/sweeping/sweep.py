"""`dscost.sweep`: what is said of grids → every layer of them counted, as a table."""

from collections.abc import Iterator, Sequence
from itertools import chain
from os import PathLike, fspath

from dscost.errors import InputError
from dscost.layers.choosing import parse_variants
from dscost.layers.variants import SEPARABLE
from dscost.notation.units import counted, dtype_bytes, format_extent
from dscost.reports.figures import NOTHING
from dscost.reports.records import Reduction
from dscost.sweeping.cases import Impossibility, cases_of
from dscost.sweeping.grids import SHORT, Grid, Value
from dscost.sweeping.making_grids import KINDS, Setup, check_size, grid_of
from dscost.sweeping.records import Case, Impossible, Row, Sweep

Values = int | str | range | Sequence[int | str | tuple[int, ...] | bool | None] | None
"""What a caller may have for an axis, see `dscost.sweeping.axes.parse_axis`."""

MOST_ROWS = 100_000
"""Rows that are held in memory."""


def sweep(
    in_channels: Values = None,
    out_channels: Values = None,
    kernel_size: Values = None,
    *,
    stride: Values = None,
    padding: Values = None,
    dilation: Values = None,
    groups: Values = None,
    bias: bool | Values = None,
    input_size: Values = None,
    batch: Values = None,
    dims: int | None = None,
    variants: str | Sequence[str] | None = None,
    dtype: str | None = None,
    file: "str | PathLike[str] | None" = None,
) -> Sweep:
    """Return what every layer of a grid costs, as it is and in variants.

    Every axis takes a number, a list, a `range`, or a text as the command line does: `8:64:8` (the
    last is among them if the steps hit it), `16,32,64`, `5x3`, or an expression of other axes such
    as `2 * cin`. What is left out is assumed, as in `dscost.layer`.

    Args:
        in_channels: M, input channels.
        out_channels: N, output channels.
        kernel_size: K; a tuple is one size for each dimension, as for what follows.
        stride: Step of the kernel; 1 if left out.
        padding: Zeros on each side, or `same`; if left out, what keeps the size at stride 1.
        dilation: Distance between taps; 1 if left out.
        groups: G, groups of channels; 1 if left out.
        bias: Whether each output channel has a bias; none if left out.
        input_size: Extent of the input; 14 if left out.
        batch: B, inputs at once; 1 if left out.
        dims: Spatial dimensions, 1, 2 or 3; by default as many as there are sizes, else 2.
        variants: What each layer is compared with: names of `dscost list variants`, such as
            `ghost` or `inverted_residual:6`, none of `()`; by default `depthwise_separable`.
        dtype: Data type of weights and activations; `float32` if left out.
        file: A YAML file of grids (`configs/sweeps/README.md`), or the name of a built-in one, such
            as `separable_pays`, instead of all above.

    Raises:
        InputError: Something of it is wrong, or no layer of it can exist; or there are too many.

    >>> found = sweep("8:24:8", "2 * cin", 3, input_size=(14, 14))
    >>> found.size, [row.cost.params for row in found.rows if row.variant == "standard"]
    (3, [1152, 4608, 10368])
    """
    given = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias,
        "input_size": input_size,
        "batch": batch,
    }
    if file is not None:
        from dscost.sweeping.grid_files import read_grids

        beside = {**given, "dims": dims, "variants": variants, "dtype": dtype}
        told = ", ".join(name for name, value in beside.items() if value is not None)
        if told:
            raise InputError(f"{told}: a file says all of its grids")
        return counted_sweep(read_grids(fspath(file)))
    names = (
        [variants] if isinstance(variants, str) else [SEPARABLE] if variants is None else variants
    )
    setup = Setup(parse_variants(names), "convolution", dims, dtype or "float32")
    return counted_sweep([grid_of(given, setup)])


def counted_sweep(grids: Sequence[Grid]) -> Sweep:
    """Return what every layer of some grids costs.

    Raises:
        InputError: No layer can exist, or there are too many to be held.
    """
    check_size(grids)
    rows = sum(grid.size * (1 + len(grid.variants)) for grid in grids)
    if rows > MOST_ROWS:
        raise InputError(f"{rows:,} rows are too many to be held, at most {MOST_ROWS:,}")
    size, impossible = sum(grid.size for grid in grids), list[Impossibility]()
    found = tuple(chain.from_iterable(_rows_of(grid, impossible) for grid in grids))
    if not found:
        raise InputError(none_of(size, impossible[0].text))
    left = Impossible(len(impossible), impossible[0].text) if impossible else None
    return Sweep(title_of(grids), size, found, left)


def none_of(size: int, example: str) -> str:
    """Return the sentence that says that no layer of a grid can exist."""
    return f"{example}" if size == 1 else f"none of {size:,} layers can exist, such as {example}"


def some_of(size: int, impossible: Impossible) -> str:
    """Return the sentence that says how many layers of a grid cannot exist."""
    return f"{impossible.number:,} of {size:,} layers cannot exist, such as {impossible.example}"


def _rows_of(grid: Grid, impossible: list[Impossibility]) -> Iterator[Row]:
    """Yield the rows of a grid; layers that cannot exist are added to a list."""
    element_bytes = dtype_bytes(grid.dtype)
    for one in cases_of(grid):
        if isinstance(one, Impossibility):
            impossible.append(one)
        else:
            yield from rows_of_case(one, element_bytes)


def rows_of_case(case: Case, element_bytes: int) -> Iterator[Row]:
    """Yield a layer as it is, then its variants; of one that it has not, why."""
    itself, *_ = costs = [unit.cost(element_bytes) for unit in case.units]
    for unit, cost in zip(case.units, costs, strict=True):
        reduction = None if cost is itself else Reduction.between(itself, cost)
        yield Row(case.of, unit.label, cost, reduction, case.calls)
    for label, why in case.lacking.items():
        yield Row(case.of, label, NOTHING, calls=case.calls, note=why)


# -- what was swept, in words


def title_of(grids: Sequence[Grid]) -> str:
    """Return what grids hold, in a line.

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
