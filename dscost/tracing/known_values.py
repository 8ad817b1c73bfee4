"""Which values of its input are known when a model runs on meta, and which are assumed."""

import inspect
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from dscost.tracing.inputs import Arguments, changed_by_name
from dscost.tracing.meta_copies import keeps_values

_MASK = re.compile(r"(?:^|_)masks?$")


def beside_meta(arguments: Arguments) -> Arguments:
    """Return the arguments on meta, but for small tensors of integers and truth values."""

    def moved(_: str, tensor: Tensor) -> Tensor:
        if keeps_values(tensor) and not (tensor.is_floating_point() or tensor.is_complex()):
            return tensor.detach().clone()
        return Arguments((tensor,), {}).on("meta").args[0]  # type: ignore[no-any-return]

    return _changed(arguments, _names_of(None), moved)


def with_masks(model: nn.Module, arguments: Arguments) -> tuple[Arguments, tuple[str, ...]]:
    """Return the arguments with masks that hide nothing for mere shapes, and what to say of it.

    A mask has a name that ends so, and integers or truth values: ones, as `attention_mask` of
    transformers; but zeros where it tells what is padding, as `key_padding_mask` of torch.
    """
    filled: list[str] = []

    def made(name: str, tensor: Tensor) -> Tensor:
        if (
            not (tensor.is_meta and _MASK.search(name))
            or tensor.is_floating_point()
            or tensor.is_complex()
        ):
            return tensor
        filled.append(name)
        value = 0 if "padding" in name else 1
        return torch.full(tensor.shape, value, dtype=tensor.dtype, device="cpu")

    arguments = _changed(arguments, _names_of(model), made)
    names = " and ".join(dict.fromkeys(filled))
    return arguments, (
        f"No values were given for {names}: taken as hiding nothing.",
    ) if names else ()


def _names_of(model: nn.Module | None) -> list[str]:
    """Return the names of the positional arguments of a forward."""
    if model is None:
        return []
    try:
        return list(inspect.signature(type(model).forward).parameters)[1:]
    except (
        AttributeError,
        TypeError,
        ValueError,
    ):
        # a forward that Python cannot look into, as of compiled code
        return []


def _changed(
    arguments: Arguments, names: list[str], change: Callable[[str, Tensor], Tensor]
) -> Arguments:
    positional = [*names, *[""] * len(arguments.args)]
    return Arguments(
        tuple(
            changed_by_name(name, value, change)
            for name, value in zip(positional, arguments.args, strict=False)
        ),
        {name: changed_by_name(name, value, change) for name, value in arguments.kwargs.items()},
    )
