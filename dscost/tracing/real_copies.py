"""Models that run for real, where meta cannot go: copies with values, if memory allows."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from dscost.errors import InputError
from dscost.foreign.memory import free_bytes
from dscost.foreign.parts import changed, each_part, each_tensor, own_tensors
from dscost.modules.copying import set_apart
from dscost.tracing.calling import called
from dscost.tracing.inputs import Arguments
from dscost.tracing.meta_copies import StandIns, detached_copy
from dscost.tracing.sparse import address_of, is_sparse

SPARE_BYTES = 256 * 2**20
"""A model whose weights need no more is run without asking what is free."""

OF_WEIGHTS = 1.25
"""Memory that a real run takes, in that of the weights: features come on top of them."""


def check_memory(model: nn.Module) -> None:
    """Refuse to run a model for real whose weights do not fit into memory.

    Raises:
        InputError: They do not; the text has the figures.
    """
    sizes = {}
    for tensor in each_tensor(model):
        if tensor.layout is torch.strided and not is_lazy(tensor):
            sizes[address_of(tensor)] = tensor.untyped_storage().nbytes()
    needed, free = sum(sizes.values()), free_bytes()
    if needed > SPARE_BYTES and free is not None and needed * OF_WEIGHTS > free:
        raise InputError(
            f"it would have to run for real, but its weights need {needed / 1e9:.3g} GB, "
            f"{free / 1e9:.3g} GB are free"
        )


def real_copy(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU; weights that were on meta become small random numbers."""
    # torch copies no compressed sparse tensor deeply, nor a weight that is computed of others
    memo: dict[int, Any] = {}
    for part in each_part(model):
        for held in (*own_tensors(part), vars(part)):
            for value in held.values():
                if isinstance(value, Tensor) and (is_sparse(value) or not value.is_leaf):
                    memo[id(value)] = detached_copy(value)
    model = copy.deepcopy(model, memo)
    set_apart(model, memo)
    is_without_values = any(tensor.is_meta for tensor in each_tensor(model))
    changed(model, _with_values if is_without_values else lambda tensor: tensor.to("cpu"))
    return model


def _with_values(tensor: Tensor) -> Tensor:
    new = torch.empty_like(tensor, device="cpu")
    return new.normal_(std=0.01).abs_() if tensor.is_floating_point() else new.zero_()


def with_shapes(model: nn.Module, arguments: Arguments) -> nn.Module:
    """Return a model, or a stand-in whose parameters have the shapes that a dry run gives them."""
    lazy = (one for one in each_part(model) if isinstance(one, LazyModuleMixin))
    if not any(map(LazyModuleMixin.has_uninitialized_params, lazy)):
        return model
    standin = StandIns(training=False).module(model)
    with torch.device("meta"), torch.no_grad():
        called(standin, arguments.on("meta"))
    return standin
