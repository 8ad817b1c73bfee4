"""A program run by ONNX Runtime on the CPU."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnxruntime

from dscost.runtimes import How, Node, Running
from dscost.runtimes.programs import Program
from dscost.runtimes.quantising import in_dtype

PROVIDERS = ["CPUExecutionProvider"]
_FATAL = 4
PROFILED_CALLS = 20
"""Of which the profile has the mean per kernel, the first left out."""


def load(program: Program, how: How) -> Running:
    """Return a program as a session with inputs and outputs bound where they stay."""
    graph = in_dtype(program, how)
    session = _session(graph, _options(how))
    binding = _bound(session, program.inputs)

    def call() -> None:
        session.run_with_iobinding(binding)

    return Running(
        call,
        binding.copy_outputs_to_cpu,
        "ONNX",
        _fused(graph, how),
        lambda: _profiled(graph, how, program.inputs),
    )


def _options(how: How) -> Any:
    """Return options of a session: one pool of so many threads, nothing run beside it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = how.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    # threads that wait for work by turning take the processor from whatever is timed meanwhile
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(graph: bytes | Path, options: Any) -> Any:
    onnxruntime.set_default_logger_severity(_FATAL)
    source = str(graph) if isinstance(graph, Path) else graph
    return onnxruntime.InferenceSession(source, options, providers=PROVIDERS)


def _bound(session: Any, inputs: Mapping[str, Any]) -> Any:
    """Return inputs and outputs in memory of the runtime, so that no call copies them."""
    binding = session.io_binding()
    for one in session.get_inputs():
        if one.name in inputs:
            value = onnxruntime.OrtValue.ortvalue_from_numpy(inputs[one.name])
            binding.bind_ortvalue_input(one.name, value)
    for one in session.get_outputs():
        binding.bind_output(one.name)
    session.run_with_iobinding(binding)  # now the outputs have their sizes, and stay where they are
    for one, value in zip(session.get_outputs(), binding.get_outputs(), strict=True):
        binding.bind_ortvalue_output(one.name, value)
    return binding


# -- what it says of itself


def _fused(graph: bytes | Path, how: How) -> tuple[str, ...]:
    """Return the operators that are left of a graph, with how often each, as `FusedConv ×2`."""
    from onnx import load_model

    with TemporaryDirectory() as folder:
        options = _options(how)
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        _session(graph, options)
        left = load_model(options.optimized_model_filepath, load_external_data=False)
    counts = Counter(node.op_type for node in left.graph.node)
    return tuple(f"{op} ×{count}" if count > 1 else op for op, count in counts.items())


def _profiled(graph: bytes | Path, how: How, inputs: Mapping[str, Any]) -> Sequence[Node]:
    """Return the kernels of a graph with their mean times, in the order in which they run."""
    with TemporaryDirectory() as folder:
        options = _options(how)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = _session(graph, options)
        binding = _bound(session, inputs)
        for _ in range(PROFILED_CALLS):
            session.run_with_iobinding(binding)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[float]] = {}
    ops: dict[str, str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(event["dur"] / 1e6)
            ops[name] = event["args"]["op_name"]
    kept = {name: each[1:] or each for name, each in times.items()}
    return [Node(name, ops[name], sum(each) / len(each)) for name, each in kept.items()]
