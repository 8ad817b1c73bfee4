"""ONNX files that went wrong somewhere, and what may come of counting them: for `test_graph_fuzzing` and for
`benchmarks/onnx_fuzz.py`, which tries many more on real files.

A file is refused in one line, or counted; what is counted is never below zero, is the sum of its layers, and has no
shape that cannot be. Where onnx's own strict inference refuses a graph, or finds other shapes, its figures are not
complete: something in it is unknown.
"""

import math
import random
import re
import shlex
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, defs

import dscost
from dscost.errors import DscostError
from dscost.notation.inputs import TensorSpec, parse_input

LIMIT_S = 5.0
HANGS_S = 20
SIZES = (-1, 0, 1, 2, 3, 7, 16, 1000, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63), 2**63 - 1)
OPERATORS = sorted({(one.domain, one.name) for one in defs.get_all_schemas()})
MORE = (
    "FusedConv",
    "Attention",
    "SkipLayerNormalization",
    "MatMulNBits",
    "DynamicQuantizeLSTM",
    "NhwcConv",
)


class Outcome(NamedTuple):
    """What came of a file; `fault` is what may not be."""

    how: str
    told: str
    wall_s: float
    fault: str | None = None


# -- mutations


def mutated(content: bytes, dice: random.Random) -> tuple[str, bytes]:
    """Return a file changed somewhere, and how."""
    if dice.random() < 0.3:
        name, change = dice.choice(list(BYTES.items()))
        return name, change(content, dice)
    model = ModelProto.FromString(content)
    names = []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        name, alter = dice.choice(list(FIELDS.items()))
        names.append(name)
        try:
            alter(model, dice)
        except (
            IndexError,
            ValueError,
            TypeError,
        ):  # there is no such thing, or it holds no such value
            continue
    return "+".join(names), model.SerializeToString()


def _flipped(content: bytes, dice: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8))):
        found[dice.randrange(len(found))] ^= 1 << dice.randrange(8)
    return bytes(found)


def _moved(content: bytes, dice: random.Random) -> bytes:
    start, end = sorted(dice.randrange(len(content)) for _ in range(2))
    part = content[start : min(end, start + 200)]
    at = dice.randrange(len(content))
    return content[:at] + part + content[at:]


def _cut(content: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(content))
    return content[:at] + content[at + dice.choice((1, 2, 10, 100)) :]


BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flipped": _flipped,
    "truncated": lambda content, dice: content[: dice.randrange(len(content))],
    "repeated": _moved,
    "cut": _cut,
}

Alter = Callable[[ModelProto, random.Random], object]
FIELDS: dict[str, Alter] = {}


def _field(function: Alter) -> Alter:
    FIELDS[function.__name__] = function
    return function


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for one in node.attribute:
            for inner in ([one.g] if one.HasField("g") else [], one.graphs):
                for each in inner:
                    yield from _graphs(each)


def _graph(model: ModelProto, dice: random.Random) -> GraphProto:
    return dice.choice(list(_graphs(model.graph)))


def _node(model: ModelProto, dice: random.Random) -> NodeProto:
    nodes = list(_graph(model, dice).node) + [
        one for function in model.functions for one in function.node
    ]
    return dice.choice(nodes)


def _name(model: ModelProto, dice: random.Random) -> str:
    graph = model.graph
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    return dice.choice([*names, *(one.name for one in graph.initializer), "", "nowhere"])


def _tensor(model: ModelProto, dice: random.Random) -> TensorProto:
    graphs = list(_graphs(model.graph))
    stored = [one for graph in graphs for one in graph.initializer]
    stored += [
        one.t
        for graph in graphs
        for node in graph.node
        for one in node.attribute
        if one.HasField("t")
    ]
    return dice.choice(stored)


