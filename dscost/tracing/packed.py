"""Weights packed for quantised operators: objects of torch's, no parameters or buffers.

What they hold is read from the state that they are saved with: quantised matrices or kernels, and
biases in float32.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dscost.layers.convolution import Shape

HALF_BYTES = 2
"""Of one value of a matrix packed as float16, which torch unpacks as float32."""


class Packed(NamedTuple):
    """What a packed object holds.

    Args:
        shapes: Of its matrices or kernels; one for a layer, two for a recurrent cell.
        numel: Values of weights and biases.
        nbytes: Their size as they are packed.
    """

    shapes: tuple[Shape, ...]
    numel: int
    nbytes: int

    @property
    def as_argument(self) -> Any:
        """What stands for it among the shapes of an operator's arguments."""
        return self.shapes[0] if len(self.shapes) == 1 else list(self.shapes)


def is_packed(value: Any) -> bool:
    """Whether something is an object of torch that holds packed weights."""
    if not isinstance(value, torch.ScriptObject):
        return False
    kind = str(value._type())
    return kind.endswith(("PackedParamsBase", "CellParamsBase"))


def packed_in(value: Any) -> list[Any]:
    """Return the packed objects in nested arguments, in order."""
    if isinstance(value, tuple | list):
        return [packed for entry in value for packed in packed_in(entry)]
    return [value] if is_packed(value) else []


def unpacked(packed: Any) -> Packed:
    """Return what a packed object holds."""
    tensors = list(_tensors(packed))
    return Packed(
        tuple(tuple(tensor.shape) for tensor in tensors if tensor.dim() > 1),
        sum(tensor.numel() for tensor in tensors),
        sum(map(_nbytes, tensors)),
    )


def _tensors(packed: Any) -> Iterator[Tensor]:
    """Yield weights and biases; a recurrent cell is two linear layers, with their biases again."""
    state = list(_flat(packed.__getstate__()))
    layers = [value for value in state if isinstance(value, torch.ScriptObject)]
    for layer in layers:
        yield from _tensors(layer)
    for value in state if not layers else ():
        # strides, padding and the like are 16-bit integers
        if isinstance(value, Tensor) and value.dtype is not torch.int16:
            yield value


def _flat(state: Any) -> Iterator[Any]:
    if isinstance(state, tuple | list):
        for entry in state:
            yield from _flat(entry)
    else:
        yield state


def _nbytes(tensor: Tensor) -> int:
    if tensor.dtype in _PER_BYTE:
        return -(-tensor.numel() // _PER_BYTE[tensor.dtype])
    is_half = tensor.dtype is torch.float32 and tensor.dim() > 1
    return HALF_BYTES * tensor.numel() if is_half else tensor.nbytes


_PER_BYTE = {torch.quint4x2: 2, torch.quint2x4: 4}
"""Values in a byte, of types whose tensors claim a byte for each."""
