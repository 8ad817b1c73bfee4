"""What a sweep is made of and comes to: cases, what was measured of them, the rows of a table.

Plain data; no numpy, no torch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from dscost.errors import needing
from dscost.reports.figures import Cost
from dscost.reports.records import Reduction, Speedup
from dscost.reports.result import Result
from dscost.sweeping.units import Unit


class Case(NamedTuple):
    """What is timed at once: a layer with its variants, each beside the first.

    Args:
        of: What a table says of it, by the name of the axis.
        units: What is timed; what the others are compared with stands first.
        lacking: Why it has not the other variants, by label.
        calls: How often a model has it, where it is of one.
    """

    of: Mapping[str, Any]
    units: tuple[Unit, ...]
    lacking: Mapping[str, str] = {}
    calls: int = 1

    def key(self, where: "Where") -> str:
        """Return what tells it apart from others, and where it is timed from elsewhere."""
        return digest_of([self.timed, where.key])

    @property
    def timed(self) -> tuple[Any, ...]:
        """What is timed, as far as that tells it from others."""
        return tuple(
            (unit.label, unit.parts, unit.shape, unit.between_elements) for unit in self.units
        )


def digest_of(value: Any) -> str:
    """Return what is the same for equal values in every version of dscost: 16 hexadecimal digits.

    Of a spec what is not as usual counts: one that learns to say more is what it was.
    """
    told = json.dumps(_told(value), sort_keys=True, default=repr)
    return sha256(told.encode()).hexdigest()[:16]


def _told(value: Any) -> Any:
    """Return a value as JSON has it."""
    if is_dataclass(value):
        own = ((field, getattr(value, field.name)) for field in fields(value))
        told = {field.name: _told(one) for field, one in own if one != field.default}
        return [type(value).__name__, told]
    return [_told(one) for one in value] if isinstance(value, tuple | list) else value


class Where(NamedTuple):
    """Where and by what something is timed: what the rows of one table have in common.

    Args:
        device: Name of the processor.
        threads: How many are computed with.
        runtime: What runs it.
        dtype: Of weights and activations.
        clock: `wall` or `cpu`.
        with_norm: Whether each convolution has a normalisation and a ReLU behind it.
        versions: Of what takes part, by package.
        host: Name of the machine.
        allocator: `tuned` where freed memory was to be kept, or `system`.
        precision: Half-width of the interval of a speedup at which measuring stopped.
        seed: Of weights and inputs.
    """

    device: str
    threads: int
    runtime: str = "torch"
    dtype: str = "float32"
    clock: str = "wall"
    with_norm: bool = False
    versions: Mapping[str, str] = {}
    host: str = ""
    allocator: str = "tuned"
    precision: float = 0.02
    seed: int = 0

    @property
    def key(self) -> dict[str, Any]:
        """All but the name of the machine, of which others of its kind may take the place."""
        kind = {**self._asdict(), "versions": dict(self.versions)}
        del kind["host"]
        return kind


class Visit(NamedTuple):
    """What was measured of a case at one time: a line of a journal.

    A case whose first visit was disturbed has another.

    Args:
        key: Of the case.
        where: Where it was measured.
        beside: By unit, how many times as fast as the reference layer it was, in turns with that.
        speedups: By unit but the first, how many times as fast as the first it was, likewise.
        reference_s: Latency of the reference layer meanwhile.
        moved: How far that changed while the case was measured: 0.03 for 3 %.
        samples: By unit, how many blocks of calls were timed.
        untimed: Why units were not timed, by label.
        began_at: When, in seconds since the epoch.
        took_s: How long it took, making what was timed included.
    """

    key: str
    where: Where
    beside: Mapping[str, Speedup]
    speedups: Mapping[str, Speedup]
    reference_s: float
    moved: float = 0.0
    samples: Mapping[str, int] = {}
    untimed: Mapping[str, str] = {}
    began_at: float = 0.0
    took_s: float = 0.0


NOT_YET = "not timed yet"
"""The note of a row that is still to come."""
UNSTEADY = "measured while the reference layer was off by more than 3 %"
"""The note of a row whose machine was not what it usually is."""


class Row(NamedTuple):
    """A row of a table: a layer as it is or a variant of it, what it costs and how long it takes.

    Args:
        of: What it is of, by the name of the axis.
        variant: The label of its unit.
        cost: What it costs.
        reduction: How many times less than the first unit; that of the first is `None`.
        calls: How often a model has it.
        key: Of its case; empty where nothing is timed.
        where: Where it was timed.
        latency_s: By the reference layer: what that takes over the sweep, over how many times as
            fast this is.
        ci95_s: The interval of that.
        speedup: Over the first unit.
        visits: How often it was measured.
        note: Why it is not there or not timed, or what was wrong.
    """

    of: Mapping[str, Any]
    variant: str
    cost: Cost
    reduction: Reduction | None = None
    calls: int = 1
    key: str = ""
    where: Where | None = None
    latency_s: float | None = None
    ci95_s: tuple[float, float] | None = None
    speedup: Speedup | None = None
    visits: int = 0
    note: str = ""


class Impossible(NamedTuple):
    """How many layers of a grid cannot exist, and why one of them cannot."""

    number: int
    example: str


class Drift(NamedTuple):
    """How far the reference layer moved while a table was measured.

    Args:
        where: In which place.
        reference_s: What it took, as the median of all visits.
        lowest: Of a visit, over that.
        highest: Of a visit, over that.
        again: How many cases were measured again.
        still: How many moved by more than 3 % each time.
    """

    where: Where
    reference_s: float
    lowest: float
    highest: float
    again: int = 0
    still: int = 0


class Kernels(NamedTuple):
    """What a runtime ran, of the layers of a model one by one and of the model as a whole.

    Args:
        kernel: In the runtime's words.
        in_layers: How often the layers ran it, each with its calls.
        in_whole: How often the whole ran it.
        layers_s: What it took in the layers, by the runtime's own clock; `None` where it has none.
        whole_s: What it took in the whole.
    """

    kernel: str
    in_layers: int
    in_whole: int
    layers_s: float | None = None
    whole_s: float | None = None

    @property
    def more_s(self) -> float:
        """How much longer it took in the layers; 0 where there is no clock."""
        return (self.layers_s or 0.0) - (self.whole_s or 0.0)


class Sum(NamedTuple):
    """The layers of a model, each timed alone, summed up beside the model timed whole.

    Args:
        model: Its name.
        where: Where both were timed.
        layers: How many distinct layers there are.
        calls: How often they run in one pass.
        sum_s: What the calls take together.
        whole_s: What the model takes.
        ci95: The interval of the sum over the whole, less 1.
        missing: Layers that are not in the sum.
        free: How many operations move no data, and are not in it either.
        kernels: What the runtime made of the nodes, as far as the sides differ in it.
        ops: Its operators by its own clock, where it has one, what makes most of the gap first.
    """

    model: str
    where: Where
    layers: int
    calls: int
    sum_s: float
    whole_s: float
    ci95: tuple[float, float]
    missing: tuple[str, ...] = ()
    free: int = 0
    kernels: tuple[Kernels, ...] = ()
    ops: tuple[Kernels, ...] = ()

    @property
    def gap(self) -> float:
        """How much more the sum is than the whole: 0.03 for 3 %."""
        return self.sum_s / self.whole_s - 1


class Emitted(NamedTuple):
    """A latency table in the format of others that was written.

    Args:
        path: The file.
        title: Whose format it is in.
        keys: How many entries it has.
        rows: How many were timed in its place.
        untimed: How many were not timed, in any place.
        left_out: How many of those timed have no place in the format, by what they are.
    """

    path: Path
    title: str
    keys: int
    rows: int
    untimed: int = 0
    left_out: Mapping[str, int] = {}


class Spread(NamedTuple):
    """What layers that are not held row by row cost, as they are or in a variant.

    Args:
        variant: The label.
        rows: How many layers have it.
        least_macs: Of the cheapest.
        most_macs: Of the dearest.
        least_reduction: How many times fewer MACs than the layer as it is, where that is least;
            unknown of the layers as they are.
        most_reduction: Where it is most.
        lacking: Layers that do not have it.
    """

    variant: str
    rows: int
    least_macs: int | None = None
    most_macs: int | None = None
    least_reduction: float | None = None
    most_reduction: float | None = None
    lacking: Impossible | None = None


def without_fresh(what: str, *, fresh: bool, again: str = "") -> str:
    """Return what one does to go on, `the same command`: with `--fresh` it would begin anew.

    Args:
        what: What is done.
        fresh: Whether it was done with that.
        again: What is said behind it otherwise.
    """
    return f"{what} without --fresh" if fresh else f"{what}{again}"


class Sweep(Result):
    """What a sweep came to.

    Args:
        title: What was swept, in a line.
        size: How many layers were asked for.
        rows: The table, in the order of the grid.
        impossible: Layers among them that cannot exist.
        drift: Of each place where something was timed.
        unfinished: How many cases are still to be timed.
        warnings: What the reader must know.
        journal: The file that holds what was measured.
        sums: Of a model's layers, beside the model: one for each place.
        spreads: What its rows come to, where they are too many to be held.
        fresh: Whether what the journal had was dropped first, as the same would do once more.
    """

    title: str
    size: int
    rows: Sequence[Row]
    impossible: Impossible | None = None
    drift: tuple[Drift, ...] = ()
    unfinished: int = 0
    warnings: tuple[str, ...] = ()
    journal: str | None = None
    sums: tuple[Sum, ...] = ()
    spreads: tuple[Spread, ...] = ()
    fresh: bool = False

    @property
    def left_out(self) -> str:
        """How many layers, or models, cannot exist, in a sentence; empty where all can."""
        if not self.impossible:
            return ""
        what = "models" if any("model" in row.of for row in self.rows) else "layers"
        number, example = self.impossible
        return f"{number:,} of {self.size:,} {what} cannot exist, such as {example}"

    def save(self, path: "str | PathLike[str]") -> None:
        """Write it to a file, see `Result.save`; `table.parquet` has its rows as Parquet.

        Raises:
            InputError: No format has that ending.
            OutputError: The file cannot be written.
            UnavailableError: Parquet needs a package that is not installed.
        """
        if Path(path).suffix.lower() != ".parquet":
            super().save(path)
            return
        with needing("numpy", "sweep"):
            # what writes tables stands above what they are made of
            rows = import_module("dscost.sweeping.row_tables").table_of(self.rows)
            write_tables = import_module("dscost.sweeping.writing").write_tables
        write_tables([rows], Path(path), "parquet")

    def in_a_line(self) -> str:
        """Return what was swept, and over how many rows."""
        rows = sum(one.rows for one in self.spreads) or len(self.rows)
        return f"{self.title}: {rows:,} rows"
