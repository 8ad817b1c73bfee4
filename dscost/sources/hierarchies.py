"""A program of `torch.export` as modules of the names and classes that the model had before."""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache, partial
from itertools import groupby
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.unflatten import InterpreterModule, UnflattenedModule
from torch.utils import _pytree as pytree

from dscost.modules.convs import CONVS
from dscost.notation.units import counted
from dscost.sources.archives import Taken, affine

Ranges = Mapping[str, tuple[int | None, int | None]]
"""Least and most of each symbol of a size, `None` where there is no such."""

_ATEN = torch.ops.aten
CONVOLUTIONS = (_ATEN.conv1d, _ATEN.conv2d, _ATEN.conv3d, _ATEN.convolution)
"""Operators that torch's modules of convolution come to."""


def as_module(program: ExportedProgram, takes: Sequence[Taken] | None, ranges: Ranges) -> nn.Module:
    """Return a program as modules of the names and classes that it was exported from.

    Inputs are checked against what it takes, where that is given, and the ranges of their symbols.
    """
    signature = program.module_call_graph[0].signature
    assert signature is not None
    names = tuple(signature.forward_arg_names or ())
    call = _Call(signature.in_spec, signature.out_spec, names, takes, ranges)
    kinds = _classes(program.graph)
    try:
        root: Any = UnflattenedModule(program)
    except Exception:  # noqa: BLE001
        # torch gives up on graphs of many kinds, by many kinds of errors
        root = _flat(program)
    root._ty = kinds.get("", "")
    for attribute in _ONLY_WHILE_MADE:
        root.__dict__.pop(attribute, None)
    root.call = call
    _become(root, Flat if hasattr(root, "paths") else Root)
    convolutions: dict[Any, nn.Module] = {}
    for path, module in list(root.named_modules()):
        if isinstance(module, InterpreterModule):
            conv = _as_convolution(module)
            if conv is None:
                # of one that was never called torch has the class of the first in it
                known = kinds.get(_NUMBER.sub("", path), _NO_CLASS) if kinds else None
                _become(module, Part, known)
            else:
                convolutions[module] = conv
    for module in list(root.modules()):
        for name, child in module._modules.items():
            module._modules[name] = convolutions.get(child, child)
    made: nn.Module = root.eval()
    return made


def _flat(program: ExportedProgram) -> Any:
    """Return a program whose modules make no one graph; each piece of it knows its module."""
    paths: dict[str, str] = {}
    places: dict[tuple[str, str], None] = {}
    for node in program.graph.nodes:
        for place, kind in node.meta.get("nn_module_stack", {}).values():
            path = paths[node.name] = place.partition("@")[0]
            if path:
                places[path, kind] = None
        if node.op not in ("placeholder", "output"):
            node.meta["nn_module_stack"] = {"": ("", "")}
    del program.module_call_graph[1:]
    root: Any = UnflattenedModule(program)
    root.paths = paths
    for path, kind in places:
        _become(_place(root, path), Place, kind)
    return root


def _place(root: nn.Module, path: str) -> nn.Module:
    """Return the module at a path, made if there is none."""
    for name in path.split("."):
        if name not in root._modules:
            root._modules[name] = nn.Module()
        found = root._modules[name]
        assert found is not None
        root = found
    return root


def _classes(graph: fx.Graph) -> dict[str, str]:
    """Return the classes of the modules that were called, by path."""
    stacks = (node.meta.get("nn_module_stack", {}).values() for node in graph.nodes)
    return {_NUMBER.sub("", path): kind for stack in stacks for path, kind in stack if kind}


_NUMBER = re.compile(r"@\d+")
"""What stands behind a path where a module is called again."""
_NO_CLASS = "torch.nn.modules.module.Module"


_ONLY_WHILE_MADE = """
    graph_signature module_call_graph flat_args_adapter meta ivals range_constraints
    equality_constraints input_placeholders check_input_constraints adapted graph_module
""".split()


def _become(module: Any, kind: Any, exported_from: str | None = None) -> None:
    """Make a module of torch's one of ours, called as the class that it was exported from."""
    if hasattr(module, "graph"):
        for node in module.graph.nodes:
            node.meta = {}
    module.__dict__.pop("graph_module", None)  # Python code of the graph, which is never run
    told = exported_from or getattr(module, "_ty", None) or ""
    name = told.rpartition(".")[2]
    if not name.isidentifier():
        name = "Program" if issubclass(kind, Root) else "Module"
    module.__class__ = _called(kind, name, told if name == told.rpartition(".")[2] else "")


