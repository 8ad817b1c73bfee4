"""A layer called over and over, each time with other weights, as a model calls it. No torch here.

Alone in a loop, a layer finds all that it uses in the caches. In a model its weights were last used
a pass ago, and all others have been used since; its input was just written, and its output goes
where memory was just freed, as they do in the loop.
"""

from typing import TYPE_CHECKING

from dscost.analysis.running import Work
from dscost.notation.units import dtype_bytes

if TYPE_CHECKING:
    from torch import nn

MOST_BYTES = 64 * 2**20
"""Copies take no more together: twice what the caches of most processors hold."""
MOST_COPIES = 64


def copies_of(used_bytes: int, between_bytes: int) -> int:
    """Return how many copies of something use as much as is used between two calls of one.

    >>> copies_of(1_000_000, 24_000_000), copies_of(100, 24_000_000), copies_of(9**9, 100)
    (24, 64, 1)
    """
    wanted = min(between_bytes, MOST_BYTES) // max(1, used_bytes)
    return max(1, min(MOST_COPIES, wanted))


def in_turns(work: Work, weights: int, between_bytes: int) -> Work:
    """Return what torch calls as copies that take turns on one input, each with its own weights.

    Args:
        work: To be called by torch, with one input.
        weights: How many it has; without any it stays as it is.
        between_bytes: How much memory is used between two calls of it.
    """
    weight_bytes = weights * dtype_bytes(work.setting.dtype)
    number = copies_of(weight_bytes, between_bytes) if weights else 1
    if number == 1:
        return work

    def build() -> "nn.Module":
        from dscost.modules.turns import InTurns

        return InTurns([work.build() for _ in range(number)])

    needed = work.needed_bytes + number * weight_bytes
    return work._replace(build=build, needed_bytes=needed)
