"""A file → its graph without the weights: their types are all that is needed."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, TensorProto

from dscost.errors import InputError
from dscost.graphs.values import BITS, MOST_KNOWN, Value
from dscost.traces import Parameter

DTYPES = {
    number: name.lower() for name, number in TensorProto.DataType.items() if name != "UNDEFINED"
}
DTYPES[TensorProto.FLOAT], DTYPES[TensorProto.DOUBLE] = "float32", "float64"
"""The dtypes of tensors in files, by their number there."""

MOST_BYTES = 2**31
"""No ONNX file is larger than what protobuf can hold."""


def read_model(path: Path) -> ModelProto:
    """Return the model of a file; nothing else is read, no external data either.

    Raises:
        InputError: There is no such file, or it is no ONNX file.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{path}: {size:,} bytes, an ONNX file has at most {MOST_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InputError(f"{path}: not an ONNX file, or a part of one") from error
    if not model.HasField("graph") or not model.graph.node:
        raise InputError(f"{path}: not an ONNX file: it has no graph with a node in it")
    return model


def stored_value(tensor: TensorProto, name: str) -> Value:
    """Return what is known of a stored tensor: its values too, if it is small and in the file."""
    shape, dtype = tuple(tensor.dims), DTYPES.get(tensor.data_type, "")
    value = Value(dtype, shape, None, name=name)
    value = value._replace(stored=(Parameter(name, value.elements, value.nbytes),))
    is_here = tensor.data_location != TensorProto.EXTERNAL
    if is_here and BITS.get(dtype) and 0 <= value.elements <= MOST_KNOWN:
        try:
            return value._replace(content=onnx.numpy_helper.to_array(tensor))
        except (ValueError, TypeError):
            return value
    return value


def graphs_in(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and all graphs inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs_in(attribute.g)
            for inner in attribute.graphs:
                yield from graphs_in(inner)
