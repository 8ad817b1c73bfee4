"""A stand-in for a model: the same modules over meta tensors, made for one pass and thrown away.

The model itself is never touched. Whatever its forward writes, a cache, a buffer, a child, lands on
the stand-in, and another thread may run the model meanwhile.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils.hooks import RemovableHandle

from dscost.foreign.parts import each_tensor
from dscost.modules.beside_meta import MOST_VALUES
from dscost.tracing.object_contents import (
    BARE,
    CONTAINERS,
    FUNCTIONS,
    PLAIN,
    contents_of,
    has_state,
    is_plain_object,
    is_written_on,
    reaches_tensors,
    slots,
)
from dscost.tracing.sparse import is_sparse


class _NoHooks(OrderedDict[Any, Any]):
    """No hooks, for all modules that have none; a dict each would take half a stand-in's time."""

    def __setitem__(self, key: Any, value: Any) -> None:
        # a model that hooks itself while it runs gets dictionaries of its own, the next time
        raise NotImplementedError("a hook is registered during the forward pass")


_NO_HOOKS = _NoHooks()

STANDS_FOR = "_dscost_stands_for"
"""Attribute of a stand-in: the identity of its original."""


class StandIns:
    """Makes stand-ins of modules and tensors; equal ones stay equal, shared ones shared.

    Args:
        training: The mode of every module.
        fresh: Whether tensors that are on meta already get stand-ins too, without gradients.
        values: Whether small tensors that are no parameters keep their values, on the CPU.
        own_hooks: Whether every module gets dictionaries of its own for hooks.

    Attributes:
        originals: Tensors that stand for themselves, being on meta already.
    """

    def __init__(
        self, *, training: bool, fresh: bool = False, values: bool = False, own_hooks: bool = False
    ) -> None:
        self._training, self._fresh = training, fresh
        self._values, self._own_hooks = values, own_hooks
        self._modules: dict[int, nn.Module] = {}
        self._tensors: dict[int, Tensor] = {}
        self._others: dict[int, Any] = {}
        self._alive: list[Any] = []
        self._attributes: list[tuple[Tensor, Tensor]] = []
        self.originals: list[Tensor] = []

    def tensors(self) -> Iterable[Tensor]:
        """Return every stand-in of a tensor."""
        return self._tensors.values()

    def addresses(self, model: nn.Module) -> dict[int, int]:
        """Return the original's storage of every parameter's or buffer's stand-in, by identity."""
        return {
            id(self._tensors[id(tensor)]): tensor.untyped_storage()._cdata
            for tensor in each_tensor(model)
            if _has_storage(tensor) and id(tensor) in self._tensors
        }

    def attributes(self) -> Iterator[tuple[int, int]]:
        """Yield the storages of each original that is a plain attribute, and of its stand-in."""
        for original, new in self._attributes:
            if _has_storage(original):
                yield original.untyped_storage()._cdata, new.untyped_storage()._cdata

    def of(self, original: Tensor) -> Tensor | None:
        """Return the stand-in of a tensor of the original, should a part of that run itself."""
        return self._tensors.get(id(original))

    def module(self, original: nn.Module) -> nn.Module:
        """Return the stand-in of a module and of everything in it."""
        known = self._modules.get(id(original))
        if known is not None:
            return known
        if isinstance(original, torch.jit.ScriptModule):
            return original  # compiled code has no attributes to replace
        own = original.__dict__
        children = own["_modules"]
        compiled = children.get("_orig_mod")
        if compiled is not None:  # the wrapper of torch.compile; what it wraps is what runs
            return self.module(compiled)
        new: nn.Module = object.__new__(type(original))
        self._modules[id(original)] = new
        attributes = new.__dict__
        attributes.update(own)
        attributes.update(_EMPTY_HOOKS)
        if self._own_hooks:
            attributes.update({name: OrderedDict() for name in _HOOKS})
        for name in filter(own.get, _HOOKS):  # a hook may be a method of another module
            attributes[name] = OrderedDict(
                (key, self._value(hook))
                for key, hook in own[name].items()
                if not _only_communicates(hook)
            )
        for name, value in own.items():
            if type(value) in PLAIN or name in _EVERY_MODULES_OWN:
                continue
            if type(value) is RemovableHandle:
                attributes[name] = _handle(value, original, new)
            else:
                attributes[name] = self._value(value)
        attributes["training"] = self._training
        attributes["_non_persistent_buffers_set"] = set(own.get("_non_persistent_buffers_set", ()))
        attributes[STANDS_FOR] = id(original)
        attributes["_compiled_call_impl"] = None
        for held in ("_parameters", "_buffers"):
            attributes[held] = {
                name: tensor if tensor is None else self.tensor(tensor)
                for name, tensor in own[held].items()
            }
        attributes["_modules"] = {
            name: child if child is None else self.module(child) for name, child in children.items()
        }
        return new

    def tensor(self, original: Tensor) -> Tensor:
        """Return the stand-in of a tensor: itself if it is on meta."""
        if original.is_meta and not self._fresh and type(original) in _PLAIN_TENSORS:
            self.originals.append(original)
            return original
        if is_lazy(original):
            kind: Any = type(original)
            return kind(device="meta", dtype=original.dtype)  # type: ignore[no-any-return]
        if original.is_meta and not self._fresh:
            return original
        known = self._tensors.get(id(original))
        if known is None:
            known = self._tensors[id(original)] = self._new_tensor(original)
        return known

    def _new_tensor(self, original: Tensor) -> Tensor:
        is_parameter = isinstance(original, nn.Parameter)
        # what a sparse tensor stores makes its cost
        if is_sparse(original) or (self._values and not is_parameter and keeps_values(original)):
            new = original.detach().clone()
        else:
            new = torch.empty_strided(
                original.shape, original.stride(), dtype=original.dtype, device="meta"
            )
        needs_gradient = original.requires_grad and not self._fresh
        if is_parameter:
            return nn.Parameter(new, requires_grad=needs_gradient)
        return new.requires_grad_(needs_gradient and self._training)

    def _value(self, value: Any) -> Any:
        """Return an attribute with its modules and tensors replaced; what is writable is copied."""
        kind = type(value)
        if kind in PLAIN:
            return value
        if kind is tuple:
            return value if PLAIN.issuperset(map(type, value)) else tuple(map(self._value, value))
        if isinstance(value, Tensor):
            made = self.tensor(value)
            if made is not value:
                self._attributes.append((value, made))
            return made
        if isinstance(value, nn.Module):
            return self.module(value)
        known = self._others.get(id(value))  # what is shared stays shared, and circles end
        if known is not None:
            return known
        if isinstance(value, CONTAINERS):
            return self._container(value)
        if kind in FUNCTIONS or (hasattr(value, "__dict__") and is_plain_object(value)):
            return self._other(value)
        if isinstance(value, BuiltinMethodType) and isinstance(value.__self__, CONTAINERS):
            return getattr(self._value(value.__self__), value.__name__)
        return self._remember(value, _with_state(value)) if has_state(value) else value

    def _container(self, value: Any) -> Any:
        """Return a copy of a container, which is shared where the container is."""
        kind = type(value)
        try:
            made = self._remember(value, kind() if kind in BARE else copy.copy(value))
        except Exception:  # noqa: BLE001
            # a class of the user's says how it is copied, or that it is not
            return self._remember(value, value)
        if isinstance(value, dict):
            pairs = [(self._value(key), self._value(entry)) for key, entry in dict.items(value)]
            dict.clear(made)
            for key, entry in pairs:  # as the dict that it is, whatever else its class does
                dict.__setitem__(made, key, entry)
        elif isinstance(value, list):
            made[:] = [self._value(entry) for entry in value]
        else:
            entries = [self._value(entry) for entry in value]
            made.clear()
            (made.update if isinstance(made, set) else made.extend)(entries)
        return made

    # -- functions and objects that hold modules, or what can be written on

    def _other(self, value: Any) -> Any:
        """Return a user's function or object with copies of what it holds; else itself."""
        kind = type(value)
        if kind is MethodType:
            return MethodType(self._value(value.__func__), self._value(value.__self__))
        if not (is_written_on(value) or reaches_tensors(value)):
            return self._remember(value, value)
        if kind is partial:
            function, args = self._value(value.func), self._value(value.args)
            made = partial(function, *args, **self._value(value.keywords))
            made.__dict__.update(self._value(value.__dict__))
            return self._remember(value, made)
        if kind is FunctionType:
            return self._function(value)
        bare = SimpleNamespace() if kind is SimpleNamespace else object.__new__(kind)
        made = self._remember(value, bare)  # before it is looked into: what it holds may hold it
        made.__dict__.update(self._value(value.__dict__))
        for name in slots(kind):
            if hasattr(value, name):
                object.__setattr__(made, name, self._value(getattr(value, name)))
        return made

    def _function(self, value: FunctionType) -> FunctionType:
        cells = tuple(map(self._cell, value.__closure__ or ()))
        made = FunctionType(value.__code__, value.__globals__, value.__name__, None, cells or None)
        self._remember(value, made)  # before its cells are looked into: it may close over itself
        for cell, old in zip(cells, value.__closure__ or (), strict=True):
            for content in contents_of(old):
                cell.cell_contents = self._value(content)
        made.__defaults__ = self._value(value.__defaults__)
        made.__kwdefaults__ = self._value(value.__kwdefaults__)
        made.__dict__.update(self._value(value.__dict__))
        return made

    def _cell(self, cell: CellType) -> CellType:
        """Return the cell that all functions get which close over one variable."""
        known: CellType | None = self._others.get(id(cell))
        return self._remember(cell, CellType()) if known is None else known

    def _remember(self, value: Any, made: Any) -> Any:
        self._others[id(value)] = made
        self._alive.append(value)  # so that its identity is not given twice
        return made


