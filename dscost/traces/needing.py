"""What of a trace leads to what the model returns, and what is computed and thrown away."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from dscost.traces.calls import Call
from dscost.traces.events import Event

_OF_VALUES = ("", "complex", "sparse")
"""What may be unusual about an event that did not run inside of a higher-order operator."""


def with_need(
    calls: Iterable[Call], events: Sequence[Event], roots: Collection[int]
) -> Iterator[Call]:
    """Yield calls, each with whether anything that ran within leads to one of some events.

    What left no event counts as needed, and so does everything where there are no such events.
    """
    if not roots:
        yield from calls
        return
    needed = _needed(events, roots)
    for call in calls:
        within = needed[slice(*call.events)]
        yield call if not within or any(within) else call._replace(is_needed=False)


def _needed(events: Sequence[Event], roots: Collection[int]) -> list[bool]:
    """Return for each event whether one of the roots reads its result, directly or not.

    What ran inside of a higher-order operator is needed: what such an operator reads may come out
    of it another way.
    """
    needed = [at in roots or event.unusual not in _OF_VALUES for at, event in enumerate(events)]
    for at in reversed(range(len(events))):
        if needed[at]:
            for source in events[at].sources:
                if source >= 0:
                    needed[source] = True
    return needed
