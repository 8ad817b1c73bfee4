"""One forward pass of any torch model, operator by operator, without computing it.

A dispatch mode watches meta tensors flow through the model. Nothing of the model changes:
parameters, buffers, mode, hooks, torch's own functions are as before, also after an error; random
numbers are as `dscost.foreign.randomness` promises. No method of the model is called but its
forward.

There are several ways to run a model, from the fastest to a real run; a way that does not do gives
way to the next:

- over meta tensors, under inference mode, common operators worked out by short cuts;
- over meta tensors beside small ones that keep their values: masks, strides, whatever the model makes from nothing;
  autocast is in force here, and what runs in other threads is seen;
- over meta tensors with torch's gradients, for models that differentiate in their forward: what such a gradient
  computes is counted like anything else;
- for real, on the CPU, if the weights fit into the memory that is free.

An operator that failed fails the way, also where the model catches the error and takes a way out:
with values it might have gone on.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from threading import RLock
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from dscost.errors import InputError, first_line
from dscost.foreign.failures import (
    Place,
    Whose,
    is_interrupt,
    looks_at_values,
    module_of,
    place_of,
    whose,
)
from dscost.foreign.parts import named_parts, set_training, unwrapped
from dscost.foreign.randomness import SEED, own_random_numbers, states_kept
from dscost.modules.beside_meta import DirectAccess
from dscost.notation.inputs import TensorSpec
from dscost.reports.records import Doubt
from dscost.sources.wrappers import network_of
from dscost.tracing.attribution import Attribution, attributed
from dscost.tracing.autocasting import watched_autocast
from dscost.tracing.conversions import Conversions
from dscost.tracing.dispatch import Event, Recorder
from dscost.tracing.gradients import GradientSwitch
from dscost.tracing.holdings import Holdings, Parameter, holdings_of
from dscost.tracing.inputs import Arguments, arguments_of, hint_for
from dscost.tracing.known_values import beside_meta, with_masks
from dscost.tracing.rules import register_formula
from dscost.tracing.sparse import nbytes_of, parts
from dscost.tracing.standins import StandIns, check_memory, is_lazy, real_copy, with_shapes
from dscost.tracing.threads import FollowingRecorder, watched_threads
from dscost.tracing.unseen import Outside, undifferentiated, unseen
from dscost.tracing.values import ValueRecorder

__all__ = [
    "Arguments",
    "Event",
    "Parameter",
    "TensorSpec",
    "Trace",
    "arguments_of",
    "called",
    "dry_run",
    "nothing_compiles",
    "one_at_a_time",
    "register_formula",
    "trace",
]

_turn = RLock()


def one_at_a_time() -> AbstractContextManager[object]:
    """Return what is entered to trace: dispatch modes keep process-wide flags, so two threads take turns."""
    return _turn


def _free_the_turn() -> None:
    """Let a process trace that was forked while another thread of its parent did: nobody here will end that turn."""
    global _turn
    _turn = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_the_turn)


class Trace(NamedTuple):
    """What one forward pass did.

    Args:
        events: The operators, in order.
        calls: How often each module ran, by path.
        types: Class name of each module, by path.
        parameters: All of the model, used or not.
        read: Names of the parameters and buffers that some operator read.
        unknown: Operators of unknown cost and how often they ran.
        peak_activation_bytes: Largest sum of live results, inputs included.
        outputs: Events whose results the model returns.
        output_bytes: Size of what the model returns.
        doubts: Why the figures may not be all that the model costs.
        unseen: Names of parameters that may have been read where nothing is seen.
        notes: By which convention something in it was counted.
        dropped: The operators of the cheaper ways of conditions, which do not count.
        trained: In training, the events that get a gradient from what the model returns; `None`
            where that is unknown.
    """

    events: Sequence[Event]
    calls: Mapping[str, int]
    types: Mapping[str, str]
    parameters: Sequence[Parameter]
    read: frozenset[str]
    unknown: Mapping[str, int]
    peak_activation_bytes: int | None
    outputs: frozenset[int]
    output_bytes: int
    doubts: tuple[Doubt, ...]
    unseen: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    dropped: Sequence[Event] = ()
    trained: frozenset[int] | None = None


class _Way(NamedTuple):
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


_FAST, _VALUES = _Way(True, is_fast=True, shortcuts=True), _Way(True, keeps_values=True)
_GRADIENTS, _REAL = _Way(True, gradients=True), _Way(False)


class _Attempt(NamedTuple):
    """What came of one way.

    Args:
        way: The one.
        traced: What was seen, unless it failed.
        error: Why it failed: what was raised, or the first error of an operator, which the model
            caught.
        place: Where.
        wants_gradients: Whether the model switched gradients on.
        autocasts: Whether it switched autocast on.
        elsewhere: Whether it called modules from other threads.
    """

    way: _Way
    traced: Trace | None = None
    error: BaseException | None = None
    place: Place | None = None
    wants_gradients: bool = False
    autocasts: bool = False
    elsewhere: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether nothing happened that this way cannot show."""
        if self.traced is None:
            return False
        if not self.way.on_meta:
            return self.way.gradients or not self.wants_gradients
        unseen = self.way.is_fast and (self.autocasts or self.elsewhere)
        return (
            self.error is None and not unseen and (self.way.gradients or not self.wants_gradients)
        )


