"""A network → the units that it is timed as: what runs as one, each with how often it is there.

A convolution takes the normalisation and the activation behind it along, where nobody else reads
what lies between; so does every other layer. A squeeze-and-excite block is one unit. What moves no
data is free. No torch.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from dscost.analysis.architectures import peak_elements
from dscost.analysis.whole_models import WHOLE
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.making import extent
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    JoinSpec,
    LinearSpec,
    Part,
    PoolSpec,
    Spec,
)
from dscost.networks.network import INPUT, NETWORK_INPUT, Operation, consumers
from dscost.sweeping.records import Case
from dscost.sweeping.units import Unit, conv_of

SQUEEZE_EXCITE = "squeeze_excite"
TAKEN_ALONG = ("normalization", "activation")
"""What runs with the layer that it follows, in this order."""
_WORDS = {"normalization": "norm", "concatenation": "concat"}
"""What operations are called in labels, where that is not their word in reports."""


class Piece(NamedTuple):
    """Operations of a network that are one unit.

    Args:
        names: Of the operations.
        positions: Where they are.
        unit: What is timed; `None` where that takes inputs of several sizes.
    """

    names: tuple[str, ...]
    positions: tuple[int, ...]
    unit: Unit | None


def cut(operations: Sequence[Operation]) -> tuple[list[Piece], tuple[int, ...]]:
    """Return a network in pieces, in running order, and the positions of what is free.

    Each operation is in one piece, or free.
    """
    readers = consumers(operations)
    pieces, free = [], []
    taken: set[int] = set()
    diamonds = dict(_diamonds(operations, readers))
    for at, operation in enumerate(operations):
        if at in taken:
            continue
        if not operation.spec.moves_data:
            free.append(at)
            continue
        positions = diamonds.get(at) or tuple(_chain(operations, readers, at))
        taken |= set(positions)
        names = tuple(operations[one].name for one in positions)
        pieces.append(Piece(names, positions, _unit_of(operations, positions)))
    return pieces, tuple(free)


class ModelLayers(NamedTuple):
    """A model as cases: its layers, each distinct one once, and the whole.

    Args:
        name: Of the model.
        layers: What computes the same on an input of the same shape is one, with its calls.
        whole: All of it as one unit.
        missing: Names of what cannot be timed by itself: it takes inputs of several sizes.
        free: How many operations move no data, and are in no layer.
    """

    name: str
    layers: tuple[Case, ...]
    whole: Case
    missing: tuple[str, ...] = ()
    free: int = 0


def layers_of(name: str, operations: Sequence[Operation], dtype: str = "float32") -> ModelLayers:
    """Return the distinct layers of a network on its input, as they are found in it.

    Between two calls of a layer, as much memory is used as a pass of the model uses.

    Args:
        name: Of the model.
        operations: In running order.
        dtype: Of weights and activations.

    >>> from dscost.networks.architectures import build, find_builtin
    >>> found = layers_of("resnet18", build(find_builtin("resnet18"), overrides={}).operations)
    >>> len(found.layers), sum(case.calls for case in found.layers), found.free
    (22, 31, 1)
    """
    calls: Counter[Unit] = Counter()
    missing = []
    pieces, free = cut(operations)
    for piece in pieces:
        if piece.unit is None:
            missing.append(piece.names[0])
        else:
            calls[piece.unit] += 1
    between = footprint_elements(operations)
    layers = tuple(
        Case(
            {**axes_of(unit), "dtype": dtype},
            (unit._replace(between_elements=between),),
            calls=number,
        )
        for unit, number in calls.items()
    )
    whole = _whole(operations)
    of_whole = Case({**axes_of(whole), "dtype": dtype}, (whole,))
    return ModelLayers(name, layers, of_whole, tuple(missing), len(free))


def footprint_elements(operations: Sequence[Operation]) -> int:
    """Return what a pass of a network uses: its weights, and the most activations at once."""
    weights = sum(operation.spec.params for operation in operations)
    return weights + peak_elements(operations)


def _whole(operations: Sequence[Operation]) -> Unit:
    """Return a network as one unit, whose stages are its operations."""
    names = {NETWORK_INPUT: INPUT, **{at: one.name for at, one in enumerate(operations)}}
    parts: tuple[Part, ...] = tuple(
        (one.name, one.spec, tuple(names[source] for source in one.sources)) for one in operations
    )
    return Unit(WHOLE, parts, operations[0].input_shapes[0])


def axes_of(unit: Unit) -> Mapping[str, Any]:
    """Return what a table says of a unit, by the name of the axis."""
    batch, channels, *sizes = unit.shape
    found: dict[str, Any] = {"in_channels": channels}
    spec = unit.parts[0][1]
    if isinstance(spec, LinearSpec):
        found |= {"in_channels": unit.shape[-1], "out_channels": spec.out_features}
        found |= {"bias": spec.bias}
    if unit.label not in (SQUEEZE_EXCITE, WHOLE) and isinstance(spec, ConvSpec):
        names = ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias")
        found |= {name: _plain(getattr(spec, name)) for name in names}
    if isinstance(spec, PoolSpec):
        of_window = ("kernel_size", "stride", "padding")
        found |= {name: _plain(getattr(spec, name)) for name in of_window}
    if sizes:
        found["input_size"] = _plain(tuple(sizes))
    return {**found, "batch": batch}


def _plain(value: Any) -> Any:
    """Return a pair of equals as one number."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _chain(
    operations: Sequence[Operation], readers: Sequence[Sequence[int]], first: int
) -> Iterator[int]:
    """Yield an operation and what it takes along."""
    yield first
    if operations[first].op in TAKEN_ALONG[1:]:
        return
    at, allowed = first, list(TAKEN_ALONG)
    if operations[first].op == TAKEN_ALONG[0]:
        del allowed[0]
    while allowed and len(readers[at]) == 1:
        (following,) = readers[at]
        op = operations[following].op
        if op not in allowed or operations[following].sources != (at,):
            return
        del allowed[: allowed.index(op) + 1]
        at = following
        yield at


