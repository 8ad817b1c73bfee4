"""What a torch module is made of, looked at and changed without calling any of its methods.

A class may give `train`, `to` or `parameters` another meaning: the first starts a training run
where somebody wraps a whole workflow in a module. So nothing here calls what a class can override;
a module's `__dict__` says it all.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


def unwrapped(module: nn.Module) -> nn.Module:
    """Return what torch.compile's wrapper wraps; any other module as it is."""
    inner = children_of(module).get("_orig_mod")
    return module if inner is None else inner


def children_of(module: nn.Module) -> dict[str, nn.Module | None]:
    """Return the modules that a module holds, by name."""
    held = _held(module, "_modules")
    # compiled code has a kind of its own
    return held if isinstance(held, dict) else dict(held.items())


def own_tensors(module: nn.Module) -> tuple[dict[str, Tensor | None], dict[str, Tensor | None]]:
    """Return the parameters and the buffers that a module itself holds, by name."""
    own = module.__dict__
    parameters, buffers = own.get("_parameters"), own.get("_buffers")
    if parameters is None or buffers is None:
        return _held(module, "_parameters"), _held(module, "_buffers")
    return parameters, buffers


def named_parts(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield every module once, under its first path, as `named_modules` does."""
    seen: set[int] = set()
    waiting = [("", root)]
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        children = module.__dict__.get("_modules")
        if type(children) is not dict:
            children = children_of(module)
        if children:
            prefix = f"{path}." if path else ""
            for name, child in reversed(children.items()):
                if child is not None:
                    waiting.append((prefix + name, child))


def each_part(root: nn.Module) -> Iterator[nn.Module]:
    """Return every module once, in the order of `named_parts`."""
    return (module for _, module in named_parts(root))


def device_of(root: nn.Module) -> str:
    """Return where the first parameter of a model is; without any, it may be anywhere."""
    return next((str(parameter.device) for parameter in each_parameter(root)), "cpu")


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype without that of torch, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def each_parameter(root: nn.Module) -> Iterator[Tensor]:
    """Yield every parameter once."""
    return _each_once(own_tensors(module)[0] for module in each_part(root))


def each_tensor(root: nn.Module) -> Iterator[Tensor]:
    """Yield every parameter and buffer once."""
    return _each_once(held for module in each_part(root) for held in own_tensors(module))


def set_training(root: nn.Module, mode: bool) -> None:
    """Set the flag of every module, and nothing else that a class may do when told to train."""
    for module in each_part(root):
        if isinstance(module, torch.jit.ScriptModule):
            module.training = mode  # compiled code keeps it
        else:
            module.__dict__["training"] = mode


def changed(root: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Put other tensors in place of a module's parameters and buffers; shared ones stay shared.

    What stands in place of a tensor is made of it by `change`, which may return the tensor itself.
    """
    new: dict[int, Tensor] = {}
    before = []  # alive, so that no identity is given twice
    for module in each_part(root):
        for held in own_tensors(module):
            for name, tensor in held.items():
                if tensor is None or is_lazy(tensor):
                    continue
                if id(tensor) not in new:
                    before.append(tensor)
                    new[id(tensor)] = _changed(tensor, change)
                if new[id(tensor)] is not tensor:
                    held[name] = new[id(tensor)]
    for module in each_part(root):
        flat = module.__dict__.get("_flat_weights") if isinstance(module, nn.RNNBase) else None
        if flat is not None:
            module.__dict__["_flat_weights"] = [new.get(id(weight), weight) for weight in flat]


def in_dtype(root: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Return the module itself, its floating-point weights given another dtype."""
    changed(root, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)
    return root


def needs_no_gradients(root: nn.Module) -> None:
    """Switch gradients off for every parameter."""
    for parameter in each_parameter(root):
        parameter.requires_grad = False


def _held(module: nn.Module, name: str) -> Any:
    """Return a dictionary of a module; compiled code keeps its own behind a property."""
    if name not in module.__dict__ and isinstance(module, torch.jit.ScriptModule):
        return getattr(module, name)
    return module.__dict__.get(name, {})


def _each_once(held: Iterator[dict[str, Tensor | None]]) -> Iterator[Tensor]:
    seen: set[int] = set()
    for tensors in held:
        for tensor in tensors.values():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield tensor


def _changed(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    with torch.no_grad():
        new = change(tensor)
    if new is tensor or not isinstance(tensor, nn.Parameter):
        return new
    return nn.Parameter(new.detach(), requires_grad=tensor.requires_grad)
