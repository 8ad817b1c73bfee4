"""Operators that somebody does not count → what those are, in words."""

from collections.abc import Iterable, Iterator, Sequence

from dscost.conventions import Convention, alike_among
from dscost.conventions.lacking import without_rule
from dscost.traces.calls import Call

_PRODUCTS = frozenset(
    f"aten::{name}" for name in ("matmul", "mm", "bmm", "addmm", "baddbmm", "addbmm", "einsum")
)
_USUAL = ("aten::conv2d", "aten::linear")


def has_unusual(calls: Iterable[Call]) -> bool:
    """Whether MACs are those of other operators as well than all counters know."""
    return any(
        call.macs and call.kind == "operators" and call.name not in _USUAL
        for call, _ in alike_among(calls)
    )


def lacking(convention: Convention, calls: Sequence[Call]) -> tuple[str, ...]:
    """Return what has MACs and no rule of a convention, in words."""
    words: list[str] = []
    paths: list[str] = []
    for one in without_rule(convention, calls):
        called = _called(one.name)
        words += [called] if called else []
        paths += [] if called else one.paths
    return (*dict.fromkeys(words), *_layers(list(dict.fromkeys(paths))))


def _called(operator: str) -> str | None:
    """Return what an operator is called where all of its kind are left out alike."""
    if "attention" in operator:
        return "fused attention"
    if operator in _PRODUCTS:
        return "matrix products"
    if operator.endswith(".padding"):
        return "convolutions whose padding is a word"
    return None


def _layers(paths: Sequence[str]) -> Iterator[str]:
    if not paths:
        return
    first = f"`{paths[0]}`" if paths[0] else "what the model itself calls"
    others = len(paths) - 1
    yield first + (f" and {others} more layer{'s' if others > 1 else ''}" if others else "")
