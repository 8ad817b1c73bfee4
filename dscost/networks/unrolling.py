"""From an architecture file's parts to operations: blocks unrolled, expressions computed.

What cannot be built is told by `FileProblems`, all at once.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Literal, NamedTuple, NoReturn

from dscost.errors import FileProblems, InputError
from dscost.layers.convolution import Shape, conv2d
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    DropoutSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    PoolSpec,
    Spec,
)
from dscost.networks.expressions import UNKNOWN, UnknownValue
from dscost.networks.keys import WORDS
from dscost.networks.language import VARIABLES
from dscost.networks.network import NETWORK_INPUT, Operation, once, written_shape
from dscost.networks.parts import ArchitectureFile, Field, Item, misfits
from dscost.notation.marked_yaml import Node, Problems

MAX_OPERATIONS = 20_000
MAX_VALUES = 300_000
"""More values to compute than this are repeats that nobody meant, however few layers they leave."""
MAX_BLOCK_DEPTH = 20


class Tensor(NamedTuple):
    """What the next layer reads: where it comes from, and its shape."""

    source: int
    shape: Shape


class _Scope:
    """Where a layer stands: its name's prefix, the values it may use, how far kinds are numbered.

    `places` are those of the values that columns have.
    """

    def __init__(
        self, prefix: str, values: dict[str, Any], places: Mapping[str, Node], depth: int
    ) -> None:
        self.prefix, self.values, self.places, self.depth = prefix, values, places, depth
        self.counts: dict[str, int] = {}

    def inner(self, prefix: str, **values: Any) -> "_Scope":
        return _Scope(prefix, {**self.values, **values}, self.places, self.depth)

    def next_number(self, kind: str) -> int:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return self.counts[kind]

    def numbered(self, kind: str) -> str:
        return f"{kind}{self.next_number(kind)}"

    def place_of(self, given: Field) -> Node:
        """Return where a value stands; if it is but the name of a column, that is its cell."""
        text = given.node.value
        return self.places.get(text, given.node) if isinstance(text, str) else given.node


def input_shape(file: ArchitectureFile, settings: Mapping[str, Any]) -> Shape | None:
    """Return channels, height and width as the file gives them, or `None` where it does not."""
    if file.input is None:
        return None
    unrolling = _Unrolling(file, settings)
    try:
        scope = _Scope("", unrolling.names, {}, depth=0)
        values = unrolling.values(dict(enumerate(file.input)), scope)
    except UnknownValue:
        raise FileProblems(file.path, unrolling.problems) from None
    return tuple(values.values())


def unroll(file: ArchitectureFile, settings: Mapping[str, Any], shape: Shape) -> list[Operation]:
    """Return the operations of the network on an input `(B, C, H, W)`."""
    unrolling = _Unrolling(file, settings)
    unrolling.network(shape)
    problems = unrolling.problems
    if not unrolling.operations and not problems:
        problems.at(file.layers[0].node, "no layer is left: every 'when' is false")
    problems.refuse(file.path)
    return unrolling.operations


class _Stop(Exception):
    """The file asks for too much; whatever else is wrong with it comes later."""


class _Unrolling:
    """Goes on after a mistake as far as that is no guess: a tensor of unknown shape is `None`.

    What is wrong is added to the problems, and whoever needs it is told that it is unknown.
    """

    def __init__(self, file: ArchitectureFile, settings: Mapping[str, Any]) -> None:
        self.file = file
        self.names = {**WORDS, **{name: name for name in file.blocks}, **settings}
        self.operations: list[Operation] = []
        # blocks repeat: see `networks.network.once`
        self.conv, self.written = cache(conv2d), once(written_shape)
        self.specs: dict[Spec, Spec] = {}
        self.problems = Problems()
        self.defaults: Mapping[str, Any] = {}
        self.taken: set[str] = set()
        self.groups: set[str] = set()
        self.values_left = MAX_VALUES

    def network(self, shape: Shape) -> None:
        outside = {"index": 0, "first": True, "block_in_channels": shape[1]}
        scope = _Scope("", {**self.names, **outside}, {}, depth=0)
        with suppress(UnknownValue):
            self.defaults = self.values(self.file.defaults, scope)
        with suppress(_Stop):
            self.items(self.file.layers, Tensor(NETWORK_INPUT, shape), scope)

    # -- lists, blocks and branches

    def items(self, items: Sequence[Item], tensor: Tensor | None, scope: _Scope) -> Tensor | None:
        for item in items:
            scope.values["in_channels"] = tensor.shape[1] if tensor else UNKNOWN
            self.keep_within_limits(item)
            try:
                if item.when is None or self.value(item.when, scope):
                    tensor = self.layer(item, tensor, scope)
            except UnknownValue:
                tensor = None
            except InputError as error:
                self.problems.at(item.node, str(error))
                tensor = None
        return tensor

    def keep_within_limits(self, item: Item) -> None:
        self.values_left -= 1 + len(item.fields) + len(item.rows or ())
        too_many = ""
        if len(self.operations) >= MAX_OPERATIONS:
            too_many = f"{MAX_OPERATIONS:,} layers"
        elif self.values_left < 0:
            too_many = f"{MAX_VALUES:,} values to compute"
        if too_many:
            self.stop(item, f"more than {too_many} once blocks are repeated, refused")

    def stop(self, item: Item, message: str) -> NoReturn:
        self.problems.at(item.node, message)
        raise _Stop

    def layer(self, item: Item, tensor: Tensor | None, scope: _Scope) -> Tensor | None:
        given = self.values(item.fields, scope)
        if item.kind == "block":
            return self.block(item, given, tensor, scope)
        if item.kind == "residual":
            return self.residual(item, given, tensor, scope)
        if tensor is None:
            return None
        name = scope.prefix + (item.name or scope.numbered(item.kind))
        if item.kind in ("conv", "depthwise"):
            return self.convolution(name, item.kind, given, tensor)
        if item.kind == "squeeze_excite":
            return self.squeeze_excite(name, given, tensor)
        tensor = self.add(name, _simple_spec(item.kind, given, tensor.shape), [tensor])
        if item.kind == "linear":
            tensor = self.activation(f"{name}_act", given.get("act"), tensor)
        return tensor

    def block(
        self, item: Item, given: Mapping[str, Any], tensor: Tensor | None, scope: _Scope
    ) -> Tensor | None:
        name = given["block"]
        block = self.file.blocks[name]
        if scope.depth >= MAX_BLOCK_DEPTH:
            too_deep = f"blocks nested deeper than {MAX_BLOCK_DEPTH} levels"
            self.stop(item, f"{too_deep}; does '{name}' contain itself?")
        problems = misfits(item, block.columns)
        if problems:
            self.problems += problems
            return None
        if item.rows is not None:
            rows = []
            for row, cells in item.rows:
                by_column = dict(zip(block.columns, cells, strict=True))
                fields = {"block": item.fields["block"], **by_column}
                rows.append(item._replace(node=row, when=None, fields=fields, rows=None))
            return self.items(rows, tensor, scope)

        columns = {column: given[column] for column in block.columns}
        places = {column: scope.place_of(item.fields[column]) for column in columns}
        variables = {variable: scope.values[variable] for variable in VARIABLES}
        inside = _Scope("", {**self.names, **variables, **columns}, places, scope.depth + 1)
        prefix = scope.prefix + scope.numbered(item.name or name)
        if block.repeat is None:
            return self.repetition(block.layers, f"{prefix}.", 0, tensor, inside)
        for index in range(self.value(block.repeat, inside)):
            tensor = self.repetition(block.layers, f"{prefix}.{index}.", index, tensor, inside)
        return tensor

    def repetition(
        self, layers: Sequence[Item], prefix: str, index: int, tensor: Tensor | None, scope: _Scope
    ) -> Tensor | None:
        arriving = tensor.shape[1] if tensor else UNKNOWN
        inside = scope.inner(prefix, index=index, first=index == 0, block_in_channels=arriving)
        return self.items(layers, tensor, inside)

    def residual(
        self, item: Item, given: Mapping[str, Any], tensor: Tensor | None, scope: _Scope
    ) -> Tensor | None:
        body = self.items(item.lists["residual"], tensor, scope)
        number = scope.next_number("add")
        name = scope.prefix + (item.name or f"add{number}")
        if given.get("skip_when", True):
            beside = scope.inner(f"{scope.prefix}shortcut{number}.")
            shortcut = self.items(item.lists.get("shortcut", ()), tensor, beside)
            body = self.add(name, JoinSpec("add"), [body, shortcut]) if body and shortcut else None
        return self.activation(f"{name}_act", given.get("act"), body) if body else None

    # -- single layers

    def convolution(self, name: str, kind: str, given: Mapping[str, Any], tensor: Tensor) -> Tensor:
        channels = tensor.shape[1]
        depthwise = kind == "depthwise"
        norm, act = (given.get(key, self.defaults.get(key)) for key in ("norm", "act"))
        spec = self.conv(
            channels,
            channels * given.get("depth_multiplier", 1) if depthwise else given["out_channels"],
            given[kind],
            stride=given.get("stride", 1),
            padding=given.get("padding"),
            dilation=given.get("dilation", 1),
            groups=channels if depthwise else given.get("groups", 1),
            bias=given.get("bias", norm is None),
        )
        tensor = self.add(name, spec, [tensor])
        if norm:
            tensor = self.add(f"{name}_norm", BatchNormSpec(spec.out_channels), [tensor])
        return self.activation(f"{name}_act", act, tensor)

    def squeeze_excite(self, name: str, given: Mapping[str, Any], tensor: Tensor) -> Tensor:
        """A gate per channel: global pooling, two 1×1 convolutions with bias, times the input."""
        channels, squeezed = tensor.shape[1], given["squeeze_excite"]
        gate = self.add(f"{name}.pool", GlobalPoolSpec(), [tensor])
        gate = self.add(f"{name}.reduce", self.conv(channels, squeezed, 1, bias=True), [gate])
        gate = self.activation(f"{name}.reduce_act", given.get("act", "relu"), gate)
        gate = self.add(f"{name}.expand", self.conv(squeezed, channels, 1, bias=True), [gate])
        gate = self.activation(f"{name}.gate", given.get("gate", "sigmoid"), gate)
        return self.add(f"{name}.multiply", JoinSpec("multiply"), [tensor, gate])

    def activation(self, name: str, kind: str | None, tensor: Tensor) -> Tensor:
        return self.add(name, ActivationSpec(kind), [tensor]) if kind else tensor

    def add(self, name: str, spec: Spec, tensors: list[Tensor]) -> Tensor:
        self.claim(name)
        shapes = tuple(tensor.shape for tensor in tensors)
        spec = self.specs.setdefault(spec, spec)
        output = self.written(spec, shapes)
        sources = tuple(tensor.source for tensor in tensors)
        self.operations.append(Operation(name, spec, sources, shapes, output))
        return Tensor(len(self.operations) - 1, output)

    def claim(self, name: str) -> None:
        """Take a name. Names are paths, as of torch modules: no layer is a group of others, too."""
        if name in self.taken:
            raise InputError(f"two layers are called '{name}'")
        if name in self.groups:
            raise InputError(f"a layer and a group of layers are called '{name}'")
        group = name.rpartition(".")[0]
        while group and group not in self.groups:
            if group in self.taken:
                raise InputError(f"a layer and a group of layers are called '{group}'")
            self.groups.add(group)
            group = group.rpartition(".")[0]
        self.taken.add(name)

    # -- values

    def value(self, given: Field, scope: _Scope) -> Any:
        try:
            return given.value(scope.values)
        except InputError as error:
            self.problems.at(scope.place_of(given), str(error))
            raise UnknownValue from error

    def values(self, fields: Mapping[Any, Field], scope: _Scope) -> dict[Any, Any]:
        """Return all values; every one is computed, so that all mistakes are told."""
        values = {}
        for key, given in fields.items():
            with suppress(UnknownValue):
                values[key] = self.value(given, scope)
        if len(values) < len(fields):
            raise UnknownValue
        return values


def _simple_spec(kind: str, given: Mapping[str, Any], shape: Shape) -> Spec:
    match kind:
        case "linear":
            return LinearSpec(shape[-1], given["linear"], given.get("bias", True))
        case "max_pool" | "avg_pool":
            window, ceil_mode = given[kind], given.get("ceil_mode", False)
            stride, padding = given.get("stride", window), given.get("padding", (0, 0))
            pooling: Literal["max", "avg"] = "max" if kind == "max_pool" else "avg"
            return PoolSpec(pooling, window, stride, padding, ceil_mode)
        case "global_pool":
            return GlobalPoolSpec(given["global_pool"], given.get("functional", False))
        case "norm":
            return BatchNormSpec(shape[1])
        case "act":
            return ActivationSpec(given["act"])
        case "dropout":
            return DropoutSpec(given["dropout"])
    return FlattenSpec()
