"""A model with stand-ins for the convolutions that are to be converted, run before anything is converted.

A stand-in looks like the depthwise-separable convolution to come, and computes what its convolution
was found to apply, exactly: at full rank, as it were. Run on meta tensors, the model shows what
else it does with its convolutions than call them. Run on values, it has to return what the model
itself returns, or something was overlooked.
"""

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torchs_module
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.utils._pytree import tree_map

from dscost.errors import InputError, first_line, some_of
from dscost.foreign.parts import each_parameter, each_part, each_tensor
from dscost.foreign.randomness import own_random_numbers
from dscost.modules.building import build_conv
from dscost.modules.copying import (
    by_path,
    copied,
    copied_to_run,
    deep_copied,
    set_apart,
    shared_tensors,
)
from dscost.rewriting.convolutions import carry_hooks, padded_first, separable_of
from dscost.rewriting.kernels import Kernel, are_close
from dscost.sources.stated import stated_by
from dscost.tracing import Arguments, Trace, arguments_of, trace
from dscost.tracing.meta_copies import STANDS_FOR
from dscost.tracing.object_contents import tensors_held_by

SHOWN = 3
"""Names of layers in an error."""

MOST_MACS = 20_000_000_000
"""MACs up to which a model is run on random values where only a shape was given, some seconds of
one core."""

GUESSED_SIZES = (64, 224)
"""Sizes of images that a model is tried on where none is given."""

MOST_TRIED = 64
"""Layers that are tried one by one where the whole differs."""


class Part(NamedTuple):
    """A convolution that is to be converted.

    Args:
        module: In the given model.
        kernel: What it applies.
        rank: That it is to have.
    """

    module: nn.Module
    kernel: Kernel
    rank: int = 1


Parts = Mapping[str, Part]
"""By the name of the layer."""


def why_needed(root: nn.Module, parts: Parts, arguments: Arguments) -> dict[str, str]:
    """Return the convolutions that a model does more with than call them, and what; they have to stay.

    Args:
        root: Left as it is; it runs on meta tensors.
        parts: What could be converted.
        arguments: Of its forward.
    """
    needed = dict(_held_elsewhere(root, parts))
    while rest := {name: part for name, part in parts.items() if name not in needed}:
        notes = _Notes()
        try:
            with notes.taken():
                trace(_staged(root, rest, notes), arguments)
        except InputError:  # told where it is decided what is converted
            notes.take_missing()
        if not notes.reasons:
            break
        needed |= notes.reasons
    return needed


def _held_elsewhere(root: nn.Module, parts: Parts) -> Iterator[tuple[str, str]]:
    """Yield the convolutions whose parameters a model also holds as plain attributes, in closures or partials.

    What computes with those would go on with the weights as they were, which are trained no more.
    """
    own = {
        id(value): name
        for name, part in parts.items()
        for value in part.module._parameters.values()
    }
    own.pop(id(None), None)
    for module in by_path(root).values():
        if isinstance(module, torch.jit.ScriptModule):
            continue
        held = [value for name, value in vars(module).items() if name not in _EVERY_MODULES]
        for tensor in tensors_held_by(held):
            if id(tensor) in own:
                yield own[id(tensor)], "the model holds its parameters elsewhere too"


_EVERY_MODULES = frozenset(vars(nn.Module()))


def require_the_same(root: nn.Module, parts: Parts, arguments: Arguments) -> dict[str, str]:
    """Refuse to convert what makes a model compute something else, whatever the rank.

    Args:
        root: Left as it is.
        parts: What is to be converted; nothing of `why_needed`.
        arguments: Of its forward; on shapes alone a large model is not run on values.

    Returns:
        Convolutions that have to stay, with the reason: the model fails without them, or asks for
        their class.

    Raises:
        InputError: It does not run, or returns something else, or runs a convolution as before,
            once converted.
    """
    asked: dict[str, str] = {}
    while rest := {name: part for name, part in parts.items() if name not in asked}:
        notes = _Notes()
        try:
            traced = _traced(_staged(root, rest, notes), rest, arguments)
        except _DoesNotRunError:
            found = _why_fail(root, rest, arguments)
            if not found:
                raise
        else:
            found = _why_values_differ(root, rest, arguments, traced, notes)
        if not found:
            break
        asked |= found
    return asked


def guessed_arguments(root: nn.Module) -> Arguments | None:
    """Return arguments that a model runs on: those that it states itself, or one tensor of its first layer's channels.

    Nothing where none of these works, and where the model has no code of its own that could do
    anything unexpected.
    """
    if all(
        type(part).__module__.startswith("torch.nn.") and "forward" not in vars(part)
        for part in each_part(root)
    ):
        return None
    for guess in _guesses(root):
        with suppress(InputError):
            arguments = arguments_of(guess)
            trace(root, arguments)
            return arguments
    return None


