"""What the rows of a sweep come to: from where on a variant pays, and which layers it slows down.

A cell is a layer in one place with one variant: a row that has a speedup. Where nothing was timed,
what a variant saves in MACs takes its place.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from math import prod
from statistics import median
from typing import Any, Literal, NamedTuple

from dscost.reports.records import Speedup
from dscost.sweeping import tables
from dscost.sweeping.grids import AXES
from dscost.sweeping.pooling import place_key
from dscost.sweeping.records import Row, Where
from dscost.sweeping.tables import PLACE, plain_value

Outcome = Literal["always", "from", "in_part", "never"]
"""Where a variant pays: from the smallest value on, from a larger one, at some without the largest,
nowhere."""
_CHANNELS = ("out_channels", "in_channels")
_SIZES = ("input_size", "input")
"""How a layer and a model call the size of the input."""
_TYING = (
    ("in_channels", "out_channels", "groups"),
    ("kernel_size", "padding", "dilation"),
)
"""Axes of which one may follow from another, as in `cout = 2 * cin`."""


class Crossover(NamedTuple):
    """From which value of an axis on a variant pays, all else being equal.

    Args:
        where: In which place.
        variant: Its label.
        along: The axis.
        of: The other axes that vary, without those that are tied to it.
        verdicts: By each value that was measured, from the smallest: of all cells that have it.
    """

    where: Where | None
    variant: str
    along: str
    of: Mapping[str, Any]
    verdicts: Mapping[Any, tuple[str, ...]]

    @property
    def begins(self) -> Any:
        """The value from which on every cell is faster; `None` where that of the largest is not."""
        found = None
        for value in reversed(self.verdicts):
            if not self.pays_at(value):
                break
            found = value
        return found

    @property
    def outcome(self) -> Outcome:
        """Where it pays, in a word."""
        values = list(self.verdicts)
        if self.begins is not None:
            return "always" if self.begins == values[0] else "from"
        return "in_part" if self.cells("faster") else "never"

    @property
    def before(self) -> tuple[Any, ...]:
        """Values below that at which it pays all the same."""
        begins, found = self.begins, []
        for value in self.verdicts:
            if value == begins:
                break
            found += [value] if self.pays_at(value) else []
        return tuple(found)

    @property
    def unclear(self) -> tuple[Any, ...]:
        """Values of which the clock cannot tell, some cells at least."""
        return tuple(value for value, told in self.verdicts.items() if "unclear" in told)

    @property
    def is_open(self) -> bool:
        """Whether it may begin to pay after all: of the largest value the clock cannot tell."""
        return next(reversed(self.verdicts)) in self.unclear

    @property
    def slower(self) -> tuple[Any, ...]:
        """Values at which some cell is slower."""
        return tuple(value for value, told in self.verdicts.items() if "slower" in told)

    def pays_at(self, value: Any) -> bool:
        """Whether every cell of a value is faster."""
        return all(verdict == "faster" for verdict in self.verdicts[value])

    def cells(self, verdict: str | None = None) -> int:
        """Return how many cells it has, or of one verdict."""
        told = [one for verdicts in self.verdicts.values() for one in verdicts]
        return len(told) if verdict is None else told.count(verdict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""

        def plain(values: Iterable[Any]) -> list[Any]:
            return [plain_value(value) for value in values]

        return {
            **place_of(self.where),
            "variant": self.variant,
            "of": {name: plain_value(value) for name, value in self.of.items()},
            "along": self.along,
            "values": plain(self.verdicts),
            "outcome": self.outcome,
            "begins": plain_value(self.begins),
            "before": plain(self.before),
            "unclear": plain(self.unclear),
            "slower": plain(self.slower),
        }


class Standing:
    """How a variant stands in one place, over all cells.

    Args:
        where: The place; `None` where nothing was timed.
        variant: Its label.
        rows: Of that variant there, those that have a figure.
    """

    def __init__(self, where: Where | None, variant: str, rows: Sequence[Row]) -> None:
        self.where, self.variant, self.rows = where, variant, rows

    @cached_property
    def timed(self) -> tuple[tuple[Row, Speedup], ...]:
        """Rows with their speedups."""
        return tuple((row, row.speedup) for row in self.rows if row.speedup)

    def count(self, verdict: str) -> int:
        """Return how many cells have a verdict."""
        return sum(speedup.verdict == verdict for _, speedup in self.timed)

    @cached_property
    def losses(self) -> tuple[Row, ...]:
        """Rows that are slower than what they are compared with, the worst first."""
        lost = [(row, one) for row, one in self.timed if one.verdict == "slower"]
        return tuple(row for row, _ in sorted(lost, key=lambda each: each[1].median))

    @cached_property
    def best(self) -> Row | None:
        """The row that is fastest by far, of those that are faster."""
        won = [(one.median, row) for row, one in self.timed if one.verdict == "faster"]
        return max(won, key=lambda each: each[0])[1] if won else None

    @cached_property
    def by_reduction(self) -> tuple[Row, ...]:
        """Rows that save MACs, or cost more: the largest saving first."""
        return tuple(sorted(self.rows, key=reduction_of, reverse=True))

    @cached_property
    def median_speedup(self) -> float | None:
        """Of the cells whose intervals tell something."""
        told = [one.median for _, one in self.timed if not one.is_wide]
        return median(told) if told else None

    @cached_property
    def median_reduction(self) -> float:
        """Of all cells, in MACs."""
        return median(map(reduction_of, self.rows))

    @cached_property
    def arrives(self) -> float | None:
        """How much of what the MACs promise arrives on the clock: 1 for all, as a median."""
        shares = [one.median / reduction_of(row) for row, one in self.timed if not one.is_wide]
        return median(shares) if shares else None


def standings(rows: Iterable[Row]) -> list[Standing]:
    """Return how every variant stands in every place, in the order of the rows."""
    found: dict[tuple[Hashable, str], list[Row]] = {}
    for row in rows:
        if row.reduction and row.reduction.macs:
            found.setdefault((place_key(row.where), row.variant), []).append(row)
    return [Standing(own[0].where, variant, own) for (_, variant), own in found.items()]


def crossovers(rows: Sequence[Row]) -> tuple[Crossover, ...]:
    """Return from where on each variant pays, along the axis that is asked about first.

    That is the number of output channels; of input channels, where the former follows from it or
    does not vary; and another where no two layers differ in these alone. Layers without a neighbour
    along it have none.
    """
    timed = [row for row in rows if row.speedup]
    varying = varying_axes(timed)
    for along in searched_axes(timed):
        apart = [name for name in varying if name not in (along, *tied_to(along, timed))]
        found = tuple(one for one in _crossovers(timed, along, apart) if len(one.verdicts) > 1)
        if found:
            return found
    return ()


def outlines(rows: Sequence[Row]) -> tuple[Crossover, ...]:
    """Return from how many input channels on every cell is faster, by the size of the input.

    Whatever else varies, all of it must be. Where one of the two does not vary it is another axis,
    or all sizes together.
    """
    timed = [row for row in rows if row.speedup]
    candidates = _numbers(timed)
    if not candidates:
        return ()
    along = "in_channels" if "in_channels" in candidates else candidates[0]
    sizes = [name for name in _SIZES if name in varying_axes(timed) and name != along]
    return tuple(_crossovers(timed, along, sizes[:1]))


def losses(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows that are slower than what they are compared with, the worst first."""
    lost = [row for one in standings(rows) for row in one.losses]
    return tuple(sorted(lost, key=lambda row: row.speedup.median if row.speedup else 0.0))


