"""What a model is given, as text: `1,3,224,224`, `ids=1,128:int64`, `lengths=1:int64=200`.

A shape may also be written as others print it: `1x3x224x224`, `1×3×224×224`, `(1, 3, 224, 224)`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from math import inf, prod
from typing import Any, NamedTuple

from dscost.errors import InputError
from dscost.notation.bare_words import excerpt
from dscost.notation.literals import parse_value

INPUT_DTYPES = (
    *("float32", "float16", "bfloat16", "float64"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
    *("complex64", "complex128"),
)
"""What an input may be of."""

INPUT_EXAMPLE = "1,3,224,224 or ids=1,128:int64"

NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_]*"
"""The name of an argument in Python."""
INPUT_NAME_PATTERN = r"""[^\s=,'"():0-9\[\]{}+\-][^\s=,'"]*"""
"""The name of an input: of an ONNX file it may be `serving_default_x:0`, `images.1` or `a/b`."""
_SIZE = r"-?\d{1,15}"


def _shape_pattern(size: str) -> str:
    """Return the pattern of a shape of such sizes: one sign between all of them, or brackets."""
    commas = rf"{size}(?:\s*,\s*{size})*"
    signs = rf"{size}(?:\s*[xX×*]\s*{size})+|{size}(?:\s+{size})+"
    brackets = rf"\(\s*{commas}\s*,?\s*\)|\[\s*{commas}\s*\]"
    return rf"(?:{commas}|{signs}|{brackets}|\(\))"


_INPUT = re.compile(
    rf"(?:(?P<name>{INPUT_NAME_PATTERN})\s*=\s*)?(?P<shape>{_shape_pattern(_SIZE)})"
    r"(?:\s*:\s*(?P<dtype>\w+))?"
    r"(?:\s*=\s*(?P<fill>\S.*))?",
    re.ASCII | re.DOTALL,
)
_RANGE = re.compile(r"([-+]?\d{1,15})\.\.([-+]?\d{1,15})", re.ASCII)
_INFINITIES = {"inf": inf, "+inf": inf, "-inf": -inf}
_NO_TENSOR = re.compile(
    rf"({NAME_PATTERN})\s*=\s*(?:[Tt]rue|[Ff]alse|None|null|[-+]?\d*\.\d+|'.*'|\".*\"|(?!\d)\w+)",
    re.ASCII,
)


def input_pattern(*, named: bool = True) -> str:
    """Return the pattern of what `parse_input` takes, sizes above 0, as JSON Schema reads it.

    Unless `named` is false, a name may stand before the shape.
    """
    name = rf"(?:{INPUT_NAME_PATTERN}\s*=\s*)?" if named else ""
    shape = _shape_pattern("(?!0+(?![0-9]))[0-9]{1,15}")
    number = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|[-+]?inf|[Tt]rue|[Ff]alse"
    fill = rf"{number}|[-+]?[0-9]+\.\.[-+]?[0-9]+|[\[(].*[\])]"
    return rf"^\s*{name}{shape}(?:\s*:\s*(?:{'|'.join(INPUT_DTYPES)}))?(?:\s*=\s*(?:{fill}))?\s*$"


class TensorSpec(NamedTuple):
    """A tensor to be made.

    Args:
        shape: Sizes of the tensor; empty for a single number.
        dtype: Name of a torch dtype, or `None` for that of the model.
        name: The keyword argument, or the input of an ONNX file, that it is for; `None` for the
            next positional one.
        fill: Its values: one for all, a range, or nested tuples as long as the shape or its last
            sizes. Without, floating-point numbers are random, integers zeros, so that they index
            anything, and truth values true.
    """

    shape: tuple[int, ...]
    dtype: str | None = None
    name: str | None = None
    fill: Any = None

    def __str__(self) -> str:
        """Return it as it is written, `ids=1,128:int64`."""
        named = f"{self.name}=" if self.name else ""
        typed = f":{self.dtype}" if self.dtype else ""
        filled = "" if self.fill is None else f"={_fill_text(self.fill)}"
        return f"{named}{','.join(map(str, self.shape)) or '()'}{typed}{filled}"


Inputs = tuple[int, ...] | tuple[TensorSpec, ...]
"""A single plain shape, which every target takes; or what only a torch model takes: several, with
names and dtypes."""


def parse_input(text: str) -> TensorSpec:
    """Return the tensor that `[NAME=]SHAPE[:DTYPE][=VALUES]` stands for.

    >>> parse_input("ids=1,128:int64")
    TensorSpec(shape=(1, 128), dtype='int64', name='ids', fill=None)
    >>> parse_input("lengths=2:int64=[200, 180]").fill, parse_input("t=():float32=0.5").shape
    ((200, 180), ())
    """
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise InputError(_no_input(text))
    sizes = tuple(int(size) for size in re.findall(_SIZE, found["shape"], re.ASCII))
    spec = TensorSpec(sizes, found["dtype"], found["name"])
    if found["fill"] is None:
        return spec
    try:
        spec = spec._replace(fill=_fill(found["fill"].strip()))
        check_fill(spec)
    except InputError as error:
        raise InputError(f"'{excerpt(text)}': {error}") from error
    return spec


def _no_input(text: str) -> str:
    given = _NO_TENSOR.fullmatch(text.strip())
    if given:
        return (
            f"'{excerpt(text)}' is no tensor: an example_input() beside the factory, "
            f"or input={{...}} in Python, can give {given[1]} a value of another kind; "
            f"for a tensor expected something like {INPUT_EXAMPLE}"
        )
    return f"expected something like {INPUT_EXAMPLE}, found '{excerpt(text)}'"


def _fill(text: str) -> Any:
    between = _RANGE.fullmatch(text)
    if between:
        first, last = int(between[1]), int(between[2])
        if last < first:
            raise InputError(f"a range goes upwards, found {excerpt(text)}")
        return range(first, last + 1)
    if text in _INFINITIES:
        return _INFINITIES[text]
    return _frozen(parse_value(text), text)


def _frozen(value: Any, text: str) -> Any:
    if isinstance(value, list | tuple) and value and not hasattr(value, "_fields"):
        entries = tuple(_frozen(entry, text) for entry in value)
        if len({fill_shape(entry) for entry in entries}) > 1:
            raise InputError(f"the lists in {excerpt(text, 60)} are not of one length")
        return entries
    if not isinstance(value, bool | int | float):
        raise InputError(
            "the values of a tensor are numbers such as 200, 0..199 or [1, 2, 3], "
            f"found {excerpt(text, 60)}"
        )
    return value


def _fill_text(fill: Any) -> str:
    if isinstance(fill, range):
        return f"{fill[0]}..{fill[-1]}"
    if isinstance(fill, tuple):
        return f"[{', '.join(map(_fill_text, fill))}]"
    return str(fill)


def fill_shape(fill: Any) -> tuple[int, ...]:
    """Return the shape that values have by themselves: none where one is for all.

    >>> fill_shape(3), fill_shape(range(5)), fill_shape(((1, 2), (3, 4), (5, 6)))
    ((), (5,), (3, 2))
    """
    if isinstance(fill, range):
        return (len(fill),)
    return (len(fill), *fill_shape(fill[0])) if isinstance(fill, tuple) else ()


def _values(fill: Any) -> Iterator[Any]:
    if isinstance(fill, range):
        yield from (fill[0], fill[-1])  # between them lies the rest
    elif isinstance(fill, tuple):
        for entry in fill:
            yield from _values(entry)
    else:
        yield fill


MOST_FILLED = 2**27
"""More elements than that are not filled with values: half a gigabyte."""

_BITS = {"int64": 64, "long": 64, "int32": 32, "int": 32, "int16": 16, "short": 16, "int8": 8}
_WHOLE: Mapping[str, tuple[float, float]] = {
    **{dtype: (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for dtype, bits in _BITS.items()},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
"""The least and the largest of each kind of whole number."""
_LARGEST: Mapping[str, float] = {
    **dict.fromkeys(("float16", "half"), 65504.0),
    **dict.fromkeys(("float32", "float"), (2 - 2**-23) * 2.0**127),
    "bfloat16": (2 - 2**-7) * 2.0**127,
}
"""The largest finite number of each kind of floating point that is narrower than Python's."""


def is_shape(value: Any) -> bool:
    """Whether something is a shape as it is given: a list or tuple of sizes."""
    is_list = isinstance(value, tuple | list) and bool(value)
    return is_list and all(type(size) is int for size in value)


def check_fill(spec: TensorSpec) -> None:
    """Refuse values that a tensor cannot hold: of another number, or of another kind."""
    shape, own = spec.shape, fill_shape(spec.fill)
    if prod(shape) > MOST_FILLED:
        raise InputError(f"more than {MOST_FILLED:,} elements are not filled with values")
    if own and prod(own) != prod(shape) and own != shape[len(shape) - len(own) :]:
        size = "x".join(map(str, shape)) or "1"
        raise InputError(
            f"{prod(own)} values do not fill {size}: expected {prod(shape)}, or the last sizes"
        )
    for value in _values(spec.fill):
        wrong = _misfit(value, spec.dtype)
        if wrong:
            raise InputError(wrong)


def _misfit(value: Any, dtype: str | None) -> str | None:
    """Return why a value is none of a dtype; `None` is that of the model, floating-point."""
    if dtype == "bool":
        return None if value in (0, 1) else f"a bool is true or false, found {value}"
    if isinstance(value, bool):
        return f"{str(value).lower()} is of a bool: write :bool behind the shape"
    if dtype in _WHOLE and not isinstance(value, int):
        return f"{dtype} holds whole numbers, found {value}"
    low, high = _WHOLE.get(dtype or "", (-inf, inf))
    overflows = _LARGEST.get(dtype or "", inf) < abs(value) < inf
    return None if low <= value <= high and not overflows else f"{value} does not fit {dtype}"


def inputs_of(specs: Sequence[TensorSpec]) -> Inputs:
    """Return a single plain shape as such, and anything else as it is; no two may have one name.

    >>> inputs_of([TensorSpec((1, 8))])
    (1, 8)
    """
    names = [spec.name for spec in specs if spec.name]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two inputs are called '{name}'")
    if len(specs) == 1 and specs[0].shape and specs[0] == TensorSpec(specs[0].shape):
        return specs[0].shape
    return tuple(specs)
