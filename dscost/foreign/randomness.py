"""Random numbers drawn by foreign code, without moving or rewinding those of anybody else.

torch's numbers come from a generator of one's own, operator by operator, so that the global one is
neither moved nor put back and other threads draw from it as ever. Two exceptions: an operator that
takes no generator draws from the global one, whose state is put back right after it; and where the
code seeds the global generator, its state is put back at the end. Python's and numpy's generators
cannot be told apart by thread: they are put back only where no other thread is running.
"""

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from dscost.foreign.dispatch import Args, EachOperator, Kwargs

SEED = 0
"""Where nobody has seeded torch: a model that looks at values costs the same every time it is
counted."""

_LEAST_CHOSEN = 2**32
"""torch chooses seeds of 53 bits, and who gives one hardly goes so far."""


def unseeded(seed: int) -> int | None:
    """Return a seed that torch has chosen; nothing where somebody has given it already.

    >>> unseeded(42), unseeded(2**52 + 1)
    (None, 4503599627370497)
    """
    return seed if seed >= _LEAST_CHOSEN else None


_UNSEEDED = unseeded(torch.initial_seed())
"""What torch's own generator began with, another one in every process; unknown where code of a user
that seeds it ran before."""


class OwnNumbers:
    """A generator of one's own, and how operators come to draw from it.

    `unseeded` is its seed where torch's own has not been given any; by default what torch chose.
    """

    def __init__(self, unseeded: int | None = None) -> None:
        self._seed: int | None = None
        self._unseeded = _UNSEEDED if unseeded is None else unseeded
        self._generator = torch.Generator()

    def draw(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        """Return what an operator that draws numbers gives, the global generator left as it is."""
        if kwargs.get("generator") is not None or _is_elsewhere(args, kwargs):
            return func(*args, **kwargs)
        with_generator = _with_generator(func)
        if with_generator is not None:
            # also where the code has just seeded torch's own
            if torch.initial_seed() != self._seed:
                self._seed = torch.initial_seed()
                own = self._unseeded if self._seed == _UNSEEDED else None
                self._generator.manual_seed(self._seed if own is None else own)
            return with_generator(*args, **kwargs, generator=self._generator)
        before = torch.get_rng_state()
        try:
            return func(*args, **kwargs)
        finally:
            # attention and recurrent layers rarely draw
            if not torch.equal(before, torch.get_rng_state()):
                torch.set_rng_state(before)


@contextmanager
def states_kept() -> Iterator[None]:
    """Undo what code does to the global generators where operators draw from others; see above."""
    seed, state = torch.initial_seed(), torch.get_rng_state()
    numpy = sys.modules.get("numpy.random")
    python_state, numpy_state = random.getstate(), numpy and numpy.get_state()
    try:
        yield
    finally:
        is_alone = threading.active_count() == 1
        with _disable_current_modes():  # one of the caller's may not let its tensors be compared
            if torch.initial_seed() != seed or (
                is_alone and not torch.equal(state, torch.get_rng_state())
            ):
                torch.set_rng_state(state)
        if is_alone:
            if random.getstate() != python_state:
                random.setstate(python_state)
            if numpy is not None and numpy_state is not None:
                numpy.set_state(numpy_state)


@contextmanager
def own_random_numbers(unseeded: int | None = None) -> Iterator[None]:
    """Let code draw random numbers that are nobody else's; see above, and `OwnNumbers`."""
    numbers = OwnNumbers(unseeded)

    def run(func: Any, args: Args, kwargs: Kwargs) -> Any:
        return numbers.draw(func, args, kwargs) if draws(func) else func(*args, **kwargs)

    with states_kept(), EachOperator(run):
        yield


@cache
def draws(func: Any) -> bool:
    """Whether an operator draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())


def _is_elsewhere(args: Args, kwargs: Kwargs) -> bool:
    """Whether nothing is drawn on the CPU: on meta nothing is drawn at all."""
    device = kwargs.get("device")
    if device is not None:
        return torch.device(device).type != "cpu"
    return any(isinstance(value, Tensor) and value.device.type != "cpu" for value in args)


def _with_generator(func: Any) -> Any | None:
    """Return an operator that takes a generator, itself or its overload."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    packet = func.overloadpacket
    own = [(a.name, str(a.type)) for a in func._schema.arguments]
    for name in packet.overloads():
        other = getattr(packet, name)
        theirs = [(a.name, str(a.type)) for a in other._schema.arguments if a.name != "generator"]
        if theirs == own and len(theirs) < len(other._schema.arguments):
            return other
    return None
