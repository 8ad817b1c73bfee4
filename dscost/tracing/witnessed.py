"""A trace, and what counters of others would have seen of the model: of a run of its own.

Whoever watches as they do replaces functions of torch, and a model may notice. So what is counted
here comes from a run that nobody else watches.
"""

from dscost.errors import first_line
from dscost.foreign.failures import Whose, is_interrupt, whose
from dscost.traces.events import Event, Trace
from dscost.tracing.calling import one_at_a_time
from dscost.tracing.running import Task, attempt
from dscost.tracing.ways import Attempt, Way, next_way


def witnessed(traced: Trace, task: Task, way: Way) -> Trace:
    """Return a trace with what counters of others would have seen.

    Args:
        traced: What happened while nobody else watched.
        task: The same, to be watched.
        way: How it was run.
    """
    attempts: list[Attempt] = []
    following: Way | None = way
    with one_at_a_time():
        while following is not None:
            attempts.append(attempt(task, following))
            following = None if attempts[-1].is_whole else next_way(attempts)
    watched = next((one.traced for one in reversed(attempts) if one.traced is not None), None)
    if watched is None:
        error = attempts[-1].error
        assert error is not None
        if is_interrupt(error) or whose(error) is Whose.OURS:
            raise error
        why = f"the model fails where functions of torch are replaced: {first_line(error)}"
        return traced._replace(why_unseen=why)
    if list(map(_told, traced.events)) == list(map(_told, watched.events)):
        return traced._replace(seen=watched.seen)
    return traced._replace(seen=watched.seen, otherwise=watched)


def _told(event: Event) -> tuple[object, ...]:
    """Return what tells whether two runs did the same; of threads the order may differ."""
    return event.operator, event.module, event.macs * event.times, event.conv
