"""The ways to run a model, which one comes next, and what is said of the one that was taken.

From the fastest to a real run; a way that does not do gives way to the next:

- over meta tensors, under inference mode, common operators worked out by short cuts;
- over meta tensors beside small ones that keep their values: masks, strides, whatever the model
  makes from nothing; autocast is in force here, and what runs in other threads is seen;
- over meta tensors with torch's gradients, for models that differentiate in their forward: what
  such a gradient computes is counted like anything else;
- for real, on the CPU, if the weights fit into the memory that is free.

An operator that failed fails the way, also where the model catches the error and takes a way out:
with values it might have gone on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from dscost.errors import first_line
from dscost.foreign.failures import Place, looks_at_values, module_of
from dscost.reports.records import Doubt
from dscost.traces.events import Trace
from dscost.tracing.inputs import Arguments


class Way(NamedTuple):
    """One way to run the model.

    Args:
        on_meta: Or for real.
        is_fast: Whether torch keeps no books at all.
        shortcuts: Whether the results of common operators are worked out without torch.
        keeps_values: Whether small tensors that are no parameters have values.
        gradients: Whether torch records what gradients need.
    """

    on_meta: bool
    is_fast: bool = False
    shortcuts: bool = False
    keeps_values: bool = False
    gradients: bool = False


FAST, VALUES = Way(True, is_fast=True, shortcuts=True), Way(True, keeps_values=True)
GRADIENTS, REAL = Way(True, gradients=True), Way(False)


class Attempt(NamedTuple):
    """What came of one way.

    Args:
        traced: What was seen, unless it failed.
        error: Why it failed: what was raised, or the first error of an operator, which the model
            caught.
        place: Where that was.
        wants_gradients: Whether the model switched gradients on.
        autocasts: Whether it switched autocast on.
        elsewhere: Whether it called modules from other threads.
    """

    way: Way
    traced: Trace | None = None
    error: BaseException | None = None
    place: Place | None = None
    wants_gradients: bool = False
    autocasts: bool = False
    elsewhere: bool = False

    @property
    def where(self) -> str:
        """The place in brackets, as it follows in a sentence."""
        return f" ({self.place})" if self.place else ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing happened that this way cannot show."""
        if self.traced is None or (self.wants_gradients and not self.way.gradients):
            return False
        unseen = self.way.is_fast and (self.autocasts or self.elsewhere)
        return not self.way.on_meta or (self.error is None and not unseen)


def next_way(attempts: Sequence[Attempt]) -> Way | None:
    """Return how to run a model after attempts that were not whole; `None` if no way is left."""
    last = attempts[-1]
    differentiates = any(map(_differentiates, attempts))
    if not last.way.on_meta and not last.way.gradients and _differentiates(last):
        return REAL._replace(gradients=True)  # it did not get so far without values
    if not last.way.on_meta or any(map(_is_certain, attempts)):
        return None
    if last.way is FAST and not (last.error is None and last.wants_gradients):
        # short cuts are to blame for no lack of values; for anything else they might be
        return VALUES._replace(shortcuts=last.error is None or looks_at_values(last.error))
    if last.way is not GRADIENTS and differentiates:
        return GRADIENTS
    return REAL._replace(gradients=differentiates)


_GRADIENT_WORDS = (
    *("require grad", "requires_grad", "requires grad", "inference", "grad_fn", "autograd"),
    "version count",
)
"""Words in the errors of models that differentiate."""

_CERTAIN = ("dscost.tracing.shortcuts", "dscost.tracing.module_stack")
"""Modules that raise errors which any run would end in: of shapes that do not fit, and arguments
that nobody takes."""


def _differentiates(attempt: Attempt) -> bool:
    told = "" if attempt.error is None else first_line(attempt.error)
    return attempt.wants_gradients or any(words in told for words in _GRADIENT_WORDS)


def _is_certain(attempt: Attempt) -> bool:
    source = "" if attempt.error is None else module_of(attempt.error)
    return source in _CERTAIN and not attempt.autocasts


def with_reason(attempts: Sequence[Attempt], arguments: Arguments) -> Trace:
    """Return the trace of the last way, with what must be said about why it was taken."""
    last, first = attempts[-1], attempts[0]
    assert last.traced is not None
    if last.way.on_meta:
        seen = first.traced
        is_same = seen is not None and first.error is None and _told(seen) == _told(last.traced)
        # gradients were on, and nothing came of it
        return seen if seen is not None and is_same and last.way.gradients else last.traced
    missing = _lacking_values(attempts)
    assert missing.error is not None
    if looks_at_values(missing.error):
        why = f"The model looks at values{missing.where}"
    else:
        sentence = first_line(missing.error).partition(". ")[0].removesuffix(".")
        why = f"The model fails without values{missing.where}: {sentence}"
    zeros = " on zeros," if on_zeros(arguments) else ""
    text = f"{why}, so it ran once for real on the CPU,{zeros} with its own or random weights."
    return last.traced.doubted(Doubt("value_dependent", text))


def _told(traced: Trace) -> tuple[int, tuple[Doubt, ...]]:
    return sum(event.macs for event in traced.events), traced.doubts


def on_zeros(arguments: Arguments) -> bool:
    """Whether a real run is given zeros, for want of values."""
    return any(tensor.is_meta and tensor.dtype is not torch.bool for tensor in arguments.tensors)


def doubted(attempt: Attempt, attempts: Sequence[Attempt]) -> Trace:
    """Return what a way saw that does not show everything, since none that would do succeeds."""
    assert attempt.traced is not None
    why = first_line(most_telling(attempts))
    if attempt.error is not None:
        text = (
            f"The model looks at values{attempt.where} and went on without them; "
            f"it cannot run for real: {why}."
        )
        return attempt.traced.doubted(Doubt("value_dependent", text))
    text = (
        "What gradients or threads inside the model compute is left out; "
        f"where they are seen, it fails: {why}."
    )
    return attempt.traced.doubted(Doubt("unseen", text))


def _lacking_values(attempts: Sequence[Attempt]) -> Attempt:
    """Return the attempt whose error tells best why values were needed."""
    failed = [one for one in attempts[:-1] if one.error is not None]
    looking = [one for one in failed if one.error is not None and looks_at_values(one.error)]
    return (looking or failed or attempts)[-1]


def most_telling(attempts: Sequence[Attempt]) -> BaseException:
    """Return the error of the real run, or of the first way where it was not tried or made."""
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    return errors[-1] if len(errors) > 1 and not attempts[-1].way.on_meta else errors[0]


def is_of_real_run(error: BaseException, attempts: Sequence[Attempt]) -> bool:
    """Whether an error is that of the real run, and of no other."""
    last = attempts[-1]
    others = [first_line(one.error) for one in attempts[:-1] if one.error is not None]
    return error is last.error and not last.way.on_meta and first_line(error) not in others