@_field
def dims_of_a_tensor(model: ModelProto, dice: random.Random) -> None:
    dims = _tensor(model, dice).dims
    how = dice.randrange(4)
    if how == 0:
        dims.append(dice.choice(SIZES))
    elif how == 1:
        dims.pop(dice.randrange(len(dims)))
    else:
        at = dice.randrange(len(dims))
        dims[at] = dims[at] + dice.choice((-1, 1)) if how == 2 else dice.choice(SIZES)


@_field
def values_of_a_tensor(model: ModelProto, dice: random.Random) -> None:
    tensor = _tensor(model, dice)
    if tensor.raw_data:
        tensor.raw_data = _flipped(tensor.raw_data, dice)
    elif tensor.int64_data:
        tensor.int64_data[dice.randrange(len(tensor.int64_data))] = dice.choice(SIZES)


@_field
def dtype_of_a_tensor(model: ModelProto, dice: random.Random) -> None:
    _tensor(model, dice).data_type = dice.choice((*range(24), 99, -1))


@_field
def place_of_a_tensor(model: ModelProto, dice: random.Random) -> None:
    tensor = _tensor(model, dice)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(
        key="location", value=dice.choice(("../x", "/etc/passwd", "x", "", "."))
    )


@_field
def type_of_a_value(model: ModelProto, dice: random.Random) -> None:
    graph = _graph(model, dice)
    info = dice.choice([*graph.input, *graph.output, *graph.value_info]).type.tensor_type
    how = dice.randrange(5)
    if how == 0:
        info.elem_type = dice.randrange(24)
    elif how == 1:
        info.ClearField("shape")
    elif how == 2:
        info.shape.dim.add().dim_value = dice.choice(SIZES)
    else:
        axis = dice.choice(info.shape.dim)
        axis.dim_value = dice.choice(SIZES)


@_field
def attribute(model: ModelProto, dice: random.Random) -> None:
    one: AttributeProto = dice.choice(_node(model, dice).attribute)
    how = dice.randrange(7)
    if how == 0:
        one.type = dice.randrange(15)  # type: ignore[assignment]
    elif how == 1:
        one.name = dice.choice(("axis", "axes", "group", "strides", "pads", "kernel_shape", "x"))
    elif how == 2 and one.ints:
        one.ints.append(dice.choice(SIZES))
    elif how == 3 and one.ints:
        one.ints.pop(len(one.ints) - 1)
    elif one.ints:
        one.ints[dice.randrange(len(one.ints))] = dice.choice(SIZES)
    elif one.type == AttributeProto.INT:
        one.i = dice.choice(SIZES)
    elif one.type == AttributeProto.FLOAT:
        one.f = dice.choice((0.0, -1.0, 1e30, math.inf, math.nan))
    elif one.type == AttributeProto.STRING:
        one.s = dice.choice((b"", b"SAME_UPPER", b"\xff", b"linear", b"i,ij->j", b"..."))


@_field
def no_attribute(model: ModelProto, dice: random.Random) -> None:
    attributes = _node(model, dice).attribute
    attributes.pop(dice.randrange(len(attributes)))


@_field
def new_attribute(model: ModelProto, dice: random.Random) -> None:
    other, node = _node(model, dice), _node(model, dice)
    node.attribute.append(dice.choice(other.attribute))


@_field
def operator(model: ModelProto, dice: random.Random) -> None:
    node = _node(model, dice)
    how = dice.randrange(4)
    if how == 0:
        node.domain, node.op_type = "com.microsoft", dice.choice(MORE)
    elif how == 1:
        node.domain = dice.choice(("ai.onnx", "com.microsoft", "nobody", "ai.onnx.ml"))
    elif how == 2:
        node.op_type = _node(model, dice).op_type
    else:
        node.domain, node.op_type = dice.choice(OPERATORS)


@_field
def edge(model: ModelProto, dice: random.Random) -> None:
    inputs = _node(model, dice).input
    how = dice.randrange(5)
    if how == 0:
        inputs.append(_name(model, dice))
    elif how == 1:
        inputs.pop(dice.randrange(len(inputs)))
    elif how == 2:
        at = dice.randrange(len(inputs))
        inputs.insert(at, inputs[at])
    else:
        inputs[dice.randrange(len(inputs))] = _name(model, dice)


