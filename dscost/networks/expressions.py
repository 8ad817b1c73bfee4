"""The small expressions of an architecture file, such as `round8(c * width)`.

Numbers, names, arithmetic, comparisons, `and`, `or`, `not`, `a if b else c`, list items and the
functions below; nothing else of Python can be reached. `and`, `or` and `not` give true or false,
whatever they join; 0, none and an empty list count as false.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from dscost.errors import InputError, did_you_mean

MAX_LENGTH = 200
MAX_NUMBER = 1e15

UNKNOWN = object()
"""Stands in a scope for a value that an earlier mistake leaves unknown."""


class UnknownValue(Exception):
    """An expression needs a value that is `UNKNOWN`; why is reported elsewhere."""


def divisible(value: float, divisor: int) -> int:
    """Return the multiple of `divisor` nearest to `value`, never below 90 % of it.

    Source:
        `_make_divisible` of the TensorFlow MobileNets, which V2, V3 and EfficientNet share.

    >>> divisible(32 * 1.4, 8), divisible(24 * 0.75, 8), divisible(3, 8)
    (48, 24, 8)
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def round8(value: float) -> int:
    """Return the nearest multiple of 8, as `divisible` finds it."""
    return divisible(value, 8)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "round8": round8,
    "divisible": divisible,
    "floor": math.floor,
    "ceil": math.ceil,
    "max": max,
    "min": min,
}

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}

_FORBIDDEN_SIGNS: dict[type[ast.AST], str] = {
    ast.Pow: "**", ast.MatMult: "@", ast.LShift: "<<", ast.RShift: ">>", ast.BitOr: "|",
    ast.BitXor: "^", ast.BitAnd: "&", ast.Invert: "~", ast.UAdd: "a leading +", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


class Expression:
    """A parsed expression; an `InputError` where it is none, or uses more of Python than it may."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise InputError(f"an expression may have {MAX_LENGTH} characters, found {len(text)}")
        try:
            with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
                self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InputError(f"not an expression: '{text}'") from error
        for node in ast.walk(self._tree):
            if not isinstance(node, _ALLOWED):
                what = _FORBIDDEN_SIGNS.get(type(node), type(node).__name__)
                raise InputError(f"'{text}': {what} is not allowed in an expression")
            if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
                raise InputError(f"'{text}': only numbers and names are allowed")
            if isinstance(node, ast.Call) and (
                not isinstance(node.func, ast.Name) or node.keywords
            ):
                raise InputError(f"'{text}': only calls of {', '.join(FUNCTIONS)} are allowed")

    def names(self) -> Iterator[str]:
        """Yield the names that must be in scope, functions left out."""
        called = set(self.functions())
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Name) and node.id not in called:
                yield node.id

    def functions(self) -> Iterator[str]:
        """Yield the names of the functions that it calls."""
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                yield node.func.id  # type: ignore[attr-defined]

    def __call__(self, scope: Mapping[str, Any]) -> Any:
        """Return its value.

        Raises:
            InputError: A name is not in scope, or the values do not fit the operation.
            UnknownValue: It needs a value that is `UNKNOWN`.
        """
        try:
            return _value(self._tree, scope)
        except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise InputError(f"'{self.text}' cannot be computed: {error}") from error


_ALLOWED = (
    ast.Name, ast.Load, ast.Constant, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.And, ast.Or,
    ast.Compare, ast.IfExp, ast.Subscript, ast.Call, *_OPERATORS,
)  # fmt: skip


def _value(node: ast.AST, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            if node.id not in scope:
                raise InputError(f"unknown name '{node.id}'{did_you_mean(node.id, scope)}")
            if scope[node.id] is UNKNOWN:
                raise UnknownValue
            return scope[node.id]
        case ast.BinOp():
            left, right = _value(node.left, scope), _value(node.right, scope)
            if not (isinstance(left, int | float) and isinstance(right, int | float)):
                raise TypeError("arithmetic needs numbers")
            result = _OPERATORS[type(node.op)](left, right)
            if abs(result) > MAX_NUMBER:
                raise OverflowError(f"a number beyond {MAX_NUMBER:.0e}")
            return result
        case ast.UnaryOp():
            return _OPERATORS[type(node.op)](_value(node.operand, scope))
        case ast.BoolOp():
            # lazily, as in Python: `n > 0 and 8 / n` is right for 0
            results = (_value(operand, scope) for operand in node.values)
            return all(results) if isinstance(node.op, ast.And) else any(results)
        case ast.Compare():
            sides = [_value(side, scope) for side in (node.left, *node.comparators)]
            compared = zip(node.ops, pairwise(sides), strict=True)
            return all(_OPERATORS[type(op)](*pair) for op, pair in compared)
        case ast.IfExp():
            return _value(node.body if _value(node.test, scope) else node.orelse, scope)
        case ast.Subscript():
            return _value(node.value, scope)[_value(node.slice, scope)]
        case ast.Call(func=ast.Name(id=name)):
            if name not in FUNCTIONS:
                raise InputError(f"unknown function '{name}'{did_you_mean(name, FUNCTIONS)}")
            return FUNCTIONS[name](*(_value(argument, scope) for argument in node.args))
    raise InputError(f"{type(node).__name__} is not allowed in an expression")
