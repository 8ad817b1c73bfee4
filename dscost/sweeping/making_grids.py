"""What is said of every axis → a grid, or all that is wrong with it. No numpy, no torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import NamedTuple

from dscost.analysis.counting import LAYER_DEFAULTS
from dscost.errors import InputError, MissingInputError, UnknownNameError
from dscost.layers.choosing import Asked
from dscost.layers.making import DIMS
from dscost.networks.expressions import Expression
from dscost.notation.units import DTYPE_BYTES, format_shape
from dscost.sweeping.axes import OF_SIZES, Said, parse_axis
from dscost.sweeping.grids import AXES, SHORT, Axis, Grid, Operation, Tie, Value

MOST_COUNTED = 10**9
"""Layers of a sweep that is counted: more take hours, and hundreds of gigabytes."""

MOST_TIMED = 100_000
"""Layers of a sweep that is timed, at half a second each or more: that is a day's work."""

OF_OPERATIONS: Mapping[Operation, Sequence[str]] = {
    "convolution": AXES,
    "linear": ("in_channels", "out_channels", "bias", "batch"),
    "global_pooling": ("in_channels", "input_size", "batch"),
}
"""What may vary of each operation."""
KINDS: Mapping[Operation, str] = {
    "convolution": "convolution",
    "linear": "linear layer",
    "global_pooling": "global pooling",
}
"""What a layer of each operation is called."""
REQUIRED = ("in_channels", "out_channels", "kernel_size")
"""What has no default, where the operation has it."""
DEFAULTS: Mapping[str, Value] = {
    name: value for name, value in LAYER_DEFAULTS.items() if name in AXES
}
"""What holds of a convolution where nothing is said, as in `dscost layer`."""

WRONG: Said = ()
"""Stands for what is said of an axis and wrong, which is told elsewhere."""


class Complaint(NamedTuple):
    """What is wrong with a grid: with what is said of an axis, or with the whole where it has none.

    Args:
        axis: Of `AXES`, or empty.
        text: In a line.
        is_missing: Whether something is only missing.
    """

    axis: str
    text: str
    is_missing: bool = False


class Setup(NamedTuple):
    """What a grid has beside its axes, see `Grid`; no dims are as many as there are sizes, or 2."""

    variants: tuple[Asked, ...] = ()
    operation: Operation = "convolution"
    dims: int | None = None
    dtype: str = "float32"
    name: str = ""


def grid_of(given: Mapping[str, object], setup: Setup, spelled: Callable[[str], str] = str) -> Grid:
    """Return the grid of what is given of every axis.

    Args:
        given: By axis, as `dscost.sweeping.axes.parse_axis` takes it; `None` is what is left out.
        setup: The rest.
        spelled: Returns what an axis is called where it is given, for errors.

    Raises:
        InputError: Everything that is wrong with it, a line each.
    """
    complaints: list[Complaint] = []
    said: dict[str, Said] = {}
    for name, value in given.items():
        if value is None:
            continue
        said[name] = WRONG
        try:
            said[name] = parse_axis(name, value)
        except InputError as error:
            complaints.append(Complaint(name, str(error)))
    grid = assembled(said, setup, complaints, spelled)
    if complaints or grid is None:
        missing = all(one.is_missing for one in complaints)
        lines = (f"{spelled(axis)}: {text}" if axis else text for axis, text, _ in complaints)
        raise (MissingInputError if missing else InputError)("\n".join(lines))
    return grid


def assembled(
    said: Mapping[str, Said],
    setup: Setup,
    complaints: list[Complaint],
    spelled: Callable[[str], str] = str,
) -> Grid | None:
    """Return the grid of what is said of every axis; `None` where something is wrong with it.

    Args:
        said: By axis.
        setup: The rest.
        complaints: What is wrong is added to it.
        spelled: Returns what an axis is called where it is given.
    """
    before = len(complaints)
    has = OF_OPERATIONS[setup.operation]
    what = KINDS[setup.operation]
    for name in said:
        if name not in has:
            complaints.append(Complaint(name, f"a {what} has none"))
    missing = [name for name in REQUIRED if name in has and name not in said]
    if missing:
        told = ", ".join(f"{name.replace('_', ' ')} ({spelled(name)})" for name in missing)
        complaints.append(Complaint("", f"missing: {told}", is_missing=True))
    if setup.dtype not in DTYPE_BYTES:
        complaints.append(Complaint("", str(UnknownNameError("dtype", setup.dtype, DTYPE_BYTES))))
    defaults = {**DEFAULTS, "bias": setup.operation == "linear"}
    full = {name: said.get(name, (defaults.get(name),)) for name in has}
    dims = _dims(full, setup.dims, complaints)
    if setup.operation == "global_pooling" and dims != 2:
        complaints.append(Complaint("", f"a global pooling has 2 dimensions, found {dims}"))
    full = {name: _plain(one, dims) for name, one in full.items()}
    order = _order(full, said, complaints)
    if len(complaints) > before or not all(full.values()):
        return None
    return Grid(
        axes=tuple(Axis(name, one) for name, one in full.items() if isinstance(one, tuple)),
        ties=tuple(Tie(name, full[name]) for name in order),  # type: ignore[arg-type]
        variants=setup.variants,
        operation=setup.operation,
        dims=dims,
        dtype=setup.dtype,
        name=setup.name,
    )