@_field
def output(model: ModelProto, dice: random.Random) -> None:
    outputs = _node(model, dice).output
    how = dice.randrange(3)
    if how == 0:
        outputs.append(f"more{len(outputs)}")
    elif how == 1 and outputs:
        outputs.pop(len(outputs) - 1)
    elif outputs:
        outputs[dice.randrange(len(outputs))] = _name(model, dice)


@_field
def order(model: ModelProto, dice: random.Random) -> None:
    nodes = _graph(model, dice).node
    node = nodes.pop(dice.randrange(len(nodes)))
    if dice.random() < 0.5:
        nodes.insert(dice.randrange(len(nodes) + 1), node)


@_field
def results(model: ModelProto, dice: random.Random) -> None:
    graph = _graph(model, dice)
    if dice.random() < 0.5 and graph.output:
        graph.output.pop(len(graph.output) - 1)
    else:
        dice.choice(graph.output).name = _name(model, dice)


@_field
def given(model: ModelProto, dice: random.Random) -> None:
    graph = _graph(model, dice)
    which = dice.choice((graph.input, graph.initializer))
    if dice.random() < 0.5:
        which.pop(dice.randrange(len(which)))
    else:
        dice.choice(which).name = _name(model, dice)


@_field
def versions(model: ModelProto, dice: random.Random) -> None:
    if dice.random() < 0.8:
        dice.choice(model.opset_import).version = dice.choice((*range(29), 99, -1, 2**40))
    else:
        model.ir_version = dice.choice((0, 1, 3, 99, -1, 2**40))


@_field
def function(model: ModelProto, dice: random.Random) -> None:
    one = dice.choice(model.functions)
    which = dice.choice((one.input, one.output, one.attribute, one.opset_import, one.node))
    which.pop(dice.randrange(len(which)))


# -- what comes of it


def examine(path: Path, *, by_onnx: bool = True) -> Outcome:
    """Count a file; where axes are open, on what the error proposes."""
    start = time.perf_counter()
    try:
        with _broken_off(), warnings.catch_warnings():
            warnings.simplefilter("error")
            report = _analyzed(path)
    except DscostError as error:
        wall_s = time.perf_counter() - start
        return Outcome("refused", str(error), wall_s, _wrong_words(str(error)) or _slow(wall_s))
    except BaseException as error:  # noqa: BLE001 - whatever comes out of it is what is looked for
        wall_s = time.perf_counter() - start
        return Outcome("escaped", "", wall_s, f"{type(error).__name__}: {error}"[:300])
    wall_s = time.perf_counter() - start
    unknown = ", ".join(report.coverage.unknown)
    fault = _slow(wall_s) or _wrong_figures(report)
    if fault is None and by_onnx and not unknown:
        fault = _disagrees(path, report)
    return Outcome("partial" if unknown else "counted", unknown, wall_s, fault)


def _analyzed(path: Path) -> Any:
    try:
        return dscost.analyze(str(path))
    except DscostError as error:
        example = re.search(r"give sizes, such as (--input .*)$", str(error))
        if example is None:
            raise
        texts = [word for word in shlex.split(example[1]) if word != "--input"]
        texts = [USUAL.get(text, text) for text in texts]
        if "x=1,3,224,224" in texts and b"p2o.Reshape.79" in path.read_bytes():
            texts = ["x=1,3,48,320"]
        return dscost.analyze(str(path), input=[parse_named(text) for text in texts])


USUAL = {
    "input=1,128": "input=1,576",
    "state=2,128,128": "state=2,1,128",
}
"""Sizes that speech and lines of text need, in place of those that are proposed."""


