"""A model is run by others than dscost: ONNX Runtime where it is installed, or onnx itself."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto

from dscost.graphs.values import Value

if TYPE_CHECKING:
    import onnxruntime

MOST_MACS = 20_000_000_000
"""Of a model that ONNX Runtime runs: a second or so."""
MOST_MACS_OF_REFERENCE = 200_000_000
"""Of a model that onnx's evaluator runs, which is made to be read, not to be fast."""
MOST_SECONDS = 8.0
_FATAL = 4
ROUNDING = {"QuantizeLinear", "DynamicQuantizeLinear", "QGemm"}
"""Operators that round activations to whole numbers, as do those that begin with QLinear."""

Feeds = Mapping[str, np.ndarray]
"""What is given for each input."""


class Runner(NamedTuple):
    """A program that runs models.

    Args:
        name: What it is called.
        most_macs: Of a model that it runs in a second or a few.
        is_runtime: Whether it is ONNX Runtime.
    """

    name: str
    most_macs: int
    is_runtime: bool

    def run(self, model: ModelProto, feeds: Feeds) -> Sequence[Any]:
        """Return the outputs of a model; what it raises may be anything."""
        return _by_runtime(model, feeds) if self.is_runtime else _by_reference(model, feeds)


def runners() -> list[Runner]:
    """Return what runs models here, the best first."""
    import onnx

    found = [Runner(f"onnx's evaluator {onnx.__version__}", MOST_MACS_OF_REFERENCE, False)]
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        found.insert(0, Runner(f"ONNX Runtime {onnxruntime.__version__}", MOST_MACS, True))
    return found


def made_up(inputs: Mapping[str, Value], seed: int = 0) -> dict[str, np.ndarray]:
    """Return something to be given for each input: its own values, else small ones of a seed."""
    random = np.random.default_rng(seed)
    made: dict[str, np.ndarray] = {}
    for name, value in inputs.items():
        if value.content is not None:
            made[name] = np.asarray(value.content)
        elif value.is_floating:
            made[name] = random.random(value.shape or ()).astype(value.dtype)
        else:
            made[name] = np.zeros(value.shape or (), value.dtype)
    return made


def silent_options() -> "onnxruntime.SessionOptions":
    """Return options of a session that says nothing by itself; nor does what runs before it."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(_FATAL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    return options


def as_written() -> "onnxruntime.SessionOptions":
    """Return options of a session that runs the nodes of a model as they stand, in silence."""
    import onnxruntime

    options = silent_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def run_for_a_while(session: "onnxruntime.InferenceSession", given: Feeds) -> Sequence[Any]:
    """Return the outputs of a session; it is stopped after some seconds."""
    import onnxruntime

    how = onnxruntime.RunOptions()
    how.log_severity_level = _FATAL
    timer = Timer(MOST_SECONDS, setattr, (how, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        results: Sequence[Any] = session.run(None, dict(given), how)
    finally:
        timer.cancel()
    return results


def loaded(graph: bytes | Path) -> ModelProto:
    """Return a model, with the weights that lie beside its file."""
    import onnx

    if isinstance(graph, Path):
        return onnx.load(graph)
    return onnx.load_model_from_string(graph)


def structure_of(graph: bytes | Path) -> GraphProto:
    """Return the nodes of a model; weights that lie beside its file are left there."""
    import onnx

    if isinstance(graph, Path):
        return onnx.load(graph, load_external_data=False).graph
    return loaded(graph).graph


def precision_of(graph: GraphProto) -> str:
    """Return what a graph computes in: `int8` where it rounds activations, else as its weights."""
    ops = {node.op_type for node in graph.node}
    if ops & ROUNDING or any(op.startswith("QLinear") for op in ops):
        return "int8"
    stored = {one.data_type for one in graph.initializer}
    halves = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}
    return next((name for number, name in halves.items() if number in stored), "float32")


def stored_arrays(model: ModelProto) -> dict[str, np.ndarray]:
    """Return the values that are stored in a graph, by name."""
    from onnx import numpy_helper

    return {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}


def evaluated(model: ModelProto, feeds: Feeds) -> tuple[Sequence[Any], str]:
    """Return what onnx's own evaluator computes, and what it is called."""
    import onnx

    return _by_reference(model, feeds), f"onnx's evaluator {onnx.__version__}"


def run_as_written(model: ModelProto, feeds: Feeds) -> tuple[Sequence[Any], str]:
    """Return what ONNX Runtime computes without optimisations, and what it is called."""
    import onnxruntime

    name = f"ONNX Runtime {onnxruntime.__version__} without optimisations"
    return _session(model).run(None, dict(feeds)), name


def _by_runtime(model: ModelProto, feeds: Feeds) -> Sequence[Any]:
    return run_for_a_while(_session(model), feeds)


def _session(model: ModelProto) -> "onnxruntime.InferenceSession":
    import onnxruntime

    return onnxruntime.InferenceSession(
        model.SerializeToString(), as_written(), providers=["CPUExecutionProvider"]
    )


def _by_reference(model: ModelProto, feeds: Feeds) -> Sequence[Any]:
    from onnx.reference import ReferenceEvaluator

    with np.errstate(all="ignore"):
        results: Any = ReferenceEvaluator(model).run(None, dict(feeds))
    return list(results)
