"""One forward pass of any torch model, operator by operator, without computing it.

A dispatch mode watches meta tensors flow through the model. Nothing of the model changes:
parameters, buffers, mode, hooks, torch's own functions are as before, also after an error; random
numbers are as `dscost.foreign.randomness` promises. No method of the model is called but its
forward. There are several ways to run a model, see `dscost.tracing.ways`.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from torch import nn

from dscost.errors import InputError, first_line
from dscost.foreign.failures import Whose, whose
from dscost.foreign.parts import unwrapped
from dscost.notation.inputs import TensorSpec
from dscost.sources.wrappers import network_of
from dscost.traces import Event, Parameter, Trace
from dscost.traces.rules import register_formula
from dscost.tracing.calling import one_at_a_time
from dscost.tracing.inputs import Arguments, arguments_of, batched, hint_at_batch, hint_for
from dscost.tracing.real_copies import real_copy
from dscost.tracing.running import Task, attempt
from dscost.tracing.ways import (
    FAST,
    Attempt,
    Way,
    doubted,
    is_of_real_run,
    most_telling,
    next_way,
    on_zeros,
    with_reason,
)
from dscost.tracing.witnessed import witnessed

__all__ = [
    "Arguments",
    "Event",
    "Parameter",
    "TensorSpec",
    "Trace",
    "arguments_of",
    "one_at_a_time",
    "register_formula",
    "trace",
]


def trace(
    model: nn.Module,
    arguments: Arguments,
    *,
    training: bool = False,
    make_real: Callable[[], nn.Module] | None = None,
    functions: Collection[str] | None = None,
) -> Trace:
    """Run a model once, on meta tensors or, where those cannot go, the CPU; return what it did.

    Args:
        model: Left as it is; what runs is a stand-in, or a copy.
        arguments: What its forward is called with; tensors on any device.
        training: Whether to run it in training mode.
        make_real: Makes the model anew with values, should it have to run for real; by default a
            copy does.
        functions: Functions of torch that other counters look at, see `dscost.tracing.witness`; if
            given, the trace has what those would have seen.

    Raises:
        InputError: The model cannot be run on these arguments; the text has the reason.
    """
    model = unwrapped(model)
    network = network_of(model)
    if network is not None:
        raise InputError(
            f"{type(model).__name__} predicts on files: give its .model, a {type(network).__name__}"
        )
    make_real = make_real or partial(real_copy, model)
    task = Task(model, arguments, training, make_real)
    way: Way | None = FAST
    attempts: list[Attempt] = []
    with one_at_a_time():
        while way is not None:
            attempts.append(attempt(task, way))
            way = None if attempts[-1].is_whole else next_way(attempts)
    traced, way = _found(attempts, arguments)
    if traced is not None:
        if functions is None:
            return traced
        return witnessed(traced, task._replace(functions=functions), way)
    error = most_telling(attempts)
    if whose(error) is Whose.OURS:
        raise error
    hint = hint_for(error, model, arguments) or _batch_hint(task)
    why = f"{first_line(error)}{hint}"
    zeros = "zeros of " if on_zeros(arguments) and is_of_real_run(error, attempts) else ""
    what = f"{zeros}{_described(arguments)}"
    raise InputError(f"{type(model).__name__} cannot be run on {what}: {why}") from error


def _found(attempts: Sequence[Attempt], arguments: Arguments) -> tuple[Trace | None, Way]:
    """Return what is known of a model after attempts, if it ran in any, and the way it ran in."""
    last = attempts[-1]
    if last.is_whole:
        return with_reason(attempts, arguments), last.way
    for one in reversed(attempts):
        if one.traced is not None:
            return doubted(one, attempts), one.way
    return None, last.way


def _batch_hint(task: Task) -> str:
    """Return what to give instead where a model takes its input once a batch stands in front."""
    given = batched(task.arguments)
    if given is None:
        return ""
    with one_at_a_time():
        runs = attempt(task._replace(arguments=given), FAST).is_whole
    return hint_at_batch(given) if runs else ""


def _described(arguments: Arguments) -> str:
    shapes = [f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in arguments.tensors]
    return ", ".join(shapes) or "no tensors"