def searched_axes(rows: Sequence[Row]) -> list[str]:
    """Return the axes along which a variant may begin to pay, that which is asked about first."""
    follows_channels = "out_channels" in tied_to("in_channels", rows)
    return [name for name in _numbers(rows) if not (follows_channels and name == "out_channels")]


def _numbers(rows: Sequence[Row]) -> list[str]:
    """Return the axes that vary and have an order, those that are asked about first."""
    varying = varying_axes(rows)
    wanted = (*_CHANNELS, *settings_of(rows), *_SIZES, "kernel_size", "batch")
    return [name for name in wanted if name in varying]


def settings_of(rows: Sequence[Row]) -> list[str]:
    """Return the settings of models that vary and are numbers."""
    return [
        name
        for name in varying_axes(rows)
        if name not in (*AXES, *_SIZES)
        if all(isinstance(row.of.get(name), int | float) for row in rows)
    ]


def varying_axes(rows: Sequence[Row]) -> list[str]:
    """Return what rows differ in, in their order; padding only where no kernel explains it."""
    names = dict.fromkeys(chain.from_iterable(row.of for row in rows))
    varying = [name for name in names if len({row.of.get(name) for row in rows}) > 1]
    if "padding" in varying and follows("padding", ("kernel_size", "dilation"), rows):
        varying.remove("padding")
    return varying


