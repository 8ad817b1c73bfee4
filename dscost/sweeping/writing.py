"""Tables of a sweep, one behind the other into a file or a stream: CSV, JSON lines, Parquet."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dscost.errors import OutputError, UnknownNameError
from dscost.files import reason_of, replacing
from dscost.sweeping import FORMATS, PARQUET
from dscost.sweeping.ahead import ahead
from dscost.sweeping.column_tables import Table
from dscost.sweeping.records import Impossible
from dscost.sweeping.row_texts import csv_header, csv_lines, json_lines


class Written(NamedTuple):
    """What has been written.

    Args:
        rows: How many.
        impossible: Layers that cannot exist.
        lacking: Variants that layers do not have, by label.
    """

    rows: int = 0
    impossible: Impossible | None = None
    lacking: Mapping[str, Impossible] = {}

    def with_table(self, table: Table) -> "Written":
        """Return what has been written with one more table."""
        lacking = dict(self.lacking)
        for label, one in table.lacking.items():
            lacking[label] = _more(lacking.get(label), one) or one
        impossible = _more(self.impossible, table.impossible)
        return Written(self.rows + table.number, impossible, lacking)


def write_tables(tables: Iterable[Table], to: Path | BinaryIO, format: str) -> Written:
    """Write tables of the same columns as one, as they come.

    Args:
        tables: In the order of their rows.
        to: A file, which is there as a whole or not at all, or a stream, which takes no Parquet.
        format: Of `FORMATS`.

    Raises:
        UnknownNameError: There is no such format.
        OutputError: It cannot be written, or does not hold the numbers.
        UnavailableError: Nothing that is installed writes Parquet.
    """
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    if not isinstance(to, Path):
        if format == PARQUET:
            raise OutputError("Parquet is written to a file, not to a stream: -o TABLE.parquet")
        try:
            return _write_lines(tables, to, format)
        except BrokenPipeError:  # whoever reads has had enough, which is no error of ours
            raise
        except OSError as error:
            raise OutputError(f"cannot write: {reason_of(error)}") from error
    with replacing(to) as temporary:
        if format == PARQUET:
            from dscost.sweeping.parquet import write_parquet

            return _counted(tables, lambda counted: write_parquet(counted, temporary, to))
        with temporary.open("wb") as stream:
            return _write_lines(tables, stream, format)


def _write_lines(tables: Iterable[Table], stream: BinaryIO, format: str) -> Written:
    lines = csv_lines if format == "csv" else json_lines

    def write(counted: Iterator[Table]) -> None:
        for at, table in enumerate(counted):
            if at == 0 and format == "csv":
                stream.write(csv_header(table))
            stream.write(lines(table))
        stream.flush()

    return _counted(tables, write)


def _counted(tables: Iterable[Table], write: Callable[[Iterator[Table]], None]) -> Written:
    """Write tables, and return what they are together."""
    written = Written()

    def counted(found: Iterator[Table]) -> Iterator[Table]:
        nonlocal written
        for table in found:
            yield table
            written = written.with_table(table)

    with closing(ahead(tables)) as found:
        write(counted(found))
    return written


def _more(some: Impossible | None, others: Impossible | None) -> Impossible | None:
    if some is None or others is None:
        return some or others
    return Impossible(some.number + others.number, some.example)
