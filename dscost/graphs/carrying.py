"""What becomes of a feature map in ONNX's operators, see `dscost.traces.carrying`."""

from collections.abc import Sequence

from dscost.graphs.nodes import MAIN
from dscost.networks.axes import Map, viewed
from dscost.networks.network import Mixing
from dscost.traces import Event
from dscost.traces.carrying import CARRIES, MIXES, product, reshaping


def _transposed(event: Event, maps: Sequence[Map], _: str) -> Map | None:
    (given,) = maps
    strides = tuple(given.strides[axis] for axis in event.axes)
    return viewed(given, event.output_shape, strides)


def _matmul(event: Event, given: Map) -> Mixing | None:
    return product(event, given, -1, bias=False)


CARRIES[f"{MAIN}::Transpose"] = _transposed
CARRIES.update(
    (f"{MAIN}::{name}", reshaping) for name in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
)
MIXES[f"{MAIN}::MatMul"] = _matmul
