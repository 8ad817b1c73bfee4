"""Tables of a sweep that are written as they are counted: CSV, JSON lines, Parquet."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dscost.cli.output_options import Asked
from dscost.cli.printing import Output
from dscost.cli.streams import result_stream
from dscost.errors import InputError, OutputError
from dscost.pages import View
from dscost.sweeping import FORMATS, PARQUET

if TYPE_CHECKING:
    from dscost.sweeping.column_tables import Table
    from dscost.sweeping.writing import Written


class TableFile(NamedTuple):
    """A table that is to be written.

    Args:
        format: Of `dscost.sweeping.FORMATS`.
        path: Where to; stdout where there is none.
    """

    format: str
    path: Path | None


class Split(NamedTuple):
    """What is asked of the output: tables, and all else.

    Args:
        asked: What is asked beside the tables.
        tables: What is to be written.
        has_result: Whether the result is one of these, and the first.
    """

    asked: Asked
    tables: tuple[TableFile, ...] = ()
    has_result: bool = False

    @property
    def paths(self) -> list[Path]:
        """The files that are to be written."""
        return [one.path for one in self.tables if one.path is not None]

    def check(self, view: View) -> None:
        """Refuse what has no meaning for the result where that is a table of all rows.

        Raises:
            InputError: It is to be sorted or cut.
        """
        for option, value in (("sort", view.sort), ("top", view.top)):
            if self.has_result and value is not None:
                raise InputError(f"--{option} has no meaning for --format {self.tables[0].format}")


def split(asked: Asked, *, is_large: bool) -> Split:
    """Return tables that are written as they are counted, and what else is asked of the output.

    Args:
        asked: The output options of the command line.
        is_large: Whether there are too many rows to be held; else only Parquet is such a table.

    Raises:
        InputError: Parquet is to go to stdout, or many rows into a document.
    """
    streamed = FORMATS if is_large else (PARQUET,)
    others: list[str] = []
    tables: list[TableFile] = []
    for entry in asked.export or ():
        name, equals, path = entry.partition("=")
        file = Path(path if equals else entry)
        format_name = name if equals else file.suffix.lower()[1:]
        if format_name in streamed and file.name:
            tables.append(TableFile(format_name, file))
        else:
            others.append(entry)
    by_ending = asked.path.suffix.lower()[1:] if asked.path and not asked.json else ""
    main = asked.format_name or by_ending
    has_result = main in streamed and not asked.json
    if has_result:
        if main == PARQUET and asked.path is None:
            raise InputError("Parquet is written to a file: -o TABLE.parquet")
        tables.insert(0, TableFile(main, asked.path))
        asked = asked._replace(format_name=None, path=None)
    return Split(asked._replace(export=others or None), tuple(tables), has_result)


def write_table(file: TableFile, tables: "Iterable[Table]", out: Output) -> "Written":
    """Write a table that comes in parts, and say so.

    Raises:
        OutputError: It cannot be written.
        UnavailableError: What it takes is not installed.
    """
    from dscost.sweeping.writing import write_tables

    if file.path is None:
        stream = result_stream()
        if stream is None:
            raise OutputError("cannot write the result: no stdout")
        stream.flush()
        return write_tables(tables, stream.buffer, file.format)
    written = write_tables(tables, file.path, file.format)
    out.note(f"wrote {file.path} ({written.rows:,} rows)")
    return written
