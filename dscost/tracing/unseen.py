"""Work that the tracer does not see: in threads, with torch's dispatch off, and NumPy's."""

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import NamedTuple

from torch import nn

from dscost.errors import some_of
from dscost.foreign.parts import own_tensors
from dscost.reports.records import Doubt
from dscost.tracing.parameters import HeldTensors

NAMES_SHOWN = 3


class Outside(NamedTuple):
    """What tells that part of a model ran out of sight.

    Args:
        in_threads: Whether it started threads, in which only modules are followed.
        came_back: Whether it read or returned something that nothing that was seen made.
        is_certain: Whether that was made while the model ran.
    """

    in_threads: bool
    came_back: bool
    is_certain: bool

    @property
    def where(self) -> str:
        """Where, in words."""
        return "in a thread, out of sight" if self.in_threads else "where torch shows no operators"


def unseen(
    began: Iterable[tuple[str, nn.Module]], held: HeldTensors, read: Set[str], outside: Outside
) -> tuple[frozenset[str], tuple[Doubt, ...]]:
    """Return the names of parameters that nobody can say were never used, and what to tell of it.

    The forward of a module of torch's own reads its weights: where it began and they were not read,
    that was not seen. Of any other weights that nobody read it cannot be said, once something ran
    out of sight.
    """
    unread = {one.name: one for one in held.parameters if one.name not in read}
    if not unread:
        text = f"The figures leave out some work: part of the model ran {outside.where}."
        return frozenset(), (Doubt("unseen", text),) if outside.is_certain else ()
    # a module of torch's own that began and left no trace is missing for sure; the owners of other
    # unread weights may simply never have run
    silent = dict(_silent(began, held, read))
    if not silent and not (outside.in_threads or outside.came_back):
        return frozenset(), ()
    texts = []
    if silent:
        why = "its forward began, but no operator of it"
        if len(silent) > 1:
            why = "they began, but no operator of them"
        texts.append(f"The figures leave out {some_of(silent, NAMES_SHOWN)}: {why} was seen.")
    known = set().union(*silent.values())
    others = [one for name, one in unread.items() if name not in known]
    if others:
        owners = dict.fromkeys(one.name.rpartition(".")[0] or "(root)" for one in others)
        count = sum(one.numel for one in others)
        texts.append(
            f"The figures may leave out {some_of(owners, NAMES_SHOWN)}: nothing was seen to read "
            f"{count:,} parameters, but part of the model ran {outside.where}."
        )
    return frozenset(unread), tuple(Doubt("unseen", text) for text in texts)


def _silent(
    began: Iterable[tuple[str, nn.Module]], held: HeldTensors, read: Set[str]
) -> Iterator[tuple[str, set[str]]]:
    """Yield torch's own modules that began and did not read their weights, with their names."""
    for path, module in began:
        # that never leaves its weights alone; what torch.fx makes of a graph has no such name
        if not (type(module).forward.__module__ or "").startswith("torch.nn."):
            continue
        own = [one for one in own_tensors(module)[0].values() if one is not None and one.numel()]
        names = {held.by_tensor[id(tensor)].name for tensor in own if id(tensor) in held.by_tensor}
        if names and names.isdisjoint(read):
            yield path or "(root)", names


def undifferentiated(functions: Sequence[str]) -> Iterator[Doubt]:
    """Yield the doubt that functions have backward passes of their own which could not run."""
    if functions:
        named = some_of(list(dict.fromkeys(functions)), NAMES_SHOWN)
        text = (
            f"The backward pass of {named} could not be run: "
            "counted as that of torch for what the forward computes."
        )
        yield Doubt("unseen", text)
