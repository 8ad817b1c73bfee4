"""Every figure of a report, one row each, and what a cost is made of.

What a row says is said nowhere else: tables, CSV, JSON, budgets, baselines, comparisons, schemas
and `dscost list metrics` go through `FIGURES`. Costs are put together by the functions here and by
nobody else, so that no sum can leave a figure out.

>>> conv = Cost(2304, 451_584, 9216, 200_704, 200_704, 410_624)
>>> norm = Cost(512, 0, 2048, 200_704, 200_704, 403_456)
>>> conv + norm - norm == conv, chain_cost([conv, norm]).params
(True, 2816)
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dscost.notation.units import format_bytes, format_count, format_intensity, format_seconds


class Cost(NamedTuple):
    """What a layer, a chain of stages or a model costs on paper.

    A field with a default is a figure that older reports do not have. It is `None` where nobody
    counted it, and so is every sum that it is part of: unknown is not zero.

    Args:
        params: Parameters.
        macs: Multiply-accumulates, batch included.
        weight_bytes: Size of the parameters.
        input_bytes: Size of what goes in.
        output_bytes: Size of what comes out.
        traffic_bytes: Least data moved; of a chain, the sum over its stages.
        activations: Values that convolutions and linear layers write.
    """

    params: int
    macs: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    traffic_bytes: int
    activations: int | None = None

    @property
    def flops(self) -> int:
        """Two per multiply-accumulate."""
        return 2 * self.macs

    @property
    def flops_per_byte(self) -> float | None:
        """Arithmetic intensity; unknown where nothing moves."""
        return self.flops / self.traffic_bytes if self.traffic_bytes else None

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        """Return the sum, figure by figure."""
        return summed((self, other))

    def __sub__(self, other: "Cost") -> "Cost":
        """Return the difference, figure by figure."""
        pairs: Iterable[tuple[Any, Any]] = zip(self, other, strict=True)
        return Cost._make([None if a is None or b is None else a - b for a, b in pairs])

    def agrees_with(self, other: "Cost") -> bool:
        """Whether both have the same figures, as far as both are known."""
        pairs = zip(self, other, strict=True)
        return all(one == another or one is None or another is None for one, another in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return every figure under its name."""
        return {name: getattr(self, name) for name in COST_FIGURES}


ALWAYS_KNOWN = len(Cost._fields) - len(Cost._field_defaults)
"""How many fields of a cost, which are its first, every report has."""

NOTHING = Cost(*(0 for _ in Cost._fields))
"""What nothing costs."""


def summed(costs: Iterable[Cost]) -> Cost:
    """Return the sum of costs, figure by figure."""
    columns: Iterable[tuple[Any, ...]] = zip(NOTHING, *costs, strict=True)
    return Cost._make([None if None in column else sum(column) for column in columns])


def made_of(*, calls: Cost, weights: Cost, ends: Cost) -> Cost:
    """Return a cost of three, each figure from the one that its row says it adds up with."""
    parts = (calls, weights, ends)
    return Cost._make([parts[part][at] for at, part in enumerate(_PARTS)])


def weights_cost(params: int, weight_bytes: int) -> Cost:
    """Return what weights cost that nothing computes with; other figures of weights are unknown."""
    return _UNCOUNTED_WEIGHTS._replace(params=params, weight_bytes=weight_bytes)


def chain_cost(stages: Sequence[Cost]) -> Cost:
    """Return the cost of stages that run one after the other.

    The input is that of the first and the output that of the last; everything else adds up.
    """
    if len(stages) == 1:
        return stages[0]
    total = summed(stages)
    ends = stages[0]._replace(output_bytes=stages[-1].output_bytes)
    return made_of(calls=total, weights=total, ends=ends)


def cost_of_calls(calls: Sequence[Cost], weights: Iterable[Hashable]) -> Cost:
    """Return the cost of several calls, given what tells the weights of each apart.

    They may share weights; the ends are the first's.
    """
    if len(calls) == 1:
        return calls[0]
    of_distinct_weights = dict(zip(weights, calls, strict=True)).values()
    return made_of(calls=summed(calls), weights=summed(of_distinct_weights), ends=calls[0])


# -- the table

ON_REQUEST = 99
"""The priority of columns that are shown only where they are asked for by name, or all are."""

_Columns = tuple[int | None, int | None, int | None, int | None]
NO_COLUMN: _Columns = (None, None, None, None)

_FORMATS: Mapping[str, Callable[[Any], str]] = {
    "count": format_count,
    "bytes": format_bytes,
    "factor": format_intensity,
    "seconds": format_seconds,
}
_UNITS = {"count": "count", "bytes": "bytes", "factor": "×", "seconds": "s"}