def trace(
    model: nn.Module,
    arguments: Arguments,
    *,
    training: bool = False,
    make_real: Callable[[], nn.Module] | None = None,
) -> Trace:
    """Run a model once on meta tensors and return what it did; where meta tensors cannot go, run it on the CPU.

    Args:
        model: Left as it is; what runs is a stand-in, or a copy.
        arguments: Of its forward; tensors on any device.
        training: Whether to run it in training mode.
        make_real: Makes the model anew with values, should it have to run for real; by default a
            copy does.

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
    way: _Way | None = _FAST
    attempts: list[_Attempt] = []
    with one_at_a_time():
        while way is not None:
            attempts.append(_attempt(model, arguments, way, training, make_real))
            way = None if attempts[-1].is_whole else _next_way(attempts)
    if attempts[-1].is_whole:
        return _with_reason(attempts, arguments)
    for attempt in reversed(attempts):
        if attempt.traced is not None:
            return _doubted(attempt, attempts)
    told = _most_telling(attempts)
    if whose(told) is Whose.OURS:
        raise told
    why = f"{first_line(told)}{hint_for(told, model, arguments)}"
    zeros = "zeros of " if _on_zeros(arguments) and _is_of_real_run(told, attempts) else ""
    raise InputError(
        f"{type(model).__name__} cannot be run on {zeros}{_described(arguments)}: {why}"
    ) from told


def _next_way(attempts: Sequence[_Attempt]) -> _Way | None:
    last = attempts[-1]
    differentiates = any(map(_differentiates, attempts))
    if not last.way.on_meta and not last.way.gradients and _differentiates(last):
        return _REAL._replace(gradients=True)  # it did not get so far without values
    if not last.way.on_meta or any(map(_is_certain, attempts)):
        return None
    if last.way is _FAST and not (last.error is None and last.wants_gradients):
        # short cuts are to blame for no lack of values; for anything else they might be
        return _VALUES._replace(shortcuts=last.error is None or looks_at_values(last.error))
    if last.way is not _GRADIENTS and differentiates:
        return _GRADIENTS
    return _REAL._replace(gradients=differentiates)


_GRADIENT_WORDS = (
    "require grad",
    "requires_grad",
    "requires grad",
    "inference",
    "grad_fn",
    "autograd",
    "version count",
)
"""Words in the errors of models that differentiate."""

_CERTAIN = (f"{__name__}.shortcuts", f"{__name__}.attribution")
"""Modules that raise errors which any run would end in: of shapes that do not fit, and arguments
that nobody takes."""


def _differentiates(attempt: _Attempt) -> bool:
    error = attempt.error
    return attempt.wants_gradients or (
        error is not None and any(w in first_line(error) for w in _GRADIENT_WORDS)
    )


def _is_certain(attempt: _Attempt) -> bool:
    return (
        attempt.error is not None and not attempt.autocasts and module_of(attempt.error) in _CERTAIN
    )


def _with_reason(attempts: Sequence[_Attempt], arguments: Arguments) -> Trace:
    """Return the trace of the last way, with what must be said about why it was taken."""
    last, first = attempts[-1], attempts[0]
    assert last.traced is not None
    if last.way.on_meta:
        is_same = (
            first.traced is not None
            and first.error is None
            and _macs(first.traced) == _macs(last.traced)
        )
        is_same = is_same and first.traced is not None and first.traced.doubts == last.traced.doubts
        if (
            last.way.gradients and is_same and first.traced is not None
        ):  # they were on, and nothing came of it
            return first.traced
        return last.traced
    missing = _lacking_values(attempts)
    where = f" ({missing.place})" if missing.place else ""
    assert missing.error is not None
    why = (
        f"The model looks at values{where}"
        if looks_at_values(missing.error)
        else f"The model fails without values{where}: {_first_sentence(first_line(missing.error))}"
    )
    zeros = " on zeros," if _on_zeros(arguments) else ""
    text = f"{why}, so it ran once for real on the CPU,{zeros} with its own or random weights."
    return last.traced._replace(doubts=(Doubt("value_dependent", text), *last.traced.doubts))


def _on_zeros(arguments: Arguments) -> bool:
    """Whether a real run is given zeros, for want of values."""
    return any(tensor.is_meta and tensor.dtype is not torch.bool for tensor in arguments.tensors)


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].removesuffix(".")


def _doubted(attempt: _Attempt, attempts: Sequence[_Attempt]) -> Trace:
    """Return what a way saw that does not show everything, since none that would do succeeds."""
    assert attempt.traced is not None
    why = first_line(_most_telling(attempts))
    if attempt.error is not None:
        where = f" ({attempt.place})" if attempt.place else ""
        text = f"The model looks at values{where} and went on without them; it cannot run for real: {why}."
        return attempt.traced._replace(
            doubts=(Doubt("value_dependent", text), *attempt.traced.doubts)
        )
    text = f"What gradients or threads inside the model compute is left out; where they are seen, it fails: {why}."
    return attempt.traced._replace(doubts=(Doubt("unseen", text), *attempt.traced.doubts))


def _lacking_values(attempts: Sequence[_Attempt]) -> _Attempt:
    """Return the attempt whose error tells best why values were needed."""
    failed = [attempt for attempt in attempts[:-1] if attempt.error is not None]
    looking = [
        attempt
        for attempt in failed
        if attempt.error is not None and looks_at_values(attempt.error)
    ]
    return (looking or failed or attempts)[-1]


def _most_telling(attempts: Sequence[_Attempt]) -> BaseException:
    """Return the error of the real run, or that of the first way where it was not tried or could not be made."""
    errors = [attempt.error for attempt in attempts if attempt.error is not None]
    return errors[-1] if len(errors) > 1 and not attempts[-1].way.on_meta else errors[0]


def _is_of_real_run(error: BaseException, attempts: Sequence[_Attempt]) -> bool:
    """Whether an error is that of the real run, and of no other."""
    last = attempts[-1]
    others = [first_line(one.error) for one in attempts[:-1] if one.error is not None]
    return error is last.error and not last.way.on_meta and first_line(error) not in others


def _macs(traced: Trace) -> int:
    return sum(event.macs for event in traced.events)


# -- one way


def _attempt(
    model: nn.Module,
    arguments: Arguments,
    way: _Way,
    training: bool,
    make_real: Callable[[], nn.Module],
) -> _Attempt:
    running = _Running()
    traced, error = None, None
    try:
        traced = _run(model, arguments, way, training, make_real, running)
    except BaseException as raised:
        # once the model is over a mistake is ours; what torch cannot do with its result, it says by
        # a RuntimeError
        if is_interrupt(raised) or (running.is_over and not isinstance(raised, RuntimeError)):
            raise
        error = raised
    recorder = running.recorder
    if recorder is None:
        return _Attempt(way, None, error, None if error is None else place_of(error))
    missed = recorder.failure is not None and (error is None or looks_at_values(recorder.failure))
    return _Attempt(
        way,
        traced,
        recorder.failure if missed else error,
        recorder.failed_at if missed else None if error is None else place_of(error),
        recorder.wants_gradients or running.switched_on_again,
        recorder.autocasts,
        running.elsewhere,
    )


class _Running:
    """What is known of a run, also after it failed."""

    recorder: Recorder | None = None
    switch: GradientSwitch | None = None
    attribution: Attribution | None = None
    starts_threads = False
    is_over = False

    def start_thread(self) -> None:
        self.starts_threads = True

    @property
    def switched_on_again(self) -> bool:
        return self.switch is not None and self.switch.switched_on_again

    @property
    def elsewhere(self) -> bool:
        return self.attribution is not None and bool(self.attribution.elsewhere)


def _run(
    model: nn.Module,
    arguments: Arguments,
    way: _Way,
    training: bool,
    make_real: Callable[[], nn.Module],
    run: _Running,
) -> Trace:
    with ExitStack() as stack:
        stack.enter_context(states_kept())
        stack.enter_context(nothing_compiles())
        stack.enter_context(
            _disable_current_modes()
        )  # a model may analyse another one while it is traced
        enter_state = partial(_state, way, training)
        stack.enter_context(enter_state())
        subject = _subject_of(model, arguments, way, training, make_real)
        run.attribution = stack.enter_context(attributed(subject.modules))
        if training:
            run.switch = stack.enter_context(GradientSwitch(records=way.gradients))
            held = [*subject.standins.originals(), *subject.arguments.tensors]
            stack.callback(_without_gradients, [one for one in held if not one.requires_grad])
        run.recorder = recorder = _recorder_for(
            subject, way, run.attribution, run.switch, enter_state
        )
        if isinstance(recorder, ValueRecorder):
            stack.enter_context(DirectAccess(recorder.values, recorder.missed))
        conversions = Conversions(recorder)
        if not way.on_meta:
            stack.enter_context(conversions)
        stack.enter_context(watched_threads(run.start_thread))
        stack.enter_context(watched_autocast(recorder.enters_autocast, on_meta=way.on_meta))
        with recorder:
            returned = Arguments((called(subject.running, subject.arguments),), {}).tensors
            trained = _trained(recorder, returned) if training else None
            functions = tuple(recorder.differentiate_functions())
        run.is_over = True
        traced = _trace_of(
            subject, way, recorder, run.attribution, conversions, run.starts_threads, returned
        )
        doubts = (*traced.doubts, *undifferentiated(functions), *_decided_by_chance(way, recorder))
        return traced._replace(trained=trained, doubts=doubts)


def _decided_by_chance(way: _Way, recorder: Recorder) -> Iterator[Doubt]:
    """Yield the doubt that the model looks at random numbers; a real run is doubted anyway."""
    if way.on_meta and recorder.looked_at_drawn is not None:
        text = f"The model looks at random numbers ({recorder.looked_at_drawn}), so it may do something else next time."
        yield Doubt("value_dependent", text)


class _Subject(NamedTuple):
    """What runs.

    Args:
        original: The model that was given; of a lazy one, a stand-in that has its shapes.
        running: Its stand-in, or a model with values.
        arguments: Of its forward.
        standins: What stands for what in it.
        modules: All that run, with their paths.
        holdings: What they hold.
        patched: Paths of those that have a forward of their own.
        notes: By which convention arguments were filled in.
    """

    original: nn.Module
    running: nn.Module
    arguments: Arguments
    standins: StandIns
    modules: Sequence[tuple[str, nn.Module]]
    holdings: Holdings
    patched: frozenset[str]
    notes: tuple[str, ...]


def _subject_of(
    model: nn.Module,
    arguments: Arguments,
    way: _Way,
    training: bool,
    make_real: Callable[[], nn.Module],
) -> _Subject:
    notes: tuple[str, ...] = ()
    standins = StandIns(training=training, values=way.keeps_values, own_hooks=not way.is_fast)
    if is_lazy(model):
        model = with_shapes(model, lambda lazy: dry_run(lazy, arguments.on("meta")))
    if not way.is_fast:
        arguments, notes = with_masks(model, arguments)
    given = arguments
    if way.on_meta:
        running = standins.module(model)
        arguments = beside_meta(arguments) if way.keeps_values else arguments.on("meta")
    else:
        check_memory(model)
        with own_random_numbers(SEED):
            running = unwrapped(make_real())
        set_training(running, training)
        arguments = arguments.on("cpu")
    if training:
        arguments.needing_gradients_as(given)
    modules = list(named_parts(running))
    holdings = holdings_of(modules, packed=not way.on_meta)
    holdings.add_views(standins.attributes(), lambda: standins.addresses(model))
    patched = frozenset(path for path, module in modules if "forward" in module.__dict__)
    return _Subject(model, running, arguments, standins, modules, holdings, patched, notes)


def _recorder_for(
    subject: _Subject,
    way: _Way,
    attribution: Attribution,
    switch: GradientSwitch | None,
    enter_state: Callable[[], AbstractContextManager[None]],
) -> Recorder:
    recorder = _recorder_of(way)(
        subject.holdings,
        subject.arguments.tensors,
        attribution.stack,
        shortcuts=way.shortcuts,
        switch=switch,
        standin_of=subject.standins.of,
    )
    if isinstance(recorder, FollowingRecorder):
        recorder.follow_in(attribution, enter_state)
    else:
        attribution.follow = partial(_unseen_thread, enter_state)
    return recorder


def _trace_of(
    subject: _Subject,
    way: _Way,
    recorder: Recorder,
    attribution: Attribution,
    conversions: Conversions,
    starts_threads: bool,
    returned: Sequence[Tensor],
) -> Trace:
    """Return what a recorder has seen, and what it cannot have seen, of a run that is over.

    Args:
        subject: What ran.
        way: How.
        recorder: With its operators.
        attribution: With the calls of modules.
        conversions: With what was taken out of torch.
        starts_threads: Whether the model started threads.
        returned: The tensors that it returned.
    """
    holdings, standins = subject.holdings, subject.standins
    outputs = {_size(t): t for t in returned}.values()
    recorder.reads(outputs)
    if any(one.name not in recorder.read for one in holdings.parameters):
        recorder.read |= holdings.read_by_other_names(
            recorder.read, standins.addresses(subject.original)
        )
    orphans = recorder.from_outside(standins.tensors(), outputs)
    recorder.remember_survivors()
    if (
        not starts_threads
    ):  # what was made before, or on a faster way, came from nowhere out of sight
        orphans = [
            one for one in orphans if one.is_inference() == way.is_fast and not conversions.are_any
        ]
    outside = Outside(
        starts_threads, bool(orphans), is_certain=bool(orphans) and (starts_threads or way.is_fast)
    )
    left_alone = subject.patched | attribution.failed
    missing = unseen(subject.modules, holdings, attribution.calls, recorder, left_alone, outside)
    return Trace(
        events=recorder.events,
        calls=attribution.calls,
        types={path: type(module).__name__ for path, module in subject.modules},
        parameters=holdings.parameters,
        read=frozenset(recorder.read),
        unknown=recorder.unknown,
        peak_activation_bytes=recorder.peak_bytes if way.on_meta else None,
        outputs=frozenset(recorder.producer_of(t) for t in outputs),
        output_bytes=sum(map(nbytes_of, outputs)),
        doubts=(*conversions.doubts, *missing.doubts),
        unseen=missing.parameters,
        notes=(*subject.notes, *recorder.notes),
        dropped=recorder.dropped,
    )


def _without_gradients(tensors: Sequence[Tensor]) -> None:
    """Let tensors need no gradient, whatever was written on them: some are the user's."""
    for tensor in tensors:
        if tensor.requires_grad:
            (tensor if tensor.is_leaf else tensor.detach_()).requires_grad_(False)


