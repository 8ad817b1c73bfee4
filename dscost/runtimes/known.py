"""The runtimes that dscost knows by itself. What loads programs is imported when one is loaded."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from dscost.runtimes import How, Running, Runtime, register_runtime

if TYPE_CHECKING:
    from dscost.runtimes.programs import Program


def _load_of(file: str) -> "Callable[[Program, How], Running]":
    """Return what loads programs by the `load` of a file beside this one."""

    def load(program: "Program", how: How) -> Running:
        running: Running = import_module(f"dscost.runtimes.{file}").load(program, how)
        return running

    return load


FLOAT32 = ("float32",)
WITH_INT8 = ("float32", "int8")
OF_INT8 = "of int8, inputs are quantised and outputs turned back into float32 in it"

register_runtime(
    Runtime(
        "torch",
        "torch",
        "a module's forward in inference mode, called from Python; --mode and --memory-format are "
        "of it",
        {"torch": "torch"},
        "torch",
        ("float32", "float16", "bfloat16", "float64"),
        _load_of("of_torch"),
        "torch",
    )
)
register_runtime(
    Runtime(
        "torch-compile",
        "torch.compile",
        "one call from Python of the code that torch.compile makes of a module with its weights "
        "frozen, the guards that it looks at first included",
        {"torch": "torch"},
        "torch",
        FLOAT32,
        _load_of("of_torch_compile"),
        "torch",
    )
)
register_runtime(
    Runtime(
        "onnxruntime",
        "ONNX Runtime",
        "one run of a session with all optimisations on the CPU, inputs and outputs bound; its "
        f"threads wait asleep; {OF_INT8}",
        {"onnxruntime": "onnxruntime", "onnx": "onnx", "numpy": "numpy"},
        "onnx",
        WITH_INT8,
        _load_of("of_onnxruntime"),
        "onnxruntime",
        has_profile=True,
    )
)
register_runtime(
    Runtime(
        "openvino",
        "OpenVINO",
        "one infer() of a request on the CPU with the LATENCY hint, inputs and outputs set before; "
        f"its threads are tied to no processor; {OF_INT8}, by a model "
        "that ONNX Runtime's quantizer made",
        {"openvino": "openvino", "onnx": "onnx", "numpy": "numpy"},
        "onnx",
        WITH_INT8,
        _load_of("of_openvino"),
        "openvino",
        has_profile=True,
    )
)
register_runtime(
    Runtime(
        "executorch",
        "ExecuTorch",
        "one execute() of a program lowered to XNNPACK, inputs set before and outputs left where "
        "they are; changes to channels-last and back are part of the program",
        {"executorch": "executorch", "torch": "torch"},
        "torch",
        FLOAT32,
        _load_of("of_executorch"),
        "executorch",
    )
)
register_runtime(
    Runtime(
        "ncnn",
        "ncnn",
        "one extraction by an extractor of its own of a net converted by pnnx, in float32 "
        "throughout, inputs in ncnn's memory; outputs are unpacked to plain maps",
        {"ncnn": "ncnn", "pnnx": "pnnx", "onnx": "onnx", "numpy": "numpy"},
        "onnx",
        FLOAT32,
        _load_of("of_ncnn"),
        "ncnn",
    )
)
