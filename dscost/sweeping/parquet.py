"""Tables as a Parquet file, by pyarrow or, where only that is here, by duckdb."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dscost.errors import OutputError, needing
from dscost.sweeping.column_tables import Labels, Table
from dscost.sweeping.columns import Array
from dscost.sweeping.intervals import fits

COMPRESSION = "zstd"


def write_parquet(tables: Iterator[Table], path: Path, to: Path) -> None:
    """Write tables of the same columns, a group of rows each.

    Args:
        tables: In the order of their rows.
        path: Where they are written.
        to: What errors call that.

    Raises:
        OutputError: A number is beyond 64 bits.
        UnavailableError: Neither pyarrow nor duckdb is installed.
        OSError: It cannot be written.
    """
    checked = (checked_numbers(table, to) for table in tables)
    if not find_spec("pyarrow") and find_spec("duckdb"):
        from dscost.sweeping.parquet_by_duckdb import write_by_duckdb

        write_by_duckdb(checked, path)
        return
    with needing("pyarrow", "sweep"):
        _write_by_pyarrow(checked, path)


def checked_numbers(table: Table, to: Path) -> Table:
    """Return a table whose numbers 64 bits hold, as such.

    Raises:
        OutputError: They do not.
    """
    columns = {name: _checked(name, column, to) for name, column in table.columns.items()}
    return table._replace(columns=columns)


def _checked(name: str, column: Labels | Array, to: Path) -> Labels | Array:
    """Return a column in 64 bits; ints of Python stand also where only their bounds leave these."""
    if isinstance(column, Labels) or column.dtype != object:
        return column
    least, most = column.min(), column.max()
    if not fits((least, most)):
        large = most if fits((least, 0)) else least
        raise OutputError(
            f"cannot write {to}: {name} {large:,} is more than the 64 bits of Parquet hold; "
            "CSV and JSON lines hold it"
        )
    return column.astype(np.int64)


def _write_by_pyarrow(tables: Iterator[Table], path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    writer: Any = None
    try:
        for table in tables:
            arrays = [_arrow(column) for column in table.columns.values()]
            batch = pyarrow.RecordBatch.from_arrays(arrays, names=list(table.columns))
            if writer is None:
                labels = [name for name, one in table.columns.items() if isinstance(one, Labels)]
                writer = ParquetWriter(
                    path, batch.schema, compression=COMPRESSION, use_dictionary=labels
                )
            writer.write_batch(batch)
    finally:
        if writer is not None:
            writer.close()


def _arrow(column: Labels | Array) -> Any:
    """Return a column as pyarrow has it; what is unknown is null.

    It is made of its bytes: to ask pyarrow for it takes longer, since that imports pandas.
    """
    import pyarrow

    if not isinstance(column, Labels):
        if column.dtype == np.float64:
            return _of_bytes(pyarrow.float64(), column, ~np.isnan(column))
        return _of_bytes(pyarrow.int64(), column)
    unknown = np.array([one is None for one in column.values])
    known = ~unknown[column.which] if unknown.any() else None
    if column.kind is not str:
        kind = pyarrow.bool_() if column.kind is bool else pyarrow.int64()
        values: Array = np.array([one or 0 for one in column.values], column.kind)
        return _of_bytes(kind, values[column.which], known)
    # pyarrow writes no dictionary that has nothing among its values
    places = (np.cumsum(~unknown) - 1).astype(np.int32)
    which = places[column.which] if unknown.any() else column.which
    texts = [str(one).encode() for one in column.values if one is not None]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts))]
    dictionary = pyarrow.Array.from_buffers(pyarrow.string(), len(texts), buffers)
    return pyarrow.DictionaryArray.from_arrays(_of_bytes(pyarrow.int32(), which, known), dictionary)


def _of_bytes(kind: Any, values: Array, known: Array | None = None) -> Any:
    """Return numbers, or true and false, as pyarrow has them, and null where they are unknown."""
    import pyarrow

    bits = None if known is None else pyarrow.py_buffer(np.packbits(known, bitorder="little"))
    packed = np.packbits(values, bitorder="little") if values.dtype == bool else values
    whole = pyarrow.py_buffer(np.ascontiguousarray(packed))
    return pyarrow.Array.from_buffers(kind, len(values), [bits, whole])
