"""Tables as a Parquet file, by pyarrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dscost.errors import OutputError, needing
from dscost.sweeping.column_tables import Labels, Table
from dscost.sweeping.columns import Array

COMPRESSION = "zstd"


def write_parquet(tables: Iterator[Table], path: Path, to: Path) -> None:
    """Write tables of the same columns, a group of rows each.

    Args:
        tables: In the order of their rows.
        path: Where they are written.
        to: What errors call that.

    Raises:
        OutputError: A number is beyond 64 bits.
        UnavailableError: pyarrow is not installed.
        OSError: It cannot be written.
    """
    with needing("pyarrow", "sweep"):
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    writer: Any = None
    try:
        for table in tables:
            check_numbers(table, to)
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


def check_numbers(table: Table, to: Path) -> None:
    """Refuse numbers that 64 bits do not hold.

    Raises:
        OutputError: There are such.
    """
    for name, column in table.columns.items():
        if not isinstance(column, Labels) and column.dtype == object:
            raise OutputError(
                f"cannot write {to}: {name} {max(column.tolist()):,} is more than the 64 bits of "
                "Parquet hold; CSV and JSON lines hold it"
            )


def _arrow(column: Labels | Array) -> Any:
    """Return a column as pyarrow has it; what is unknown is null."""
    import pyarrow

    if not isinstance(column, Labels):
        return pyarrow.array(column, from_pandas=column.dtype == np.float64)
    types = {int: pyarrow.int64(), bool: pyarrow.bool_()}
    if column.kind in types:
        values = pyarrow.array(column.values, types[column.kind])
        return values.take(pyarrow.array(column.which))
    # pyarrow writes no dictionary that has nothing among its values
    known = [str(one) for one in column.values if one is not None]
    places = np.cumsum([one is not None for one in column.values], dtype=np.int32) - 1
    unknown = np.array([one is None for one in column.values])
    which = pyarrow.array(places[column.which], mask=unknown[column.which])
    return pyarrow.DictionaryArray.from_arrays(which, pyarrow.array(known, pyarrow.string()))
