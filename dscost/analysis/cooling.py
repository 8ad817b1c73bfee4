"""A layer called over and over, each time with other memory, as a model calls it. No torch here.

Alone in a loop, a layer finds its weights, its input and the place of its output in the caches. In
a model they were last used a pass ago: all the others have been used since.
"""

from math import prod
from typing import TYPE_CHECKING

from dscost.analysis.running import Work
from dscost.layers.convolution import Shape
from dscost.notation.units import dtype_bytes

if TYPE_CHECKING:
    from torch import nn

    from dscost.tracing import Arguments

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


def in_turns(work: Work, shapes: tuple[Shape, Shape], weights: int, between_bytes: int) -> Work:
    """Return what torch calls as copies that take turns, each with an input and output of its own.

    Args:
        work: To be called by torch, with one input.
        shapes: Of its input and its output.
        weights: How many it has.
        between_bytes: How much memory is used between two calls of it.
    """
    element_bytes = dtype_bytes(work.setting.dtype)
    used = (weights + sum(map(prod, shapes))) * element_bytes
    number = copies_of(used, between_bytes)
    if number == 1:
        return work

    def build() -> "nn.Module":
        from dscost.modules.turns import InTurns

        return InTurns([work.build() for _ in range(number)])

    def arguments() -> "Arguments":
        from dscost.modules.building import random_input
        from dscost.tracing import Arguments

        inputs = (random_input(shapes[0], **work.setting.place) for _ in range(number))
        return Arguments(tuple(inputs), {})

    needed = number * work.needed_bytes
    return work._replace(build=build, arguments=arguments, needed_bytes=needed)