def _with_state(value: Any) -> Any:
    return value.clone_state() if isinstance(value, torch.Generator) else copy.deepcopy(value)


def _only_communicates(hook: Any) -> bool:
    """Whether a hook moves shards of weights between processes: a stand-in has them whole."""
    return type(getattr(hook, "__self__", None)).__module__.startswith("torch.distributed.fsdp")


def keeps_values(tensor: Tensor) -> bool:
    """Whether a tensor is small enough to keep its values beside a model on meta, and has any."""
    return _has_storage(tensor) and tensor.device.type == "cpu" and tensor.numel() <= MOST_VALUES


def _has_storage(tensor: Tensor) -> bool:
    """Whether what a tensor holds lies in one storage, which others may share."""
    return type(tensor) in _PLAIN_TENSORS and tensor.layout is torch.strided


_OWN_TENSORS = ("_parameters", "_buffers", "_modules")
_HOOKS = tuple(
    name
    for name, value in nn.Module().__dict__.items()
    if isinstance(value, dict) and name not in _OWN_TENSORS
)
_EMPTY_HOOKS = dict.fromkeys(_HOOKS, _NO_HOOKS)
_EVERY_MODULES_OWN = frozenset(nn.Module().__dict__)
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


def detached_copy(tensor: Tensor) -> Tensor:
    """Return a copy of a tensor that torch does not copy deeply: sparse, or computed of others."""
    copied = tensor.detach().clone()
    if not isinstance(tensor, nn.Parameter):
        return copied
    return nn.Parameter(copied, tensor.requires_grad)