# -- dimensions


def _dims(full: Mapping[str, Said], asked: int | None, complaints: list[Complaint]) -> int:
    """Return over how many dimensions the layers go: as asked for, as there are sizes, else 2."""
    if asked is not None and asked not in DIMS:
        complaints.append(Complaint("", f"dims must be 1, 2 or 3, found {asked!r:.40}"))
        return 2
    dims, told = asked, f"dims is {asked}"
    for name in OF_SIZES:
        values = full.get(name, ())
        for value in values if isinstance(values, tuple) else ():
            if not isinstance(value, tuple):
                continue
            shown = f"{format_shape(value)} has {len(value)} sizes"
            if dims is None:
                dims, told = len(value), f"{SHORT.get(name, name)} {shown}"
            elif len(value) != dims:
                complaints.append(Complaint(name, f"{shown}, but {told}"))
                break
    return dims or 2


def _plain(said: Said, dims: int) -> Said:
    """Return values with one number where it holds of every dimension."""
    if isinstance(said, Expression):
        return said
    return tuple(dict.fromkeys(_one_number(value, dims) for value in said))


def _one_number(value: Value, dims: int) -> Value:
    is_one = isinstance(value, tuple) and len(value) == dims and len(set(value)) == 1
    return value[0] if is_one else value  # type: ignore[index]


# -- ties


def _order(
    full: Mapping[str, Said], said: Mapping[str, Said], complaints: list[Complaint]
) -> list[str]:
    """Return the names of ties, each after those that it needs."""
    long = {SHORT.get(name, name): name for name in full}
    needs: dict[str, list[str]] = {}
    for name, one in full.items():
        if not isinstance(one, Expression):
            continue
        needs[name] = []
        for used in dict.fromkeys(one.names()):
            fault = _fault(used, long, full, said)
            if fault:
                complaints.append(Complaint(name, f"{one.text}: {fault}"))
            else:
                needs[name].append(long[used])
    try:
        return [name for name in TopologicalSorter(needs).static_order() if name in needs]
    except CycleError as error:
        _, ring = error.args
        complaints.append(Complaint(ring[0], _cycle([*reversed(ring)])))
        return []


def _fault(
    used: str, long: Mapping[str, str], full: Mapping[str, Said], said: Mapping[str, Said]
) -> str | None:
    """Return why an expression cannot have an axis, or nothing."""
    if used not in long:
        return f"there is no {used} here"
    values = full[long[used]]
    if isinstance(values, Expression):
        return None
    odd = next((one for one in values if not isinstance(one, int)), 0)
    if isinstance(odd, tuple):
        return f"{used} {format_shape(odd)} is more than one number, nothing is computed of it"
    if isinstance(odd, str):
        return f"{used} '{odd}' is no number"
    if odd is None:
        return f"{used} is no number unless it is given"
    return None


def _cycle(ring: Sequence[str]) -> str:
    names = [SHORT.get(name, name) for name in ring]
    if len(ring) == 2:
        return f"{names[0]} cannot follow from itself"
    return f"{' from '.join(names)}: nothing to begin with"


# -- how many


def check_size(grids: Sequence[Grid], most: int = MOST_COUNTED, done: str = "counted") -> None:
    """Refuse grids that have too many layers together, before any work.

    Args:
        grids: All of a sweep.
        most: How many there may be.
        done: What would be done to them.

    Raises:
        InputError: There are more; it says how many, axis by axis.
    """
    found = sum(grid.size for grid in grids)
    if found <= most:
        return
    largest = max(grids, key=lambda grid: grid.size)
    factors = " × ".join(_factors(largest))
    of = f"{largest.name or 'the largest'} alone {largest.size:,}: " if len(grids) > 1 else ""
    raise InputError(
        f"{found:,} layers ({of}{factors}) are too many to be {done} at once, at most {most:,}: "
        "take larger steps, or a part of an axis at a time"
    )


def _factors(grid: Grid) -> Iterator[str]:
    """Yield of every axis that varies how many values it has, the most first."""
    for axis in sorted(grid.axes, key=lambda axis: -len(axis.values)):
        if len(axis.values) > 1:
            yield f"{SHORT.get(axis.name, axis.name)} {len(axis.values):,}"
