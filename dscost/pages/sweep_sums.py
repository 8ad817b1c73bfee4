"""The layers of a model summed up beside the model timed whole → lines: the gap, and its reason."""

from collections.abc import Iterator

from dscost.notation.units import counted, format_seconds
from dscost.pages.page import Tone, Toned
from dscost.runtimes import RUNTIMES, TORCH
from dscost.sweeping.records import Kernels, Sum

ADDS_UP = 0.10
"""A sum that is off by no more stands for the model in a search."""
MOST_TOLD = 4
"""Operators and kernels that a reason names."""
LEAST_SHARE = 0.005
"""Of the whole, that an operator makes of the gap, to be named."""


def lines_of_sum(one: Sum) -> Iterator[str]:
    """Yield what the sum and the whole are, then why they differ."""
    where = one.where
    title = RUNTIMES[where.runtime].title if where.runtime in RUNTIMES else where.runtime
    threads = counted(where.threads, "thread")
    layers = f"{counted(one.calls, 'layer')} ({one.layers} distinct)"
    low, high = one.ci95
    tone: Tone = "good" if abs(one.gap) <= ADDS_UP else "unclear"
    yield Toned(
        f"{one.model} under {title}, {where.dtype}, {threads}: {layers} timed alone sum up to "
        f"{format_seconds(one.sum_s)}, the whole model takes {format_seconds(one.whole_s)}: "
        f"{_percent(one.gap)} ({_signed(low)} to {_signed(high)})",
        tone,
    )
    for line in _reasons(one):
        yield Toned(line, "method")
    if one.missing:
        yield f"not in the sum: {', '.join(one.missing)}"


def _reasons(one: Sum) -> Iterator[str]:
    if one.where.runtime == TORCH:
        yield from _reasons_of_torch(one)
        return
    by_clock = [_told(op) for op in one.ops if abs(op.more_s) >= LEAST_SHARE * one.whole_s]
    if by_clock:
        yield f"by its own clock, alone against in the model: {'; '.join(by_clock[:MOST_TOLD])}"
    only = [f"{kernel.kernel} ×{kernel.in_whole}" for kernel in one.kernels if not kernel.in_layers]
    if only:
        yield f"only in the model: {', '.join(only[:MOST_TOLD])}"
    more = [f"{kernel.kernel} {_times(kernel)}" for kernel in one.kernels if kernel.in_layers]
    if more and not by_clock:
        yield f"alone against in the model: {', '.join(more[:MOST_TOLD])}"
    if not (by_clock or only or more):
        yield "it does not tell what it runs, or runs the model as it runs its layers"


def _reasons_of_torch(one: Sum) -> Iterator[str]:
    low, high = one.ci95
    if low <= 0 <= high:
        yield "torch runs a model layer by layer: no difference beyond what the intervals leave"
    elif one.gap < 0:
        free = f"{counted(one.free, 'operation')} that move{'s' if one.free == 1 else ''} no data, "
        yield (
            f"torch runs a model layer by layer; in the model {free if one.free else ''}"
            "what Python does between layers, and code and data gone from the caches come on top"
        )
    else:
        yield (
            "torch runs a model layer by layer; alone, each layer is called as a module of its "
            "own, which in the model is a part of one call"
        )


def _told(op: Kernels) -> str:
    """Return how often an operator ran on either side, and what that makes of the gap.

    >>> _told(Kernels("ReorderInput", 52, 0, 0.002, 0.0))
    'ReorderInput 52 times instead of never, 2.00 ms more'
    >>> _told(Kernels("Conv", 52, 52, 0.009, 0.010))
    'Conv as often, 1.00 ms less'
    """
    word = "more" if op.more_s > 0 else "less"
    return f"{op.kernel} {_times(op)}, {format_seconds(abs(op.more_s))} {word}"


def _times(op: Kernels) -> str:
    if op.in_layers == op.in_whole:
        return "as often"
    return f"{_often(op.in_layers)} instead of {_often(op.in_whole, after=True)}"


def _often(number: int, *, after: bool = False) -> str:
    if number == 0:
        return "never"
    return f"{number:,}" if after else counted(number, "time")


def _percent(gap: float) -> str:
    """Return how far a sum is from the whole, in words.

    >>> _percent(0.034), _percent(-0.2), _percent(0.0001)
    ('the sum is 3.4 % more', 'the sum is 20.0 % less', 'they agree')
    """
    if abs(gap) < 0.0005:
        return "they agree"
    return f"the sum is {abs(gap):.1%} {'more' if gap > 0 else 'less'}".replace("%", " %")


def _signed(gap: float) -> str:
    return f"{gap:+.1%}".replace("%", " %").replace("-", "−")
