"""Whether a converted ONNX model does what it did: run beside the one that it was made of.

Each convolution alone is run as it was and converted at full rank, on a small input; so is the
whole model, where that does not take long. Both must return the same but for rounding.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

from dscost.converting.decomposing import Factors
from dscost.converting.graph_loading import GraphSubject
from dscost.converting.graph_rewriting import rewritten
from dscost.converting.reproducing import REPRODUCED
from dscost.converting.sites import Key, Site
from dscost.errors import InputError, first_line
from dscost.graphs.running import Feeds, Runner, made_up, runners
from dscost.notation.units import counted, format_bytes, format_count

WHOLE = 1e-5
"""How far the outputs of whole models may be apart, relative to the largest value of each."""
NUDGE = 1e-6
"""A change of the inputs, relative: outputs that it changes much are not known any better. It is
larger where their dtype does not hold it."""
MOST_ALIVE = 2**31
"""Bytes of activations of a whole model that is run."""
AS_MUCH = 30
"""How many times what such a change makes is still rounding: every convolution adds its own."""


class Off(NamedTuple):
    """How far two models are apart.

    Args:
        by: Relative to the largest value of each output; nothing if neither could be run.
        runner: What ran them.
        why: Why they were not run.
        nudged: How far the first is from itself, its inputs changed a little; where that was asked
            for.
        nudge: How much that is of each.
    """

    by: float | None
    runner: str = ""
    why: str = ""
    nudged: float = 0.0
    nudge: float = 0.0

    def is_within(self, bound: float) -> bool:
        """Whether they are the same but for rounding, as far as is known."""
        return self.by is None or self.by <= max(bound, AS_MUCH * self.nudged)


def check_valid(subject: GraphSubject, model: ModelProto) -> list[str]:
    """Return what onnx has to say of a converted model, which is what it said before.

    Raises:
        InputError: It refuses the model, and did not refuse the one that it was made of.
    """
    told = _refused(model)
    if told is None:
        return []
    before = _refused(subject.model)
    if before is None:
        raise InputError(f"{subject.target}: onnx refuses it converted: {told}")
    return [f"onnx's checker refuses the file as it was: {before.rstrip('.')}."]


def _refused(model: ModelProto) -> str | None:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        return first_line(error)
    return None


def check_full_rank(
    subject: GraphSubject, sites: Sequence[Site], factors: Mapping[Key, Factors]
) -> list[str]:
    """Return how near a model is to what it was, converted at full rank.

    Args:
        subject: What is converted.
        sites: What of it is, at full rank.
        factors: Weights of full rank.

    Raises:
        InputError: It does something else.
    """
    ways = runners()
    alone = [_alone(subject, site, factors[site.key], ways) for site in sites]
    for site, off in zip(sites, alone, strict=True):
        within = REPRODUCED[site.kernel.dtype]
        if not off.is_within(within):
            raise InputError(
                f"'{site.name}' returns something else converted at full rank: {off.by:.1e} of its "
                f"largest value is more than {within:g} ({off.runner})"
            )
    bound = max(WHOLE, *(REPRODUCED[site.kernel.dtype] for site in sites))
    whole = _whole(subject, sites, factors, ways, bound)
    if not whole.is_within(bound):
        raise InputError(
            f"{subject.target} returns something else converted at full rank: {whole.by:.1e} of "
            f"its largest value is more than {bound:g} ({whole.runner})"
        )
    return [_in_words(alone, whole)]


_NAMES = ("x", "weight", "bias")
"""What a convolution alone reads, whatever it is called in the file."""


def _alone(subject: GraphSubject, site: Site, factors: Factors, ways: Sequence[Runner]) -> Off:
    """Return how far a convolution alone is from what it was; in float32, if it is of less."""
    kernel, conv = site.kernel, site.kernel.conv
    dtype = np.float64 if kernel.dtype == "float64" else np.float32
    node = onnx.NodeProto()
    node.CopyFrom(site.module)
    names = _NAMES[: len([name for name in node.input if name])]
    del node.input[:], node.output[:]
    node.input.extend(names)
    node.output.append("y")
    sizes = zip(conv.kernel_size, conv.dilation, conv.stride, strict=True)
    extent = [d * (k - 1) + 1 + s for k, d, s in sizes]  # two positions without padding
    shapes = {"x": (1, conv.in_channels, *extent), "bias": (conv.out_channels,)}
    random = np.random.default_rng(0)
    feeds = {
        name: random.standard_normal(shapes[name]).astype(dtype) for name in names if name in shapes
    }
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [node],
        "alone",
        [helper.make_tensor_value_info(name, number, one.shape) for name, one in feeds.items()],
        [helper.make_tensor_value_info("y", number, None)],
        [numpy_helper.from_array(kernel.weight.astype(dtype), _NAMES[1])],
    )
    model = helper.make_model(
        graph, ir_version=subject.model.ir_version, opset_imports=subject.model.opset_import
    )
    rounded = factors.rounded(kernel.weight.dtype)
    stored = kernel.stored._replace(name=_NAMES[1])
    wide = kernel._replace(weight=kernel.weight.astype(dtype), stored=stored)
    here = site._replace(module=node, applied=wide)
    return _apart(model, rewritten(model, [here], {here.key: rounded}), feeds, ways)


def _whole(
    subject: GraphSubject,
    sites: Sequence[Site],
    factors: Mapping[Key, Factors],
    ways: Sequence[Runner],
    bound: float,
) -> Off:
    """Return how far the whole model is from what it was, and above a bound what a change makes."""
    macs = subject.cost.macs
    unknown = ", ".join(subject.traced.unknown)
    if unknown:
        return Off(None, why=f"nobody knows what {unknown} would cost")
    alive = subject.traced.peak_activation_bytes or 0
    if alive > MOST_ALIVE:
        return Off(None, why=f"{format_bytes(alive)} of its activations are alive at once")
    able = [way for way in ways if macs <= way.most_macs]
    if not able:
        name, hint = ways[0].name, "" if ways[0].is_runtime else " (pip install onnxruntime)"
        why = f"its {format_count(macs)} MACs would take {name} too long{hint}"
        return Off(None, why=why)
    full = rewritten(subject.model, sites, factors)
    try:
        feeds = made_up(subject.given)
    except TypeError as error:  # dtypes that numpy has not
        return Off(None, why=f"its inputs cannot be made up: {first_line(error)}")
    off = _apart(subject.model, full, feeds, able)
    if off.is_within(bound):
        return off
    (way,) = (way for way in able if way.name == off.runner)
    nudge = max(map(_nudge, feeds.values()), default=0.0)
    others = {name: _nudged(feed, nudge) for name, feed in feeds.items()}
    before, after = way.run(subject.model, feeds), way.run(subject.model, others)
    return off._replace(nudged=_most(before, after), nudge=nudge)


def _apart(one: ModelProto, other: ModelProto, feeds: Feeds, ways: Sequence[Runner]) -> Off:
    """Return how far two models are apart, by the first that runs both."""
    why = ""
    for way in ways:
        try:
            before, after = way.run(one, feeds), way.run(other, feeds)
        # what another program says of a file may be anything
        except Exception as error:  # noqa: BLE001
            why = why or f"{way.name} does not run it: {first_line(error)}"
            continue
        return Off(_most(before, after), way.name)
    return Off(None, why=why)


def _nudge(feed: np.ndarray) -> float:
    """Return the change of every fraction that its dtype holds, `NUDGE` if it can."""
    nudge = NUDGE if _is_of_fractions(feed) else 0.0
    while nudge and feed.dtype.type(1 + nudge) == 1:
        nudge *= 2
    return nudge


def _nudged(feed: np.ndarray, nudge: float) -> np.ndarray:
    """Return fractions a little larger."""
    if not _is_of_fractions(feed):
        return feed
    return (feed.astype(np.float64) * (1 + nudge)).astype(feed.dtype)


def _is_of_fractions(output: Any) -> bool:
    return isinstance(output, np.ndarray) and output.dtype.kind not in "biuOSU"


def _most(before: Sequence[Any], after: Sequence[Any]) -> float:
    """Return the largest difference of any output."""
    both = zip(before, after, strict=True)
    return max((_difference(*one) for one in both), default=0.0)


def _difference(before: Any, after: Any) -> float:
    """Return the largest difference of two outputs, relative to the largest value.

    What is no array of fractions is passed over, and so is what is not finite in both.
    """
    if not _is_of_fractions(before):
        return 0.0
    if before.shape != after.shape:
        return np.inf
    a, b = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(all="ignore"):
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        a, b = a[~same], b[~same]
        finite = np.abs(before[np.isfinite(before)].astype(np.float64))
        scale = float(finite.max()) if finite.size else 1.0
        off = float(np.abs(a - b).max()) if a.size else 0.0
    return off / scale if scale else off


# -- in words


def _in_words(alone: Sequence[Off], whole: Off) -> str:
    """Return how far layers and the whole are from what they were, and what ran them."""
    ran = ", ".join(dict.fromkeys(off.runner for off in alone if off.runner))
    told = "" if ran in ("", whole.runner) else f" ({ran})"
    return f"{_alone_in_words(alone)}{told}{_whole_in_words(whole)}."


def _alone_in_words(alone: Sequence[Off]) -> str:
    known = [off.by for off in alone if off.by is not None]
    if not known:
        return f"No layer could be run alone: {alone[0].why}"
    which = f"each of {counted(len(known), 'layer')}" if len(known) > 1 else "the layer"
    if len(known) < len(alone):
        which = f"each of the {len(known)} layers of {len(alone)} that could be run"
    far = f"{max(known):.1e} of its largest value"
    return f"At full rank {which} alone returns what it did, to {far}"


def _whole_in_words(whole: Off) -> str:
    if whole.by is None:
        return f"; the whole was not run: {whole.why}"
    moved = f", where a change of its input by {whole.nudge:.0e} of it makes {whole.nudged:.1e}"
    return f", and the whole to {whole.by:.1e}{moved if whole.nudged else ''} ({whole.runner})"
