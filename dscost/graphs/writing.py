"""A network as data → an ONNX model with random weights that keep its values in scale. No torch.

Nodes are called as the operations, and weights as the state dict of the torch module that
`dscost.modules.building` makes of them. Its batch is that of the operations.
"""

from collections.abc import Sequence
from math import prod, sqrt
from typing import NamedTuple

from google.protobuf.message import EncodeError
from onnx import ModelProto, checker, helper

from dscost.errors import InputError, UnknownNameError, first_line
from dscost.graphs.draft import FLOATS, Draft, Pen
from dscost.graphs.layer_nodes import write
from dscost.layers.others import ActivationSpec, JoinSpec, PoolSpec
from dscost.networks.network import NETWORK_INPUT, Operation
from dscost.notation.units import dtype_bytes, format_bytes
from dscost.version import __version__

INPUT, OUTPUT = "input", "output"
"""What the values are called that a network reads and writes."""
MOST_BYTES = 2**31 - 2**20
"""Of weights: protobuf holds less than 2 GiB, some of it for the nodes."""


def written(
    operations: Sequence[Operation], *, dtype: str = "float32", name: str = "network", seed: int = 0
) -> ModelProto:
    """Return a network as an ONNX model.

    Args:
        operations: In running order; the last one makes its output.
        dtype: Of weights and activations.
        name: What the graph is called.
        seed: Of its random weights.

    Raises:
        InputError: ONNX has no such network, or cannot hold so many weights.
    """
    _require_possible(operations, dtype)
    draft = Draft(dtype, seed)
    values, scales = {NETWORK_INPUT: INPUT}, {NETWORK_INPUT: Scale(1.0, is_centred=True)}
    last = len(operations) - 1
    for at, operation in enumerate(operations):
        values[at] = OUTPUT if at == last else f"{operation.name}/{OUTPUT}"
        read = [scales[source] for source in operation.sources]
        reads = [values[source] for source in operation.sources]
        write(Pen(draft, operation, reads, read[0].square, values[at]))
        scales[at] = _scale(operation, read)
    given = next(one.input_shapes[0] for one in operations if one.sources[0] == NETWORK_INPUT)
    graph, number = draft.graph, FLOATS[dtype]
    graph.name = name
    graph.input.append(helper.make_tensor_value_info(INPUT, number, given))
    for at, operation in enumerate(operations):
        told = graph.output if at == last else graph.value_info
        told.append(helper.make_tensor_value_info(values[at], number, operation.output_shape))
    model = draft.model
    model.producer_name, model.producer_version = "dscost", __version__
    model.opset_import.add(version=draft.opset)
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    return model


def content_of(model: ModelProto) -> bytes:
    """Return a model as a file holds it, seen to be valid by onnx.

    Raises:
        InputError: It is not, or is too large for a file.
    """
    content = serialized(model)
    try:
        checker.check_model(content)
    except (ValueError, checker.ValidationError) as error:
        raise InputError(f"ONNX cannot hold it: {first_line(error)}") from error
    return content


def serialized(model: ModelProto) -> bytes:
    """Return a model as a file holds it.

    Raises:
        InputError: It is too large for a file.
    """
    try:
        content: bytes = model.SerializeToString()
    except (EncodeError, ValueError) as error:
        raise InputError(f"ONNX cannot hold it: {first_line(error)}") from error
    return content


def _require_possible(operations: Sequence[Operation], dtype: str) -> None:
    if dtype not in FLOATS:
        dtype_bytes(dtype)  # one that there is at all
        raise UnknownNameError("dtype of an ONNX file", dtype, FLOATS)
    numbers = sum(one.spec.params + one.spec.buffers for one in operations)
    size = numbers * dtype_bytes(dtype)
    if size > MOST_BYTES:
        raise InputError(f"an ONNX file holds at most 2 GiB, the weights are {format_bytes(size)}")


# -- the scale of what goes through a network


class Scale(NamedTuple):
    """How large the values of a tensor are, about.

    Args:
        square: The mean of their squares.
        is_centred: Whether as many are below zero as above.
    """

    square: float
    is_centred: bool = False


def _scale(operation: Operation, read: Sequence[Scale]) -> Scale:
    """Return the scale of what an operation writes, by those of what it reads.

    It keeps deep networks in the range of float16, as training does: sums of products with weights
    have 1, and normalisations know what they read.
    """
    first = read[0]
    match operation.spec:
        case ActivationSpec(kind="sigmoid" | "hard_sigmoid" | "softmax"):
            return Scale(0.3)
        case ActivationSpec(kind="tanh"):
            return Scale(min(first.square, 1.0))
        case ActivationSpec():  # half of it is cut off, or nearly so
            return Scale(first.square / 2 if first.is_centred else first.square)
        case JoinSpec(kind="add"):
            return _sum(read)
        case JoinSpec():
            return Scale(prod(one.square for one in read))
        case PoolSpec(kind="max"):
            return Scale(2 * first.square)
    if operation.op in ("convolution", "transposed_convolution", "linear", "normalization"):
        return Scale(1.0, is_centred=True)
    if operation.op == "global_pooling":  # the mean of what a ReLU lets through
        return Scale(first.square / 3)
    return Scale(max(one.square for one in read), all(one.is_centred for one in read))


def _sum(read: Sequence[Scale]) -> Scale:
    """Return the scale of a sum: what has one sign does not cancel out."""
    alike = sum(sqrt(one.square) for one in read if not one.is_centred)
    centred = sum(one.square for one in read if one.is_centred)
    return Scale(alike**2 + centred, is_centred=not alike)
