"""Layers that share their weights, refitted group by group, whatever the model is. No torch."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from dscost.converting.recovering.fitting import Fitting, Stages
from dscost.converting.recovering.stepping import Doing
from dscost.converting.recovering.telling import refitted_notes

MOST_TARGET_BYTES = 2**29
"""Of what the original returns, over the layers whose targets are kept at a time: a fraction of
the memory of any machine that converts models, and all layers of most models."""

Say = Callable[[float | None, str], None]


class AnyLayer(Protocol):
    """What is to be known of a layer, whatever it is of."""

    @property
    def name(self) -> str:
        """In the model that was converted."""

    @property
    def stages(self) -> Stages:
        """Its weights."""


L = TypeVar("L", bound=AnyLayer)
T = TypeVar("T")


class Left(NamedTuple):
    """Layers that were not looked at at all.

    Args:
        all: How many layers there are, these and others.
        unseen: Those that do not run.
        unknown: Those whose bias is computed.
    """

    all: int
    unseen: Sequence[str] = ()
    unknown: Sequence[str] = ()


def refit_groups(
    groups: Sequence[list[L]],
    left: Left,
    doing: Doing,
    say: Say,
    *,
    target_bytes: Callable[[list[L]], int],
    targets_of: Callable[[list[list[L]]], T],
    is_refitted: Callable[[list[L], T], bool],
) -> None:
    """Refit layers, those that share their weights at once.

    Args:
        groups: Those, in the order in which they run.
        left: The others.
        doing: Told how many had other weights, and why the rest had not.
        say: Told what is done.
        target_bytes: Of what a group is to return.
        targets_of: Returns what some groups are to return.
        is_refitted: Refits a group to that; returns whether it does better.
    """
    due: list[list[L]] = []
    large: list[str] = []
    for same in groups:
        if Fitting.is_possible(same[0].stages):
            due.append(same)
        else:
            large += [layer.name for layer in same]
    no_better: list[str] = []
    done = 0
    for some in _in_parts(due, target_bytes):
        targets = targets_of(some)
        for same in some:
            say(done / len(due), f"refitting {same[0].name}")
            done += 1
            if is_refitted(same, targets):
                doing.changed += len(same)
            else:
                no_better += [layer.name for layer in same]
    doing.notes += refitted_notes(
        left.all, no_better=no_better, large=large, unseen=left.unseen, unknown=left.unknown
    )


def _in_parts(
    groups: Sequence[list[L]], target_bytes: Callable[[list[L]], int]
) -> Iterator[list[list[L]]]:
    """Yield groups whose targets are kept at a time."""
    part: list[list[L]] = []
    size = 0
    for same in groups:
        own = target_bytes(same)
        if part and size + own > MOST_TARGET_BYTES:
            yield part
            part, size = [], 0
        part.append(same)
        size += own
    if part:
        yield part
