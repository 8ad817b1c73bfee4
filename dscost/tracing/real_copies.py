"""Models that run for real, where meta cannot go: copies with values, if memory allows."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]

from dscost.errors import InputError
from dscost.foreign.memory import free_bytes
from dscost.foreign.parts import changed, each_part, each_tensor
from dscost.modules.copying import set_apart
from dscost.tracing.meta_copies import StandIns, sparse_copy
from dscost.tracing.sparse import SPARSE

SPARE_BYTES = 256 * 2**20
"""A model whose weights need no more is run without asking what is free."""

OF_WEIGHTS = 1.25
"""Memory that a real run takes, in that of the weights: features come on top of them."""


def check_memory(model: nn.Module) -> None:
    """Refuse to run a model for real whose weights do not fit into memory.

    Raises:
        InputError: They do not; the text has the figures.
    """
    storages = {
        tensor.untyped_storage()._cdata: tensor
        for tensor in each_tensor(model)
        if tensor.layout is torch.strided and not is_uninitialised(tensor)
    }
    needed, free = (
        sum(tensor.untyped_storage().nbytes() for tensor in storages.values()),
        free_bytes(),
    )
    if needed > SPARE_BYTES and free is not None and needed * OF_WEIGHTS > free:
        raise InputError(
            f"it would have to run for real, but its weights need {needed / 1e9:.3g} GB, "
            f"{free / 1e9:.3g} GB are free"
        )


def is_uninitialised(tensor: Tensor) -> bool:
    """Whether a tensor has no shape before the first pass."""
    return isinstance(tensor, UninitializedTensorMixin)


def real_copy(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU; weights that were on meta become small random numbers."""
    # torch copies no compressed sparse tensor deeply, nor a weight that is computed of others
    memo: dict[int, Any] = {id(tensor): sparse_copy(tensor) for tensor in _sparse_tensors(model)}
    held = [
        value
        for part in each_part(model)
        for value in vars(part).values()
        if isinstance(value, Tensor)
    ]
    memo |= {id(value): value.detach().clone() for value in held if not value.is_leaf}
    model = copy.deepcopy(model, memo)
    set_apart(model, memo)
    if not any(tensor.is_meta for tensor in each_tensor(model)):
        changed(model, lambda tensor: tensor.to("cpu"))
        return model

    def made(tensor: Tensor) -> Tensor:
        new = torch.empty_like(tensor, device="cpu")
        return new.normal_(std=0.01).abs_() if tensor.is_floating_point() else new.zero_()

    changed(model, made)
    return model


def _sparse_tensors(model: nn.Module) -> Iterator[Tensor]:
    for module in each_part(model):
        for held in (module._parameters, module._buffers, module.__dict__):
            yield from (
                value
                for value in held.values()
                if isinstance(value, Tensor) and value.layout in SPARSE
            )


def is_lazy(model: nn.Module) -> bool:
    """Whether some parameter has no shape before the first pass."""
    return any(
        isinstance(module, nn.modules.lazy.LazyModuleMixin) and _has_no_shapes(module)
        for module in each_part(model)
    )


def _has_no_shapes(module: nn.Module) -> bool:
    held = (*module.__dict__["_parameters"].values(), *module.__dict__["_buffers"].values())
    return any(tensor is not None and is_uninitialised(tensor) for tensor in held)


def with_shapes(model: nn.Module, run: Callable[[nn.Module], object]) -> nn.Module:
    """Return a stand-in of a lazy model, its parameters given their shapes by a dry run."""
    standin = StandIns(training=False).module(model)
    run(standin)
    return standin
