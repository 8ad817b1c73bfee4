"""What a model is given, written as text: `1,3,224,224`, `ids=1,128:int64`. No torch."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from dscost.errors import InputError

INPUT_DTYPES = (
    *("float32", "float16", "bfloat16", "float64"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
    *("complex64", "complex128"),
)
"""What an input may be of."""

INPUT_EXAMPLE = "1,3,224,224 or ids=1,128:int64"

NAME_PATTERN = "[A-Za-z_][A-Za-z0-9_]*"
_SIZE = r"-?\d{1,15}"
_INPUT = re.compile(rf"(?:(?P<name>{NAME_PATTERN})=)?(?P<shape>{_SIZE}(?:,{_SIZE})*)(?::(?P<dtype>\w+))?", re.ASCII)


def input_pattern(*, named: bool = True) -> str:
    """Return the pattern of the texts that `parse_input` takes, sizes above 0, as Python and JSON Schema read it.

    Args:
        named: Whether a name may stand before the shape.
    """
    name = f"(?:{NAME_PATTERN}=)?" if named else ""
    size = "(?!0+(?![0-9]))[0-9]{1,15}"
    return rf"^\s*{name}{size}(?:\s*,\s*{size})*(?::(?:{'|'.join(INPUT_DTYPES)}))?\s*$"


class TensorSpec(NamedTuple):
    """A tensor to be made.

    Args:
        shape: Of the tensor.
        dtype: Name of a torch dtype, or `None` for that of the model; integers are zeros, so that they index anything.
        name: Of the keyword argument, or `None` for the next positional one.
    """

    shape: tuple[int, ...]
    dtype: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        """Return it as it is written, `ids=1,128:int64`."""
        named = f"{self.name}=" if self.name else ""
        typed = f":{self.dtype}" if self.dtype else ""
        return f"{named}{','.join(map(str, self.shape))}{typed}"


Inputs = tuple[int, ...] | tuple[TensorSpec, ...]
"""A single plain shape, which every target takes; or what only a torch model takes: several, with names and dtypes."""


def parse_input(text: str) -> TensorSpec:
    """Return the tensor that `[NAME=]SHAPE[:DTYPE]` stands for.

    Raises:
        InputError: It is none.

    >>> parse_input("ids=1,128:int64")
    TensorSpec(shape=(1, 128), dtype='int64', name='ids')
    """
    found = _INPUT.fullmatch(re.sub(r"\s*,\s*", ",", text.strip()))
    if found is None:
        raise InputError(f"expected something like {INPUT_EXAMPLE}, found '{text}'")
    return TensorSpec(tuple(int(size) for size in found["shape"].split(",")), found["dtype"], found["name"])


def inputs_of(specs: Sequence[TensorSpec]) -> Inputs:
    """Return a single plain shape as such, and anything else as it is.

    Raises:
        InputError: Two have one name.

    >>> inputs_of([TensorSpec((1, 8))])
    (1, 8)
    """
    names = [spec.name for spec in specs if spec.name]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two inputs are called '{name}'")
    if len(specs) == 1 and specs[0] == TensorSpec(specs[0].shape):
        return specs[0].shape
    return tuple(specs)
