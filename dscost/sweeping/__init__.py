"""Sweeps: many layers, or models, each counted and timed, into one table and what it says."""

__all__ = ["HELD_ROWS"]

HELD_ROWS = 5_000
"""A table of more rows is written as it is counted, and told by its ends."""
