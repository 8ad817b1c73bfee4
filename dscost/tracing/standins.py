"""A stand-in for a model: the same modules over meta tensors, made for one pass and thrown away.

The model itself is never touched. Whatever its forward writes, a cache, a buffer, a child, lands on the stand-in,
and another thread may run the model meanwhile.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils.hooks import RemovableHandle

from dscost.tracing.sparse import SPARSE


class _NoHooks(OrderedDict[Any, Any]):
    """No hooks, for all modules that have none; a dict of its own for each would take half of a stand-in's time."""

    def __setitem__(self, key: Any, value: Any) -> None:
        # a model that hooks itself while it runs is run for real, on a copy
        raise NotImplementedError("a hook is registered during the forward pass")


_NO_HOOKS = _NoHooks()


class StandIns:
    """Makes stand-ins of modules and tensors; equal ones stay equal, shared ones shared.

    Args:
        training: The mode of every module.
        fresh: Whether tensors that are on meta already get stand-ins too, without gradients.
    """

    def __init__(self, *, training: bool, fresh: bool = False) -> None:
        self._training, self._fresh = training, fresh
        self._modules: dict[int, nn.Module] = {}
        self._tensors: dict[int, Tensor] = {}

    def module(self, original: nn.Module) -> nn.Module:
        """Return the stand-in of a module and of everything in it."""
        known = self._modules.get(id(original))
        if known is not None:
            return known
        if isinstance(original, torch.jit.ScriptModule):
            return original  # compiled code has no attributes to replace
        compiled = original._modules.get("_orig_mod")
        if compiled is not None:  # the wrapper of torch.compile; what it wraps is what runs
            return self.module(compiled)
        new: nn.Module = object.__new__(type(original))
        self._modules[id(original)] = new
        attributes = new.__dict__
        attributes.update(original.__dict__)
        attributes.update(_EMPTY_HOOKS)
        for name in filter(original.__dict__.get, _HOOKS):  # a hook may be a method of another module
            attributes[name] = OrderedDict((key, self._value(hook)) for key, hook in original.__dict__[name].items())
        for name, value in original.__dict__.items():
            if type(value) in _PLAIN or name in _EVERY_MODULES_OWN:
                continue
            attributes[name] = _handle(value, original, new) if type(value) is RemovableHandle else self._value(value)
        attributes["training"] = self._training
        attributes["_compiled_call_impl"] = None
        for tensors in ("_parameters", "_buffers"):
            attributes[tensors] = {
                name: tensor if tensor is None else self.tensor(tensor)
                for name, tensor in original.__dict__[tensors].items()
            }
        attributes["_modules"] = {
            name: child if child is None else self.module(child) for name, child in original._modules.items()
        }
        return new

    def tensor(self, original: Tensor) -> Tensor:
        """Return the stand-in of a tensor: itself if it is on meta."""
        if original.is_meta and not self._fresh and type(original) in _PLAIN_TENSORS:
            return original
        if isinstance(original, UninitializedTensorMixin):
            uninitialised: Tensor = type(original)(device="meta", dtype=original.dtype)
            return uninitialised
        if original.is_meta and not self._fresh:
            return original
        known = self._tensors.get(id(original))
        if known is None:
            if original.layout in SPARSE:  # what it stores makes its cost
                known = _sparse_copy(original)
            else:
                known = torch.empty_strided(original.shape, original.stride(), dtype=original.dtype, device="meta")
            if isinstance(original, nn.Parameter):
                known = nn.Parameter(known, requires_grad=original.requires_grad and not self._fresh)
            self._tensors[id(original)] = known
        return known

    def _value(self, value: Any) -> Any:
        """Return an attribute with the modules and tensors in it replaced; containers are copied."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is tuple and _PLAIN.issuperset(map(type, value)):
            return value
        if kind in (tuple, list, set):
            return kind([self._value(entry) for entry in value]) if value else kind()
        if kind in (dict, OrderedDict):
            return kind([(key, self._value(entry)) for key, entry in value.items()]) if value else kind()
        if isinstance(value, Tensor):
            return self.tensor(value)
        if isinstance(value, nn.Module):
            return self.module(value)
        if kind is MethodType and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, self.module(value.__self__))
        return value


_OWN_TENSORS = ("_parameters", "_buffers", "_modules")
_HOOKS = tuple(
    name for name, value in nn.Module().__dict__.items() if isinstance(value, dict) and name not in _OWN_TENSORS
)
_EMPTY_HOOKS = dict.fromkeys(_HOOKS, _NO_HOOKS)
_EVERY_MODULES_OWN = frozenset(nn.Module().__dict__) - {"_non_persistent_buffers_set"}
_PLAIN = frozenset((bool, int, float, str, type(None)))
_PLAIN_TENSORS = frozenset((Tensor, nn.Parameter))


def _handle(handle: RemovableHandle, original: nn.Module, new: nn.Module) -> RemovableHandle:
    """Return the handle of a stand-in's hook, so that removing it leaves the original's."""
    own = object.__new__(RemovableHandle)
    own.__dict__.update(handle.__dict__)
    hooks = handle.hooks_dict_ref()
    for name in _HOOKS:
        if original.__dict__.get(name) is hooks:
            own.hooks_dict_ref = ref(new.__dict__[name])
    return own


def real_copy(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU; weights that were on meta become small random numbers."""
    # torch copies no compressed sparse tensor deeply, nor a weight that is computed of others
    memo: dict[int, Any] = {id(tensor): _sparse_copy(tensor) for tensor in _sparse_tensors(model)}
    held = [value for part in model.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    memo |= {id(value): value.detach().clone() for value in held if not value.is_leaf}
    model = copy.deepcopy(model, memo)
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        model = model.to_empty(device="cpu")
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.normal_(std=0.01).abs_() if tensor.is_floating_point() else tensor.zero_()
    return model.to("cpu")


def _sparse_tensors(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        for held in (module._parameters, module._buffers, module.__dict__):
            yield from (value for value in held.values() if isinstance(value, Tensor) and value.layout in SPARSE)


def _sparse_copy(tensor: Tensor) -> Tensor:
    copied = tensor.detach().clone()
    return nn.Parameter(copied, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copied


def is_lazy(model: nn.Module) -> bool:
    """Whether some parameter has no shape before the first pass."""
    lazy = nn.modules.lazy.LazyModuleMixin
    return any(isinstance(module, lazy) and module.has_uninitialized_params() for module in model.modules())


def with_shapes(model: nn.Module, run: Callable[[nn.Module], object]) -> nn.Module:
    """Return a stand-in of a lazy model, its parameters given their shapes by a dry run."""
    standin = StandIns(training=False).module(model)
    run(standin)
    return standin