def _diamonds(
    operations: Sequence[Operation], readers: Sequence[Sequence[int]]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the squeeze-and-excite blocks: where each begins, and all that is in it.

    A feature map is pooled to one position, and multiplied by what is made of that alone.
    """
    for at, operation in enumerate(operations):
        if operation.op != "multiply" or len(operation.sources) != 2:
            continue
        source, gate = operation.sources
        inside = [at]
        while gate not in (source, NETWORK_INPUT):
            if len(readers[gate]) != 1 or len(operations[gate].sources) != 1:
                break
            inside.append(gate)
            gate = operations[gate].sources[0]
        else:
            if gate == source and operations[inside[-1]].op == "global_pooling":
                yield inside[-1], tuple(reversed(inside))


def _unit_of(operations: Sequence[Operation], positions: Sequence[int]) -> Unit | None:
    """Return operations as stages on one input; `None` where they read inputs of several sizes."""
    outside = [
        (source, shape)
        for at in positions
        for source, shape in zip(operations[at].sources, operations[at].input_shapes, strict=True)
        if source not in positions
    ]
    shapes = {shape for _, shape in outside}
    if len(shapes) != 1:
        return None
    # names by place, so that equal layers are equal units wherever they are
    names = {at: f"{_word_of(operations[at].spec)}_{number}" for number, at in enumerate(positions)}
    parts: list[Part] = []
    for at in positions:
        reads = tuple(names.get(source, INPUT) for source in operations[at].sources)
        parts.append((names[at], operations[at].spec, reads))
    return Unit(_label_of(operations, positions), tuple(parts), next(iter(shapes)))


def _label_of(operations: Sequence[Operation], positions: Sequence[int]) -> str:
    if operations[positions[-1]].op == "multiply" and len(positions) > 2:
        return SQUEEZE_EXCITE
    return "+".join(_word_of(operations[at].spec) for at in positions)


def _word_of(spec: Spec) -> str:
    if isinstance(spec, ActivationSpec):
        return spec.kind
    if isinstance(spec, PoolSpec):
        return f"{spec.kind}_pooling"
    return _WORDS.get(spec.op, spec.op)


def unit_as_told(label: str, of: Mapping[str, Any], dims: int) -> Unit | None:
    """Return the layer of a model that a row of a table is of.

    Args:
        label: Of its unit.
        of: What the table says of it, see `axes_of`.
        dims: Spatial dimensions.

    Returns:
        `None` where the row does not tell what was in it, as of a squeeze-and-excite block; or it
        is of no model.

    Raises:
        SpecError: There is no such layer.
    """
    first, *behind = label.split("+")
    made = _first_of(first, of, dims)
    if made is None:
        return None
    spec, shape = made
    parts: list[Part] = [(first, spec)]
    channels = spec.output_shape(*(shape,) * (2 if first == "add" else 1))[1]
    for word in behind:
        is_norm = word == _WORDS["normalization"]
        parts.append((word, BatchNormSpec(channels, dims) if is_norm else ActivationSpec(word)))
    if first == "add":
        parts[0] = (first, spec, (INPUT, INPUT))
    return Unit(label, tuple(parts), shape)


def _first_of(word: str, of: Mapping[str, Any], dims: int) -> tuple[Spec, Shape] | None:
    """Return what a unit begins with, and the shape of its input."""
    if word == "linear":
        spec = LinearSpec(of["in_channels"], of["out_channels"], bias=of.get("bias", True))
        return spec, (of["batch"], of["in_channels"])
    if word not in ("convolution", "add", "max_pooling", "avg_pooling"):
        return None
    shape = (of["batch"], of["in_channels"], *extent("input_size", of["input_size"], dims))
    if word == "convolution":
        return conv_of(of, dims), shape
    if word == "add":
        return JoinSpec("add"), shape
    kernel, stride, padding = (
        extent(name, of[name], dims) for name in ("kernel_size", "stride", "padding")
    )
    kind: Literal["max", "avg"] = "max" if word == "max_pooling" else "avg"
    return PoolSpec(kind, kernel, stride, padding), shape
