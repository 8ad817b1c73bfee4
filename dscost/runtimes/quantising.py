"""A program in the dtype that it is to be run in: float32 as it is, int8 by QDQ nodes.

An int8 model is made as ONNX Runtime's guide says for the CPU: static, in the QDQ form, weights
symmetric and per channel, activations unsigned. BatchNormalization is folded before, as whoever
deploys such a model does.

Source:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html; Jacob et al.
    2018, Quantization and Training of Neural Networks (arXiv:1712.05877).
"""

import platform
from collections.abc import Iterator, Mapping
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dscost.errors import UnavailableError, without
from dscost.foreign.logs import quietly
from dscost.foreign.processor import CPUINFO, cpu_flags
from dscost.runtimes import How
from dscost.runtimes.programs import Array, Program
from dscost.runtimes.refusing import reason_of_onnxruntime, refusing

TITLE = "ONNX Runtime"
RANDOM_INPUTS = 3
"""Beside the program's own, from which the ranges of activations are taken."""
LEAST_OPSET = 13
"""Of ONNX, that has a scale for each channel."""
OPSET = 17
"""What an older model becomes."""
VNNI = {"avx512_vnni", "avx_vnni"}
"""What Linux calls it among the flags of a processor."""
MOST_KEPT = 8
"""Of int8 models, since making one takes seconds and several runtimes are given it."""
_MADE: dict[bytes, bytes] = {}
_X86 = ("x86_64", "amd64", "i386", "i686")
_ALL = ("",)


def in_dtype(program: Program, how: How) -> bytes | Path:
    """Return the graph of a program that multiplies in the dtype that is asked for.

    Raises:
        UnavailableError: There is none of this dtype, what makes it is not installed, or that
            cannot.
    """
    if how.dtype in ("float32", program.precision):
        return program.graph
    if how.dtype != "int8":
        raise UnavailableError(f"no program of {how.dtype}")
    if find_spec("onnxruntime") is None:
        told = "int8 models are made by ONNX Runtime's quantizer"
        raise UnavailableError(f"--dtype int8: {told}, {without('onnxruntime', 'onnxruntime')}")
    key = _key(program.graph, program.inputs, how.seed)
    if key not in _MADE:
        while len(_MADE) >= MOST_KEPT:
            del _MADE[next(iter(_MADE))]
        _MADE[key] = _quantized(program.graph, program.inputs, how.seed)
    return _MADE[key]


def _key(graph: bytes | Path, inputs: Mapping[str, Array], seed: int) -> bytes:
    """Return what tells models apart that are quantized to different ones."""
    made = sha256(graph.read_bytes() if isinstance(graph, Path) else graph)
    for one in inputs.values():
        made.update(one.tobytes())
    made.update(str(seed).encode())
    return made.digest()


def has_vnni(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the processor adds products of bytes without an intermediate sum of 16 bits.

    Where nothing tells, on x86 it is taken for one that does not.
    """
    if platform.machine().lower() not in _X86:
        return True
    return bool(VNNI & cpu_flags(cpuinfo))


def _quantized(graph: bytes | Path, inputs: Mapping[str, Array], seed: int) -> bytes:
    """Return a model with its multiplications between QDQ nodes, in float32 at both ends."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    cannot = refusing(TITLE, reason_of_onnxruntime, doing="quantize")
    with TemporaryDirectory() as folder, quietly(_ALL), cannot:
        folded, made = Path(folder, "folded.onnx"), Path(folder, "int8.onnx")
        _fold(graph, folded)
        quantize_static(
            folded,
            made,
            _reader(inputs, seed),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=not has_vnni(),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"WeightSymmetric": True},
        )
        return made.read_bytes()


def _fold(graph: bytes | Path, path: Path) -> None:
    """Write a model with what is constant worked out, so that each product has one operator."""
    import onnxruntime
    from onnx import version_converter

    from dscost.graphs.running import loaded, silent_options
    from dscost.graphs.writing import MOST_BYTES

    model = loaded(graph)
    if model.ByteSize() > MOST_BYTES:
        raise UnavailableError("a model of more than 2 GiB is not made int8")
    opsets = {one.domain: one.version for one in model.opset_import}
    if opsets.get("", opsets.get("ai.onnx", LEAST_OPSET)) < LEAST_OPSET:
        model = version_converter.convert_version(model, OPSET)
    options = silent_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _reader(inputs: Mapping[str, Array], seed: int) -> Any:
    """Return what gives a quantizer the inputs that it takes the ranges of activations from."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Inputs, one after another."""

        def __init__(self) -> None:
            self._given = _samples(inputs, seed)

        def get_next(self) -> Mapping[str, Array] | None:
            """Return the next ones; `None` after the last."""
            return next(self._given, None)

    return Reader()


def _samples(inputs: Mapping[str, Array], seed: int) -> Iterator[Mapping[str, Array]]:
    """Yield a program's inputs, then random ones of the same mean and deviation."""
    yield inputs
    random = np.random.default_rng(seed)
    for _ in range(RANDOM_INPUTS):
        yield {name: _alike(each, random) for name, each in inputs.items()}


def _alike(given: Array, random: np.random.Generator) -> Array:
    if not np.issubdtype(given.dtype, np.floating) or not given.size:
        return given
    made: Array = random.normal(given.mean(), given.std(), given.shape).astype(given.dtype)
    return made
