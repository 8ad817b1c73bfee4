"""A program run by OpenVINO on the CPU, which reads it as ONNX."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from dscost.graphs.running import structure_of
from dscost.reports.records import RunNode
from dscost.runtimes import How, Running
from dscost.runtimes.fusing import Kernel, folded_away, nodes_of, require_int8, told
from dscost.runtimes.programs import Array, Program
from dscost.runtimes.quantising import in_dtype
from dscost.runtimes.refusing import refusing

TITLE = "OpenVINO"
PROFILED_CALLS = 20
"""Of which the profile has the median per kernel."""
WARM_UP_CALLS = 5

_PRODUCTS = {
    "Convolution": ("Conv", "ConvTranspose"),
    "Deconvolution": ("ConvTranspose",),
    "FullyConnected": ("Gemm", "MatMul"),
    "MatMul": ("Gemm", "MatMul"),
}
"""Kernels with weights in the runtime's words, and the operators of ONNX that they are made of."""
_NOT_RUN = ("Const", "Input", "Output")
_NOTHING = ("Constant", "Dropout", "Identity")
"""Operators of ONNX of which nothing is left but their names."""
_ROUNDINGS = ("QuantizeLinear", "DequantizeLinear")
_INT8 = ("i8", "u8")
_PREAMBLE = (
    *("Exception from ", "Check '", "FrontEnd API failed", "Model wasn't fully", "Summary:"),
    *("While validating", "Shape inference input", "To facilitate"),
)
"""How lines of an error begin that tell where it was noticed, not why."""


def load(program: Program, how: How) -> Running:
    """Return a program as a request whose inputs and outputs are set."""
    graph = in_dtype(program, how)
    with refusing(TITLE, reason_of):
        compiled = _compiled(graph, program.inputs, how)
        request = _request(compiled, program.inputs)
        kernels = list(_kernels(compiled.get_runtime_model(), nodes_of(structure_of(graph))))
    folded: list[str] = []
    if how.dtype == "int8":  # by what made it so, before OpenVINO saw it
        require_int8(TITLE, kernels)
        folded = folded_away(structure_of(program.graph), kernels)

    def call() -> None:
        request.infer(share_outputs=True)

    def outputs() -> list[Array]:
        return [np.array(request.get_tensor(one).data) for one in compiled.outputs]

    return Running(
        call,
        outputs,
        "ONNX",
        told(kernels, folded),
        lambda: _profiled(graph, program.inputs, how),
    )


def reason_of(error: Exception) -> str:
    r"""Return the line of an error that tells why, not where in the runtime it was noticed.

    >>> reason_of(RuntimeError("Exception from core.cpp:105:\nSummary:\n-- No rule for Foo"))
    'No rule for Foo'
    """
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines()]
    why = (line for line in lines if line and not line.startswith(_PREAMBLE))
    reasons = (line for line in why if not line.endswith("with a message:"))
    return next(reasons, type(error).__name__)


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


def _compiled(graph: bytes | Path, inputs: Mapping[str, Array], how: How, **more: object) -> Any:
    """Return a model for inputs of these sizes, on so many threads, one call at a time."""
    model = _core().read_model(str(graph) if isinstance(graph, Path) else graph)
    if model.is_dynamic():
        model.reshape({name: list(each.shape) for name, each in inputs.items()})
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": how.threads,
        # else it computes in bfloat16 where the processor can; int8 products stay int8
        "INFERENCE_PRECISION_HINT": "f32",
        # threads tied to processors stay so, whatever is timed beside them in this process
        "ENABLE_CPU_PINNING": False,
        **more,
    }
    return _core().compile_model(model, "CPU", config)


def _request(compiled: Any, inputs: Mapping[str, Array]) -> Any:
    """Return a request with inputs and outputs in its own memory, so that no call copies them."""
    from openvino import Tensor

    request = compiled.create_infer_request()
    for one in compiled.inputs:
        name = next(name for name in inputs if name in one.get_names())
        request.set_tensor(one, Tensor(np.array(inputs[name], order="C")))
    return request


# -- what it says of itself


def _kernels(model: Any, nodes: Mapping[str, str]) -> Iterator[Kernel]:
    """Yield what a compiled model runs in each call.

    Args:
        model: Its runtime model.
        nodes: Operators of ONNX, by the names of nodes and of what they write.
    """
    constant: set[str] = set()
    for one in model.get_ordered_ops():
        info = {key: one.get_rt_info()[key].value for key in _told_of(one)}
        layer, sources = info["layerType"], [each.get_source_output() for each in one.inputs()]
        name = one.get_friendly_name()
        reads = {each.get_node().get_friendly_name() for each in sources}
        if layer == "Const" or (reads and reads <= constant):
            constant.add(name)
        elif layer not in _NOT_RUN:
            yield _kernel(layer, info, nodes)


def _told_of(one: Any) -> list[str]:
    known = one.get_rt_info()
    wanted = ("layerType", "originalLayersNames", "runtimePrecision")
    return [key for key in wanted if key in known]


def _kernel(layer: str, info: Mapping[str, str], nodes: Mapping[str, str]) -> Kernel:
    names = info.get("originalLayersNames", "").split(",")
    known = [nodes[name] for name in names if nodes.get(name, _NOTHING[0]) not in _NOTHING]
    ops = [op for op in known if op not in _ROUNDINGS]
    if layer not in _PRODUCTS:
        first, *others = ops or known[:1] or [layer]
        return Kernel(first, tuple(others))
    own = _PRODUCTS[layer]
    folded = tuple(op for op in ops if op == "BatchNormalization")
    also = tuple(op for op in ops if op not in (*own, *folded))
    dtype = "int8" if info.get("runtimePrecision") in _INT8 else ""
    return Kernel(layer, also, folded, dtype)


def _profiled(graph: bytes | Path, inputs: Mapping[str, Array], how: How) -> Sequence[RunNode]:
    """Return the kernels of a model with their median times, in the order in which they run.

    One that takes less than a microsecond in each of the calls is left out.
    """
    request = _request(_compiled(graph, inputs, how, PERF_COUNT=True), inputs)
    for _ in range(WARM_UP_CALLS):
        request.infer(share_outputs=True)
    seconds: dict[str, list[float]] = {}
    for _ in range(PROFILED_CALLS):
        request.infer(share_outputs=True)
        nodes = request.profiling_info
        for one in nodes:
            seconds.setdefault(one.node_name, []).append(one.real_time.total_seconds())
    return [
        RunNode(one.node_name, one.node_type, _middle(seconds[one.node_name]), one.exec_type)
        for one in nodes
        if any(seconds[one.node_name])
    ]


def _middle(seconds: Sequence[float]) -> float:
    """Return the median; where most are less than the microsecond that is told, the mean.

    >>> _middle([2e-6, 3e-6, 9e-6]), _middle([0.0, 0.0, 3e-6])
    (3e-06, 1e-06)
    """
    return median(seconds) or fmean(seconds)
