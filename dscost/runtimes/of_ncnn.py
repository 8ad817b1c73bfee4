"""A program converted by pnnx and run by ncnn, in float32 throughout."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dscost.errors import UnavailableError, some_of
from dscost.foreign.logs import silent_output
from dscost.graphs.running import loaded, structure_of
from dscost.printable import shortened
from dscost.runtimes import How, Running
from dscost.runtimes.fusing import Kernel, folded_away, told
from dscost.runtimes.programs import Array, Program
from dscost.runtimes.refusing import refusing

TITLE = "ncnn"
MOST_SECONDS = 120
"""For pnnx to convert a network; most take less than one."""
_MODEL, _PARAM, _WEIGHTS = "net.onnx", "net.ncnn.param", "net.ncnn.bin"


def load(program: Program, how: How) -> Running:
    """Return a program as a net whose inputs lie in memory of ncnn.

    Raises:
        UnavailableError: ncnn has no such network.
    """
    graph, inputs = program.graph, program.inputs
    _require_possible(inputs)
    with refusing(TITLE), TemporaryDirectory() as folder:
        kernels = list(kernels_of(_converted(graph, inputs, Path(folder))))
        with silent_output():
            net = _Net(Path(folder), list(inputs.values()), how.threads)
    shapes = [one.shape for one in program.reference.outputs]

    def outputs() -> list[Array]:
        return [_with_axes(one, shape) for one, shape in zip(net.outputs(), shapes, strict=False)]

    # of all else that may be folded pnnx leaves nothing that tells it from what was not
    left = [Kernel(_NORM) for one in kernels if one.op == "BatchNorm"]
    gone = folded_away(structure_of(graph), left)
    folded = [text for text in gone if text.startswith(_NORM)]
    return Running(net.run, outputs, "ONNX, by pnnx", told(kernels, folded))


class _Net:
    """A net as it is deployed: memory of earlier calls is used again, maps are freed once read.

    Args:
        folder: With what pnnx wrote.
        inputs: In the order of the network's.
        threads: How many it may compute with.
    """

    def __init__(self, folder: Path, inputs: Sequence[Array], threads: int) -> None:
        import ncnn

        # a net reads its options while it loads, and keeps addresses of allocators, not these
        self._maps, self._workspace = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads, options.openmp_blocktime = threads, 0
        options.lightmode, options.use_vulkan_compute = True, False
        options.blob_allocator, options.workspace_allocator = self._maps, self._workspace
        for name in dir(options):
            if name.startswith(("use_fp16_", "use_bf16_", "use_int8_")):
                setattr(options, name, False)
        param, weights = str(folder / _PARAM), str(folder / _WEIGHTS)
        if self._net.load_param(param) or self._net.load_model(weights):
            raise UnavailableError("ncnn cannot load what pnnx made of it")
        # a map made from an array only points to it: the copy stays when the array is gone
        self._given = [(f"in{at}", _map_of(one)) for at, one in enumerate(inputs)]
        self._names = [f"out{at}" for at in range(len(self._net.output_names()))]
        self._made: list[Any] = [ncnn.Mat() for _ in self._names]

    def run(self) -> None:
        """Run it once."""
        extractor = self._net.create_extractor()
        for name, given in self._given:
            extractor.input(name, given)
        for name, made in zip(self._names, self._made, strict=True):
            extractor.extract(name, made)

    def outputs(self) -> list[Array]:
        """Return what the last call wrote."""
        return [np.array(one) for one in self._made]

    def __del__(self) -> None:
        # in this order: maps go back to the allocators that they came from
        self._made = []
        self._net.clear()


def _map_of(values: Array) -> Any:
    """Return a copy of `(1, C, …)` values in ncnn's memory, without the first axis."""
    from ncnn import Mat

    return Mat(np.ascontiguousarray(values[0])).clone()


