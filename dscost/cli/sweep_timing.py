"""What `dscost sweep` times, and how it goes on where it was."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from dscost.cli import measuring as how
from dscost.cli.output_options import Without
from dscost.cli.places import Read
from dscost.cli.printing import Output, tell
from dscost.cli.signals import signals
from dscost.errors import InputError

if TYPE_CHECKING:
    from dscost.sweeping.emitting import Asked
    from dscost.sweeping.model_layers import ModelLayers
    from dscost.sweeping.records import Sweep
    from dscost.sweeping.swept import Cases
    from dscost.timing import TimingOptions

Timing = Annotated[how.Measuring, Without("time", "dtype", "device", "memory_format", "mode")]
"""The options of measuring that a sweep has: it does not vary the others."""


class Keeping(NamedTuple):
    """What is timed of a sweep, and where that is kept, as the command line says."""

    time: Annotated[
        bool,
        typer.Option(
            "--time/--no-time",
            help="Time every layer on this machine as well, and go on where it was interrupted.",
        ),
    ] = False
    with_norm: Annotated[
        bool,
        typer.Option(
            "--with-norm",
            help="Time each convolution with BatchNorm and ReLU after it, as networks have them.",
        ),
    ] = False
    journal: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Keep there what was timed, so that nothing is timed twice  "
            "[default: TABLE.journal beside the first TABLE of -o or --export, else in the cache "
            "folder]",
        ),
    ] = None
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Time anew what the journal has of this sweep.")
    ] = False

    emit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=FILE",
            help="Also write a latency table for architecture search: ofa or proxylessnas (what "
            "Once-for-all reads), nnmeter, plain (dscost list tables); repeatable.",
        ),
    ] = None

    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Time on the workers of this Dask scheduler instead, tcp://192.168.0.10:8786, a "
            "table for each kind of device. On each machine: dask worker ADDRESS --nthreads 1 "
            "--resources timer=1",
        ),
    ] = None

    def tables(self) -> "Sequence[Asked]":
        """Return the latency tables that are to be written.

        Raises:
            InputError: One is written otherwise than as a format and a file.
            OutputError: A file cannot be written.
        """
        if not self.emit:
            return ()
        from dscost.sweeping.emitting import parse_emissions

        return parse_emissions(self.emit)

    def read(self, table: Path | None = None) -> Iterator[Read]:
        """Yield the file that is read: the journal that is named, or lies beside a table."""
        if self.journal is not None:
            yield "--journal", self.journal
        elif self.time and table is not None:
            from dscost.sweeping.journal import journal_beside

            path = journal_beside(table)
            if path is not None:
                yield f"the journal of {table.name}", path


UNTIMED = Keeping()

Dtypes = Annotated[
    str | None,
    typer.Option(
        help="Data type of weights and activations; with --time a list, of which each is timed  "
        "[default: float32]"
    ),
]


def parse_dtypes(dtype: str | None, measuring: how.Measuring, keeping: Keeping) -> how.Cases:
    """Return the dtypes of a command line; what needs timing is refused without it.

    Raises:
        InputError: Something has no meaning where nothing is timed.
    """
    cases = how.parse_cases(dtype, None)
    if keeping.time:
        return cases
    given = {**measuring._asdict(), **keeping._asdict()}
    usual = {**how.AS_USUAL._asdict(), **UNTIMED._asdict()}
    for name, value in given.items():
        if value != usual[name]:
            raise InputError(f"--{name.replace('_', '-')} needs timing: add --time")
    if len(cases.dtypes) > 1:
        raise InputError("--dtype: several values need timing: add --time")
    return cases


def timing_options(
    measuring: how.Measuring, keeping: Keeping, dtypes: how.Cases
) -> "TimingOptions":
    """Return how to measure, all of it checked.

    Raises:
        InputError: Something of it is wrong.
        UnavailableError: A runtime is not installed.
    """
    several = dtypes if len(dtypes.dtypes) > 1 else how.NO_CASES
    return measuring.options(several, with_norm=keeping.with_norm)


def timed(
    out: Output,
    what: "Cases | ModelLayers",
    options: "TimingOptions",
    keeping: Keeping,
    table: Path | None,
) -> "Sweep":
    """Return what cases cost and take; on Ctrl-C say what is kept.

    Args:
        out: Where it goes.
        what: What is timed.
        options: How.
        keeping: Where that is kept.
        table: The file that the table is written to.
    """
    from dscost.sweeping.journal import journal_path
    from dscost.sweeping.timed_sweep import left_in_words, timed_sweep, what_is_swept

    path = journal_path(keeping.journal, table, what_is_swept(what))
    # whoever asks others needs nothing to time by
    measuring = nullcontext() if keeping.scheduler else how.only_measuring()
    with measuring, out.progress() as progress:
        try:
            found = timed_sweep(
                what,
                options,
                journal=path,
                fresh=keeping.fresh,
                scheduler=keeping.scheduler,
                progress=progress,
                note=out.note,
            )
        except KeyboardInterrupt as stopped:
            if str(stopped):
                tell(f"interrupted: {stopped}")
                signals.told = True
            raise
    # what is left on workers is told by the kind of device, as are those that were not used
    out.lacks(found.warnings if keeping.scheduler else filter(None, [left_in_words(found)]))
    return found


def emitted(out: Output, found: "Sweep", asked: "Sequence[Asked]") -> None:
    """Write latency tables, and say so.

    Raises:
        InputError: Nothing was timed, or a format has one place for two rows.
        OutputError: A file cannot be written.
    """
    from dscost.pages.sweep_tables import line_of_table
    from dscost.sweeping.emitting import emit

    for one in emit(found.rows, asked):
        out.note(f"wrote {line_of_table(one)}")


def check_timed(found: "Sweep", measuring: how.Measuring) -> None:
    """Refuse to end well where a runtime was asked for and nothing at all was timed under it."""
    from dscost.sweeping.timed_sweep import untimed_of

    is_timed = any(row.latency_s is not None for row in found.rows)
    how.check_timed(measuring, timed=is_timed, untimed=untimed_of(found.rows))
