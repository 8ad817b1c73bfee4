"""Numbers of many layers at once that stand where a layer has one: what counts one counts all.

The layers of a box are all combinations of some values per axis, so what depends on one axis alone
has as many numbers as that has values, and what depends on several is as large as their product:
arrays broadcast. Every result is exact: where the bounds of its numbers leave 64 bits, it holds
ints of Python. Nothing is computed before it is needed, and nothing twice.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dscost.layers.whole import Several, Whole
from dscost.sweeping.intervals import EXACT_REAL, Bounds, bounds_of, fits, known

Array = NDArray[Any]


class Split(Several):
    """What was to be decided differs among the layers of a box.

    Args:
        mask: Of which layers it holds; as many axes as the box, of length 1 where it does not
            depend on one. `None` where a single number was needed.
        shape: On which axes it depends: those of more than one value.
    """

    def __init__(self, mask: Array | None, shape: tuple[int, ...]) -> None:
        super().__init__(mask, shape)
        self.mask, self.shape = mask, shape


class Box:
    """The layers that are evaluated at once.

    Args:
        shape: How many values each axis has.
        live: Which combinations count, broadcast over the box; what comes out for the others is
            never looked at. `None` means all.
    """

    def __init__(self, shape: tuple[int, ...], live: Array | None = None) -> None:
        self.shape, self.live = shape, live
        self.first = (0,) * len(shape)
        if live is not None:
            at = np.unravel_index(int(np.argmax(live)), live.shape)
            self.first = tuple(int(one) for one in at)
        self._known: dict[Any, Any] = {}

    def column(self, array: Array) -> "Column | int":
        """Return numbers that broadcast over the box; as an int where all are one."""
        low, high = int(array.min()), int(array.max())
        if low == high:
            return low
        if fits((low, high)):
            array = array.astype(np.int64, copy=False)
        return Column(self, array.shape, (low, high), array)

    def along(self, axis: int, numbers: Sequence[int]) -> "Column | int":
        """Return the values of an axis."""
        is_small = fits((min(numbers), max(numbers)))
        array = np.array(numbers, dtype=np.int64 if is_small else object)
        places = [1] * len(self.shape)
        places[axis] = len(numbers)
        return self.column(array.reshape(places))

    def close(self) -> None:
        """Forget what was computed: columns and their box refer to each other."""
        self._known.clear()

    def place(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return where an array that broadcasts over the box has the first layer that counts."""
        return tuple(at if size > 1 else 0 for at, size in zip(self.first, shape, strict=True))

    def made(self, kind: Any, sign: str, left: Any, right: Any, *more: Any) -> Any:
        """Return what is computed of two operands: the same of the same."""
        key = (sign, _key(left), _key(right))
        found = self._known.get(key)
        if found is None:
            # operands are kept as long as the box is, so that no other takes the place of one
            shape = tuple(map(max, _shape(left, self), _shape(right, self)))
            found = self._known[key] = kind(self, shape, *more, (sign, left, right))
        return found


class Lazy:
    """What a box has of each layer, computed when it is needed."""

    __slots__ = ("_array", "_made_of", "box", "shape")

    def __init__(self, box: Box, shape: tuple[int, ...], made: Any) -> None:
        self.box, self.shape = box, shape
        self._array: Array | None = None if type(made) is tuple else made
        self._made_of: Any = made if type(made) is tuple else None

    @property
    def array(self) -> Array:
        """What it comes to; each axis has the length of the box, or 1."""
        if self._array is None:
            self._array = self._compute(*self._made_of)
        return self._array

    def _compute(self, sign: str, left: Any, right: Any) -> Array:
        raise NotImplementedError

    def _at_first(self) -> Any:
        """Return what the first of the layers that count has."""
        return self.array[self.box.place(self.shape)]


class Truth(Lazy):
    """Of which layers something holds; true or false where that is the same of all."""

    __slots__ = ()

    def __bool__(self) -> bool:
        held, live = self.array, self.box.live
        if live is None:
            some, every = bool(held.any()), bool(held.all())
        else:
            some, every = bool((held & live).any()), bool((held | ~live).all())
        if some and not every:
            raise Split(held, self.shape)
        return every

    def _compute(self, sign: str, left: Any, right: Any) -> Array:
        a, b = _operands(left, right)
        is_mixed = not (_is_whole(left) and _is_whole(right))
        if is_mixed and not (_is_exact_real(left) and _is_exact_real(right)):
            a, b = _exact(a), _exact(b)
        return np.asarray(_COMPARISONS[sign](a, b), dtype=bool)


def _operator(sign: str) -> tuple[Any, Any]:
    return (
        lambda self, other: _arithmetic(sign, self, other),
        lambda self, other: _arithmetic(sign, other, self),
    )


def _comparison(sign: str) -> Any:
    return lambda self, other: _compared(sign, self, other)


