"""Differences of times that were measured apart, told where they are above the noise."""

from dscost.reports.records import SAME_WITHIN, Timing

BETWEEN_CALLS = "between the calls"
"""What a variant takes beyond its stages timed alone."""


def short_title(title: str) -> str:
    """Return what a row of variants is called where there is little room."""
    return title.replace("depthwise-", "").replace(BETWEEN_CALLS, "between calls")


def above_floor(difference_s: float, whole_s: float, timing: Timing) -> float | None:
    """Return a difference of two times, `None` where it is noise: not above the floor, or negative.

    Args:
        difference_s: Between times that were measured apart.
        whole_s: The longer of them.
        timing: What was judged by the same floor.
    """
    return difference_s if difference_s > floor_of(timing) * whole_s else None


def floor_of(timing: Timing, of_machine: float | None = None) -> float:
    """Return the noise floor that a timing was judged by, else that of its machine."""
    own = timing.speedup.noise_floor if timing.speedup else of_machine or SAME_WITHIN
    return max(own, SAME_WITHIN)


def between_calls_s(timing: Timing) -> float | None:
    """Return what the separable variant takes beyond its stages, `None` where that is noise."""
    if timing.gap_s is None or timing.depthwise_separable is None:
        return None
    return above_floor(timing.gap_s, timing.depthwise_separable.median_s, timing)
