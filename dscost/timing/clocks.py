"""The clock that runs only while the processor works for this process."""

from time import process_time

from dscost.errors import InputError
from dscost.notation.units import format_seconds
from dscost.timing.engine import Clock

COARSEST_S = 1e-4
"""A block of calls lasts some milliseconds."""
STEPS = 3
"""Of which the shortest tells how fine a clock is: the others may have been interrupted."""


def processor_clock(clock: Clock = process_time) -> Clock:
    """Return the clock of the processor time of this process, all its threads together.

    Raises:
        InputError: It is too coarse for blocks of calls, as that of Windows is.
    """
    step_s = min(_step_s(clock) for _ in range(STEPS))
    if step_s > COARSEST_S:
        raise InputError(
            "--clock cpu: the processor time of this system is told in steps of "
            f"{format_seconds(step_s)}, at most {format_seconds(COARSEST_S)} are in order: "
            "time with --clock wall"
        )
    return clock


def _step_s(clock: Clock) -> float:
    """Return how far the clock goes at once."""
    before = clock()
    while (after := clock()) == before:
        pass
    return after - before