def tied_to(axis: str, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return what varies and follows from an axis: channels from channels, padding from kernels."""
    family = next((names for names in _TYING if axis in names), ())
    found = [name for name in family if name != axis and follows(name, (axis,), rows)]
    return tuple(name for name in found if len({row.of.get(name) for row in rows}) > 1)


def named(varying: Sequence[str], found: "Sequence[Row] | Sequence[Crossover]") -> list[str]:
    """Return what tells things apart: of a grid that is named not what follows from its name."""
    name = next((name for name in ("grid", "layer") if name in varying), None)
    if name is None:
        return list(varying)
    return [one for one in varying if one == name or not follows(one, (name,), found)]


def follows(name: str, axes: Sequence[str], found: "Sequence[Row] | Sequence[Crossover]") -> bool:
    """Whether something has one value for each combination of some axes."""
    pairs = {(tuple(map(one.of.get, axes)), one.of.get(name)) for one in found}
    return len(pairs) == len({values for values, _ in pairs})


def reduction_of(row: Row) -> float:
    """Return how many times fewer MACs a row has; 1 where that is not known."""
    return (row.reduction.macs if row.reduction else None) or 1.0


def value_key(value: Any) -> tuple[int, float, str]:
    """Return what values of an axis are told apart and sorted by: pairs by their product."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    if isinstance(value, tuple) and all(isinstance(one, int | float) for one in value):
        return (1, float(prod(value)), str(value))
    return (2, 0.0, str(value))


def by_place(rows: Iterable[Row]) -> list[tuple[Where | None, list[Row]]]:
    """Return the rows of each place where something was timed, in their order.

    What has no place, such as a variant that a layer has not, is where the row before it is.
    """
    every = list(rows)
    here = next((row.where for row in every if row.where), None)
    found: dict[Hashable, tuple[Where | None, list[Row]]] = {}
    for row in every:
        here = row.where or here
        found.setdefault(place_key(here), (here, []))[1].append(row)
    return [*found.values()]


def place_of(where: Where | None) -> dict[str, Any]:
    """Return the columns of a table that tell of a place; none where nothing was timed."""
    if where is None:
        return {}
    told = tables.place_of(where)
    return {**{name: told[name] for name in PLACE}, "dtype": where.dtype}


def _crossovers(rows: Iterable[Row], along: str, apart: Sequence[str]) -> Iterator[Crossover]:
    """Yield a crossover of all cells that agree in place, variant and some axes."""
    found: dict[Hashable, tuple[Row, dict[Any, list[str]]]] = {}
    for row in rows:
        if row.speedup and row.of.get(along) is not None:
            rest = tuple(map(row.of.get, apart))
            _, verdicts = found.setdefault((place_key(row.where), row.variant, rest), (row, {}))
            verdicts.setdefault(row.of[along], []).append(row.speedup.verdict)
    for row, verdicts in found.values():
        told = {value: tuple(verdicts[value]) for value in sorted(verdicts, key=value_key)}
        of = {name: row.of.get(name) for name in apart}
        yield Crossover(row.where, row.variant, along, of, told)
