"""Latency tables that were written in the formats of others → a line for each."""

from dscost.notation.units import counted
from dscost.sweeping.records import Emitted


def line_of_table(emitted: Emitted) -> str:
    """Return where a table is, how much it has, and what has no place in it.

    >>> from pathlib import Path
    >>> line_of_table(Emitted(Path("lut.yaml"), "nn-Meter's kernel data", 48, 60, 0, {"ghost": 12}))
    "lut.yaml: 48 entries of 60 rows; 12 rows have no place in nn-Meter's kernel data: 12 ghost"
    """
    line = f"{emitted.path}: {emitted.keys:,} {_entries(emitted.keys)} of "
    line += counted(emitted.rows, "row")
    if emitted.left_out:
        number = sum(emitted.left_out.values())
        kinds = ", ".join(f"{count} {label}" for label, count in emitted.left_out.items())
        have = "have" if number > 1 else "has"
        line += f"; {counted(number, 'row')} {have} no place in {emitted.title}: {kinds}"
    if emitted.untimed:
        was = "were" if emitted.untimed > 1 else "was"
        line += f"; {counted(emitted.untimed, 'row')} {was} not timed"
    return line


def _entries(number: int) -> str:
    return "entry" if number == 1 else "entries"
