"""A program run by ONNX Runtime on the CPU."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime

from dscost.graphs.running import silent_options, structure_of
from dscost.reports.records import RunNode
from dscost.runtimes import How, Running
from dscost.runtimes.fusing import Kernel, folded_away, require_int8, told
from dscost.runtimes.programs import Program
from dscost.runtimes.quantising import in_dtype
from dscost.runtimes.refusing import reason_of_onnxruntime, refusing

TITLE = "ONNX Runtime"
PROVIDERS = ["CPUExecutionProvider"]
PROFILED_CALLS = 20
"""Of which the profile has the median per kernel, the first few left out."""
WARM_UP_CALLS = 5
MOST_INPUTS_OF_CONV = 3
"""Input, weights and bias; a fourth is added to what comes out."""

_WEIGHTS = "session.optimized_model_external_initializers"
_BLOCKED = "com.microsoft.nchwc"
"""Of operators on activations in blocks of channels, as vectors of the processor hold them."""
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_INT8 = ("QLinearConv", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat", "ConvInteger")


def load(program: Program, how: How) -> Running:
    """Return a program as a session with inputs and outputs bound where they stay."""
    graph = in_dtype(program, how)
    with refusing(TITLE, reason_of_onnxruntime):
        session = _session(graph, _options(how))
        binding = _bound(session, program.inputs)
        kernels = [_kernel(node, how) for node in _optimised(graph, how).node]
    if how.dtype == "int8":
        require_int8(TITLE, kernels)

    def call() -> None:
        session.run_with_iobinding(binding)

    return Running(
        call,
        binding.copy_outputs_to_cpu,
        "ONNX",
        told(kernels, folded_away(structure_of(program.graph), kernels)),
        lambda: _profiled(graph, how, program.inputs),
    )


def _options(how: How) -> Any:
    """Return options of a session: one pool of so many threads, nothing run beside it."""
    options = silent_options()
    options.intra_op_num_threads = how.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    # threads that wait for work by turning take the processor from whatever is timed meanwhile
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(graph: bytes | Path, options: Any) -> Any:
    source = str(graph) if isinstance(graph, Path) else graph
    return onnxruntime.InferenceSession(source, options, providers=PROVIDERS)


def _bound(session: Any, inputs: Mapping[str, Any]) -> Any:
    """Return inputs and outputs in memory of the runtime, so that no call copies them."""
    binding = session.io_binding()
    for one in session.get_inputs():
        if one.name in inputs:
            given = np.array(inputs[one.name], order="C")
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(given.shape, given.dtype)
            value.update_inplace(given)
            binding.bind_ortvalue_input(one.name, value)
    for one in session.get_outputs():
        binding.bind_output(one.name)
    session.run_with_iobinding(binding)  # now the outputs have their sizes, and stay where they are
    for one, value in zip(session.get_outputs(), binding.get_outputs(), strict=True):
        binding.bind_ortvalue_output(one.name, value)
    return binding


# -- what it says of itself


def _optimised(graph: bytes | Path, how: How) -> Any:
    """Return the nodes that are left of a model, without its weights."""
    from onnx import load_model

    with TemporaryDirectory() as folder:
        options, path = _options(how), Path(folder, "optimised.onnx")
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry(f"{_WEIGHTS}_file_name", "weights")
        options.add_session_config_entry(f"{_WEIGHTS}_min_size_in_bytes", "1024")
        _session(graph, options)
        return load_model(path, load_external_data=False).graph


def _kernel(node: Any, how: How) -> Kernel:
    """Return what a node of an optimised model computes."""
    op = node.op_type.removeprefix("Fused")
    given = {one.name: one.s.decode() for one in node.attribute if one.name == "activation"}
    adds = op == "Conv" and len(node.input) > MOST_INPUTS_OF_CONV and bool(node.input[-1])
    also = (*(["Add"] if adds else []), *given.values())
    in_float32 = how.dtype != "float32" and op in _PRODUCTS
    dtype = "int8" if op in _INT8 else "float32" if in_float32 else ""
    is_blocked = node.domain == _BLOCKED and not op.startswith("Reorder")
    return Kernel(op, also, dtype=dtype, layout="NCHWc" if is_blocked else "")


def _profiled(graph: bytes | Path, how: How, inputs: Mapping[str, Any]) -> Sequence[RunNode]:
    """Return the kernels of a graph with their median times, in the order in which they run."""
    with TemporaryDirectory() as folder:
        options = _options(how)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = _session(graph, options)
        binding = _bound(session, inputs)
        for _ in range(WARM_UP_CALLS + PROFILED_CALLS):
            session.run_with_iobinding(binding)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[tuple[str, str, str | None], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            one = name, event["args"]["op_name"], event["args"].get("node_index")
            times.setdefault(one, []).append(event["dur"] / 1e6)
    layouts = {node.name: _kernel(node, how).layout for node in _optimised(graph, how).node}
    return [
        RunNode(name, op, median(each[WARM_UP_CALLS:] or each), layouts.get(name) or None)
        for (name, op, _), each in times.items()
    ]
