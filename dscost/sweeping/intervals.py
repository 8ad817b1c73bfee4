"""Between which bounds the result of whole-number arithmetic lies: ints of Python, no numpy."""

from collections.abc import Callable

Bounds = tuple[int, int]
"""The least and the largest number there may be, both included."""

LEAST, MOST = -(2**63), 2**63 - 1
"""What 64 bits hold."""
EXACT_REAL = 2**53
"""Whole numbers up to here are exact as floats."""


def fits(bounds: Bounds) -> bool:
    """Whether 64 bits hold every number between bounds."""
    return bounds[0] >= LEAST and bounds[1] <= MOST


def bounds_of(sign: str, left: Bounds, right: Bounds) -> Bounds:
    """Return the bounds of a result; of a quotient and a rest also where 0 is among the divisors.

    >>> bounds_of("*", (-2, 3), (4, 5)), bounds_of("//", (-7, 7), (2, 2))
    ((-10, 15), (-4, 3))
    """
    return _OF[sign](*left, *right)


def known(sign: str, left: Bounds, right: Bounds) -> bool | None:
    """Return what a comparison always comes to; `None` where bounds do not tell.

    >>> known("<", (1, 4), (5, 9)), known(">=", (1, 4), (4, 9))
    (True, None)
    """
    (least, most), (low, high) = left, right
    if most < low:
        return sign in ("<", "<=", "!=")
    if least > high:
        return sign in (">", ">=", "!=")
    if most == low and sign in ("<=", ">"):
        return sign == "<="
    if least == high and sign in (">=", "<"):
        return sign == ">="
    return None


def _product(a: int, b: int, c: int, d: int) -> Bounds:
    products = (a * c, a * d, b * c, b * d)
    return min(products), max(products)


def _quotient(a: int, b: int, c: int, d: int) -> Bounds:
    if c <= 0 <= d:
        most = max(abs(a), abs(b))
        return -most, most
    quotients = (a // c, a // d, b // c, b // d)
    return min(quotients), max(quotients)


def _rest(a: int, b: int, c: int, d: int) -> Bounds:
    if a >= 0 and b < c:
        return a, b
    low, high = min(c + 1, 0), max(d - 1, 0)
    return low, min(high, b) if a >= 0 and c > 0 else high


_OF: dict[str, Callable[[int, int, int, int], Bounds]] = {
    "+": lambda a, b, c, d: (a + c, b + d),
    "-": lambda a, b, c, d: (a - d, b - c),
    "*": _product,
    "//": _quotient,
    "%": _rest,
}
