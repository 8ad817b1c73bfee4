"""`dscost.sweep`: what is said of grids → every layer of them counted, as a table."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.errors import InputError, needing
from dscost.files import check_folder
from dscost.layers.choosing import parse_variants
from dscost.layers.variants import SEPARABLE
from dscost.sweeping import FORMATS, HELD_ROWS
from dscost.sweeping.grids import AXES, Grid
from dscost.sweeping.making_grids import Setup, check_size, grid_of
from dscost.sweeping.model_grids import ModelGrid, Said, model_grid
from dscost.sweeping.records import Sweep
from dscost.sweeping.swept import Cases, models_of, rows_in
from dscost.sweeping.swept import layers_of as layers_in

if TYPE_CHECKING:
    from dscost.sweeping.model_layers import ModelLayers
    from dscost.timing import TimingOptions

Values = int | str | range | Sequence[int | str | tuple[int, ...] | bool | None] | None
"""What a caller may have for an axis, see `dscost.sweeping.axes.parse_axis`."""


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
    model: "str | PathLike[str] | Sequence[str] | None" = None,
    settings: Mapping[str, Any] | None = None,
    input: Any = None,
    layers_of: "str | PathLike[str] | None" = None,
    table: "str | PathLike[str] | None" = None,
    time: bool = False,
    runtime: str | Sequence[str] | None = None,
    threads: int | None = None,
    clock: str | None = None,
    time_budget_s: float | None = None,
    timing: Mapping[str, Any] | None = None,
    journal: "str | PathLike[str] | None" = None,
    fresh: bool = False,
    scheduler: str | None = None,
) -> Sweep:
    """Return what every layer of a grid costs, as it is and in variants, and how long each takes.

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
        model: What `dscost.analyze` takes by name or path, or a list of such, instead of a grid of
            layers. Of the above it has `batch`, `dtype` and `variants`, which then are some of
            `as_is`, `standard` and `depthwise_separable`, by default all.
        settings: What to change of its settings: by name, the values of each, such as
            `{"width": "0.25:1.0:0.25"}` or `{"width": [0.5, 1.0]}`.
        input: Its inputs: sides such as `[128, 160]`, or whole shapes such as `(1, 3, 224, 224)`.
        layers_of: An architecture by name or path, whose layers are swept as it has them, with
            `settings`, one `input` and `dtype`.
        table: A file that the rows are written to, `.csv`, `.jsonl` or `.parquet`. A grid of layers
            may then be of any size: of more than 5,000 rows what is returned holds none, but what
            they cost at least and at most.
        time: Whether to measure as well, on the CPU, each in turns with a reference layer.
        runtime: What runs it, or several, as in `dscost.layer`; so are what follows.
        threads: How many to measure with.
        clock: `wall` or `cpu`.
        time_budget_s: Seconds that all of it may take; what was not reached has no latency.
        timing: More fields of `dscost.timing.TimingOptions`, such as `{"with_norm": True}`.
        journal: A file in which every measurement is kept as it comes; what it has is not measured
            again. By default nothing is kept.
        fresh: Whether what that has of this sweep is measured anew.
        scheduler: Address of a Dask scheduler, such as `tcp://192.168.0.10:8786`: it is measured on
            its workers instead, on each kind of device.

    Returns:
        The table, in the order of the grid: each layer as it is, then in each variant, for each
        runtime, dtype and kind of device; with `layers_of` and `time` sums beside the model too.

    Raises:
        InputError: Something of it is wrong, or no layer of it can exist; or there are too many.
        OutputError: The journal cannot be written, or the table.
        UnavailableError: Nothing can be timed here, or a package is missing that writes the table.

    >>> found = sweep("8:24:8", "2 * cin", 3, input_size=(14, 14))
    >>> found.size, [row.cost.params for row in found.rows if row.variant == "standard"]
    (3, [1152, 4608, 10368])
    """
    values = in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
    given = dict(zip(AXES, (*values, input_size, batch), strict=True))
    wanted = Wanted(given, dims, variants, dtype, file, model, settings, input)
    check_table(table)
    how = runtime, threads, clock, time_budget_s, timing
    if time:
        what = wanted.cases(layers_of)
        found = _timed(what, _options(*how), journal, fresh=fresh, scheduler=scheduler)
        return _with_table(found, table)
    _refuse_timing(*how, journal, fresh or None, scheduler)
    if layers_of is not None:
        return _with_table(wanted.layers(layers_of).counted(), table)
    if model is not None:
        return _with_table(models_of(wanted.models()).counted(), table)
    return _of_grids(wanted.grids(), table)


def _of_grids(grids: Sequence[Grid], table: "str | PathLike[str] | None") -> Sweep:
    """Return what the layers of grids cost, of too many to be held what they come to."""
    check_size(grids)
    if table is None or rows_in(grids) <= HELD_ROWS:
        return _with_table(layers_in(grids).counted(), table)
    with needing("numpy", "sweep"):
        from dscost.sweeping.spreading import written_sweep
    return written_sweep(grids, Path(table), _format_of(table))


def _options(
    runtime: str | Sequence[str] | None,
    threads: int | None,
    clock: str | None,
    time_budget_s: float | None,
    timing: Mapping[str, Any] | None,
) -> "TimingOptions":
    """Return how to measure."""
    from dscost.analysis import timing_options

    given = "cpu", threads, None, time_budget_s, timing
    return timing_options(*given, runtime=runtime, clock=clock)


def _refuse_timing(*given: object) -> None:
    """Refuse what says how to measure where nothing is measured."""
    names = (
        *("runtime", "threads", "clock", "time_budget_s", "timing", "journal", "fresh"),
        "scheduler",
    )
    told = [name for name, value in zip(names, given, strict=True) if value is not None]
    if told:
        raise InputError(f"{' and '.join(told)}: nothing is measured without time=True")


def _timed(
    what: "Cases | ModelLayers",
    options: "TimingOptions",
    journal: "str | PathLike[str] | None",
    *,
    fresh: bool,
    scheduler: str | None,
) -> Sweep:
    from dscost.sweeping.timed_sweep import timed_sweep

    path = None if journal is None else Path(journal)
    return timed_sweep(what, options, journal=path, fresh=fresh, scheduler=scheduler)


class Wanted(NamedTuple):
    """What is to be swept, as the arguments of `sweep` say."""

    axes: Mapping[str, object]
    dims: int | None = None
    variants: str | Sequence[str] | None = None
    dtype: str | None = None
    file: "str | PathLike[str] | None" = None
    model: "str | PathLike[str] | Sequence[str] | None" = None
    settings: Mapping[str, Any] | None = None
    input: Any = None

    @property
    def names(self) -> Sequence[str] | None:
        """Those of variants."""
        return [self.variants] if isinstance(self.variants, str) else self.variants

    def models(self) -> ModelGrid:
        """Return the models.

        Raises:
            InputError: Something that is said of them is wrong, or is of layers.
        """
        refuse_layers({**self.axes, "batch": None, "dims": self.dims, "file": self.file})
        is_one = isinstance(self.model, str | PathLike)
        models = [fspath(self.model)] if is_one else self.model  # type: ignore[arg-type]
        more = self.settings, self.input, self.axes["batch"], self.dtype, self.names
        return model_grid(Said(models, *more))  # type: ignore[arg-type]

    def cases(self, layers_of: "str | PathLike[str] | None") -> "Cases | ModelLayers":
        """Return what is to be timed: models, layers of grids, or those of a model."""
        if layers_of is not None:
            return self.model_layers(layers_of)
        return layers_in(self.grids()) if self.model is None else models_of(self.models())

    def layers(self, target: "str | PathLike[str]") -> Cases:
        """Return the layers of a model as they are counted, see `model_layers`."""
        from dscost.sweeping.layer_sweep import cases_of_layers

        return cases_of_layers(self.model_layers(target))

    def model_layers(self, target: "str | PathLike[str]") -> "ModelLayers":
        """Return the layers of a model, and the model.

        Raises:
            InputError: It is none, or something is said that it says.
        """
        from dscost.sweeping.layer_sweep import find_layers

        others = {"dims": self.dims, "variants": self.variants, "file": self.file}
        refuse_layers({**self.axes, **others, "model": self.model}, swept=LAYERS_OF_MODEL)
        dtype = self.dtype or "float32"
        return find_layers(target, settings=self.settings, given=self.input, dtype=dtype)

    def grids(self) -> Sequence[Grid]:
        """Return the grids of layers.

        Raises:
            InputError: Something that is said of them is wrong, or is of models.
        """
        if not (self.settings is None and self.input is None):
            raise InputError("settings and input are of models: give model, or input_size")
        if self.file is not None:
            beside = {"dims": self.dims, "variants": self.variants, "dtype": self.dtype}
            return grids_of_file(fspath(self.file), {**self.axes, **beside})
        asked = parse_variants([SEPARABLE] if self.names is None else self.names)
        setup = Setup(asked, "convolution", self.dims, self.dtype or "float32")
        return [grid_of(self.axes, setup)]


def _with_table(found: Sweep, table: "str | PathLike[str] | None") -> Sweep:
    """Write the rows to a file, if there is one."""
    if table is not None:
        with needing("numpy", "sweep"):
            from dscost.sweeping.row_tables import table_of
            from dscost.sweeping.writing import write_tables
        write_tables([table_of(found.rows)], Path(table), _format_of(table))
    return found


def check_table(table: "str | PathLike[str] | None") -> None:
    """Refuse a file that rows cannot be written to, before any work.

    Raises:
        InputError: Its ending is that of no table.
        OutputError: It cannot be written.
    """
    if table is not None:
        check_folder(Path(table))
        if _format_of(table) not in FORMATS:
            endings = ", ".join(f".{one}" for one in FORMATS)
            raise InputError(f"table: expected a file that ends in {endings}, found '{table}'")


def _format_of(table: "str | PathLike[str]") -> str:
    return Path(table).suffix.lower()[1:]


def grids_of_file(
    name: str, beside: Mapping[str, object], spelled: Callable[[str], str] = str
) -> tuple[Grid, ...]:
    """Return the grids of a file, beside which nothing else may be said.

    Args:
        name: Its path, or the name of a built-in one.
        beside: What else is said.
        spelled: Returns what that is called where it is given, for errors.

    Raises:
        InputError: Something is, or the file is wrong.
    """
    from dscost.sweeping.grid_files import read_grids

    told = ", ".join(spelled(key) for key, value in beside.items() if value is not None)
    if told:
        raise InputError(f"{told}: a file says all of its grids; copy {name} and edit it")
    return read_grids(name)


LAYERS_OF_MODEL = "a model's layers"


def refuse_layers(
    given: Mapping[str, object], spelled: Callable[[str], str] = str, swept: str = "models"
) -> None:
    """Refuse what is said of layers where models are swept, or the layers that one has.

    Raises:
        InputError: Something is.
    """
    told = ", ".join(spelled(name) for name, value in given.items() if value is not None)
    if told:
        vary = "the model says it" if swept == LAYERS_OF_MODEL else "settings and inputs vary"
        raise InputError(f"{told}: where {swept} are swept, {vary}")
