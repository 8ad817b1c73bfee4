"""A model counted by two independent methods, and where they differ."""

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, overload

from dscost.analysis.targets import Request, found_source, with_arguments
from dscost.analysis.verification import UNKNOWN, Difference, Verification
from dscost.errors import InputError
from dscost.reports.records import unknown_operators
from dscost.timing import Progress

if TYPE_CHECKING:
    from os import PathLike

    from torch import nn

    from dscost.analysis.verifying_against import PeerVerification
    from dscost.sources import ModuleSource
    from dscost.tracing import Arguments, Event, Trace
    from dscost.tracing.flopcounter import SecondCount

_KNOWN_IN_PARTS = ("attention", "convolution", "linear", "recurrent", "transposed_convolution")
"""What torch takes apart, if at all, into parts that `FlopCounterMode` counts; of other operators
that it takes apart nobody knows, so each may be a cause."""

MOST_CAUSES = 8
"""Causes of one difference that are tried in all combinations."""


@overload
def verify(
    target: "str | PathLike[str] | nn.Module",
    input: Any = None,
    *,
    against: None = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Verification: ...


@overload
def verify(
    target: "str | PathLike[str] | nn.Module",
    input: Any = None,
    *,
    against: str | Sequence[str],
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> "PeerVerification": ...


def verify(
    target: "str | PathLike[str] | nn.Module",
    input: Any = None,
    *,
    against: str | Sequence[str] | None = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> "Verification | PeerVerification":
    """Count a model by our tracer and by torch's `FlopCounterMode`, or hold peers to their rules.

    An ONNX file is counted the second time from the shapes with which ONNX Runtime runs it, where
    that is installed; else from those that onnx itself finds.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line that is a
            model, not a saved report.
        input: What its forward takes, as in `dscost.analyze`: a shape, batch first, or tensors.
        against: Other counters, such as `fvcore`: each is run where it is installed, and its figure
            held against what its rules, as dscost has them, say of the same model.
        batch: Replaces the batch of the first input.
        dtype: Data type of weights and activations; by default float32, or what an `nn.Module` has.
        settings: What to change of an architecture's own settings, such as `{"width": 0.5}`.
        kwargs: For the factory that makes a torch model.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        progress: Called with what is being done.

    Raises:
        InputError: The target or an option is wrong, or one of the counters cannot run the model.
        UnavailableError: torch, a peer, or a library that the target needs, is not installed.

    >>> from torch import nn
    >>> verify(nn.Conv2d(3, 8, 3), (1, 3, 6, 6)).agrees
    True
    """
    from dscost.sources import GraphSource

    request = Request(input, batch, dtype, settings, kwargs, trust)
    found, name = found_source(target, request, progress=progress)
    if against:
        from dscost.analysis.verifying_against import verify_against

        peers = [against] if isinstance(against, str) else list(against)
        return verify_against(found, request, name, peers, progress)
    if isinstance(found, GraphSource):
        from dscost.analysis.verifying_graphs import verify_graph

        return verify_graph(found, request, name, progress)
    from dscost.tracing import trace

    source, arguments = with_arguments(found, name, request)
    say = progress or (lambda share, doing: None)
    with source.importing():
        say(None, f"tracing {name}")
        traced = trace(source.module, arguments, make_real=source.make_real)
        say(None, f"counting {name} with torch's FlopCounterMode")
        theirs = _second_count(source, arguments, traced, name)
    return Verification(
        target=name,
        ours=sum(event.macs for event in traced.events),
        theirs=theirs.macs[""],
        differences=tuple(_differences(traced, theirs)),
        notes=(*source.notes, *traced.notes, *(doubt.text for doubt in traced.doubts)),
        partial=tuple(_partial(traced)),
    )


def _second_count(
    source: "ModuleSource", arguments: "Arguments", traced: "Trace", name: str
) -> "SecondCount":
    """Return what torch's own counter says; where it cannot run the model, an error tells why."""
    from dscost.tracing.flopcounter import flop_counter_macs

    try:
        return flop_counter_macs(source.module, arguments, make_real=source.make_real)
    except InputError as error:
        foreign = sorted(_higher_order(traced))
        if not foreign:
            raise
        raise InputError(
            f"FlopCounterMode cannot run {name}: it does not know {', '.join(foreign)}"
        ) from error


def _differences(traced: "Trace", theirs: "SecondCount") -> Iterator[Difference]:
    """Yield the innermost modules on which two counts differ."""
    ours = _with_children(traced)
    paths = [path for path in traced.calls if ours[path] != theirs.macs.get(path, 0)]
    for path in paths:
        if not any(_is_inside(other, path) for other in paths):
            found = theirs.macs.get(path, 0)
            reason = _reason(traced, path, found, theirs.on_cpu)
            yield Difference(path, traced.types.get(path, ""), ours[path], found, reason)


def _higher_order(traced: "Trace") -> set[str]:
    """Return the higher-order operators that ran, without their namespace."""
    names = {name for event in traced.events for name in (event.unusual, event.operator)}
    higher_order = [name for name in names | set(traced.unknown) if name.startswith(_HIGHER_ORDER)]
    return {name.removeprefix(_HIGHER_ORDER) for name in higher_order} - {"cond"}


_HIGHER_ORDER = "higher_order::"


def _partial(traced: "Trace") -> Iterator[str]:
    if traced.unknown:
        yield f"operators of unknown cost: {', '.join(unknown_operators(traced.unknown))}"
    yield from (doubt.text for doubt in traced.doubts if doubt.kind == "unseen")


def _with_children(traced: "Trace") -> Mapping[str, int]:
    """Return the MACs of every module that ran, those of its children included."""
    macs = dict.fromkeys(traced.calls, 0)
    for event in traced.events:
        for path in set(event.stack):
            macs[path] = macs.get(path, 0) + event.macs
    return macs


def _is_inside(path: str, parent: str) -> bool:
    return path != parent and (not parent or path.startswith(f"{parent}."))


def _reason(traced: "Trace", path: str, theirs: int, on_cpu: bool) -> str:
    """Return what `FlopCounterMode` does not know of a module, if it makes up for the difference.

    Of several combinations that do, the one with the fewest causes.
    """
    known = 0
    causes: dict[tuple[str, str], list[Event]] = {}
    for event in traced.events:
        if path in event.stack and event.macs:
            cause = _cause(event, on_cpu, traced.elsewhere)
            if cause:
                causes.setdefault((cause, event.operator), []).append(event)
            else:
                known += event.macs
    # for each cause what it would make of them; first what we count, which means that it plays no
    # part
    choices = [
        (sum(event.macs for event in group), *_their_counts(group)) for group in causes.values()
    ]
    names = [cause for cause, _ in causes]
    dropped = [event.macs for event in traced.dropped if path in event.stack]
    if dropped:
        choices.append((0, max(dropped), sum(dropped)))
        names.append(_BOTH_BRANCHES)
    if len(choices) > MOST_CAUSES:
        return UNKNOWN
    fitting = [found for found in product(*choices) if known + sum(found) == theirs]
    if not fitting:
        return UNKNOWN
    parts = [
        [name for name, count, (own, *_) in zip(names, found, choices, strict=True) if count != own]
        for found in fitting
    ]
    lacking: list[str] = []
    others: list[str] = []
    fewest = min(parts, key=len)
    for name in dict.fromkeys(fewest):
        group = lacking if name.startswith(_NO_FORMULA) else others
        group.append(name.removeprefix(_NO_FORMULA))
    if lacking:
        others.insert(0, _NO_FORMULA + ", ".join(sorted(lacking)))
    return "; ".join(others)


_NO_FORMULA = "FlopCounterMode has no formula for "
_BOTH_BRANCHES = "FlopCounterMode shows both branches of a torch.cond"


def _cause(event: "Event", on_cpu: bool, in_threads: Set[str]) -> str:
    """Return why `FlopCounterMode`, which may have run for real, may count an operator otherwise.

    The paths are of modules that ran in threads of the model's own.
    """
    if not in_threads.isdisjoint(event.stack):
        return "FlopCounterMode does not see what runs in other threads"
    if event.unusual == "complex":
        return "FlopCounterMode does not count a complex product as four real ones"
    if event.unusual == "sparse":
        return "FlopCounterMode counts sparse factors as dense ones, or not at all"
    if event.unusual:
        return f"FlopCounterMode does not look into {event.unusual.partition('::')[2]}"
    if _lacks_formula(event.operator):
        return f"{_NO_FORMULA}{event.operator}"
    if event.operator == "aten::matmul" and _has_vector(event):
        return f"{_NO_FORMULA}products with a vector"
    if on_cpu and event.op == "attention":
        return "FlopCounterMode loses fused attention on the CPU"
    if on_cpu and event.operator in _WHOLE_ON_CPU:
        return "FlopCounterMode loses recurrent layers on the CPU"
    return ""


def _has_vector(event: "Event") -> bool:
    """Whether one factor of a matmul has one dimension, which torch makes another operator of."""
    read, written = len(event.input_shape), len(event.output_shape)
    return read == 1 or written < max(2, read)


_WHOLE_ON_CPU = {
    f"aten::{name}" for name in ("lstm", "gru", "rnn_tanh", "rnn_relu", "mkldnn_rnn_layer")
}


@cache
def _lacks_formula(operator: str) -> bool:
    """Whether `FlopCounterMode` may not count an operator that we count, whole or in parts."""
    import torch
    from torch.utils.flop_counter import flop_registry

    from dscost.traces.rules import word_of
    from dscost.tracing.operators import can_decompose

    namespace, _, name = operator.partition("::")
    if namespace != "aten":
        return namespace != "higher_order"
    packet = getattr(torch.ops.aten, name)
    if packet in flop_registry:
        return False
    overloads = (getattr(packet, overload) for overload in packet.overloads())
    is_taken_apart = any(map(can_decompose, overloads))
    # of matmul only products with a vector end in parts that are not counted, see `_cause`
    is_known = word_of(operator) in _KNOWN_IN_PARTS or operator == "aten::matmul"
    return not (is_taken_apart and is_known)


def _their_counts(events: "Sequence[Event]") -> tuple[int, ...]:
    """Return what `FlopCounterMode` may count for operators that it does not know well."""
    plain = sum(event.plain_macs for event in events)
    if events[0].unusual == "complex":
        # it meets the three real convolutions that torch runs, or one complex product
        return (plain, 3 * plain)
    return (0, plain) if plain else (0,)
