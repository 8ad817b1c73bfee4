"""What becomes of a feature map in operators; which are pointwise convolutions.

What keeps every position and every channel where it is may lie between the stages of a separable
pair, in whatever way it is written; so may what is the same at all positions, as the gate of a
squeeze-and-excite. Families are told by the words of reports, and by torch's names; those of others
are registered beside what reads them.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from dscost.networks.axes import Map, constant, joined, mixed, reduced, reshaped, shuffled
from dscost.networks.network import Mixing, mixing_of
from dscost.traces.rules import FORMULAS

if TYPE_CHECKING:
    from dscost.traces.events import Event


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SOFTMAX = _names("softmax _softmax log_softmax _log_softmax")
_ALONG_AXES = _SOFTMAX | _names(
    "mean sum nansum amax amin max min prod std var var_mean std_mean norm linalg_vector_norm "
    "logsumexp median"
)
ALONG_AXES = {f"aten::{name}" for name in _ALONG_AXES}
"""Operators that work along the axes which they are given as `dim`."""

_POOLING = frozenset(
    f"{kind}_pool{dimensions}d{more}"
    for dimensions in (1, 2, 3)
    for kind in ("adaptive_avg", "_adaptive_avg", "adaptive_max", "avg", "max")
    for more in ("", "_with_indices")
)

_ELEMENTWISE = _names(
    "where masked_fill copy to _to_copy type_as contiguous clone dropout native_dropout "
    "feature_dropout alpha_dropout feature_alpha_dropout prelu gelu log_sigmoid "
    "log_sigmoid_forward hardswish mish"
)
"""Elementwise functions that are not known as such by torch's tag or by their word in a report."""

_ELEMENTWISE_OPS = _names("activation elementwise add multiply")
_NOT_ELEMENTWISE = _SOFTMAX | {"glu"}
"""Activations that bring several values together."""

_MAKING = _names(
    "zeros_like ones_like full_like empty_like rand_like randn_like "
    "new_zeros new_ones new_full new_empty"
)
"""Operators that look at nothing but the shape of what they read."""
_RESHAPING = _names("reshape flatten unflatten view_copy _reshape_copy _unsafe_view")
_PADDING = ("pad", "pad_nd", "_pad_circular", "_pad_enum", "pad1d", "pad2d", "pad3d")
_SHUFFLING = _names("channel_shuffle native_channel_shuffle")
_NORMALIZING = _names(
    "_fused_rms_norm _batch_norm_no_update "
    "_native_batch_norm_legit _native_batch_norm_legit_no_training"
)
_SUMS = _names("add sub rsub subtract")

_TRANSPOSED = {f"conv_transpose{dimensions}d": dimensions for dimensions in (1, 2, 3)}
_PRODUCTS = _names("matmul mm bmm mv inner addmm baddbmm addmv _addmm_activation")
_LAYERS = _names("convolution transposed_convolution linear matmul")


def carried(event: "Event", read: Sequence[Map | None], name: str) -> Map | None:
    """Return what becomes of a feature map in an operator, see `dscost.networks.network.Step`."""
    maps = [one for one in read if one is not None]
    if not maps:
        return None
    family = CARRIES.get(event.operator) or _family(event.op, _base(event.operator))
    result = family(event, maps, name)
    if result is None or len(result.shape) != len(event.strides):
        return None
    return result.at(event.strides)


def mixing(event: "Event", read: Sequence[Map | None]) -> Mixing | None:
    """Return how an operator mixes the channels of the one feature map that it reads.

    `None` where it does not, or does more than that.

    A linear layer and a product with a matrix of weights do what a 1×1 convolution does, on another
    axis.
    """
    (given,) = (one for one in read if one is not None)
    if event.conv is not None:
        return mixing_of(event.conv, len(given.shape))
    if event.operator in MIXES:
        return MIXES[event.operator](event, given)
    name = _base(event.operator)
    # nothing more is known of other kinds than what they make of what
    if event.op == "convolution":
        return transposed(event, given, 1)
    if name == "linear":
        return product(event, given, -1, bias=len(event.operands) > 2)
    if name in _TRANSPOSED:
        return transposed(event, given, -_TRANSPOSED[name] - 1)
    if name not in _PRODUCTS:
        return None
    rule = FORMULAS.get(event.operator)
    adds = rule is not None and rule.factors[0] == 1
    factors = event.operands[1:] if adds else event.operands
    computed = (at for at, one in enumerate(factors) if type(one) is int and one in event.sources)
    at = next(computed, None)
    if at is None or len(given.shape) < 2:
        return None
    return product(event, given, -2 if at == 1 and name != "inner" else -1, bias=adds)


