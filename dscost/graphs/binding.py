"""The inputs of a graph, and what they are given as: every axis has a size before nodes run."""

from collections.abc import Mapping, Sequence
from typing import Any

from onnx import GraphProto, ValueInfoProto

from dscost.errors import InputError, UnknownNameError
from dscost.graphs.reading import DTYPES
from dscost.graphs.values import Value
from dscost.networks.network import NETWORK_INPUT
from dscost.notation.inputs import TensorSpec
from dscost.traces import INPUT


def inputs_of(graph: GraphProto) -> list[ValueInfoProto]:
    """Return what a graph has to be given: older files list what they store as well."""
    stored = {one.name for one in graph.initializer}
    return [one for one in graph.input if one.name not in stored]


def bound(graph: GraphProto, given: Any, batch: int | None) -> dict[str, Value]:
    """Return the inputs of a graph by name, of the sizes that are given for them.

    Args:
        given: A shape, several, or `TensorSpec`s with the names of inputs; nothing to leave it all
            to the file.
        batch: The size of the first axis of every input that leaves that open.

    Raises:
        InputError: An axis is left open, or has another size in the file; or there is no such
            input.
    """
    inputs = inputs_of(graph)
    wanted = _by_name([one.name for one in inputs], given)
    sizes: dict[str, int] = {}
    values: dict[str, Value] = {}
    for at, one in enumerate(inputs):
        tensor = one.type.tensor_type
        spec = wanted.get(one.name)
        axes = [_axis(axis) for axis in tensor.shape.dim]
        shape: list[int] = []
        for place, axis in enumerate(axes):
            size: int | str | None = axis
            if spec is not None and place < len(spec.shape):
                size = spec.shape[place]
            elif isinstance(axis, str):
                size = sizes.get(axis) if axis else None
                size = batch if size is None and place == 0 else size
            if size is None:
                raise InputError(f"axis '{axis}' of input '{one.name}' is open: give its size")
            if isinstance(axis, str) and axis:
                sizes.setdefault(axis, int(size))
            shape.append(int(size))
        dtype = DTYPES.get(tensor.elem_type, "")
        values[one.name] = Value(
            dtype, tuple(shape), None, NETWORK_INPUT, f"{INPUT}{at}", (), -1 - at
        )
    return values


def _axis(axis: Any) -> int | str:
    size: int | str = axis.dim_value if axis.HasField("dim_value") else axis.dim_param
    return size


def _by_name(names: Sequence[str], given: Any) -> Mapping[str, TensorSpec]:
    if given is None:
        return {}
    specs = given
    if isinstance(given, TensorSpec) or (given and isinstance(given[0], int)):
        specs = (given,)
    found: dict[str, TensorSpec] = {}
    left = iter(names)
    for one in specs:
        spec = one if isinstance(one, TensorSpec) else TensorSpec(tuple(one))
        name = spec.name or next(left, None)
        if name is None or name not in names:
            raise UnknownNameError("input", str(name), names)
        found[name] = spec
    return found
