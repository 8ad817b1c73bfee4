"""`dscost sweep`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dscost.cli import measuring as how
from dscost.cli import options as opt
from dscost.cli.grid_options import LAYERS, NO_MODELS, Axes, Models, Swept, spelled
from dscost.cli.kind_files import each_kind
from dscost.cli.output_options import DEFAULTS, OfSweep
from dscost.cli.picture_files import ENDINGS
from dscost.cli.places import check_places
from dscost.cli.printing import Output
from dscost.cli.sweep_timing import (
    UNTIMED,
    Dtypes,
    Keeping,
    Timing,
    check_timed,
    emitted,
    parse_dtypes,
    timed,
    timing_options,
)
from dscost.cli.table_files import Split, split, write_table
from dscost.errors import InputError, needing
from dscost.pages import View
from dscost.rendering import renderer
from dscost.sweeping import HELD_ROWS

if TYPE_CHECKING:
    from dscost.sweeping.grids import Grid
    from dscost.sweeping.records import Impossible, Sweep
    from dscost.sweeping.swept import Cases


def sweep(
    sweep_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[SWEEP.yaml]",
            help="A file of grids (configs/sweeps/README.md), or the name of a built-in one, "
            "instead of the options of a grid.",
        ),
    ] = None,
    axes: Axes = LAYERS,
    of_models: Models = NO_MODELS,
    dims: Annotated[
        int | None,
        typer.Option(
            metavar="1|2|3", help="Spatial dimensions  [default: as there are sizes, else 2]"
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:VALUE][,…]",
            help="What each layer is compared with (dscost list variants); standard for nothing; "
            "repeatable  [default: depthwise_separable]",
        ),
    ] = None,
    dtype: Dtypes = None,
    keeping: Keeping = UNTIMED,
    measuring: Timing = how.AS_USUAL,
    sort: Annotated[str | None, typer.Option(help="Sort rows by a figure, largest first.")] = None,
    top: Annotated[
        int | None,
        typer.Option("-n", "--top", min=1, metavar="N", help="Show only the first N rows."),
    ] = None,
    asked: OfSweep = DEFAULTS,
) -> None:
    """Count, and time, a grid of layers, each as it is and in cheaper variants, into one table."""
    from dscost.pages.sweeps import SweepSaid, headlines
    from dscost.sweeping.emitting import check_emissions

    dtypes = parse_dtypes(dtype, measuring, keeping)
    options = timing_options(measuring, keeping, dtypes) if keeping.time else None
    swept = Swept(sweep_file, axes, of_models, variant, dims, dtypes.dtype)
    grids = swept.grids()
    is_large = options is None and _is_large(grids)
    parted = split(asked._replace(columns=_in_full(asked.columns)), is_large=is_large)
    out = parted.asked.output(
        "sweep", View(sort=_in_full(sort), top=top), read=[*swept.files(), *keeping.read()]
    )
    emissions = keeping.tables()
    exported = [path for _, path in (*out.exports, *emissions)]
    written = [*parted.paths, *filter(None, [out.path]), *exported]
    table = next((path for path in written if path.suffix.lower() not in ENDINGS), None)
    check_places(written, [*swept.files(), *keeping.read(table)])
    parted.check(out.view)
    says = "rows" if parted.has_result else out.says
    SweepSaid.check(out.view, says, swept.first_columns(grids), is_timed=keeping.time)
    if is_large:
        _stream(out, parted, grids)
        return
    cases = _cases(out, swept, grids, are_timed=options is not None)
    found = cases.counted()
    if found.impossible:
        out.lacks([found.left_out])
    if options is None:
        _write(out, parted, found)
        return
    check_emissions(found.rows, emissions)
    found = timed(out, swept.model_layers() or cases, options, keeping, table)
    for each in each_kind(out, parted, found):
        _write(*each)
    if parted.has_result or out.path or out.says == "rows":  # which say not what comes of it
        for line in headlines(found):
            out.note(line)
    check_timed(found, measuring)
    emitted(out, found, emissions)


def _in_full(columns: str | None) -> str | None:
    """Return columns as tables have them, which options of a grid call shorter.

    >>> _in_full("cin,k,macs")
    'in_channels,kernel_size,macs'
    """
    if columns is None:
        return None
    from dscost.sweeping.grids import SHORT

    names = {short: name for name, short in SHORT.items()}
    return ",".join(names.get(one.strip(), one) for one in columns.split(","))


def _is_large(grids: "Sequence[Grid]") -> bool:
    """Whether grids have too many rows to be held; far too many are refused."""
    if not grids:
        return False
    from dscost.sweeping.making_grids import check_size
    from dscost.sweeping.swept import rows_in

    check_size(grids)
    return rows_in(grids) > HELD_ROWS


def _cases(out: Output, swept: Swept, grids: "Sequence[Grid]", *, are_timed: bool) -> "Cases":
    """Return the layers, or the models, or the layers of one."""
    from dscost.sweeping.swept import layers_of, models_of

    model = swept.model_layers()
    if model:
        from dscost.sweeping.layer_sweep import cases_of_layers

        return cases_of_layers(model)
    if not swept.targets:
        return layers_of(grids, are_timed=are_timed)
    from dscost.cli.streams import foreign_code
    from dscost.sweeping.model_grids import model_grid

    models = opt.Asking().models(swept.targets, out.note)
    said = swept.models(models)
    with out.progress() as progress, foreign_code(*models):
        return models_of(model_grid(said, spelled), progress)


def _write(out: Output, parted: Split, found: "Sweep") -> None:
    """Write rows that are held."""
    if parted.tables:
        from dscost.pages.sweeps import SweepSaid

        with needing("numpy", "sweep"):
            from dscost.sweeping.row_tables import table_of
        if parted.has_result:
            SweepSaid(found).check_rows(out.view)
        for at, file in enumerate(parted.tables):
            columns = out.view.columns if at == 0 and parted.has_result else None
            write_table(file, [table_of(found.rows, columns)], out)
    out._replace(is_silent=out.is_silent or parted.has_result).write(found)
    from dscost.sweeping.tables import lacking_of

    written = [out.format_name, *(name for name, _ in out.exports)]
    if parted.tables or any(renderer(name).says == "rows" for name in written):
        tell_lacking(out, lacking_of(found.rows))


def tell_lacking(out: Output, lacking: "Mapping[str, Impossible]") -> None:
    """Say which variants have no row for some layers in the tables that were written."""
    from dscost.sweeping.tables import lacking_in_words

    for line in lacking_in_words(lacking):
        out.note(line)


def _stream(out: Output, parted: Split, grids: "Sequence[Grid]") -> None:
    """Write tables of many rows as they are counted, or say what they come to.

    Raises:
        InputError: Something is asked for that needs the rows.
    """
    from dscost.sweeping.swept import rows_in

    rows = f"{rows_in(grids):,} rows"
    _refuse_rows(out, parted, rows)
    with needing("numpy", "sweep", before=f"{rows}: "):
        from dscost.sweeping.chunks import count_grids
        from dscost.sweeping.spreading import spread_sweep, unheld, watched
    found: Sweep | None = None
    lacking: Mapping[str, Impossible] = {}
    with out.progress() as progress:
        for at, file in enumerate(parted.tables):
            columns = out.view.columns if at == 0 and parted.has_result else None
            # on a terminal that the rows go to nothing else is to be seen
            told = None if file.path is None else progress
            tables = watched(count_grids(grids, columns), grids, told, "writing")
            written = write_table(file, tables, out)
            found, lacking = unheld(grids, written), written.lacking
        if found is None or not parted.has_result:
            found = spread_sweep(grids, progress)
    if found.impossible:
        out.lacks([found.left_out])
    tell_lacking(out, lacking)
    if not parted.has_result:
        out.write(found)


def _refuse_rows(out: Output, parted: Split, rows: str) -> None:
    """Refuse what needs rows that are not held."""
    view = out.view
    columns = None if parted.has_result else view.columns
    given = {"sort": view.sort, "top": view.top, "columns": columns}
    for name, value in given.items():
        if value is not None:
            told = f"{rows} are too many to be shown, at most {HELD_ROWS:,}"
            raise InputError(f"--{name}: {told}; --format csv or -o TABLE.parquet writes them")
    for name in (out.format_name, *(name for name, _ in out.exports)):
        if renderer(name).says != "pages":
            told = f"{rows} are too many for one document, at most {HELD_ROWS:,}"
            raise InputError(f"{name}: {told}; use csv, jsonl or parquet")
    if parted.has_result and out.exports:
        raise InputError(f"--export {out.exports[0][0]}: {rows} are written as csv, jsonl, parquet")
