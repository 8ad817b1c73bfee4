"""Which shapes the nodes of a file really read and write, as others than dscost find them.

ONNX Runtime runs the model and tells them in its profile, where it is installed; else onnx's
reference evaluator does where the model is small; else onnx's shape inference says what it can.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto

from dscost.errors import first_line
from dscost.graphs.checking import graphs_in
from dscost.graphs.nodes import MAIN, operator_of
from dscost.graphs.numbering import number_in
from dscost.graphs.recounting import is_recounted
from dscost.graphs.running import (
    MOST_MACS,
    MOST_MACS_OF_REFERENCE,
    as_written,
    made_up,
    run_for_a_while,
)
from dscost.graphs.tensors import bytes_of
from dscost.graphs.values import Shape, Value

MOST_MOVED = 2**36
MOST_MOVED_OF_REFERENCE = 2**32
"""Bytes that the nodes of such a model read and write, which takes time as well."""
MOST_ALIVE = 2**31
"""Bytes of activations at once in a model that is run."""
MOST_FILLED = 2**29
"""Bytes of weights in other files that are taken for zeros, so that the model runs."""

Run = tuple[Sequence[Shape], Sequence[Shape]]
"""The shapes that a node read and wrote, once."""


class Seen(NamedTuple):
    """What was seen of a model whose nodes have numbers.

    Args:
        method: Who saw it, in a sentence: `by the shapes of ONNX Runtime`.
        key: The same for programs.
        runs: Every run of every node, by its number; -1 of what has none.
        is_everything: Whether a node that is not there has not run; else nobody knows.
        notes: What the reader must know.
    """

    method: str
    key: str
    runs: Mapping[int, Sequence[Run]]
    is_everything: bool
    notes: tuple[str, ...] = ()


class Work(NamedTuple):
    """What it would take to run a model: what takes long or much memory is not run.

    Args:
        macs: Its multiply-accumulates.
        moved: Bytes that its nodes read and write.
        alive: Bytes of activations at once.
        ends: Whether it is known to end.
    """

    macs: int
    moved: int
    alive: int
    ends: bool

    def fits(self, macs: int, moved: int) -> bool:
        """Whether it is no more than what a program does in seconds."""
        is_little = self.macs <= macs and self.moved <= moved and self.alive <= MOST_ALIVE
        return self.ends and is_little


def shapes_seen(model: ModelProto, inputs: Mapping[str, Value], work: Work) -> Seen:
    """Return the shapes in a model, by the best of three methods that does it.

    Args:
        model: With its weights; its nodes have numbers. It may be changed.
        inputs: What its inputs are given as.
        work: What running it would take.
    """
    notes: list[str] = []
    methods = []
    if find_spec("onnxruntime") and work.fits(MOST_MACS, MOST_MOVED):
        methods.append(_by_runtime)
    if work.fits(MOST_MACS_OF_REFERENCE, MOST_MOVED_OF_REFERENCE):
        methods.append(_by_reference)
    for method in methods if methods and _with_all_weights(model, notes) else []:
        try:
            return method(model, made_up(inputs), notes)
        # what another program says of a file may be anything
        except Exception as error:  # noqa: BLE001
            notes.append(f"{_NAMES[method]} does not run it: {_why(error)}.")
    return _by_inference(model, inputs, notes)


def _why(error: Exception) -> str:
    """Return what stopped a program; onnx's evaluator tells of a node what its cause tells better.

    >>> _why(ValueError("No such shape."))
    'ValueError: No such shape'
    """
    operator = re.search(r"\(operator '([A-Za-z]+)", str(error))
    if operator and isinstance(error, TypeError) and isinstance(error.__cause__, Exception):
        return f"it stops at {operator[1]}: {_why(error.__cause__)}"
    return first_line(error).rstrip(".")


def _with_all_weights(model: ModelProto, notes: list[str]) -> bool:
    """Take what other files hold for zeros; return whether that can be."""
    held = [tensor for graph in graphs_in(model.graph) for tensor in graph.initializer]
    away = [tensor for tensor in held if tensor.data_location == TensorProto.EXTERNAL]
    sizes = [bytes_of(tensor) for tensor in away]
    if sum(sizes) > MOST_FILLED or not all(sizes):
        return False
    for tensor, size in zip(away, sizes, strict=True):
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT
        tensor.raw_data = bytes(size)
    if away:
        notes.append(f"{len(away)} weights that other files hold are taken for zeros.")
    return True


# -- by ONNX Runtime


def _by_runtime(model: ModelProto, given: Mapping[str, Any], notes: Sequence[str]) -> Seen:
    """Run the model in ONNX Runtime as it stands; its profile has the shapes of every node."""
    import onnxruntime

    options = as_written()
    options.enable_profiling = True
    # else weights that are laid out anew are not among what a node reads
    options.add_session_config_entry("session.disable_prepacking", "1")
    with TemporaryDirectory(prefix="dscost-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        try:
            run_for_a_while(session, given)
        finally:
            path = Path(session.end_profiling())
        profile = json.loads(path.read_text(encoding="utf-8"))
    runs: dict[int, list[Run]] = {}
    for one in profile:
        if one.get("cat") == "Node" and "output_type_shape" in one.get("args", {}):
            read, written = (_of_profile(one["args"][f"{way}_type_shape"]) for way in _WAYS)
            runs.setdefault(number_in(one["name"]), []).append((read, written))
    told = (f"ONNX Runtime {onnxruntime.__version__} ran it to tell its shapes.",)
    return Seen("by the shapes of ONNX Runtime", "onnx_runtime", runs, True, (*notes, *told))


_WAYS = ("input", "output")


def _of_profile(types: Sequence[Mapping[str, Sequence[int]]]) -> list[Shape]:
    """Return shapes that a profile has as `[{"float": [1, 3, 8, 8]}, …]`."""
    return [tuple(shape) for one in types for shape in one.values()]


# -- by onnx itself


def _by_reference(model: ModelProto, given: Mapping[str, Any], notes: Sequence[str]) -> Seen:
    """Run the model in onnx's own evaluator, whose products tell what they read and write."""
    from onnx.reference import ReferenceEvaluator

    model = _without_functions(model)
    _say_conditions(model)
    runs: dict[int, list[Run]] = {}
    watched, is_everything = _watched(model, runs)
    with np.errstate(all="ignore"):
        ReferenceEvaluator(model, new_ops=watched).run(None, dict(given))
    told = ("onnx's reference evaluator ran it to tell its shapes.",)
    method = "by the shapes of onnx's reference evaluator"
    return Seen(method, "onnx_reference", runs, is_everything, (*notes, *told))


