"""Sweeps: many layers, or models, each counted and timed, into one table and what it says."""

__all__ = ["FORMATS", "HELD_ROWS", "PARQUET"]

PARQUET = "parquet"
"""A format of sweeps alone: it is no text."""
FORMATS = ("csv", "jsonl", PARQUET)
"""What tables are written as that may be too large to be held, by the ending of their files."""
HELD_ROWS = 5_000
"""A table of more rows is written as it is counted, and told by its ends."""
