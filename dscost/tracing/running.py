"""One way of running a model: what runs, under what recorder, and the trace of what it did."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from dscost.foreign.failures import is_interrupt, looks_at_values, place_of
from dscost.foreign.parts import named_parts, set_training, unwrapped
from dscost.foreign.randomness import SEED, own_random_numbers, states_kept
from dscost.modules.beside_meta import DirectAccess
from dscost.reports.records import Doubt
from dscost.traces.events import Trace
from dscost.traces.needing import with_need
from dscost.tracing.autocasting import watched_autocast
from dscost.tracing.calling import called, nothing_compiles
from dscost.tracing.conversions import Conversions
from dscost.tracing.gradients import GradientSwitch
from dscost.tracing.inputs import Arguments
from dscost.tracing.known_values import beside_meta, with_masks
from dscost.tracing.meta_copies import StandIns
from dscost.tracing.module_stack import RunningModules, watched
from dscost.tracing.parameters import HeldTensors, held_by
from dscost.tracing.real_copies import check_memory, with_shapes
from dscost.tracing.recorder import Recorder
from dscost.tracing.sparse import is_sparse, nbytes_of, parts
from dscost.tracing.threads import FollowingRecorder, watched_threads
from dscost.tracing.unseen import Outside, undifferentiated, unseen
from dscost.tracing.values import ValueRecorder
from dscost.tracing.ways import Attempt, Way
from dscost.tracing.witness import Witness, unwitnessed


class Task(NamedTuple):
    """What is to be traced, see `dscost.tracing.trace`."""

    model: nn.Module
    arguments: Arguments
    training: bool
    make_real: Callable[[], nn.Module]
    functions: Collection[str] | None = None


def attempt(task: Task, way: Way) -> Attempt:
    """Return what comes of running a model in one way."""
    run = _Run(way, task.training)
    traced, error = None, None
    try:
        traced = _traced(task, run)
    except BaseException as raised:
        # once the model is over a mistake is ours; what torch cannot do with its result, it says by
        # a RuntimeError
        if is_interrupt(raised) or (run.is_over and not isinstance(raised, RuntimeError)):
            raise
        error = raised
    place = None if error is None else place_of(error)
    recorder = run.recorder
    if recorder is None:
        return Attempt(way, None, error, place)
    missed = recorder.failure
    if missed is not None and (error is None or looks_at_values(missed)):
        error, place = missed, recorder.failed_at
    switched_on_again = run.switch is not None and run.switch.switched_on_again
    wants_gradients = recorder.wants_gradients or switched_on_again
    elsewhere = run.modules is not None and bool(run.modules.elsewhere)
    return Attempt(way, traced, error, place, wants_gradients, recorder.autocasts, elsewhere)


class _Run:
    """What is known of a run in some way, also after it failed."""

    recorder: Recorder | None = None
    switch: GradientSwitch | None = None
    modules: RunningModules | None = None
    starts_threads = False
    is_over = False

    def __init__(self, way: Way, training: bool) -> None:
        self.way, self.training = way, training

    def start_thread(self) -> None:
        self.starts_threads = True

    @contextmanager
    def state(self) -> Iterator[None]:
        """Put this thread of torch into the state in which the model runs."""
        way, training = self.way, self.training
        with ExitStack() as stack:
            # in training torch records nothing either, but shows where the model switches gradients
            # or itself off
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
    def unseen_thread(self, path: str) -> Iterator[list[str]]:
        """Run in another thread unseen: the way will not do, but shall not fail for that reason."""
        with self.state():
            yield []


def _traced(task: Task, run: _Run) -> Trace:
    with ExitStack() as stack:
        stack.enter_context(states_kept())
        stack.enter_context(nothing_compiles())
        # a model may analyse another one while it is traced
        stack.enter_context(_disable_current_modes())
        stack.enter_context(unwitnessed())
        stack.enter_context(run.state())
        subject = _subject_of(task, run.way)
        modules = run.modules = stack.enter_context(watched(subject.modules))
        if task.training:
            run.switch = stack.enter_context(GradientSwitch(records=run.way.gradients))
            held = [*subject.standins.originals, *subject.arguments.tensors]
            stack.callback(_without_gradients, [one for one in held if not one.requires_grad])
        recorder = run.recorder = _recorder_for(subject, run, modules)
        stack.callback(recorder.let_go)
        if isinstance(recorder, ValueRecorder):
            stack.enter_context(DirectAccess(recorder.values, recorder.missed))
        conversions = Conversions(recorder)
        if not run.way.on_meta:
            stack.enter_context(conversions)
        stack.enter_context(watched_threads(run.start_thread))
        stack.enter_context(watched_autocast(recorder.enters_autocast, on_meta=run.way.on_meta))
        with recorder, ExitStack() as witnessing:
            witness = _witness(task, subject, recorder)
            if witness is not None:
                witnessing.enter_context(witness.watching())
            returned = Arguments((called(subject.running, subject.arguments),), {}).tensors
            witnessing.close()
            trained, functions = _gradients_of(recorder, returned)
        run.is_over = True
        traced = _trace_of(subject, run, recorder, conversions, returned)
        doubts = (*traced.doubts, *undifferentiated(functions), *_decided_by_chance(run, recorder))
        roots = traced.outputs | recorder.escaping if traced.outputs else ()
        calls = () if witness is None else witness.calls
        seen = tuple(with_need(calls, traced.events, roots))
        return traced._replace(trained=trained, doubts=doubts, seen=seen)


def _witness(task: Task, subject: "_Subject", recorder: Recorder) -> Witness | None:
    """Return what sees the run as other counters do, where that is asked for."""
    if task.functions is None:
        return None
    return Witness(subject.modules, recorder.events, lambda: recorder.stack, task.functions)


def _gradients_of(
    recorder: Recorder, returned: Sequence[Tensor]
) -> tuple[frozenset[int] | None, tuple[str, ...]]:
    """Return the events that get a gradient in training, and functions whose backward passes fail.

    Where something that the model returns came out of sight, nothing is known of the events.
    """
    flow = recorder.flow
    if flow is None:
        return None, ()
    from_nowhere = any(one.requires_grad and recorder.is_orphan(one) for one in returned)
    trained = None if from_nowhere or not returned else frozenset(flow.trained_by(returned))
    return trained, tuple(recorder.differentiate_functions(flow))


def _decided_by_chance(run: _Run, recorder: Recorder) -> Iterator[Doubt]:
    """Yield the doubt that the model looks at random numbers; a real run is doubted anyway."""
    where = recorder.looked_at_drawn
    if run.way.on_meta and where is not None:
        looks = f"The model looks at random numbers ({where})"
        yield Doubt("value_dependent", f"{looks}, so it may do something else next time.")


class _Subject(NamedTuple):
    """What runs.

    Args:
        original: The model that was given; of a lazy one, a stand-in that has its shapes.
        running: Its stand-in, or a model with values.
        arguments: What its forward is called with.
        standins: What stands for what in it.
        modules: All that run, with their paths.
        held: What they hold.
        patched: Paths of modules that have a forward of their own.
        notes: By which convention arguments were filled in.
    """

    original: nn.Module
    running: nn.Module
    arguments: Arguments
    standins: StandIns
    modules: Sequence[tuple[str, nn.Module]]
    held: HeldTensors
    patched: frozenset[str]
    notes: tuple[str, ...]


def _subject_of(task: Task, way: Way) -> _Subject:
    model, arguments = with_shapes(task.model, task.arguments), task.arguments
    notes: tuple[str, ...] = ()
    standins = StandIns(training=task.training, values=way.keeps_values, own_hooks=not way.is_fast)
    if not way.is_fast:
        arguments, notes = with_masks(model, arguments)
    given = arguments
    if way.on_meta:
        running = standins.module(model)
        arguments = beside_meta(arguments) if way.keeps_values else arguments.on("meta")
    else:
        check_memory(model)
        with own_random_numbers(SEED):
            running = unwrapped(task.make_real())
        set_training(running, task.training)
        arguments = arguments.on("cpu")
    if task.training:
        arguments.needing_gradients_as(given)
    modules = list(named_parts(running))
    held = held_by(modules, packed=not way.on_meta)
    held.add_views(standins, model)
    patched = frozenset(path for path, module in modules if "forward" in module.__dict__)
    return _Subject(model, running, arguments, standins, modules, held, patched, notes)


def _recorder_for(subject: _Subject, run: _Run, modules: RunningModules) -> Recorder:
    kind = Recorder if run.way.is_fast else ValueRecorder if run.way.on_meta else FollowingRecorder
    held, inputs = subject.held, subject.arguments.tensors
    recorder = kind(held, inputs, modules.stack, run.switch, subject.standins.of)
    # short cuts are for dense tensors
    if run.way.shortcuts and not held.any_sparse and not any(map(is_sparse, inputs)):
        recorder.take_shortcuts()
    modules.producer_of = recorder.producer_of
    if isinstance(recorder, FollowingRecorder):
        recorder.follow_in(modules, run.state)
    else:
        modules.follow = run.unseen_thread
    return recorder


def _trace_of(
    subject: _Subject,
    run: _Run,
    recorder: Recorder,
    conversions: Conversions,
    returned: Sequence[Tensor],
) -> Trace:
    """Return what a recorder has seen, and what it cannot have seen, of a run that is over."""
    assert run.modules is not None
    way, modules, held = run.way, run.modules, subject.held
    outputs = {_place_in_memory(one): one for one in returned}.values()
    recorder.reads(outputs)
    if any(one.name not in recorder.read for one in held.parameters):
        addresses = subject.standins.addresses(subject.original)
        recorder.read |= held.read_by_other_names(recorder.read, addresses)
    orphans = recorder.from_outside(subject.standins.tensors(), outputs)
    recorder.memory.remember_survivors()
    if not run.starts_threads:
        # what was made before, or on a faster way, came from nowhere out of sight
        made_now = [one for one in orphans if one.is_inference() == way.is_fast]
        orphans = [] if conversions.are_any else made_now
    is_certain = bool(orphans) and (run.starts_threads or way.is_fast)
    outside = Outside(run.starts_threads, bool(orphans), is_certain=is_certain)
    # another forward than that of the class may leave weights alone, and so may one that fails
    paths = modules.calls.keys() - subject.patched - modules.failed
    began = ((path, module) for path, module in subject.modules if path in paths)
    names, doubts = unseen(began, held, recorder.read, outside)
    return Trace(
        events=recorder.events,
        calls=modules.calls,
        types={path: type(module).__name__ for path, module in subject.modules},
        parameters=held.parameters,
        read=frozenset(recorder.read),
        unknown=recorder.unknown,
        peak_activation_bytes=recorder.memory.peak_bytes if way.on_meta else None,
        outputs=frozenset(map(recorder.producer_of, outputs)),
        output_bytes=sum(map(nbytes_of, outputs)),
        doubts=(*conversions.doubts, *doubts),
        unseen=names,
        notes=(*subject.notes, *recorder.notes),
        dropped=recorder.dropped,
        returned=modules.returned,
        elsewhere=frozenset(modules.elsewhere),
    )


def _without_gradients(tensors: Sequence[Tensor]) -> None:
    """Let tensors need no gradient, whatever was written on them: some are the user's."""
    for tensor in tensors:
        if tensor.requires_grad:
            (tensor if tensor.is_leaf else tensor.detach_()).requires_grad_(False)


def _place_in_memory(tensor: Tensor) -> tuple[int, int]:
    tensor = parts(tensor)[0]
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())