def _with_axes(values: Array, shape: tuple[int, ...]) -> Array:
    """Return what ncnn made with the axes of 1 that it has none of, such as that of the batch.

    >>> _with_axes(np.zeros((8, 3)), (1, 8, 3)).shape, _with_axes(np.zeros(24), (1, 8, 3)).shape
    ((1, 8, 3), (24,))
    """
    is_same = [one for one in values.shape if one != 1] == [one for one in shape if one != 1]
    return values.reshape(shape) if is_same else values


# -- conversion


def _require_possible(inputs: Mapping[str, Array]) -> None:
    for name, values in inputs.items():
        if values.dtype != np.float32:
            raise UnavailableError(f"ncnn is given float32 alone, input '{name}' is {values.dtype}")
        if values.ndim < 2 or values.shape[0] != 1:
            found = "none" if values.ndim < 2 else f"one of {values.shape[0]}"
            raise UnavailableError(f"ncnn runs a batch of 1, input '{name}' has {found}")


def _converted(graph: bytes | Path, inputs: Mapping[str, Array], folder: Path) -> Sequence[str]:
    """Write a graph as ncnn reads it into a folder, and return the lines of its layers.

    Raises:
        UnavailableError: pnnx makes nothing of it, or what ncnn has no layer for.
    """
    from ncnn import layer_to_index

    # pnnx writes beside the file that it reads
    whole = loaded(graph).SerializeToString() if isinstance(graph, Path) else graph
    (folder / _MODEL).write_bytes(whole)
    sizes = ",".join(f"[{','.join(map(str, one.shape))}]" for one in inputs.values())
    command = [str(_pnnx()), _MODEL, f"inputshape={sizes}", "fp16=0"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=MOST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"pnnx was stopped after {MOST_SECONDS} s") from error
    if done.returncode or not (folder / _PARAM).exists():
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = shortened(said[-1]) if said else f"it exits with {done.returncode}"
        raise UnavailableError(f"pnnx cannot convert it: {why}")
    layers = (folder / _PARAM).read_text(encoding="utf-8").splitlines()[2:]
    kinds = dict.fromkeys(line.split()[0] for line in layers)
    unknown = [kind for kind in kinds if layer_to_index(kind) < 0]
    if unknown:
        raise UnavailableError(f"ncnn has no layer for {shortened(some_of(unknown, 3))}")
    return layers


def _pnnx() -> Path:
    """Return the program of the package, whose import would bring torch along."""
    spec = find_spec("pnnx")
    assert spec is not None
    return Path(spec.origin or "").with_name("pnnx.exe" if sys.platform == "win32" else "pnnx")


# -- what it says of itself

_NORM = "BatchNormalization"
_ACTIVATIONS = dict(
    zip("123456", ("ReLU", "LeakyReLU", "Clip", "Sigmoid", "Mish", "HardSwish"), strict=True)
)
"""By what a convolution or a product of matrices has under 9.

Source:
    https://github.com/Tencent/ncnn/wiki/operators, "Convolution": activation_type.
"""
_WITH_ACTIVATION = ("Convolution", "Deconvolution", "InnerProduct")
_NOT_RUN = ("Input", "Split", "MemoryData")


def kernels_of(layers: Sequence[str]) -> Iterator[Kernel]:
    """Yield what a net computes, by the lines of its layers.

    >>> lines = ["Input in0 0 1 in0", "Convolution c 1 1 in0 out0 0=32 1=3 9=1 -23310=2,0,6"]
    >>> [str(one) for one in kernels_of(lines)]
    ['Convolution + ReLU']
    """
    for layer in layers:
        kind, _, reads, writes, *rest = layer.split()
        said = dict(one.split("=", 1) for one in rest[int(reads) + int(writes) :])
        activation = said.get("9", "0") if kind.startswith(_WITH_ACTIVATION) else "0"
        if kind not in _NOT_RUN:
            also = () if activation == "0" else (_ACTIVATIONS.get(activation, "activation"),)
            yield Kernel(kind, also)
