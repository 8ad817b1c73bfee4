"""What a runtime computes is held against a reference before it is timed.

A fast wrong answer is worth nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dscost.errors import UnavailableError
from dscost.runtimes import How, Running, Runtime
from dscost.runtimes.programs import Array, Program

LARGEST_ERRORS: Mapping[str, float] = {
    "float32": 1e-4,
    "float16": 2e-2,
    "bfloat16": 0.1,
    "int8": 0.5,
}
"""Of outputs, relative to the largest value of each, by what is multiplied in. Whole numbers of 8
bits stand 1/256 apart, and what they are off adds up over the layers: more than half is noise."""
CALLS = 2
"""Made before outputs are looked at: a first call may be right where a second is not."""


class WrongOutputError(UnavailableError):
    """A runtime computes something else than the network that it was given."""


class Checked(NamedTuple):
    """A program that runs, and computes what it should.

    Args:
        running: What runs it.
        error: The largest of its outputs, relative to the largest value of each.
        reference: Who computed what it was held against.
    """

    running: Running
    error: float
    reference: str


def checked(runtime: Runtime, program: Program, how: How) -> Checked:
    """Return a program as a runtime runs it, if that returns what it should.

    Raises:
        WrongOutputError: It does not.
        UnavailableError: The program has not the form that the runtime takes.
    """
    running = runtime.load(program, how)
    for _ in range(CALLS):
        running.call()
    expected = program.reference
    error = held_against(running, program, runtime, how)
    return Checked(running, error, expected.by)


def held_against(running: Running, program: Program, runtime: Runtime, how: How) -> float:
    """Return how far off the outputs of the last call are, relative to their largest values.

    Raises:
        WrongOutputError: Too far.
    """
    expected, most = program.reference, LARGEST_ERRORS[how.dtype]
    error = largest_error(running.outputs(), expected.outputs)
    if error is None:
        raise WrongOutputError(
            f"{runtime.title} returns outputs of other shapes than {expected.by}: not timed"
        )
    if not error <= most:
        raise WrongOutputError(
            f"{runtime.title} computes something else: its output is off by {error:.2g} of the "
            f"largest value, at most {most:g} is in order (held against {expected.by})"
        )
    return error


def largest_error(found: Sequence[Array], expected: Sequence[Array]) -> float | None:
    """Return the largest difference relative to the largest value; `None` of other shapes.

    >>> largest_error([np.array([1.0, 2.0])], [np.array([1.0, 4.0])])
    0.5
    """
    pairs = list(zip(found, expected, strict=False))
    if len(found) != len(expected) or any(one.shape != other.shape for one, other in pairs):
        return None
    return max(map(_largest, found, expected), default=0.0)


def _largest(found: Array, expected: Array) -> float:
    if not expected.size:
        return 0.0
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    largest = float(np.abs(wide).max())
    error = float(np.abs(other - wide).max())  # of what is not a number it is none either
    return error / largest if largest else error