@cache
def _called(kind: Hashable, name: str, exported_from: str) -> Any:
    """Return a class of ours under the name of the one that a module was exported from."""
    own = {"__module__": __name__, "__doc__": kind.__doc__, "exported_from": exported_from}
    return type(name, (cast("type", kind),), own)


_device: ContextVar[torch.device | None] = ContextVar("_device", default=None)
"""Where the inputs of the program that runs are."""


class _Running(fx.Interpreter):
    """Runs a graph; what it makes is made where its inputs are, not where it was exported."""

    def run_several(self, nodes: Sequence[fx.Node]) -> Any:
        """Run some nodes, forget what no later one needs, and return the value of the last."""
        found: Any = None
        for node in nodes:
            found = self.env[node] = self.run_node(node)
            for read_last in self.user_to_last_uses.get(node, ()):
                del self.env[read_last]
        return found

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        device = _device.get()
        if device is not None and _makes_tensors(target):
            kwargs = {**kwargs, "device": device}
        return super().call_function(target, args, kwargs)


@cache
def _makes_tensors(target: Any) -> bool:
    """Whether an operator makes tensors of numbers alone, on a device that it is given."""
    if not isinstance(target, torch._ops.OpOverload):
        return False
    arguments = target._schema.arguments
    takes_device = any(one.name == "device" for one in arguments)
    return takes_device and not any("Tensor" in str(one.type) for one in arguments)


class Part(nn.Module):
    """A module of a program: what it computes is a graph of operators and of modules."""

    graph: fx.Graph

    def forward(self, *args: Any) -> Any:
        """Return what the graph computes."""
        return _Running(self, graph=self.graph).run(*args, enable_io_processing=False)


