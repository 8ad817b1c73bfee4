"""Tables as a Parquet file, by duckdb: into a database beside the file, then from that into it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dscost.sweeping.column_tables import Labels, Table

_ERRNO = re.compile(r'"errno":"(\d+)"')


def write_by_duckdb(tables: Iterator[Table], path: Path) -> None:
    """Write tables of the same columns.

    Args:
        tables: In the order of their rows.
        path: Where they are written.

    Raises:
        OSError: It cannot be written.
    """
    import duckdb

    # other systems of files are often small, such as one in memory
    folder = path.parent if path.is_file() else None
    with TemporaryDirectory(dir=folder, prefix=".dscost-") as beside:
        connection = duckdb.connect(str(Path(beside) / "rows.duckdb"))
        try:
            for at, table in enumerate(tables):
                _add(connection, table, is_first=at == 0)
            target = str(path).replace("'", "''")
            connection.execute(f"COPY rows TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
        except duckdb.IOException as error:
            found = _ERRNO.search(str(error))
            number = int(found[1]) if found else 0
            told = os.strerror(number) if number else str(error).partition("\n")[0]
            raise OSError(number, told) from error
        finally:
            connection.close()


def _add(connection: Any, table: Table, *, is_first: bool) -> None:
    """Add a table to the rows of a database."""
    given: dict[str, Any] = {}
    told: list[str] = []
    texts: list[list[str | None]] = []
    for at, (name, column) in enumerate(table.columns.items()):
        key = f"c{at}"
        if not isinstance(column, Labels):
            given[key] = column  # what is no number becomes null
            told.append(f"{key} AS {name}")
        else:
            given[key] = column.which
            texts.append([None if one is None else str(one) for one in column.values])
            kind = {int: "BIGINT", bool: "BOOLEAN"}.get(column.kind, "VARCHAR")
            told.append(f"CAST((${len(texts)})[{key} + 1] AS {kind}) AS {name}")
    connection.register("given", {key: np.ascontiguousarray(one) for key, one in given.items()})
    into = "CREATE TABLE rows AS" if is_first else "INSERT INTO rows"
    connection.execute(f"{into} SELECT {', '.join(told)} FROM given", texts)
    connection.unregister("given")
