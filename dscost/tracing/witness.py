"""Sees a forward pass as counters of other kinds do: whole operators, modules, functions of torch.

What it sees is what `dscost.traces.calls` describes. It stands in front of the recorder, and
changes nothing of what that sees.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import update_wrapper
from importlib import import_module
from threading import get_ident
from types import FrameType, MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    _global_forward_hooks_with_kwargs,
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from dscost.foreign.dispatch import Args, EachOperator, tensors_in
from dscost.foreign.parts import children_of, own_tensors
from dscost.layers.convolution import Shape
from dscost.traces.calls import Call
from dscost.traces.events import Event
from dscost.tracing.einsums import told_by_numpy
from dscost.tracing.operators import operator_name

_SIMPLE = (bool, int, float, str)


class Witness:
    """Keeps a `Call` for every operator, every call of a module, and some functions of torch.

    Args:
        modules: All that may run, with their paths.
        events: Those of the recorder, which grow as the model runs.
        stack: Gives the paths of the modules that run in this thread, innermost last.
        functions: The functions of torch that are to be seen, such as `torch.matmul`.

    Attributes:
        calls: In the order in which they ended.
    """

    def __init__(
        self,
        modules: Sequence[tuple[str, nn.Module]],
        events: Sequence[Event],
        stack: Callable[[], Sequence[str]],
        functions: Collection[str],
    ) -> None:
        self._events, self._stack, self._functions = events, stack, functions
        self._paths = {id(module): path for path, module in modules}
        self._names = {path: name_of(type(module)) for path, module in modules}
        self._places = _places(modules)
        self._thread = get_ident()
        self._began: dict[int, list[tuple[int, int]]] = {self._thread: []}
        self._is_within = False
        self.calls: list[Call] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See what happens meanwhile; the recorder must be watching already."""
        with ExitStack() as stack:
            stack.enter_context(_without_fast_paths())
            stack.enter_context(_Operators(self.operator))
            stack.callback(register_module_forward_pre_hook(self._begins).remove)
            hook = register_module_forward_hook(self._ends, with_kwargs=True)
            stack.callback(_global_forward_hooks_with_kwargs.pop, hook.id, None)  # torch forgets to
            stack.callback(hook.remove)
            for name in self._functions:
                stack.enter_context(_replaced(name, self._function))
            _watching.append(self)
            stack.callback(_watching.remove, self)
            yield

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """See no functions meanwhile: it is not the model that calls them."""
        outer, self._is_within = self._is_within, True
        try:
            yield
        finally:
            self._is_within = outer

    def operator(self, func: Any, args: Args, kwargs: Mapping[str, Any]) -> Any:
        """Run an operator, and keep it."""
        start = len(self._events)
        given = _shapes((args, kwargs))  # before: it may change them in place
        schema = getattr(func, "_schema", None)
        outer = self._is_within
        self._is_within = outer or schema is not None  # those without run a part of the model
        try:
            result = func(*args, **kwargs)
        finally:
            self._is_within = outer
        name = operator_name(func)
        names = [one.name for one in schema.arguments] if schema else ()
        by_name = {**dict(zip(names, args, strict=False)), **kwargs}
        if schema and schema.overload_name == "padding":  # of a convolution, as a word
            name = f"{name}.padding"
        held = {key: tuple(by_name[key].shape) for key in _HELD if _is_tensor(by_name, key)}
        attributes = _plain(by_name)
        if name == "aten::einsum":
            attributes |= told_by_numpy(str(by_name["equation"]).replace(" ", ""), given)
        self._keep("operators", name, self._stack()[-1], given, result, start, held, attributes)
        return result

    def _function(self, name: str, inner: Callable[..., Any], args: Args, kwargs: Any) -> Any:
        # torch works out some operators on meta by functions in Python
        is_beneath = self._is_within and get_ident() == self._thread
        if is_beneath or _is_passed_on(sys._getframe(2)):
            return inner(*args, **kwargs)
        start, given = len(self._events), _shapes((args, kwargs))
        result = inner(*args, **kwargs)
        by_place = {**{str(at): value for at, value in enumerate(args)}, **kwargs}
        self._keep("functions", name, self._stack()[-1], given, result, start, {}, _plain(by_place))
        return result

    def _begins(self, module: nn.Module, args: Args) -> None:
        self._began.setdefault(get_ident(), []).append((id(module), len(self._events)))

    def _ends(self, module: nn.Module, args: Args, kwargs: Any, result: Any) -> None:
        start, began = len(self._events), self._began.setdefault(get_ident(), [])
        while began:  # those in between ended by an error
            begun, start = began.pop()
            if begun == id(module):
                break
        path = self._paths.get(id(module))
        if path is None:
            return
        own = own_tensors(module)[0].items()
        held = {name: tuple(one.shape) for name, one in own if one is not None}
        attributes = _plain(module.__dict__)
        name, given = self._names[path], _shapes((args, kwargs))
        self._keep("modules", name, path, given, result, start, held, attributes)
        parts = path.split(".") if path else []
        above = [".".join(parts[:size]) for size in range(len(parts))]
        self.calls[-1] = self.calls[-1]._replace(
            is_leaf=all(map(_is_empty, children_of(module).values())),
            inside=tuple(self._names[one] for one in above if one in self._names),
            places=self._places.get(id(module), 1),
        )

    def _keep(
        self,
        kind: Any,
        name: str,
        path: str,
        given: tuple[Shape, ...],
        result: Any,
        start: int,
        held: Mapping[str, Shape],
        attributes: Mapping[str, Any],
    ) -> None:
        made = _shapes(result)
        where = start, len(self._events)
        if len(self._began) > 1:  # other threads have written events in between
            own = [at for at in range(*where) if path in self._events[at].stack]
            where = (own[0], own[-1] + 1) if own else (start, start)
            macs = sum(self._events[at].macs * self._events[at].times for at in own)
        else:
            macs = sum(event.macs * event.times for event in self._events[start:])
        output = made[0] if made else ()
        self.calls.append(
            Call(kind, name, path, given, output, macs, where, dict(held), attributes)
        )