class Root(nn.Module):
    """A whole program."""

    graph: fx.Graph
    call: "_Call"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the program computes of arguments like those that it was exported with."""
        flat = self.call.flat(args, kwargs)
        token = _device.set(next((one.device for one in flat if isinstance(one, Tensor)), None))
        try:
            found = self.run(flat)
        finally:
            _device.reset(token)
        return pytree.tree_unflatten(found, self.call.out_spec)

    def run(self, flat: Sequence[Any]) -> Any:
        """Return what the graph computes."""
        return _Running(self, graph=self.graph).run(*flat, enable_io_processing=False)


class Place(nn.Module):
    """A module of a `Flat` program: where some of its operators are said to be."""

    def forward(self, run: Callable[[], Any]) -> Any:
        """Run some operators."""
        return run()


class Flat(Root):
    """A whole program in one graph; `paths` says in which module each node ran."""

    paths: Mapping[str, str]

    def run(self, flat: Sequence[Any]) -> Any:
        """Return what the graph computes; operators in a row in one module are a call of it."""
        running = _Running(self, graph=self.graph)
        running.args_iter = iter(flat)
        found: Any = None
        for path, nodes in groupby(
            list(self.graph.nodes), lambda node: self.paths.get(node.name, "")
        ):
            piece = partial(running.run_several, list(nodes))
            found = self.get_submodule(path)(piece) if path else piece()
        return found


class _Call(NamedTuple):
    """How a program is called."""

    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec
    names: tuple[str, ...]
    takes: Sequence[Taken] | None
    ranges: Ranges

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Call":
        return self

    def flat(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return arguments as the graph takes them; a `ValueError` if they are not its own."""
        args, kwargs = self._in_places(args, kwargs)
        flat, spec = pytree.tree_flatten((args, kwargs))
        if spec != self.in_spec:
            found = counted(len(flat), "input")
            raise ValueError(f"the program takes {self._inputs_in_words()}, found {found}")
        _check_sizes(self.takes or (), flat, self.ranges)
        return flat

    def _in_places(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments by place or by name, as the program was exported with them."""
        positional, keywords = self.in_spec.children()
        order = list(keywords.context or ())
        names = self.names[: positional.num_children]
        given = {**dict(zip([*names, *order], args, strict=False)), **kwargs}
        are_all = len(given) == len(args) + len(kwargs) and given.keys() == {*names, *order}
        if are_all and len(names) == positional.num_children:
            return tuple(given[name] for name in names), {name: given[name] for name in order}
        known_first = (*(name for name in order if name in kwargs), *kwargs)
        return args, {name: kwargs[name] for name in known_first}

    def _inputs_in_words(self) -> str:
        if self.takes is None:
            return f"{self.in_spec.num_leaves} inputs"
        return " and ".join(map(_described, self.takes)) or "no input"


def _described(taken: Taken) -> str:
    if taken.sizes is None:
        return taken.name
    sizes = ("?" if isinstance(size, str) else str(size) for size in taken.sizes)
    return f"{taken.name} {'×'.join(sizes)}"


def _check_sizes(takes: Sequence[Taken], given: Sequence[Any], ranges: Ranges) -> None:
    """Raise a `ValueError` for a tensor of sizes that the program was not exported for."""
    symbols: dict[str, int] = {}
    for taken, value in zip(takes, given, strict=False):
        if taken.sizes is None or not isinstance(value, Tensor):
            continue
        if value.dim() != len(taken.sizes):
            raise ValueError(
                f"the program takes {taken.name} of {len(taken.sizes)} dimensions, "
                f"found {value.dim()}"
            )
        for at, (size, found) in enumerate(zip(taken.sizes, value.shape, strict=True)):
            _check_size(f"{taken.name}.size()[{at}]", size, int(found), symbols, ranges)


def _check_size(
    what: str, size: int | str, found: int, symbols: dict[str, int], ranges: Ranges
) -> None:
    if isinstance(size, int):
        if found != size:
            raise ValueError(
                f"the program was exported for {what} == {size}, found {found} "
                "(see its dynamic_shapes)"
            )
        return
    told = affine(size)
    if told is None:
        return
    value, left = divmod(found - told.offset, told.factor) if told.factor else (0, 0)
    if left:
        raise ValueError(f"the program takes multiples of {told.factor} for {what}, found {found}")
    if symbols.setdefault(told.symbol, value) != value:
        wanted = symbols[told.symbol] * told.factor + told.offset
        raise ValueError(
            f"the program takes {what} == {wanted} beside its other sizes, found {found}"
        )
    least, most = ranges.get(told.symbol, (None, None))
    if (least is not None and value < least) or (most is not None and value > most):
        low = "" if least is None else f"{least * told.factor + told.offset} <= "
        high = "" if most is None else f" <= {most * told.factor + told.offset}"
        raise ValueError(f"the program was exported for {low}{what}{high}, found {found}")


# -- convolutions


def _as_convolution(module: InterpreterModule) -> nn.Module | None:
    """Return torch's convolution with the weights of a module that but convolves, else `None`."""
    nodes = [node for node in module.graph.nodes if node.op != "get_attr"]
    if [node.op for node in nodes] != ["placeholder", "call_function", "output"]:
        return None
    taken, call, output = nodes
    given = _arguments(call)
    if given is None or given["input"] is not taken or output.args[0] is not call:
        return None
    # weights that are not its own, or more than these, would be lost with the module
    own = {key: _held(module, given[key]) for key in ("weight", "bias") if given[key] is not None}
    weight, bias = own["weight"], own.get("bias")
    if weight is None or (bias is None and "bias" in own):
        return None
    if module._parameters.keys() != own.keys() or module._modules:
        return None
    return _convolution(given, weight, bias)


def _convolution(
    told: Mapping[str, Any], weight: nn.Parameter, bias: nn.Parameter | None
) -> nn.Module | None:
    kind: Any = CONVS.get(weight.dim() - 2)
    if kind is None:
        return None
    several = {key: _per_dim(told[key], weight.dim() - 2) for key in _PER_DIM}
    conv = kind(
        weight.shape[1] * told["groups"],
        weight.shape[0],
        tuple(weight.shape[2:]),
        groups=told["groups"],
        bias=bias is not None,
        device="meta",
        dtype=weight.dtype,
        **several,
    )
    conv.weight, conv.bias = weight, bias
    made: nn.Module = conv
    return made


_PER_DIM = ("stride", "padding", "dilation")


def _per_dim(given: str | Sequence[int], dims: int) -> str | tuple[int, ...]:
    if isinstance(given, str):
        return given
    return tuple(given) * dims if len(given) == 1 else tuple(given)


def _held(module: nn.Module, node: Any) -> nn.Parameter | None:
    is_own = isinstance(node, fx.Node) and node.op == "get_attr"
    return module._parameters.get(str(node.target)) if is_own else None


def _arguments(node: fx.Node) -> dict[str, Any] | None:
    """Return the arguments of a convolution that is not transposed, `None` of other operators."""
    target: Any = node.target
    if getattr(target, "overloadpacket", None) not in CONVOLUTIONS:
        return None
    arguments = target._schema.arguments
    defaults = {one.name: one.default_value for one in arguments if one.has_default_value()}
    by_place = zip([one.name for one in arguments], node.args, strict=False)
    told = {**defaults, **dict(by_place), **node.kwargs}
    if told.get("transposed"):
        return None
    for key in _PER_DIM:
        if not isinstance(told[key], str) and not all(isinstance(one, int) for one in told[key]):
            return None  # computed from sizes
    return told
