"""Work that the tracer does not see: in threads, with torch's dispatch off, and NumPy's."""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from torch import nn

from dscost.errors import some_of
from dscost.foreign.parts import own_tensors
from dscost.reports.records import Doubt
from dscost.tracing.books import Books
from dscost.tracing.parameters import HeldTensors

NAMES_SHOWN = 3


class Unseen(NamedTuple):
    """What was not seen of a model that ran.

    Args:
        parameters: Names of those that nobody can say were never used.
        doubts: What to tell about it.
    """

    parameters: frozenset[str]
    doubts: tuple[Doubt, ...]


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
    modules: Sequence[tuple[str, nn.Module]],
    held: HeldTensors,
    calls: Mapping[str, int],
    books: Books,
    patched: Set[str],
    outside: Outside,
) -> Unseen:
    """Return what was not seen.

    The forward of a module of torch's own reads its weights: where it began and they were not read,
    that was not seen. Of any other weights that nobody read it cannot be said, once something ran
    out of sight.

    Args:
        modules: Every module with its path.
        held: What they hold.
        calls: How often the forward of each began.
        books: What was seen.
        patched: Paths of modules that may leave their weights alone: their forward is another one,
            or failed.
        outside: What tells of work out of sight.
    """
    unread = {one.name: one for one in held.parameters if one.name not in books.read}
    if not unread:
        text = f"The figures leave out some work: part of the model ran {outside.where}."
        return Unseen(frozenset(), (Doubt("unseen", text),) if outside.is_certain else ())
    # a module of torch's own that began and left no trace is missing for sure; the owners of other
    # unread weights may simply never have run
    silent = dict(_silent(modules, held, calls, books, patched))
    if not silent and not (outside.in_threads or outside.came_back):
        return Unseen(frozenset(), ())
    texts = []
    if silent:
        began = "its forward began, but no operator of it"
        if len(silent) > 1:
            began = "they began, but no operator of them"
        texts.append(f"The figures leave out {some_of(silent, NAMES_SHOWN)}: {began} was seen.")
    known = set().union(*silent.values())
    others = [one for name, one in unread.items() if name not in known]
    if others:
        owners = dict.fromkeys(one.name.rpartition(".")[0] or "(root)" for one in others)
        count = sum(one.numel for one in others)
        texts.append(
            f"The figures may leave out {some_of(owners, NAMES_SHOWN)}: nothing was seen to read "
            f"{count:,} parameters, but part of the model ran {outside.where}."
        )
    return Unseen(frozenset(unread), tuple(Doubt("unseen", text) for text in texts))


def _silent(
    modules: Sequence[tuple[str, nn.Module]],
    held: HeldTensors,
    calls: Mapping[str, int],
    books: Books,
    patched: Set[str],
) -> Iterator[tuple[str, set[str]]]:
    """Yield torch's own modules that began and did not read their weights, with their names."""
    for path, module in modules:
        if not calls.get(path) or path in patched or not _is_torchs_own(module):
            continue
        own = [one for one in own_tensors(module)[0].values() if one is not None and one.numel()]
        names = {held.by_tensor[id(tensor)].name for tensor in own if id(tensor) in held.by_tensor}
        if names and books.read.isdisjoint(names):
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


def _is_torchs_own(module: nn.Module) -> bool:
    """Whether what computes a module is torch's: that never leaves its weights alone."""
    return (type(module).forward.__module__ or "").startswith(
        "torch.nn."
    )  # what torch.fx makes of a graph has none
