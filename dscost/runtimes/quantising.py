"""A program in the dtype that it is to be run in: float32 as it is, int8 by QDQ nodes."""

from pathlib import Path

from dscost.errors import UnavailableError
from dscost.runtimes import How
from dscost.runtimes.programs import Program


def in_dtype(program: Program, how: How) -> bytes | Path:
    """Return the graph of a program that multiplies in the dtype that is asked for."""
    if how.dtype == "float32":
        return program.graph
    raise UnavailableError(f"no program of {how.dtype}")