def product(event: "Event", given: Map, axis: int, *, bias: bool) -> Mixing | None:
    """Return how a product with a matrix mixes what lies on one axis of the map that it reads."""
    values = given.values
    rank = len(given.shape)
    if not values or event.macs % values or not -rank <= axis < rank:
        return None
    return Mixing(axis, given.shape[axis], event.macs // values, 1, bias)


def transposed(event: "Event", given: Map, axis: int) -> Mixing | None:
    """Return how a transposed convolution mixes channels whose values meet one weight an output."""
    made, read = event.output_shape, given.shape
    mixing = product(event, given, axis, bias=len(event.operands) > 2)
    if (
        mixing is None
        or len(made) != len(read)
        or made[axis + 1 :] != read[axis + 1 :]
        or made[axis] != mixing.out_channels
    ):
        return None
    return mixing


@cache
def _base(operator: str) -> str:
    """Return the name of an operator without its namespace and the mark of those in place."""
    return operator.rpartition("::")[2].removesuffix("_")


# -- families of operators


Carries = Callable[["Event", Sequence[Map], str], Map | None]
"""From an event, the maps that it reads and its name to what becomes of them."""

CARRIES: dict[str, Carries] = {}
"""Operators whose family their word and name do not tell, by `namespace::name`."""

SUMS: set[str] = set()
"""Operators that add what they read and are not called as those of torch, in the same way."""

MIXES: dict[str, Callable[["Event", Map], Mixing | None]] = {}
"""How operators mix channels that are no convolutions, in the same way."""


@cache
def _family(op: str, name: str) -> Carries:
    if name in _SOFTMAX:
        return softmax
    if name in _ELEMENTWISE or (op in _ELEMENTWISE_OPS and name not in _NOT_ELEMENTWISE):
        return elementwise
    if op == "copy" and name.endswith(_PADDING):  # of nothing
        return elementwise
    # of one alone, as the first layer of a dense block has it
    if op in ("normalization", "concatenation") or name in _NORMALIZING:
        return unchanged
    if name in _MAKING:
        return lambda event, *_: constant(event.output_shape)
    if name in _RESHAPING:
        return reshaping
    if name in _SHUFFLING:
        return lambda _, maps, at: shuffled(maps[0], at)
    if name in _ALONG_AXES:
        return lambda event, maps, _: reduced(maps[0], event.axes, event.output_shape)
    if name in _POOLING:
        return pooled
    if op in _LAYERS:
        return lambda event, maps, _: mixed(maps[0], event.output_shape) if len(maps) == 1 else None
    return lambda *_: None  # anything else may mix positions and channels as it likes


def reshaping(event: "Event", maps: Sequence[Map], _: str) -> Map | None:
    """Return a map in another shape, as it lies in memory."""
    return reshaped(maps[0], event.output_shape)


def elementwise(event: "Event", maps: Sequence[Map], _: str) -> Map | None:
    """Return what a function of single values makes of maps, each of which may be repeated."""
    if len(maps) == 1 and maps[0].shape == event.output_shape:
        return maps[0]
    # what is gated and what is not are two branches, as is a residual
    is_gated = any(one.has_positions and one.is_gated for one in maps)
    is_sum = _base(event.operator) in _SUMS or event.operator in SUMS
    if is_sum and is_gated and len(maps) > 1:
        return None
    return joined(tuple(maps), event.output_shape)


def unchanged(event: "Event", maps: Sequence[Map], _: str) -> Map | None:
    """Return the same map, if it is the only one and keeps its shape."""
    return maps[0] if len(maps) == 1 and maps[0].shape == event.output_shape else None


def softmax(event: "Event", maps: Sequence[Map], _: str) -> Map | None:
    """Return the same map, unless positions compete with each other."""
    (given,) = maps
    return None if any(given.has_positions_on(axis) for axis in event.axes) else given


def pooled(event: "Event", maps: Sequence[Map], _: str) -> Map | None:
    """Return what is left of all positions; of a window nothing is known."""
    given, shape = maps[0], event.output_shape
    if len(shape) != len(given.shape):
        return None
    left = reduced(given, tuple(at for at, size in enumerate(shape) if size == 1), shape)
    return None if left is None or left.has_positions else left