def parse_named(text: str) -> TensorSpec:
    """Return an input of any name, though not every one can be written on a command line."""
    name, _, shape = text.rpartition("=")
    return parse_input(shape)._replace(name=name or None)


def _slow(wall_s: float) -> str | None:
    return f"took {wall_s:.1f} s" if wall_s > LIMIT_S else None


def _wrong_words(told: str) -> str | None:
    if not told or len(told.splitlines()) != 1 or len(told) > 2000:
        return f"not one line: {told[:300]!r}"
    if re.search(r"Traceback|<onnx|object at 0x|Error:|<class", told):
        return f"not for people: {told[:300]!r}"
    return None


def _wrong_figures(report: Any) -> str | None:
    whole = report.totals.as_is
    for cost in (whole, *(layer.cost for layer in report.layers)):
        for name, figure in (
            vars(cost).items() if hasattr(cost, "__dict__") else cost._asdict().items()
        ):
            if isinstance(figure, int | float) and not 0 <= figure < math.inf:
                return f"{name} is {figure}"
    for layer in report.layers:
        for shape in (layer.input_shape, layer.output_shape):
            if shape and min(shape) < 0:
                return f"{layer.name} has the shape {shape}"
    for name in ("macs", "flops"):
        parts = sum(getattr(layer.cost, name) for layer in report.layers)
        if parts != getattr(whole, name):
            return f"layers have {parts} {name}, the whole {getattr(whole, name)}"
    if (report.peak_activation_bytes or 0) < 0:
        return f"a peak of {report.peak_activation_bytes}"
    return None


def _disagrees(path: Path, report: Any) -> str | None:
    """Return what onnx's strict inference says against a count that calls itself complete."""
    model = onnx.load(str(path), load_external_data=False)
    if len(model.graph.node) > 1500 or model.functions:
        return None
    inputs = [
        one
        for one in model.graph.input
        if one.name not in {t.name for t in model.graph.initializer}
    ]
    for one, seen in zip(inputs, report.inputs, strict=True):
        if one.type.HasField("tensor_type"):
            shape = one.type.tensor_type.shape
            del shape.dim[:]
            for size in seen.shape:
                shape.dim.add().dim_value = size
    for graph in _graphs(model.graph):  # what a file states of its values is not ours
        del graph.value_info[:]
        for one in graph.output:
            one.ClearField("type")
    stored = {one.name for one in model.graph.initializer}
    for one in [one for one in model.graph.input if one.name in stored]:
        model.graph.input.remove(one)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        # dtypes that do not go together change no figure; an attribute of an older opset is understood
        is_known = any(
            words in str(error)
            for words in (
                "TypeInferenceError",
                "is required",
                "is out of bounds",
                "existing shape",
                "one-dimensional tensor",
            )
        )
        return None if is_known else f"onnx refuses it: {str(error)[-300:]}"
    known = {
        one.name: one.type.tensor_type.shape
        for one in (*inferred.graph.value_info, *inferred.graph.output)
    }
    called = Counter(node.name for node in model.graph.node)
    last = {
        (node.name if called[node.name] == 1 and node.name else node.output[0]): node.output[0]
        for node in model.graph.node
        if node.output
    }
    for layer in report.layers:
        shape = known.get(last.get(layer.name, ""))
        if (
            layer.calls == 1
            and shape is not None
            and all(axis.HasField("dim_value") for axis in shape.dim)
        ):
            sizes = tuple(axis.dim_value for axis in shape.dim)
            if (
                sizes and min(sizes) >= 0 and sizes != tuple(layer.output_shape or ())
            ):  # onnx counts in 32 bits
                return f"{layer.name} ({layer.type}) writes {layer.output_shape}, by onnx {sizes}"
    return None


class _Hang(BaseException):
    """Not an `Exception`, so that nothing takes it for an error of its own."""


@contextmanager
def _broken_off() -> Iterator[None]:
    def stop(_: int, __: FrameType | None) -> None:
        raise _Hang(f"not done after {HANGS_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANGS_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