def _say_conditions(model: ModelProto) -> None:
    """Give loops the condition that they may leave out, without which that evaluator runs none."""
    always = onnx.numpy_helper.from_array(np.array(True), "dscost_always")
    nodes = (node for graph in graphs_in(model.graph) for node in graph.node)
    for node in nodes:
        if node.op_type == "Loop" and len(node.input) > 1 and not node.input[1]:
            node.input[1] = always.name
    model.graph.initializer.append(always)


def _watched(model: ModelProto, runs: dict[int, list[Run]]) -> tuple[list[Any], bool]:
    """Return the operators that multiply as onnx runs them, each of which writes down its runs.

    And whether these are all that there are in the model.
    """
    from onnx.reference.ops import load_op

    opset = next((one.version for one in model.opset_import if one.domain in ("", MAIN)), 1)
    nodes = (node for graph in graphs_in(model.graph) for node in graph.node)
    operators = sorted({one for node in nodes if is_recounted(one := operator_of(node))})
    types = [one.removeprefix(f"{MAIN}::") for one in operators if one.startswith(f"{MAIN}::")]
    found = [load_op("", type, opset) for type in types]
    watched = [_watching(one, runs) for one in found if isinstance(one, type)]
    return watched, len(watched) == len(operators)


def _watching(operator: Any, runs: dict[int, list[Run]]) -> Any:
    """Return an operator of onnx's evaluator that writes down the shapes of every run."""

    def run(self: Any, *read: Any, **given: Any) -> Any:
        written = operator.run(self, *read, **given)
        shapes = [[tuple(one.shape) for one in side if one is not None] for side in (read, written)]
        runs.setdefault(number_in(self.onnx_node.name), []).append((shapes[0], shapes[1]))
        return written

    return type(operator.__name__.partition("_")[0], (operator,), {"op_domain": "", "run": run})


_HINT = "pip install onnxruntime: it runs larger models, and tells the shapes of all nodes."


def _by_inference(model: ModelProto, inputs: Mapping[str, Value], notes: Sequence[str]) -> Seen:
    """Ask onnx's shape inference, which runs nothing and may know little."""
    model = _without_functions(model)
    for one in model.graph.input:
        value = inputs.get(one.name)
        if value is not None and value.shape is not None:
            one.type.tensor_type.shape.CopyFrom(_as_proto(value.shape))
    for graph in graphs_in(model.graph):
        for tensor in graph.initializer:  # shapes need no weights, and they would be copied
            if prod(tensor.dims) > _MOST_VALUES:
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
    runs: dict[int, list[Run]] = {}
    notes = [*notes, "onnx's shape inference told its shapes, nothing was run."]
    if not find_spec("onnxruntime"):
        notes.append(_HINT)
    try:
        found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        notes.append(f"onnx's shape inference stops: {_why(error)}.")
    else:
        known: dict[str, Shape] = {}
        for graph in graphs_in(found.graph):
            known |= {one.name: tuple(one.dims) for one in graph.initializer}
            for one in (*graph.input, *graph.output, *graph.value_info):
                shape = one.type.tensor_type.shape
                if one.type.tensor_type.HasField("shape"):
                    known[one.name] = tuple(axis.dim_value or -1 for axis in shape.dim)
        for graph in _run_once(found.graph):
            for number, more in _runs_of(graph.node, known).items():
                runs.setdefault(number, []).extend(more)
    return Seen("by onnx's shape inference", "onnx_shape_inference", runs, False, tuple(notes))


def _without_functions(model: ModelProto) -> ModelProto:
    """Return a model whose functions stand where they are called; their nodes keep their names."""
    import onnx.inliner

    return onnx.inliner.inline_local_functions(model) if model.functions else model


def _run_once(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and those inside of it that run once at most, which bodies of loops do not."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "If" and attribute.HasField("g"):
                yield from _run_once(attribute.g)


_MOST_VALUES = 64
"""Of a stored tensor that may be a shape."""


def _as_proto(shape: Shape) -> onnx.TensorShapeProto:
    axes = [onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape]
    return onnx.TensorShapeProto(dim=axes)


def _runs_of(nodes: Sequence[onnx.NodeProto], shapes: Mapping[str, Shape]) -> dict[int, list[Run]]:
    """Return one run of every node whose shapes are all known."""
    runs: dict[int, list[Run]] = {}
    for node in nodes:
        sides = [[shapes.get(name) for name in side if name] for side in (node.input, node.output)]
        read, written = ([shape for shape in side if shape is not None] for side in sides)
        is_known = len(read) + len(written) == sum(map(len, sides))
        if is_known and all(size >= 0 for shape in (*read, *written) for size in shape):
            runs.setdefault(number_in(node.name), []).append((read, written))
    return runs


_NAMES: Mapping[Callable[..., Seen], str] = {
    _by_runtime: "ONNX Runtime",
    _by_reference: "onnx's reference evaluator",
}
