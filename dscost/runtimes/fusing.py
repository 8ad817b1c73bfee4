"""What a runtime made of the nodes of a model: which it runs as one, and which it has no more."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dscost.errors import UnavailableError

_CARRIERS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add")
"""Operators whose weights, or whose rounding, take in what follows them."""
_FOLDED = ("BatchNormalization", "Add", "Clip", "Mul", "Relu")
"""Operators that may be taken in so."""
_GATES = {"Sigmoid": "SiLU", "HardSigmoid": "HardSwish"}
"""What a value multiplied with one of these of itself is called."""
_INT8_WORD = "QLinear"
"""With which the names of ONNX's operators on int8 begin."""


class Kernel(NamedTuple):
    """Something that a runtime runs by one call of a kernel.

    Args:
        op: What it computes, in the runtime's words.
        also: Operators of ONNX that it computes as well, in their order.
        folded: Operators of ONNX that are in its weights.
        dtype: What it multiplies in, of a convolution or a matrix product where that is told.
        layout: Of what it reads and writes, where that is another than the model's.
    """

    op: str
    also: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    dtype: str = ""
    layout: str = ""

    def __str__(self) -> str:
        """Return it as it is told: `int8 Conv + Relu`, `Conv (NCHWc)`."""
        own = " ".join(filter(None, (self.dtype, self.op, self.layout and f"({self.layout})")))
        return " + ".join((own, *self.also))


def told(kernels: Iterable[Kernel], folded: Iterable[str] = ()) -> tuple[str, ...]:
    """Return in a few words each what became of a model: what is folded first, then what is left.

    Args:
        kernels: In running order.
        folded: What is folded into what, where the kernels do not tell.

    >>> told([Kernel("Conv", ("Relu",), ("BatchNormalization",))] * 2 + [Kernel("Reorder")])
    ('BatchNormalization folded into Conv ×2', 'Conv + Relu ×2', 'Reorder')
    """
    kernels = list(kernels)
    into = (f"{one} folded into {kernel.op}" for kernel in kernels for one in kernel.folded)
    return (*counted((*folded, *into)), *counted(map(str, kernels)))


def counted(texts: Iterable[str]) -> tuple[str, ...]:
    """Return texts that differ, each with how often it stands there.

    >>> counted(["Conv", "Add", "Conv"])
    ('Conv ×2', 'Add')
    """
    counts = Counter(texts)
    return tuple(f"{text} ×{count}" if count > 1 else text for text, count in counts.items())


def folded_away(graph: Any, kernels: Sequence[Kernel]) -> list[str]:
    """Return what a runtime has folded, where its kernels do not tell: what it has no more.

    Args:
        graph: A `GraphProto` of what the runtime was given.
        kernels: All that it runs.
    """
    left = Counter(
        op.removeprefix(_INT8_WORD) for kernel in kernels for op in (kernel.op, *kernel.also)
    )
    makers, constants = _makers(graph), (node for node in graph.node if node.op_type == "Constant")
    stored = {one.name for one in graph.initializer} | {node.output[0] for node in constants}
    pairs = Counter(
        (node.op_type, carrier)
        for node in graph.node
        if (carrier := _carrier_of(node, makers, stored))
    )
    there = Counter(node.op_type for node in graph.node)
    found = []
    for (op, carrier), count in pairs.items():
        gone = max(0, min(count, there[op] - left[op]))
        found += [f"{op} folded into {carrier}"] * gone
        left[op] += gone
    return found


def nodes_of(graph: Any) -> dict[str, str]:
    """Return the operators of a `GraphProto`, by the names of its nodes and of what they write.

    A product with one's own sigmoid is called as the activation that it is, since runtimes know it
    as one.
    """
    makers = _makers(graph)
    words = ((node, _activation(node, makers) or node.op_type) for node in graph.node)
    return {name: word for node, word in words for name in (node.name, *node.output) if name}


def _makers(graph: Any) -> dict[str, Any]:
    return {name: node for node in graph.node for name in node.output}


def _activation(node: Any, makers: dict[str, Any]) -> str:
    """Return the activation that a product completes; nothing where it is only a product."""
    if node.op_type == "Mul":
        for gated, gate in (node.input, node.input[::-1]):
            maker = makers.get(gate)
            if maker is not None and maker.op_type in _GATES and maker.input[0] == gated:
                return _GATES[maker.op_type]
    return ""


def _carrier_of(node: Any, makers: dict[str, Any], stored: set[str]) -> str:
    """Return the operator that a node stands behind, with none but such as are folded between."""
    at = node
    while at.op_type in _FOLDED and set(at.input[1:]) <= stored and at.input[0] in makers:
        at = makers[at.input[0]]
        if at.op_type in _CARRIERS:
            op: str = at.op_type
            return op
    return ""


def require_int8(title: str, kernels: Iterable[Kernel]) -> None:
    """Refuse an int8 program none of whose products a runtime computes so.

    Raises:
        UnavailableError: It computes all of them in float32.
    """
    dtypes = {kernel.dtype for kernel in kernels if kernel.dtype}
    if "int8" not in dtypes:
        raise UnavailableError(f"{title} computes none of it in int8: nothing to be timed as such")
