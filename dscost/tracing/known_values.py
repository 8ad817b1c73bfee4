"""Which values of its input are known when a model runs on meta, and which are assumed."""

import inspect
import re

import torch
from torch import Tensor, nn

from dscost.tracing.inputs import Arguments, moved
from dscost.tracing.meta_copies import keeps_values
from dscost.tracing.sparse import takes_gradients

_MASK = re.compile(r"(?:^|_)masks?$")


def beside_meta(arguments: Arguments) -> Arguments:
    """Return the arguments on meta, but for small tensors of integers and truth values."""

    def beside(_: str, tensor: Tensor) -> Tensor:
        if keeps_values(tensor) and not takes_gradients(tensor):
            return tensor.detach().clone()
        return moved(tensor, "meta")

    return arguments.changed(beside)


def with_masks(model: nn.Module, arguments: Arguments) -> tuple[Arguments, tuple[str, ...]]:
    """Return the arguments with masks that hide nothing for mere shapes, and what to say of it.

    A mask has a name that ends so, and integers or truth values: ones, as `attention_mask` of
    transformers; but zeros where it tells what is padding, as `key_padding_mask` of torch.
    """
    filled: list[str] = []

    def made(name: str, tensor: Tensor) -> Tensor:
        if not (tensor.is_meta and _MASK.search(name)) or takes_gradients(tensor):
            return tensor
        filled.append(name)
        value = 0 if "padding" in name else 1
        return torch.full(tensor.shape, value, dtype=tensor.dtype, device="cpu")

    arguments = arguments.changed(made, _names_of(model))
    names = " and ".join(dict.fromkeys(filled))
    note = f"No values were given for {names}: taken as hiding nothing."
    return arguments, (note,) if names else ()


def _names_of(model: nn.Module) -> list[str]:
    """Return the names of the positional arguments of a forward."""
    try:
        return list(inspect.signature(type(model).forward).parameters)[1:]
    except (AttributeError, TypeError, ValueError):  # of compiled code, which is not looked into
        return []
