"""Tensors that are stored in a file: what is wrong with them, and what is known of their values."""

import re
from collections.abc import Mapping
from math import prod

import numpy as np
import onnx
from onnx import SparseTensorProto, TensorProto

from dscost.errors import InputError
from dscost.graphs.positions import LARGEST, is_mask, may_be_added, params_in
from dscost.graphs.values import BITS, MOST_KNOWN, Value
from dscost.traces import Parameter

DTYPES = {
    number: name.lower() for name, number in TensorProto.DataType.items() if name != "UNDEFINED"
}
DTYPES[TensorProto.FLOAT], DTYPES[TensorProto.DOUBLE] = "float32", "float64"
"""The dtypes of tensors in files, by their number there."""
NUMBERS = {name: number for number, name in DTYPES.items()}
"""And the other way round."""

_RAW: Mapping[int, np.dtype] = {
    TensorProto.INT64: np.dtype("<i8"),
    TensorProto.INT32: np.dtype("<i4"),
    TensorProto.FLOAT: np.dtype("<f4"),
    TensorProto.BOOL: np.dtype("?"),
}
"""What most sizes and numbers are as raw bytes, read at once; onnx reads all others."""

_MADE = re.compile(r"/(.*/)?Constant(_\d+)?_output_0|val_\d+")
"""How torch's exporters call what is in no model."""

MOST_FILLED = 2**16
"""Bytes of ones or zeros that are looked at."""

MOST_ELEMENTS = 2**48
"""Of a tensor: none that is larger has been stored anywhere."""
MOST_FLOATS_KNOWN = 64
"""Fractions that sizes are worked out by, as scales, are few; more are weights."""


def bytes_of(tensor: TensorProto) -> int:
    """Return how many bytes a tensor's elements take by its shape and dtype; 0 for texts."""
    bits: int = BITS.get(DTYPES.get(tensor.data_type, ""), 0)
    elements: int = prod(tensor.dims)
    return -(-elements * bits // 8)


def is_external(tensor: TensorProto) -> bool:
    """Whether the elements of a tensor stand in another file."""
    return bool(tensor.data_location == TensorProto.EXTERNAL)


def is_followed(tensor: TensorProto) -> bool:
    """Whether the values of a tensor are wanted: those of few elements."""
    dtype = DTYPES.get(tensor.data_type, "")
    most = MOST_FLOATS_KNOWN if "float" in dtype else MOST_KNOWN
    return dtype in BITS and 0 <= prod(tensor.dims) <= most


def is_looked_at(tensor: TensorProto) -> bool:
    """Whether the elements of a tensor in another file are read: few, or they tell what it is."""
    length = bytes_of(tensor)
    is_row = len(tensor.dims) == 1 and length <= MOST_FILLED and _MADE.fullmatch(tensor.name)
    return is_followed(tensor) or bool(is_row) or (may_be_added(tensor) and length <= LARGEST)


def check_stored(tensor: TensorProto, raw_bytes: int | None = None) -> None:
    """Refuse a tensor that cannot be, or whose data are not as long as its shape says.

    Args:
        tensor: As it stands in a file.
        raw_bytes: The length of its raw data, where these were left out.

    Raises:
        InputError: Its shape, its dtype, or its data are wrong.
    """
    dims, dtype = tuple(tensor.dims), DTYPES.get(tensor.data_type)
    elements = prod(dims)
    if dtype is None:
        found = f"dtype {tensor.data_type}, which does not exist"
        raise InputError(f"tensor '{tensor.name}' is of {found}")
    if elements > MOST_ELEMENTS or min(dims, default=0) < 0:
        raise InputError(f"tensor '{tensor.name}' has the impossible shape {_written(dims)}")
    raw_bytes = raw_bytes or len(tensor.raw_data)
    if raw_bytes and tensor.data_type == TensorProto.STRING:
        raise InputError(f"tensor '{tensor.name}' is of texts, and has {raw_bytes:,} raw bytes")
    if not raw_bytes or is_external(tensor) or dtype not in BITS:
        return
    wanted = -(-elements * BITS[dtype] // 8)
    if raw_bytes != wanted:
        raise InputError(
            f"tensor '{tensor.name}' of {_written(dims)} {dtype} takes {wanted:,} bytes, "
            f"but {raw_bytes:,} are stored"
        )


def _written(dims: tuple[int, ...]) -> str:
    shown = " × ".join(map(str, dims[:8])) + (" × …" if len(dims) > 8 else "")
    return shown or "()"


def stored_value(tensor: TensorProto, name: str) -> Value:
    """Return what is known of a stored tensor: its values too, if it is small and in the file."""
    shape, dtype = tuple(tensor.dims), DTYPES.get(tensor.data_type, "")
    whole = (Parameter(name, params_in(tensor), bytes_of(tensor)),)
    stored = () if _is_filler(tensor, name) or is_mask(tensor) else whole
    is_known = is_followed(tensor) and not is_external(tensor)
    content = _content(tensor, shape) if is_known else None
    return Value(dtype, shape, content, name=name, stored=stored)


def _is_filler(tensor: TensorProto, name: str) -> bool:
    """Whether an exporter made a row of ones or zeros, for a normalisation that has no parameters.

    Its name tells it from parameters before they are trained, which keep theirs.
    """
    if len(tensor.dims) != 1 or tensor.data_type != TensorProto.FLOAT or not _MADE.fullmatch(name):
        return False
    content = _content(tensor, tuple(tensor.dims))
    if content is None or not content.size:
        return False
    return bool(content[0] in (0, 1) and (content == content[0]).all())


def _content(tensor: TensorProto, shape: tuple[int, ...]) -> np.ndarray | None:
    raw, dtype = tensor.raw_data, _RAW.get(tensor.data_type)
    try:
        if raw and dtype is not None:
            return np.frombuffer(raw, dtype).reshape(shape)
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError):  # fewer elements than the shape says: their values are unknown
        return None


def sparse_value(tensor: SparseTensorProto, name: str) -> Value:
    """Return what is known of a tensor of which only entries beside zero are stored: its type."""
    dtype = DTYPES.get(tensor.values.data_type, "")
    nbytes = bytes_of(tensor.values) + bytes_of(tensor.indices)
    stored = Parameter(name, prod(tensor.values.dims), nbytes)
    return Value(dtype, tuple(tensor.dims), None, name=name, stored=(stored,))