def _guesses(root: nn.Module) -> Iterator[Any]:
    stated = None
    with suppress(InputError):  # what states it may fail
        stated = stated_by(root)
    if stated is not None:
        yield stated.value
    first = next((part for part in each_part(root) if isinstance(part, _ConvNd)), None)
    if first is not None and not isinstance(first.weight, UninitializedTensorMixin):
        for size in GUESSED_SIZES:
            yield torch.empty(
                2,
                first.in_channels,
                *[size] * len(first.kernel_size),
                dtype=_dtype(first),
                device="meta",
            )


def _dtype(conv: _ConvNd) -> torch.dtype:
    return next((tensor.dtype for tensor in each_parameter(conv)), torch.float32)


# -- stand-ins


class _Notes:
    """What a model did with its stand-ins besides calling them; one for all copies of them."""

    __slots__ = (
        "_found",
        "_is_open",
        "_missing",
        "asked_for_class",
    )  # a trace copies what has attributes to set

    def __init__(self) -> None:
        self._is_open = False
        self._found: dict[str, dict[str, list[str]]] = {}
        self._missing: list[tuple[str, str]] = []
        self.asked_for_class: set[str] = (
            set()
        )  # layers whose class something asked for, which may not matter

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Notes":
        return self

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take notes meanwhile."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    def add(self, name: str, verb: str, attribute: str) -> None:
        """Take a note of what is done to an attribute of a layer, if any are taken now."""
        attributes = (
            self._found.setdefault(name, {}).setdefault(verb, []) if self._is_open else [attribute]
        )
        if attribute not in attributes:
            attributes.append(attribute)

    def add_missing(self, name: str, attribute: str) -> None:
        """Take a note of an attribute that a layer does not have yet; a call of it might have set it."""
        if self._is_open and not attribute.startswith("__"):  # Python itself asks for those
            self._missing.append((name, attribute))

    def take_missing(self) -> None:
        """Take attributes that were not there for what a run failed of."""
        with self.taken():
            for name, attribute in self._missing:
                self.add(name, "reads its", attribute)

    def add_class(self, name: str) -> None:
        """Likewise, that something asked for its class."""
        if self._is_open:
            self.asked_for_class.add(name)

    @property
    def reasons(self) -> dict[str, str]:
        """Why layers have to stay."""
        return {
            name: "the model "
            + " and ".join(f"{verb} {some_of(whats, SHOWN)}" for verb, whats in done.items())
            for name, done in self._found.items()
        }