class _Number(Lazy):
    """Numbers as operands."""

    __slots__ = ()

    __add__, __radd__ = _operator("+")
    __sub__, __rsub__ = _operator("-")
    __mul__, __rmul__ = _operator("*")
    __truediv__, __rtruediv__ = _operator("/")
    __eq__, __ne__ = _comparison("=="), _comparison("!=")
    __lt__, __le__ = _comparison("<"), _comparison("<=")
    __gt__, __ge__ = _comparison(">"), _comparison(">=")

    def __neg__(self) -> Any:
        return _arithmetic("-", 0, self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return -self if self < 0 else self

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __hash__(self) -> int:
        return hash(self._single())

    def __int__(self) -> int:
        return int(self._single())

    def __str__(self) -> str:
        return str(_plain(self._at_first()))

    def __repr__(self) -> str:
        return str(self)

    def __format__(self, how: str) -> str:
        return format(_plain(self._at_first()), how)

    def _single(self) -> Any:
        """Return the number of all layers; where they differ, they are to be parted."""
        found, live = self._at_first(), self.box.live
        same = self.array == found
        if not np.all(same if live is None else same | ~live):
            raise Split(None, self.shape)
        return _plain(found)


class Real(_Number):
    """Floats."""

    __slots__ = ()

    def _compute(self, sign: str, left: Any, right: Any) -> Array:
        if sign == "/" and not (_is_exact_real(left) and _is_exact_real(right)):
            # the quotient of large whole numbers is rounded once, not three times
            pairs = np.broadcast(*(np.asarray(one, dtype=object) for one in _operands(left, right)))
            numbers = [a / b if b else 0.0 for a, b in pairs]
            return np.array(numbers, dtype=np.float64).reshape(pairs.shape)
        a, b = _operands(left, right)
        with np.errstate(all="ignore"):  # of layers that do not count
            return np.asarray(_OPERATORS[sign](a, b), dtype=np.float64)


class Column(_Number, Whole):
    """Whole numbers, at least two of them that differ, with the least and the largest there may be.

    Arithmetic with ints and other columns of its box is that of ints of Python. The truth of a
    comparison, and whatever needs one number, such as a hash or `range`, is that of all layers that
    count, else `Split` is raised. Its text is that of the first layer.
    """

    __slots__ = ("bounds",)

    def __init__(self, box: Box, shape: tuple[int, ...], bounds: Bounds, made: Any) -> None:
        super().__init__(box, shape, made)
        self.bounds = bounds

    __floordiv__, __rfloordiv__ = _operator("//")
    __mod__, __rmod__ = _operator("%")

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, exponent: Any) -> Any:
        if type(exponent) is not int or exponent < 0:
            return NotImplemented
        power: Any = 1
        for _ in range(exponent):
            power = power * self
        return power

    def __index__(self) -> int:
        return int(self._single())

    def __floor__(self) -> "Column":
        return self

    __ceil__ = __trunc__ = __floor__

    def _compute(self, sign: str, left: Any, right: Any) -> Array:
        a, b = _operands(left, right)
        is_small = fits(self.bounds)
        if not is_small:
            a, b = _exact(a), _exact(b)
        if sign in ("//", "%"):
            low, high = _bounds(right)
            if low <= 0 <= high:  # of layers that do not count
                b = np.where(b == 0, 1, b)
        found = np.asarray(_OPERATORS[sign](a, b))
        return found.astype(np.int64) if is_small and found.dtype == object else found


# -- arithmetic


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": operator.truediv,
}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NEUTRAL = {"+": 0, "-": 0, "*": 1, "//": 1}
"""With what at its right an operator changes nothing."""


def _arithmetic(sign: str, left: Any, right: Any) -> Any:
    if not (_is_number(left) and _is_number(right)):
        return NotImplemented
    box: Box = (left if isinstance(left, Lazy) else right).box
    if sign in ("/", "//", "%") and right == 0:
        raise ZeroDivisionError("division by zero")
    if sign == "/" or not (_is_whole(left) and _is_whole(right)):
        return box.made(Real, sign, left, right)
    if type(right) is int and right == _NEUTRAL.get(sign):
        return left
    if type(left) is int and sign in "+*" and left == _NEUTRAL[sign]:
        return right
    bounds = bounds_of(sign, _bounds(left), _bounds(right))
    if bounds[0] == bounds[1]:
        return bounds[0]
    return box.made(Column, sign, left, right, bounds)


def _compared(sign: str, left: Any, right: Any) -> Any:
    if not _is_number(right):
        return NotImplemented
    if left is right:
        return sign in ("==", "<=", ">=")
    if _is_whole(left) and _is_whole(right):
        always = known(sign, _bounds(left), _bounds(right))
        if always is not None:
            return always
    return left.box.made(Truth, sign, left, right)


def _operands(left: Any, right: Any) -> tuple[Any, Any]:
    """Return what numpy computes with: ints of Python wherever one operand has such."""
    a, b = _array(left), _array(right)
    return (_exact(a), _exact(b)) if is_exact(a) or is_exact(b) else (a, b)


def _array(value: Any) -> Any:
    return value.array if isinstance(value, Lazy) else value


def is_exact(value: Any) -> bool:
    """Whether something holds ints of Python, since 64 bits would not hold them."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype == object)
    return isinstance(value, int) and not fits((value, value))


def _exact(value: Any) -> Any:
    return value.astype(object) if isinstance(value, np.ndarray) else value


def _bounds(value: Any) -> Bounds:
    return value.bounds if isinstance(value, Column) else (int(value), int(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, _Number))


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, Column))


def _is_exact_real(value: Any) -> bool:
    """Whether numbers are the same as floats."""
    if not _is_whole(value):
        return True
    low, high = _bounds(value)
    return low >= -EXACT_REAL and high <= EXACT_REAL


def _key(value: Any) -> Any:
    return (id(value),) if isinstance(value, Lazy) else (type(value), value)


def _shape(value: Any, box: Box) -> tuple[int, ...]:
    return value.shape if isinstance(value, Lazy) else (1,) * len(box.shape)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