class Figure(NamedTuple):
    """A figure of a report, and what may be asked of it.

    Args:
        title: Above a column.
        kind: How it is written: a key of `dscost.notation.quantities.QUANTITIES`.
        meaning: What is counted and what is not, in a line.
        words: What stands behind its number in a sentence, where that is not the title.
        unit: Where the kind does not tell it.
        summed_over: What makes it more. Every one of the `calls`, such as MACs; every set of
            `weights`, which a layer that runs twice has once; nothing, being of the `ends` of a
            chain; the `figures` that it follows from; or nothing, being of a whole `model` only.
        columns: Priority of its column in the tables of variants, of layers and of compared layers,
            and of its change in the last; `None` where a table has no such column.
        is_plain: Whether its name says what it means, so that no JSON has to.
        is_measured: Whether it comes from a clock, and has noise.
        is_ratio: Whether it is a ratio of two latencies that were measured in turns in one run.
        is_kept_of_layers: Whether a baseline keeps it of every layer, not of the whole only.
        is_limited_first: Whether the budget that `dscost init` writes limits it.
        is_noted: Whether `dscost check` tells that it has become less.
        is_fixable: Whether `dscost check` seeks layers to swap that bring it under its limit.
    """

    title: str
    kind: str
    meaning: str
    words: str = ""
    unit: str = ""
    summed_over: Literal["calls", "weights", "ends", "figures", "model"] = "calls"
    columns: _Columns = (ON_REQUEST, ON_REQUEST, ON_REQUEST, ON_REQUEST)
    is_plain: bool = False
    is_measured: bool = False
    is_ratio: bool = False
    is_kept_of_layers: bool = False
    is_limited_first: bool = False
    is_noted: bool = False
    is_fixable: bool = False

    @property
    def is_of_layers(self) -> bool:
        """Whether layers have it too."""
        return self.summed_over != "model"

    @property
    def is_excludable(self) -> bool:
        """Whether that of layers which do not count can be taken off that of the whole model."""
        return self.summed_over in ("calls", "weights", "figures")

    @property
    def is_kept(self) -> bool:
        """Whether a baseline keeps it of a whole model; what it does not keep follows from that."""
        return self.summed_over != "figures" and not self.is_measured

    @property
    def is_on_request(self) -> bool:
        """Whether tables leave it out unless it is asked for, or all is."""
        return self.columns[0] == ON_REQUEST

    @property
    def is_compared(self) -> bool:
        """Whether `dscost compare` holds it against that of the reference, with its change."""
        return self.kind != "factor" and self.summed_over != "ends" and not self.is_measured

    def text(self, value: float | None) -> str:
        """Return a value of it as tables print it, with three or four significant digits."""
        return _FORMATS[self.kind](value)

    @property
    def in_words(self) -> str:
        """What stands behind its number in a sentence."""
        return self.words or self.title


