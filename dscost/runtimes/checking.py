"""What a runtime computes is held against a reference before it is timed.

A fast wrong answer is worth nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dscost.errors import UnavailableError
from dscost.notation.units import format_shape
from dscost.runtimes import How, Running, Runtime
from dscost.runtimes.programs import Array, Program

LARGEST_ERRORS: Mapping[str, float] = {
    "float32": 1e-4,
    "float16": 2e-2,
    "bfloat16": 0.1,
}
"""Of outputs, relative to the largest value of each, by what is multiplied in."""
FINEST = LARGEST_ERRORS["float32"]
"""Of a dtype that is not among them, such as a runtime of others may have, float64 for one: the
reference is of float32."""
NOISE_OF_A_PRODUCT, MOST_NOISE = 0.05, 0.25
"""Of outputs computed in int8: root mean square of what they are off, relative to that of the
outputs, of a network of one convolution or matrix product and of any. Rounding to 8 bits is noise
that adds up over the layers as the root of their number: 0.015 to 0.022 was measured of single
layers, 0.004 to 0.12 of whole networks with random weights."""
PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
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
        UnavailableError: The program has not the form that the runtime takes, or returns something
            that cannot be compared.
    """
    running = runtime.load(program, how)
    for _ in range(CALLS):
        running.call()
    expected = program.reference
    if not all(isinstance(one, np.ndarray | np.generic) for one in expected.outputs):
        raise UnavailableError("it returns more than tensors, which nothing can be held against")
    error = held_against(running, program, runtime, how)
    return Checked(running, error, expected.by)


def held_against(running: Running, program: Program, runtime: Runtime, how: How) -> float:
    """Return how far off the outputs of the last call are, relative to their largest values.

    Raises:
        WrongOutputError: Too far.
    """
    expected, found = program.reference, running.outputs()
    error = largest_error(found, expected.outputs)
    if error is None:
        raise WrongOutputError(
            f"{runtime.title} returns {_shapes(found)}, {expected.by} {_shapes(expected.outputs)}"
        )
    dtype = how.dtype if how.dtype != "float32" else program.precision
    if dtype == "int8":
        off, most = noise_of(found, expected.outputs), _most_noise(program, runtime)
        of_what = "its output by root mean square"
    else:
        off, most, of_what = error, LARGEST_ERRORS.get(dtype, FINEST), "the largest value"
    if not off <= most:  # what is not a number is at most nothing
        raise WrongOutputError(
            f"{runtime.title} computes something else: its output is off by {off:.2g} of "
            f"{of_what}, at most {most:g} is in order (held against {expected.by})"
        )
    return error


def _most_noise(program: Program, runtime: Runtime) -> float:
    """Return how noisy the outputs of a network in int8 may be."""
    if runtime.takes != "onnx":  # the ONNX form would be made for this alone
        return MOST_NOISE
    from dscost.graphs.running import structure_of

    products = sum(node.op_type in PRODUCTS for node in structure_of(program.graph).node)
    return min(NOISE_OF_A_PRODUCT * math.sqrt(max(products, 1)), MOST_NOISE)


def largest_error(found: Sequence[Array], expected: Sequence[Array]) -> float | None:
    """Return the largest difference relative to the largest value; `None` of other shapes.

    >>> largest_error([np.array([1.0, 2.0])], [np.array([1.0, 4.0])])
    0.5
    """
    pairs = list(zip(found, expected, strict=False))
    if len(found) != len(expected) or any(one.shape != other.shape for one, other in pairs):
        return None
    return _worst(map(_largest, found, expected))


def _worst(figures: Iterable[float]) -> float:
    """Return the largest figure; of what is not a number, that it is none."""
    known = list(figures)
    return math.nan if any(map(math.isnan, known)) else max(known, default=0.0)


def _shapes(outputs: Sequence[Array]) -> str:
    return " and ".join(format_shape(one.shape) or "a number" for one in outputs) or "nothing"


def _largest(found: Array, expected: Array) -> float:
    if not expected.size:
        return 0.0
    wide, other = _apart_from_infinities(expected, found)
    largest = float(np.abs(wide).max())
    error = float(np.abs(other - wide).max())  # of what is not a number it is none either
    return error / largest if largest else error


def _apart_from_infinities(expected: Array, found: Array) -> tuple[Array, Array]:
    """Return both with 0 where both have the same infinity, as behind a mask; they differ by none.

    One that only one of them has stays.
    """
    wide, other = expected.astype(np.float64), found.astype(np.float64)
    same = np.isinf(wide) & (wide == other)
    return np.where(same, 0.0, wide), np.where(same, 0.0, other)


def noise_of(found: Sequence[Array], expected: Sequence[Array]) -> float:
    """Return the largest root mean square of a difference, relative to that of the output.

    Args:
        found: Outputs of the same shapes as those expected.
        expected: What they should be.

    >>> noise_of([np.array([3.0, 0.0])], [np.array([3.0, 4.0])])
    0.8
    """
    return _worst(map(_noise, found, expected))


def _noise(found: Array, expected: Array) -> float:
    if not expected.size:
        return 0.0
    wide, other = _apart_from_infinities(expected, found)
    power, off = float(np.square(wide).sum()), float(np.square(other - wide).sum())
    return math.sqrt(off / power) if power else math.sqrt(off)
