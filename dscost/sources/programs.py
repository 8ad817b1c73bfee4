"""Programs of `torch.export` as modules: the hierarchy, names and classes that the model had before it was exported."""

import logging
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch._export.serde.serialize import ExportedProgramDeserializer
from torch.export import ExportedProgram
from torch.export.unflatten import InterpreterModule, UnflattenedModule
from torch.utils import _pytree as pytree

from dscost.errors import InputError
from dscost.sources.archives import Archive, Taken, affine, read_archive
from dscost.units import format_shape

CONVOLUTIONS: Mapping[Any, type[nn.Module]] = {
    torch.ops.aten.conv1d: nn.Conv1d,
    torch.ops.aten.conv2d: nn.Conv2d,
    torch.ops.aten.conv3d: nn.Conv3d,
}


class Program(NamedTuple):
    """A program as a module, with the arguments that it was exported with, if they were saved."""

    module: nn.Module
    example: tuple[tuple[Any, ...], Mapping[str, Any]] | None


def read_program(path: Path) -> Program:
    """Return the program that an archive holds, without running code of it.

    Raises:
        CodeError: That cannot be done.
        InputError: It is no archive of `torch.export.save`, or is damaged.
    """
    archive = read_archive(path)
    with _quietly() as reasons:
        try:
            program = ExportedProgramDeserializer().deserialize(
                archive.program, dict(archive.state), dict(archive.constants), None
            )
            return Program(as_module(program, archive.takes, archive.ranges), archive.example)
        except Exception as error:  # torch says by many classes that a graph does not hang together
            raise InputError(f"{path}: not a whole program of torch.export: {reason_of(error, reasons)}") from error


def read_trusted(path: Path) -> Program:
    """Return the program that an archive holds, as torch reads it: code that it holds or names is run.

    Raises:
        InputError: It is no archive of `torch.export.save`, or is damaged.
    """
    with _quietly() as reasons:
        for _ in range(_MOST_IMPORTED):
            try:
                program = torch.export.load(path)
                return Program(as_module(program, None, {}), program.example_inputs)
            except Exception as error:
                reason = reason_of(error, reasons)
                if not _imported_class(reason):
                    raise InputError(f"{path}: not a program of torch.export: {reason}") from error
                reasons.clear()
    raise InputError(f"{path}: not a program of torch.export: {reason}")


_MOST_IMPORTED = 20


def _imported_class(reason: str) -> bool:
    """Whether the module of a class that a reason misses could be imported, and registers it."""
    import importlib

    missing = re.search(r"Deserializing ([\w.]+) in pytree is not registered", reason)
    if missing is None:
        return False
    try:
        importlib.import_module(missing[1].rpartition(".")[0])
    except ImportError:
        return False
    return missing[1] in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE


# -- what torch says


@contextmanager
def _quietly() -> Iterator[list[str]]:
    """Give the reasons that torch logs instead of raising them, and keep it from printing them."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export", "torch.fx")]
    handler = _Reasons()
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield handler.reasons
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.level, logger.propagate = level, propagate


class _Reasons(logging.Handler):
    """Keeps the errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
        if isinstance(error, BaseException):
            self.reasons.append(_told(error))


def reason_of(error: BaseException, logged: Sequence[str] = ()) -> str:
    """Return why torch could not read something: what it logged, or the last line of the innermost error."""
    return logged[-1] if logged else _told(error)