FIGURES: Mapping[str, Figure] = {
    "params": Figure(
        "params",
        "count",
        "parameters, frozen ones too, each shared tensor once; buffers are not parameters",
        summed_over="weights",
        columns=(1, 1, 5, 3),
        is_kept_of_layers=True,
        is_limited_first=True,
        is_noted=True,
        is_fixable=True,
    ),
    "macs": Figure(
        "MACs",
        "count",
        "multiply-accumulates of convolutions (transposed and deformable ones too), linear layers, "
        "matrix products, attention, recurrent layers and Euclidean distances, for the given "
        "input, batch included; normalization, activations, pooling and interpolation have none; "
        "padding positions count, bias does not; a complex one counts as four, products with "
        "sparse tensors by the stored entries, Fourier transforms not at all",
        columns=(0, 0, 4, 0),
        is_kept_of_layers=True,
        is_limited_first=True,
        is_noted=True,
        is_fixable=True,
    ),
    "flops": Figure(
        "FLOPs",
        "count",
        "2 * macs",
        summed_over="figures",
        columns=(7, None, None, None),
        is_fixable=True,
    ),
    "weight_bytes": Figure(
        "weights",
        "bytes",
        "size of the parameters in the given dtype",
        words="bytes of weights",
        summed_over="weights",
        columns=(6, 9, 10, 9),
        is_plain=True,
        is_noted=True,
        is_fixable=True,
    ),
    "input_bytes": Figure(
        "input",
        "bytes",
        "size of what goes in",
        words="bytes of input",
        summed_over="ends",
        columns=NO_COLUMN,
        is_plain=True,
    ),
    "output_bytes": Figure(
        "output",
        "bytes",
        "size of what comes out",
        words="bytes of output",
        summed_over="ends",
        columns=NO_COLUMN,
        is_plain=True,
    ),
    "traffic_bytes": Figure(
        "traffic",
        "bytes",
        "each operand read once, each result written once; summed over stages and layers",
        words="bytes of traffic",
        columns=(4, 7, 10, 8),
    ),
    "flops_per_byte": Figure(
        "FLOP/byte",
        "factor",
        "flops / traffic_bytes",
        unit="FLOP/byte",
        summed_over="figures",
        columns=(5, 8, None, None),
        is_plain=True,
    ),
    "activations": Figure(
        "activations", "count", "values that convolutions and linear layers write, batch included"
    ),
    "peak_activation_bytes": Figure(
        "peak activations",
        "bytes",
        "largest sum of live activations under the order of execution, inputs included",
        words="bytes of peak activations",
        summed_over="model",
        columns=NO_COLUMN,
        is_limited_first=True,
        is_noted=True,
    ),
    "latency_s": Figure(
        "latency",
        "seconds",
        "seconds per call; median, interval and quantiles are those of blocks of calls",
        summed_over="model",
        columns=NO_COLUMN,
        is_measured=True,
    ),
    "speedup": Figure(
        "speedup",
        "factor",
        "latency of standard / latency of depthwise_separable, from interleaved pairs, "
        "with its 95 % interval",
        unit="×",
        summed_over="model",
        columns=NO_COLUMN,
        is_measured=True,
        is_ratio=True,
    ),
    "latency_ratio": Figure(
        "latency ratio",
        "factor",
        "latency of a model / latency of another, or of itself as a commit has it, from "
        "interleaved pairs of one run, with its 95 % interval",
        unit="×",
        summed_over="model",
        columns=NO_COLUMN,
        is_plain=True,
        is_measured=True,
        is_ratio=True,
    ),
}
"""The figures of a report in the order in which all tell them. Each may be limited by a budget."""

MACS_BY = "macs@"
"""What figures of conventions of others begin with, as in `macs@fvcore-0.1.5`."""


def metric_of(convention: str) -> str:
    """Return how the figure of a convention is called."""
    return MACS_BY + convention


def convention_of(metric: str) -> str | None:
    """Return the convention whose figure a metric is; `None` of our own.

    >>> convention_of("macs@fvcore-0.1.5"), convention_of("macs")
    ('fvcore-0.1.5', None)
    """
    return metric[len(MACS_BY) :] if metric.startswith(MACS_BY) else None


def figure_of(metric: str) -> Figure:
    """Return the figure of a metric: ours, or the operations that a convention counts."""
    convention = convention_of(metric)
    if convention is None:
        return FIGURES[metric]
    title = f"operations by {' '.join(convention.rsplit('-', 1))}"
    meaning = "as that convention counts"
    return FIGURES["macs"]._replace(title=title, meaning=meaning, columns=_OF_OTHERS)


_OF_OTHERS: _Columns = (1, 1, 1, 1)
"""The priority of a column that was asked for: it decides."""

COST_FIGURES = tuple(name for name in FIGURES if hasattr(Cost, name))
"""The figures of a `Cost`, in the order in which they are reported."""

_PARTS = [("calls", "weights", "ends").index(FIGURES[name].summed_over) for name in Cost._fields]
"""Which of the three that `made_of` takes each field is from."""

_UNCOUNTED_WEIGHTS = Cost._make(
    None if FIGURES[name].summed_over == "weights" else 0 for name in Cost._fields
)

SUMMED = tuple(name for name in Cost._fields if FIGURES[name].summed_over in ("calls", "weights"))
"""The figures of a `Cost` that add up by themselves."""

MEANINGS: Mapping[str, tuple[str, str]] = {
    # a measured figure is an object in a report, whose own keys tell the unit
    name.removesuffix("_s") if figure.is_measured else name: (
        figure.unit or _UNITS[figure.kind],
        figure.meaning,
    )
    for name, figure in FIGURES.items()
} | {
    "reduction": ("×", "standard / depthwise_separable"),
    "roofline_s": (
        "s",
        "max(flops / peak, traffic_bytes / bandwidth), summed over stages: no run can be faster",
    ),
}
"""Unit and meaning of each number of a report: of every figure, and of what no budget limits."""

CONVENTIONS = {
    name: meaning
    for name, (_, meaning) in MEANINGS.items()
    if name not in FIGURES or not FIGURES[name].is_plain
}
"""What those numbers mean whose name does not say it, carried in every JSON."""