_watching: list[Witness] = []
"""Those that see a forward pass now: a model may trace another one in its own."""


@contextmanager
def unwitnessed() -> Iterator[None]:
    """Run what is no part of a model that is being traced, such as the trace of another one."""
    with ExitStack() as stack:
        for one in _watching:
            stack.enter_context(one.looking_away())
        yield


def _is_passed_on(caller: FrameType) -> bool:
    """Return whether a function is called by a mode of ours or torch's, which it came through.

    Such a mode is given `torch.Tensor.add` also for `a + b`, and what was seen already.
    """
    home = caller.f_globals.get("__name__", "")
    is_ours = home.startswith("dscost.") or home == "torch.utils._device"
    return caller.f_code.co_name == "__torch_function__" and is_ours


_HELD = ("weight", "bias")
"""Arguments of an operator that a module would own."""


def name_of(kind: type) -> str:
    """Return a class as a rule names it: one of `torch.nn` by its name alone.

    A module of an exported program has the class that it was exported from.
    """
    name = vars(kind).get("exported_from") or f"{kind.__module__}.{kind.__qualname__}"
    return name.rpartition(".")[2] if name.startswith("torch.nn.modules.") else name


def _is_empty(module: nn.Module | None) -> bool:
    """Return whether there is no module, or a list or sequence without anything in it."""
    if module is None:
        return True
    return hasattr(type(module), "__len__") and not (children_of(module) or own_tensors(module)[0])


def _is_tensor(arguments: Mapping[str, Any], name: str) -> bool:
    return isinstance(arguments.get(name), Tensor)


def _shapes(value: Any) -> tuple[Shape, ...]:
    return tuple(tuple(tensor.shape) for tensor in tensors_in(value))


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are numbers, words, or some numbers."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if type(value) in _SIMPLE
        or (isinstance(value, tuple | list) and all(type(one) in _SIMPLE for one in value))
    }


def _places(modules: Sequence[tuple[str, nn.Module]]) -> dict[int, int]:
    """Return in how many places of the tree each module stands, by its id.

    A module that stands twice among the children of one is met there once.
    """
    places = {id(modules[0][1]): 1} if modules else {}
    children = {id(one): list(dict.fromkeys(_children(one))) for _, one in modules}
    waiting = dict.fromkeys(children, 0)
    for below in children.values():
        for child in below:
            waiting[child] = waiting.get(child, 0) + 1
    ready = [one for one in children if not waiting[one]]
    while ready:
        above = ready.pop()
        for child in children.get(above, ()):
            places[child] = places.get(child, 0) + places.get(above, 1)
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    return places


def _children(module: nn.Module) -> Iterator[int]:
    """Yield the ids of the modules that a module holds, whatever these say of themselves."""
    return (id(child) for child in children_of(module).values() if child is not None)


class _Operators(EachOperator):  # type: ignore[no-untyped-call]
    """Shows whole operators, before whoever else watches takes them apart."""

    supports_higher_order_operators = True


@contextmanager
def _without_fast_paths() -> Iterator[None]:
    """Have attention run by its parts, as it does where gradients are on: so do other counters."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _replaced(
    name: str, run: Callable[[str, Callable[..., Any], Args, Any], Any]
) -> Iterator[None]:
    """Have a function of torch, such as `torch.nn.functional.relu`, run by another."""
    where, _, last = name.rpartition(".")
    owner: Any = torch.Tensor if where == "torch.Tensor" else import_module(where)
    inner = getattr(owner, last, None)
    # a class or a module that is replaced is none any more; or it is of another release of torch
    if not callable(inner) or isinstance(inner, type):
        yield
        return
    is_own = last in vars(owner)

    standin = _StandIn(name, inner, run)
    setattr(owner, last, standin)
    try:
        yield
    finally:
        if vars(owner).get(last) is not standin:
            pass  # the model has put its own there, to stay
        elif is_own:
            setattr(owner, last, inner)
        else:
            delattr(owner, last)


class _StandIn:
    """Runs in place of a function, and is equal to it: some look functions up by what they are."""

    def __init__(
        self,
        name: str,
        inner: Callable[..., Any],
        run: Callable[[str, Callable[..., Any], Args, Any], Any],
    ) -> None:
        update_wrapper(self, inner, updated=())
        self._name, self._inner, self._run = name, inner, run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._name, self._inner, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return what is called as a method of a tensor, as a function would."""
        return self if instance is None else MethodType(self, instance)

    def __eq__(self, other: object) -> bool:
        return other is self or other is self._inner

    def __hash__(self) -> int:
        return hash(self._inner)