def _told(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # SerializeError ends in the traceback of what it is about
    text = lines[-1] if "Traceback (most recent call last):" in str(error) else lines[0]
    return f"{text:.300}"


# -- the module


def as_module(
    program: ExportedProgram, takes: Sequence[Taken] | None, ranges: Mapping[str, tuple[int | None, int | None]]
) -> nn.Module:
    """Return a program as modules of the names and classes that it was exported from.

    Args:
        program: What torch has read.
        takes: Its inputs, where they are to be checked.
        ranges: Of the symbols in their sizes.
    """
    signature = program.module_call_graph[0].signature
    assert signature is not None
    call = _Call(signature.in_spec, signature.out_spec, tuple(signature.forward_arg_names or ()), takes, ranges)
    kind_of_root = _class_of_root(program.graph)
    try:
        root: Any = UnflattenedModule(program)
    except Exception:  # noqa: BLE001 - torch gives up on graphs of many kinds, by many kinds of errors
        root = _flat(program)
    root._ty = kind_of_root
    for attribute in _ONLY_WHILE_MADE:
        root.__dict__.pop(attribute, None)
    root.call = call
    new: dict[int, nn.Module] = {}
    for path, module in list(root.named_modules()):
        if isinstance(module, InterpreterModule):
            conv = _as_convolution(module)
            if conv is not None:
                new[id(module)] = conv
            else:
                _become(module, Part)
        elif module is root:
            _become(module, Flat if hasattr(root, "paths") else Root)
    for module in list(root.modules()):
        for name, child in module._modules.items():
            module._modules[name] = new.get(id(child), child)
    return root.eval()


def _flat(program: ExportedProgram) -> Any:
    """Return a program whose modules do not hang together as one graph, of which each piece knows its module."""
    stacks = {
        node.name: [(path.partition("@")[0], kind) for path, kind in node.meta.get("nn_module_stack", {}).values()]
        for node in program.graph.nodes
    }
    for node in program.graph.nodes:
        if node.op not in ("placeholder", "output"):
            node.meta["nn_module_stack"] = {"": ("", "")}
    del program.module_call_graph[1:]
    root: Any = UnflattenedModule(program)
    root.paths = {name: stack[-1][0] for name, stack in stacks.items() if stack}
    for path, kind in {entry: None for stack in stacks.values() for entry in stack if entry[0]}:
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


def _class_of_root(graph: fx.Graph) -> str:
    stacks = (node.meta.get("nn_module_stack", {}).values() for node in graph.nodes)
    return next((kind for stack in stacks for path, kind in stack if not path and kind), "")


_ONLY_WHILE_MADE = (
    *("graph_signature", "module_call_graph", "flat_args_adapter", "meta", "ivals", "range_constraints"),
    *("equality_constraints", "input_placeholders", "check_input_constraints", "adapted", "graph_module"),
)


def _become(module: Any, kind: type[nn.Module], exported_from: str | None = None) -> None:
    """Make a module of torch's one of ours, called as the class that it was exported from."""
    if hasattr(module, "graph"):
        for node in module.graph.nodes:
            node.meta = {}
    module.__dict__.pop("graph_module", None)  # Python code of the graph, which is never run
    name = (exported_from or getattr(module, "_ty", None) or "").rpartition(".")[2]
    module.__class__ = _called(kind, name if name.isidentifier() else "Program" if issubclass(kind, Root) else "Module")


@lru_cache(maxsize=None)
def _called(kind: type[nn.Module], name: str) -> type[nn.Module]:
    return type(name, (kind,), {"__module__": __name__, "__doc__": kind.__doc__})


_device: ContextVar[torch.device | None] = ContextVar("_device", default=None)
"""Where the inputs of the program that runs are."""


class _Running(fx.Interpreter):
    """Runs a graph; what it makes anew is made where its inputs are, not where the program was exported."""

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


@lru_cache(maxsize=None)
def _makes_tensors(target: Any) -> bool:
    """Whether an operator makes tensors of numbers alone, on a device that it is given."""
    if not isinstance(target, torch._ops.OpOverload):
        return False
    arguments = target._schema.arguments
    return any(one.name == "device" for one in arguments) and not any("Tensor" in str(one.type) for one in arguments)


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
        """Return what the graph computes; operators that follow each other in one module are one call of it."""
        running = _Running(self, graph=self.graph)
        running.args_iter = iter(flat)
        found: Any = None
        for path, nodes in groupby(list(self.graph.nodes), lambda node: self.paths.get(node.name, "")):
            piece = partial(running.run_several, list(nodes))
            found = self.get_submodule(path)(piece) if path else piece()
        return found


class _Call(NamedTuple):
    """How a program is called."""

    in_spec: pytree.TreeSpec
    out_spec: pytree.TreeSpec
    names: tuple[str, ...]
    takes: Sequence[Taken] | None
    ranges: Mapping[str, tuple[int | None, int | None]]

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Call":
        return self

    def flat(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return arguments as the graph takes them.

        Raises:
            ValueError: They are not those of the program.
        """
        args, kwargs = self._in_places(args, kwargs)
        flat, spec = pytree.tree_flatten((args, kwargs))
        if spec != self.in_spec:
            raise ValueError(
                f"the program takes {self._told()}, found {len(flat)} {'input' if len(flat) == 1 else 'inputs'}"
            )
        _check_sizes(self.takes or (), flat, self.ranges)
        return flat

    def _in_places(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return arguments by place or by name, as the program was exported with them."""
        positional, keywords = self.in_spec.children()
        order = list(keywords.context or ())
        given = dict(zip([*self.names[: positional.num_children], *order] or self.names, args, strict=False)) | kwargs
        names = self.names[: positional.num_children]
        if (
            len(given) != len(args) + len(kwargs)
            or set(given) != {*names, *order}
            or len(names) < positional.num_children
        ):
            return args, {name: kwargs[name] for name in sorted(kwargs, key=_place_in(order))}
        return tuple(given[name] for name in names), {name: given[name] for name in order}

    def _told(self) -> str:
        if self.takes is None:
            return f"{self.in_spec.num_leaves} inputs"
        told = [
            one.name
            if one.sizes is None
            else f"{one.name} {format_shape([s if isinstance(s, int) else 0 for s in one.sizes])}"
            for one in self.takes
        ]
        return " and ".join(told) or "no input"


def _place_in(order: Sequence[str]) -> Callable[[str], int]:
    return lambda name: order.index(name) if name in order else len(order)


def _check_sizes(
    takes: Sequence[Taken], given: Sequence[Any], ranges: Mapping[str, tuple[int | None, int | None]]
) -> None:
    """Refuse tensors of sizes that the program was not exported for.

    Raises:
        ValueError: The text names the guard.
    """
    symbols: dict[str, int] = {}
    for taken, value in zip(takes, given, strict=False):
        if taken.sizes is None or not isinstance(value, Tensor):
            continue
        if value.dim() != len(taken.sizes):
            raise ValueError(f"the program takes {taken.name} of {len(taken.sizes)} dimensions, found {value.dim()}")
        for at, (size, found) in enumerate(zip(taken.sizes, value.shape, strict=True)):
            _check_size(f"{taken.name}.size()[{at}]", size, int(found), symbols, ranges)


def _check_size(
    what: str,
    size: int | str,
    found: int,
    symbols: dict[str, int],
    ranges: Mapping[str, tuple[int | None, int | None]],
) -> None:
    if isinstance(size, int):
        if found != size:
            raise ValueError(f"the program was exported for {what} == {size}, found {found} (see its dynamic_shapes)")
        return
    told = affine(size)
    if told is None:
        return
    value, left = divmod(found - told.offset, told.factor) if told.factor else (0, 0)
    if left:
        raise ValueError(f"the program takes multiples of {told.factor} for {what}, found {found}")
    if symbols.setdefault(told.symbol, value) != value:
        wanted = symbols[told.symbol] * told.factor + told.offset
        raise ValueError(f"the program takes {what} == {wanted} beside its other sizes, found {found}")
    least, most = ranges.get(told.symbol, (None, None))
    if (least is not None and value < least) or (most is not None and value > most):
        low = "" if least is None else f"{least * told.factor + told.offset} <= "
        high = "" if most is None else f" <= {most * told.factor + told.offset}"
        raise ValueError(f"the program was exported for {low}{what}{high}, found {found}")


# -- convolutions


def _as_convolution(module: InterpreterModule) -> nn.Module | None:
    """Return a convolution of torch with the weights of a module that does nothing but convolve, else `None`."""
    by_op: dict[str, list[fx.Node]] = {}
    for node in module.graph.nodes:
        by_op.setdefault(node.op, []).append(node)
    calls, inputs, outputs = (by_op.get(op, []) for op in ("call_function", "placeholder", "output"))
    if len(calls) != 1 or len(inputs) != 1 or len(outputs) != 1 or outputs[0].args[0] is not calls[0]:
        return None
    told = _arguments(calls[0])
    if told is None or told["input"] is not inputs[0]:
        return None
    own = {key: _held(module, told[key]) for key in ("weight", "bias")}
    if own["weight"] is None or (told["bias"] is not None and own["bias"] is None):
        return None
    if set(module._parameters) != {"weight", *(["bias"] if told["bias"] is not None else [])} or module._modules:
        return None
    weight = own["weight"]
    kind = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}[weight.dim()]
    padding = told["padding"]
    conv: Any = kind(
        weight.shape[1] * told["groups"],
        weight.shape[0],
        tuple(weight.shape[2:]),
        stride=tuple(told["stride"]),
        padding=padding if isinstance(padding, str) else tuple(padding),
        dilation=tuple(told["dilation"]),
        groups=told["groups"],
        bias=own["bias"] is not None,
        device="meta",
        dtype=weight.dtype,
    )
    conv.weight, conv.bias = weight, own["bias"]
    return conv


def _held(module: nn.Module, node: Any) -> nn.Parameter | None:
    return module._parameters.get(str(node.target)) if isinstance(node, fx.Node) and node.op == "get_attr" else None


def _arguments(node: fx.Node) -> dict[str, Any] | None:
    """Return the arguments of a convolution that is not transposed by name, or `None` of any other operator."""
    target: Any = node.target
    packet = getattr(target, "overloadpacket", None)
    if packet not in (*CONVOLUTIONS, torch.ops.aten.convolution):
        return None
    spatial = {torch.ops.aten.conv1d: 1, torch.ops.aten.conv2d: 2, torch.ops.aten.conv3d: 3}.get(packet)
    names = [argument.name for argument in target._schema.arguments]
    defaults = {a.name: a.default_value for a in target._schema.arguments if a.has_default_value()}
    told = {**defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}
    if told.get("transposed"):
        return None
    weight = told["weight"]
    del weight, spatial
    for key in ("stride", "padding", "dilation"):
        if not isinstance(told[key], str | int) and not all(isinstance(one, int) for one in told[key]):
            return None  # computed from sizes
    return told