def _trained(recorder: Recorder, returned: Sequence[Tensor]) -> frozenset[int] | None:
    if not returned or any(
        tensor.requires_grad and recorder.is_orphan(tensor) for tensor in returned
    ):
        return None
    return frozenset(recorder.trained_by(returned))


def _recorder_of(way: _Way) -> type[Recorder]:
    return Recorder if way.is_fast else ValueRecorder if way.on_meta else FollowingRecorder


@contextmanager
def _state(way: _Way, training: bool) -> Iterator[None]:
    """Put this thread of torch into the state in which a model runs."""
    with ExitStack() as stack:
        # in training torch records nothing either, but shows where the model switches gradients or
        # itself off
        stack.enter_context(torch.inference_mode(way.is_fast and not training))
        stack.enter_context(torch.set_grad_enabled(training))
        if training and not way.gradients:  # operators arrive whole, as under inference mode
            stack.enter_context(torch._C._AutoDispatchBelowADInplaceOrView())
        elif not (way.is_fast or way.gradients):
            stack.enter_context(torch._C._AutoDispatchBelowAutograd())
        if way.on_meta and way.gradients:
            stack.enter_context(torch.device("meta"))
        yield


@contextmanager
def _unseen_thread(enter_state: Callable[[], AbstractContextManager[None]]) -> Iterator[list[str]]:
    """Run in another thread without looking: the way will not do, but should not fail there for another reason."""
    with enter_state():
        yield []


def called(model: nn.Module, arguments: Arguments) -> Any:
    """Return what the forward of a model and its hooks give, whatever else its class means by being called."""
    if isinstance(model, torch.jit.ScriptModule):
        return model(*arguments.args, **arguments.kwargs)
    return nn.Module.__call__(model, *arguments.args, **arguments.kwargs)


@contextmanager
def nothing_compiles() -> Iterator[None]:
    """Run compiled functions as they were written; where no compiler was ever imported there are none."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def dry_run(model: nn.Module, arguments: Arguments) -> None:
    """Run a model once for what it does to itself."""
    with torch.device("meta"), torch.no_grad():
        called(model, arguments)


def _size(tensor: Tensor) -> tuple[int, int]:
    tensor = parts(tensor)[0]
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())


def _described(arguments: Arguments) -> str:
    shapes = [f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in arguments.tensors]
    return ", ".join(shapes) or "no tensors"
