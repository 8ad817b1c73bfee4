"""One forward pass of any torch model, operator by operator, without computing it.

A dispatch mode watches meta tensors flow through the model. Nothing of the model changes: parameters, buffers, mode,
hooks, random state, torch's own functions are as before, also after an error.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import RLock
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from dscost.errors import InputError
from dscost.inputs import TensorSpec
from dscost.results import Doubt
from dscost.tracing.attribution import attributed
from dscost.tracing.dispatch import Event, Recorder
from dscost.tracing.holdings import Parameter, holdings_of
from dscost.tracing.inputs import Arguments, arguments_of, hint_for
from dscost.tracing.rules import register_formula
from dscost.tracing.sparse import nbytes_of, parts
from dscost.tracing.standins import StandIns, is_lazy, real_copy, with_shapes

__all__ = ["Arguments", "Event", "Parameter", "TensorSpec", "Trace", "arguments_of", "register_formula", "trace"]

one_at_a_time = RLock()
"""Dispatch modes keep process-wide flags, so two threads that trace take turns."""


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
        notes: By which convention something in it was counted.
        dropped: The operators of the cheaper ways of conditions, which do not count.
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
    notes: tuple[str, ...] = ()
    dropped: Sequence[Event] = ()


class _Way(NamedTuple):
    """One way to run the model."""

    on_meta: bool
    shortcuts: bool
    factories_on_meta: bool


# the fast way; torch's own shapes and new tensors on meta; for real, for models that look at values
_WAYS = (_Way(True, True, False), _Way(True, False, True), _Way(False, False, False))

_WITHOUT_VALUES = ("meta", "data-dependent", "data dependent", "fake tensor", "item()", "expected device")
"""Words in the errors of models that look at the values of tensors."""


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
        make_real: Makes the model anew with values, should it have to run for real; by default a copy does.

    Raises:
        InputError: The model cannot be run on these arguments; the text has the reason.
    """
    model = getattr(model, "_orig_mod", model)  # torch.compile's wrapper
    errors: list[BaseException] = []
    with one_at_a_time:
        for way in _WAYS:
            try:
                return _run(model, arguments, way, training, make_real or (lambda: real_copy(model)))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a model's own code may raise anything
                errors.append(error)
                if len(errors) == 2 and not any(map(looks_at_values, errors)):
                    break
    told = errors[-1] if len(errors) == len(_WAYS) else errors[0]
    why = f"{first_line(told)}{hint_for(told, arguments)}"
    raise InputError(f"{type(model).__name__} cannot be run on {_described(arguments)}: {why}") from told


def looks_at_values(error: BaseException) -> bool:
    """Whether an error says that a tensor had no values."""
    text = str(error).lower()
    return isinstance(error, NotImplementedError) or any(word in text for word in _WITHOUT_VALUES)


_ADDRESS = re.compile(r" (?:object )?at 0x[0-9a-fA-F]+")


def first_line(error: BaseException) -> str:
    """Return the type of an error and the first line of what it says."""
    lines = _ADDRESS.sub("", str(error)).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _run(
    model: nn.Module, arguments: Arguments, way: _Way, training: bool, make_real: Callable[[], nn.Module]
) -> Trace:
    doubts: tuple[Doubt, ...] = ()
    with ExitStack() as stack:
        stack.enter_context(same_random_state())
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_disable_current_modes())  # a model may analyse another one while it is traced
        if is_lazy(model):
            model = with_shapes(model, lambda lazy: dry_run(lazy, arguments.on("meta")))
        if way.on_meta:
            running, arguments = StandIns(training=training).module(model), arguments.on("meta")
        else:
            running, arguments = make_real().train(training), arguments.on("cpu")
            text = "The model looks at values, so it ran once for real on the CPU, with its own or random weights."
            doubts = (Doubt("value_dependent", text),)
        modules = list(running.named_modules())
        paths, calls = stack.enter_context(attributed(modules))
        if way.factories_on_meta:
            stack.enter_context(torch.device("meta"))
        holdings = holdings_of(modules, packed=not way.on_meta)
        recorder = Recorder(holdings, arguments.tensors, paths, shortcuts=way.shortcuts, training=training)
        stack.enter_context(torch.inference_mode())
        if training:  # records nothing, but shows where the model switches gradients off
            stack.enter_context(torch.enable_grad())
        with recorder:
            result = running(*arguments.args, **arguments.kwargs)
        outputs = {_size(t): t for t in Arguments((result,), {}).tensors}.values()
        return Trace(
            events=recorder.events,
            calls=calls,
            types={path: type(module).__name__ for path, module in modules},
            parameters=holdings.parameters,
            read=frozenset(recorder.read),
            unknown=recorder.unknown,
            peak_activation_bytes=recorder.peak_bytes if way.on_meta else None,
            outputs=frozenset(recorder.producer_of(t) for t in outputs),
            output_bytes=sum(map(nbytes_of, outputs)),
            doubts=doubts,
            notes=tuple(recorder.notes),
            dropped=recorder.dropped,
        )


def dry_run(model: nn.Module, arguments: Arguments) -> None:
    """Run a model once for what it does to itself."""
    with torch.device("meta"), torch.no_grad():
        model(*arguments.args, **arguments.kwargs)


def _size(tensor: Tensor) -> tuple[int, int]:
    tensor = parts(tensor)[0]
    return tensor.untyped_storage()._cdata, int(tensor.storage_offset())


@contextmanager
def same_random_state() -> Iterator[None]:
    """Put the random states of torch and Python back afterwards."""
    state, python_state = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(state)
        random.setstate(python_state)


def _described(arguments: Arguments) -> str:
    shapes = [f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in arguments.tensors]
    return ", ".join(shapes) or "no tensors"
