"""Grids of any size → one table in a file or a stream. Without numpy it says how to install it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dscost.errors import needing
from dscost.sweeping.grids import Grid

if TYPE_CHECKING:
    from dscost.sweeping.writing import Written


def write_grids(
    grids: Sequence[Grid],
    to: Path | BinaryIO,
    format: str,
    columns: Sequence[str] | None = None,
) -> "Written":
    """Count every layer of some grids, and write them as they come: no more than a part is held.

    Args:
        grids: Of any size.
        to: A file, which is there as a whole or not at all, or a stream, which takes no Parquet.
        format: `csv`, `jsonl` or `parquet`.
        columns: See `dscost.sweeping.chunks.count_grids`; what is not asked for is not computed.

    Returns:
        How many rows there are, and what was left out of them.

    Raises:
        UnknownNameError: There is no such column or format.
        OutputError: It cannot be written, or does not hold the numbers.
        UnavailableError: numpy is not installed, or nothing that writes Parquet.
    """
    with needing("numpy", "sweep"):
        from dscost.sweeping.chunks import count_grids
        from dscost.sweeping.writing import write_tables
    return write_tables(count_grids(grids, columns), to, format)
