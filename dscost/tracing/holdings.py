"""What a model holds: its parameters and buffers, each under its first name."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from dscost.parts import own_tensors


class Parameter(NamedTuple):
    """A parameter of the model; shared ones appear once, under their first name."""

    name: str
    numel: int
    nbytes: int
    trainable: bool = True


class Held(NamedTuple):
    """A parameter or buffer as the tracer meets it.

    Args:
        name: In the model.
        is_parameter: Or a buffer.
        address: Of its storage.
        nbytes: Of the tensor.
        storage_nbytes: Of what it is a view of.
        tensor: Kept alive, so that neither its identity nor its address is given to another one.
    """

    name: str
    is_parameter: bool
    address: int
    nbytes: int
    storage_nbytes: int
    tensor: Tensor


class Holdings(NamedTuple):
    """Parameters and buffers, to be found by what an operator gets.

    Args:
        by_tensor: By identity of the tensor object.
        by_storage: By address of the storage, which a view shares.
        parameters: In the order of the modules.
    """

    by_tensor: dict[int, Held]
    by_storage: dict[int, Held]
    parameters: list[Parameter]


def holdings_of(modules: Sequence[tuple[str, nn.Module]]) -> Holdings:
    """Return what modules hold, given every module once with its path."""
    by_tensor: dict[int, Held] = {}
    by_storage: dict[int, Held] = {}
    parameters: list[Parameter] = []
    for path, module in modules:
        prefix = f"{path}." if path else ""
        held_parameters, buffers = own_tensors(module)
        for tensors in (held_parameters, buffers):
            is_parameter = tensors is held_parameters
            for name, tensor in tensors.items():
                if tensor is None or id(tensor) in by_tensor or isinstance(tensor, UninitializedTensorMixin):
                    continue
                storage, nbytes = tensor.untyped_storage(), tensor.nbytes
                held = Held(prefix + name, is_parameter, storage._cdata, nbytes, storage.nbytes(), tensor)
                by_tensor[id(tensor)] = held
                by_storage.setdefault(held.address, held)
                if is_parameter:
                    parameters.append(Parameter(held.name, tensor.numel(), nbytes, tensor.requires_grad))
    return Holdings(by_tensor, by_storage, parameters)