class _StandIn:
    """What a class of a replacement is mixed with: it computes what it was told, and notes what is done to it.

    What the convolution has and its replacement has not, or has with another value, is that of the
    convolution, so that the run goes on and shows everything at once.
    """

    def __getattribute__(self, name: str) -> Any:
        own = object.__getattribute__(self, "__dict__")
        if name in own.get("_differing", ()):
            own["_notes"].add(own["_name"], "reads its", name)
            return getattr(own["_instead_of"], name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]
        except AttributeError:
            own = object.__getattribute__(self, "__dict__")
            try:
                value = getattr(own["_instead_of"], name)
            except AttributeError:
                own["_notes"].add_missing(own["_name"], name)
                raise
            own["_notes"].add(own["_name"], "reads its", name)
            return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "training":
            self.__dict__["_notes"].add(self.__dict__["_name"], "sets its", name)
        super().__setattr__(name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        own = object.__getattribute__(self, "__dict__")
        own["_notes"].add_class(own["_name"])
        return type(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the convolution returns."""
        own = self.__dict__
        if len(args) + len(kwargs) != 1 or not kwargs.keys() <= {"input"}:
            own["_notes"].add(own["_name"], "calls it with", "more than its input")
            return own["_instead_of"](*args, **kwargs)
        return own["_told"](*args, *kwargs.values())


_OF_REPLACEMENTS = (
    *(
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    ),
    *("norm", "activation", "depthwise", "pointwise", "depth_multiplier", "weight", "bias"),
)


def _stand_in(name: str, part: Part, notes: _Notes) -> nn.Module:
    module, kernel, rank = part
    separable = separable_of(kernel.conv, rank, like=kernel.weight)
    new = (
        separable
        if kernel.before is None
        else padded_first(kernel.before, separable, cast(_ConvNd, module))
    )
    new.train(module.training)
    told = _told(kernel)
    has = {attribute for attribute in _OF_REPLACEMENTS if _value(module, attribute) is not None}
    differing = {
        one for one in has if one in ("weight", "bias") or _value(module, one) != _value(new, one)
    }
    computes = any(
        isinstance(value, Tensor) and not value.is_leaf for value in vars(module).values()
    )
    instead_of = (
        copied(module, {})[0] if computes else module
    )  # copies of copies are made, which torch refuses then
    new.__dict__.update(
        _name=name,
        _notes=notes,
        _told=told,
        _instead_of=instead_of,
        _differing=frozenset(differing),
    )
    new.__class__ = type(type(new).__name__, (_StandIn, type(new)), {})
    return new


def _value(module: nn.Module, name: str) -> Any:
    if name in (
        "weight",
        "bias",
    ):  # a computed one is not asked for: computing it may change the module
        return True
    return getattr(module, name, None)


def _told(kernel: Kernel) -> nn.Module:
    """Return torch's convolution with what a module was found to apply; it shares the weights."""
    with torch.device("meta"):
        conv: Any = build_conv(kernel.conv)
    conv.weight = nn.Parameter(kernel.weight.detach(), requires_grad=False)
    conv.bias = (
        None if kernel.bias is None else nn.Parameter(kernel.bias.detach(), requires_grad=False)
    )
    return conv if kernel.before is None else nn.Sequential(kernel.before, conv)


def _staged(root: nn.Module, parts: Parts, notes: _Notes, *, to_run: bool = False) -> nn.Module:
    """Return a copy of a model with stand-ins: to be traced, which writes to no tensor of it, or to be run on values.

    One to be run has functions of its own, and tensors where its code might write to them.
    """
    new = {part.module: _stand_in(name, part, notes) for name, part in parts.items()}
    staged, memo = copied(root, {**(_spared(root) if to_run else shared_tensors(root)), **new})
    carry_hooks(new, lambda hooks: deep_copied(hooks, memo, of=root))
    if to_run:
        set_apart(staged, memo)
    return staged


# -- on meta


class _DoesNotRunError(InputError):
    """A model with stand-ins fails."""


def _why_fail(root: nn.Module, parts: Parts, arguments: Arguments) -> dict[str, str]:
    """Return the convolutions without which a model fails, and of what."""
    found: dict[str, str] = {}
    for name in list(parts)[:MOST_TRIED]:
        try:
            _traced(_staged(root, {name: parts[name]}, _Notes()), {name: parts[name]}, arguments)
        except _DoesNotRunError as error:
            found[name] = (
                f"the model does more with it than call it: {first_line(error.__cause__ or error)}"
            )
        except InputError:  # told of the whole
            continue
    return found


def _traced(staged: nn.Module, parts: Parts, arguments: Arguments) -> Trace:
    """Return the trace of a model with stand-ins.

    Raises:
        InputError: It does not run; or it runs convolutions that were to be replaced.
    """
    replaced = {id(part.module): name for name, part in parts.items()}
    still_run: set[str] = set()
    others = {thread.ident for thread in threading.enumerate()} - {
        threading.get_ident()
    }  # may run the model itself

    def watch(module: nn.Module, args: tuple[Any, ...]) -> None:
        original = module.__dict__.get(STANDS_FOR, id(module))
        if original in replaced and threading.get_ident() not in others:
            still_run.add(replaced[original])

    handle = register_module_forward_pre_hook(watch)
    try:
        traced = trace(staged, arguments)
    except InputError as error:
        cause = error.__cause__ or error
        raise _DoesNotRunError(
            f"{type(staged).__name__} does not run once converted, since it does more with a convolution than call "
            f"it: {first_line(cause)} (keep that layer, by where or a plan)"
        ) from cause
    finally:
        handle.remove()
    if still_run:
        names = some_of([f"'{name}'" for name in replaced.values() if name in still_run], SHOWN)
        raise InputError(
            f"{type(staged).__name__} runs {names} as before once converted: something that is not copied with a "
            "model, such as a closure, holds what was to be replaced (keep that layer, by where or a plan)"
        )
    return traced


# -- on values


def _why_values_differ(
    root: nn.Module, parts: Parts, arguments: Arguments, traced: Trace, notes: _Notes
) -> dict[str, str]:
    """Return why layers have to stay for a model to return what it did; nothing where it does, or cannot be run.

    Raises:
        InputError: It returns something else, and nothing tells why.
    """
    has_values = bool(arguments.tensors) and not any(tensor.is_meta for tensor in arguments.tensors)
    if any(tensor.is_meta for tensor in each_tensor(root)):
        return {}
    if not has_values and sum(event.macs for event in traced.events) > MOST_MACS:
        return {}
    with own_random_numbers():
        given = _with_values(root, arguments)
        expected = _returned(copied_to_run(root, _spared(root)), given)
        if expected is None:  # nothing that it returns can be held against anything
            return {}
        staged = _staged(root, parts, notes, to_run=True)
        with notes.taken():
            found = _returned(staged, given)
        if _are_close(expected, found) or not _are_close(
            expected, _returned(copied_to_run(root, _spared(root)), given)
        ):
            return {}
        alone = [
            name
            for name in list(parts)[:MOST_TRIED]
            if _differs_by(root, name, parts, given, expected)
        ]
    reasons = {
        name: "the model asks for its class" for name in alone if name in notes.asked_for_class
    }
    if reasons:
        return reasons
    if alone:
        names = some_of([f"'{name}'" for name in alone], SHOWN)
        is_are, does = ("is", "does") if len(alone) == 1 else ("are", "do")
        told = f"{names} {is_are} converted, whatever the rank: {'it' if len(alone) == 1 else 'they'} {does}"
    else:
        told = "its convolutions are converted, whatever the rank: it does"
    raise InputError(
        f"{type(root).__name__} computes something else once {told} more there than a convolution "
        f"(keep {'that layer' if len(alone) == 1 else 'those layers'}, by where or a plan)"
    )


def _spared(root: nn.Module) -> dict[Tensor, Tensor]:
    """Return the tensors that a model shares with a copy to be run: none where its code might write to them."""
    everywhere = (torchs_module._global_forward_hooks, torchs_module._global_forward_pre_hooks)
    return (
        shared_tensors(root)
        if not any(everywhere) and all(map(_only_reads, each_part(root)))
        else {}
    )


_ONLY_READ = (
    *(
        "activation",
        "batchnorm",
        "channelshuffle",
        "container",
        "conv",
        "dropout",
        "flatten",
        "linear",
        "module",
    ),
    *("padding", "pooling"),
)
"""Where torch has modules that write to no tensor of theirs in the mode of inference."""
_READING = frozenset(
    ("dscost.modules.building", *(f"torch.nn.modules.{name}" for name in _ONLY_READ))
)


def _only_reads(part: nn.Module) -> bool:
    kind, own = type(part), vars(part)
    return (
        kind.__module__ in _READING
        and kind.forward.__module__ in _READING
        and not (own["_forward_hooks"] or own["_forward_pre_hooks"])
        and not any(map(callable, own.values()))  # such as a forward of its own
    )


def _differs_by(root: nn.Module, name: str, parts: Parts, given: Arguments, expected: Any) -> bool:
    """Whether a model returns something else with one stand-in."""
    return not _are_close(
        expected, _returned(_staged(root, {name: parts[name]}, _Notes(), to_run=True), given)
    )


def _with_values(root: nn.Module, arguments: Arguments) -> Arguments:
    """Return arguments where the model is, with random numbers in place of shapes."""
    device = next((str(parameter.device) for parameter in each_parameter(root)), "cpu")
    torch.manual_seed(0)

    def valued(value: Any) -> Any:
        if isinstance(value, Tensor) and value.is_meta and value.is_floating_point():
            return torch.randn(value.shape).to(value.dtype)
        return value

    args, kwargs = tree_map(valued, (arguments.args, dict(arguments.kwargs)))
    return Arguments(args, kwargs).on(device)


def _returned(running: nn.Module, given: Arguments) -> list[Any] | None:
    """Return all tensors and numbers in what a model returns, for inference; `None` where it does not run."""
    for part in each_part(running):
        part.__dict__["training"] = False
    device = str(given.tensors[0].device) if given.tensors else "cpu"
    own = given.on(device)
    torch.manual_seed(0)
    random.seed(0)
    try:
        with torch.no_grad():
            return _leaves(running(*own.args, **own.kwargs))
    except (Exception, SystemExit):  # noqa: BLE001 - a model's own code may raise anything
        return None


def _are_close(expected: list[Any] | None, found: list[Any] | None) -> bool:
    if expected is None or found is None:
        return expected is found
    return len(expected) == len(found) and all(map(are_close, expected, found))


def _leaves(value: Any, depth: int = 0) -> list[Any]:
    """Return the tensors and numbers in a value, also those in attributes of objects."""
    if isinstance(value, Tensor | int | float | complex):
        return [value]
    if value is None or isinstance(value, str | bytes | type | nn.Module) or depth > 6:
        return []
    if isinstance(value, Mapping):
        parts: Any = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif is_dataclass(value):
        parts = [getattr(value, field.name, None) for field in fields(value)]
    else:
        parts = getattr(value, "__dict__", {}).values()
    return [leaf for part in parts for leaf in _leaves(part, depth + 1)]
